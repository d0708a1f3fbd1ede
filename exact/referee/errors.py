"""Errors of the referee.

ExactError
  RefereeError
    UnknownOperation   no rule for this kind of operation, or an element that it does not have
    WrongOperands      the operands are not those that the element needs
    WrongElement       the claimed element is not what the operation gives
"""

from exact.errors import ExactError


class RefereeError(ExactError):
    """Base of the referee's refusals."""


class UnknownOperation(RefereeError):
    """There is no such operation, output or element."""


class WrongOperands(RefereeError):
    """The opened operands are not exactly those that the element needs."""


class WrongElement(RefereeError):
    """The claimed element differs from the one that the operation gives; the text has both."""
