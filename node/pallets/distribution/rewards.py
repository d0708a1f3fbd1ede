"""Arithmetic of shared rewards: exact, in integers, without a look at any delegator.

An operator has one number, the ratio: what a share has earned since the beginning. A delegation
remembers the ratio it was last paid at; what it earned since is shares times the difference (F1 fee
distribution; a slash changes no shares, so it needs no entry of its own). Amounts are numerators
over `SCALE` udsc. What a division leaves over is carried, never dropped:

    outstanding * SCALE = commission + carry + sum over delegations of earned

Source: Ojha, Goes, "F1 Fee Distribution" (2018); Cosmos SDK x/distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.pallets.staking.shares import DECIMALS_18
from scoring.emission import compute_pro_rata

SCALE = 10**36
"""Numerator of one udsc. A share is at most 2.1 * 10**31, so a ratio is never rounded to 0."""


@dataclass(frozen=True)
class OperatorRewards:
    """What is held for an operator and its delegators; see the module."""

    outstanding_udsc: int = 0
    ratio: int = 0
    carry: int = 0
    commission: int = 0


@dataclass(frozen=True)
class DelegatorStart:
    """From where a delegation earns: the ratio then, and the numerator left over then."""

    ratio: int = 0
    owed: int = 0


def allocate(
    rewards: OperatorRewards, amount_udsc: int, commission_rate: int, total_shares: int
) -> OperatorRewards:
    """Give an amount to an operator: its commission, the rest to the shares.

    Args:
        commission_rate: scaled by 10**18.
        total_shares: above 0.
    """
    numerator = amount_udsc * SCALE
    commission = numerator * commission_rate // DECIMALS_18
    step, carry = divmod(rewards.carry + numerator - commission, total_shares)
    return OperatorRewards(
        outstanding_udsc=rewards.outstanding_udsc + amount_udsc,
        ratio=rewards.ratio + step,
        carry=carry,
        commission=rewards.commission + commission,
    )


def compute_earned(rewards: OperatorRewards, start: DelegatorStart, shares: int) -> int:
    """Compute the numerator a delegation has earned."""
    return start.owed + shares * (rewards.ratio - start.ratio)


def pay_delegation(
    rewards: OperatorRewards, start: DelegatorStart, shares: int
) -> tuple[OperatorRewards, DelegatorStart, int]:
    """Pay a delegation what it earned in whole udsc; the rest stays owed to it.

    Returns: rewards and start afterwards, and the amount in udsc.
    """
    amount, owed = divmod(compute_earned(rewards, start, shares), SCALE)
    after = replace(rewards, outstanding_udsc=rewards.outstanding_udsc - amount)
    return after, DelegatorStart(rewards.ratio, owed), amount


def pay_commission(rewards: OperatorRewards) -> tuple[OperatorRewards, int]:
    """Pay the commission in whole udsc; the rest stays owed."""
    amount, commission = divmod(rewards.commission, SCALE)
    outstanding = rewards.outstanding_udsc - amount
    return replace(rewards, outstanding_udsc=outstanding, commission=commission), amount


def close_delegation(rewards: OperatorRewards, start: DelegatorStart) -> OperatorRewards:
    """Give what is below one udsc of a delegation that ends to those that stay."""
    return replace(rewards, carry=rewards.carry + start.owed)


def split_by_power(amount_udsc: int, powers: list[int]) -> list[int]:
    """Split an amount by consensus power; the parts sum to the amount."""
    return compute_pro_rata(amount_udsc, powers)


def to_decimal_text(numerator: int) -> str:
    """Format a numerator as the scaled integer of a Cosmos `Dec`, 18 decimals, rounded down."""
    return str(numerator * DECIMALS_18 // SCALE)
