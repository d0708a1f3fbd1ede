"""Refusals of feegrant; codes and texts of the Cosmos SDK."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class FeegrantError(ChainError):
    """Base of feegrant's refusals"""

    codespace: ClassVar[str] = "feegrant"


class FeeLimitExceeded(FeegrantError):
    """fee limit exceeded"""

    code = 2


class AllowanceExpired(FeegrantError):
    """fee allowance expired"""

    code = 3


class DurationInvalid(FeegrantError):
    """invalid duration"""

    code = 4


class AllowanceMissing(FeegrantError):
    """no allowance"""

    code = 5


class AllowedMessagesMissing(FeegrantError):
    """allowed messages are empty"""

    code = 6


class MessageNotAllowed(FeegrantError):
    """message not allowed"""

    code = 7


FEEGRANT_ERRORS: tuple[type[ChainError], ...] = (
    FeeLimitExceeded,
    AllowanceExpired,
    DurationInvalid,
    AllowanceMissing,
    AllowedMessagesMissing,
    MessageNotAllowed,
)
