"""Refusals of staking; codes and texts of the Cosmos SDK where it has them."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class StakingError(ChainError):
    """Base of staking's refusals"""

    codespace: ClassVar[str] = "staking"


class OperatorUnknown(StakingError):
    """validator does not exist"""

    code = 3


class OperatorExists(StakingError):
    """validator already exist for this operator address; must use new validator operator address"""

    code = 4


class ConsensusKeyExists(StakingError):
    """validator already exist for this pubkey; must use new validator pubkey"""

    code = 5


class ConsensusKeyTypeRefused(StakingError):
    """validator pubkey type is not supported"""

    code = 6


class CommissionNegative(StakingError):
    """commission must be positive"""

    code = 9


class CommissionAboveOne(StakingError):
    """commission cannot be more than 100%"""

    code = 10


class CommissionAboveMaximum(StakingError):
    """commission cannot be more than the max rate"""

    code = 11


class CommissionChangedTooSoon(StakingError):
    """commission cannot be changed more than once in 24h"""

    code = 12


class CommissionChangeAboveMaximum(StakingError):
    """commission change rate cannot be more than the max rate"""

    code = 14


class CommissionChangeTooLarge(StakingError):
    """commission cannot be changed more than max change rate"""

    code = 15


class SelfDelegationBelowMinimum(StakingError):
    """validator's self delegation must be greater than their minimum self delegation"""

    code = 16


class MinSelfDelegationDecreased(StakingError):
    """minimum self delegation cannot be decrease"""

    code = 17


class DelegationUnknown(StakingError):
    """no delegation for (address, validator) tuple"""

    code = 19


class SharesInsufficient(StakingError):
    """insufficient delegation shares"""

    code = 22


class UnbondingUnknown(StakingError):
    """no unbonding delegation found"""

    code = 26


class UnbondingEntriesFull(StakingError):
    """too many unbonding delegation entries for (delegator, validator) tuple"""

    code = 27


class OperatorsFull(StakingError):
    """the maximum number of operators is registered"""

    code = 101


STAKING_ERRORS: tuple[type[ChainError], ...] = (
    OperatorUnknown,
    OperatorExists,
    ConsensusKeyExists,
    ConsensusKeyTypeRefused,
    CommissionNegative,
    CommissionAboveOne,
    CommissionAboveMaximum,
    CommissionChangedTooSoon,
    CommissionChangeAboveMaximum,
    CommissionChangeTooLarge,
    SelfDelegationBelowMinimum,
    MinSelfDelegationDecreased,
    DelegationUnknown,
    SharesInsufficient,
    UnbondingUnknown,
    UnbondingEntriesFull,
    OperatorsFull,
)
