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


class SelfRedelegation(StakingError):
    """cannot redelegate to the same validator"""

    code = 29


class RedelegationTooSmall(StakingError):
    """too few tokens to redelegate (truncates to zero tokens)"""

    code = 30


class RedelegationTargetUnknown(StakingError):
    """redelegation destination validator not found"""

    code = 31


class TransitiveRedelegation(StakingError):
    """redelegation to this validator already in progress; first redelegation must complete"""

    code = 32


class RedelegationEntriesFull(StakingError):
    """too many redelegation entries for (delegator, src-validator, dst-validator) tuple"""

    code = 33


class ExchangeRateZero(StakingError):
    """cannot delegate to validators with invalid (zero) ex-rate"""

    code = 34


class CommissionBelowMinimum(StakingError):
    """commission cannot be less than min rate"""

    code = 40


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
    SelfRedelegation,
    RedelegationTooSmall,
    RedelegationTargetUnknown,
    TransitiveRedelegation,
    RedelegationEntriesFull,
    ExchangeRateZero,
    CommissionBelowMinimum,
    OperatorsFull,
)
