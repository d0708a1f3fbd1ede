"""Refusals of the bank; missing funds and bad coins are SDK refusals (`node.runtime.errors`)."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class BankError(ChainError):
    """Base of the bank's refusals"""

    codespace: ClassVar[str] = "bank"


class NoInputs(BankError):
    """no inputs to send transaction"""

    code = 2


class NoOutputs(BankError):
    """no outputs to send transaction"""

    code = 3


class InputOutputMismatch(BankError):
    """sum inputs != sum outputs"""

    code = 4


class SendDisabled(BankError):
    """send transactions are disabled"""

    code = 5


class MultipleSenders(BankError):
    """multiple senders not allowed"""

    code = 9
