"""Refusals of distribution; codes and texts of the Cosmos SDK where it has them."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class DistributionError(ChainError):
    """Base of distribution's refusals"""

    codespace: ClassVar[str] = "distribution"


class CommissionMissing(DistributionError):
    """no validator commission to withdraw"""

    code = 7


class WithdrawAddressDisabled(DistributionError):
    """set withdraw address disabled"""

    code = 8


class RewardedOperatorUnknown(DistributionError):
    """validator does not exist"""

    code = 12


class RewardedDelegationUnknown(DistributionError):
    """delegation does not exist"""

    code = 13


DISTRIBUTION_ERRORS: tuple[type[ChainError], ...] = (
    CommissionMissing,
    WithdrawAddressDisabled,
    RewardedOperatorUnknown,
    RewardedDelegationUnknown,
)
