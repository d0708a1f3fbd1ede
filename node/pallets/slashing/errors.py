"""Refusals of slashing; codes and texts of the Cosmos SDK."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class SlashingError(ChainError):
    """Base of slashing's refusals"""

    codespace: ClassVar[str] = "slashing"


class JailedOperatorUnknown(SlashingError):
    """validator does not exist for that address"""

    code = 3


class StillJailed(SlashingError):
    """validator still jailed; cannot be unjailed"""

    code = 4


class NotJailed(SlashingError):
    """validator not jailed; cannot be unjailed"""

    code = 5


class SelfDelegationMissing(SlashingError):
    """validator has no self-delegation; cannot be unjailed"""

    code = 6


class SelfDelegationTooLow(SlashingError):
    """validator's self delegation less than minimum; cannot be unjailed"""

    code = 7


SLASHING_ERRORS: tuple[type[ChainError], ...] = (
    JailedOperatorUnknown,
    StillJailed,
    NotJailed,
    SelfDelegationMissing,
    SelfDelegationTooLow,
)
