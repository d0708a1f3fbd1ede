"""Supply: how much a block mints, how it is split, and when a reward is released.

All amounts are integers in udsc (10**-6 DSC). Every split is exact: the parts sum to the whole, and
who gets the rounding is written at each function.

Source: `reference/chain.md` section 1.5; `reference/verification.md` section 4.3 (vesting).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scoring.fixed_point import PPM

SUPPLY_CAP_UDSC = 21_000_000 * 10**6  # 21 million DSC

OWNER_SHARE_PPM = 180_000  # 18 %
MINER_SHARE_PPM = 410_000  # 41 %
VALIDATOR_SHARE_PPM = 410_000  # 41 %


class EmissionInputError(ValueError):
    """An amount or a share is outside its bound; the message names it."""


@dataclass(frozen=True)
class RunSplit:
    """What one run's emission gives to each side, in udsc; the parts sum to the whole."""

    owner_udsc: int
    miners_udsc: int
    validators_udsc: int


def compute_num_halvings(issued_udsc: int, supply_cap_udsc: int = SUPPLY_CAP_UDSC) -> int:
    """Return how many halvings the issuance has passed: at 1/2, 3/4, 7/8 ... of the cap.

    Equal to floor(log2(cap / (cap - issued))).

    Args:
        issued_udsc: everything ever minted, 0..cap - 1.
        supply_cap_udsc: the cap.

    Raises:
        EmissionInputError: issued is negative, or the cap or above.

    Source: `reference/chain.md` section 1.5.
    """
    if not 0 <= issued_udsc < supply_cap_udsc:
        raise EmissionInputError(f"issued must be in 0..{supply_cap_udsc - 1}, not {issued_udsc}")
    return (supply_cap_udsc // (supply_cap_udsc - issued_udsc)).bit_length() - 1


def compute_block_emission(
    issued_udsc: int, initial_emission_udsc: int, supply_cap_udsc: int = SUPPLY_CAP_UDSC
) -> int:
    """Return what the next block mints: the first block's amount halved, never over the cap.

    Halvings follow issuance, not height, so burning or a slow chain does not move them.

    Args:
        issued_udsc: everything ever minted, 0..cap.
        initial_emission_udsc: what the first block mints.
        supply_cap_udsc: the cap.

    Raises:
        EmissionInputError: issued is negative or above the cap.
    """
    if issued_udsc == supply_cap_udsc:
        return 0
    halved = initial_emission_udsc >> compute_num_halvings(issued_udsc, supply_cap_udsc)
    return min(halved, supply_cap_udsc - issued_udsc)


def compute_run_split(
    amount_udsc: int,
    owner_ppm: int = OWNER_SHARE_PPM,
    miner_ppm: int = MINER_SHARE_PPM,
    validator_ppm: int = VALIDATOR_SHARE_PPM,
) -> RunSplit:
    """Split one run's emission; owner and validators are rounded down, miners get the rest.

    Raises:
        EmissionInputError: a negative number, or shares that do not sum to one million.
    """
    if min(amount_udsc, owner_ppm, miner_ppm, validator_ppm) < 0:
        raise EmissionInputError("amount and shares must not be negative")
    if owner_ppm + miner_ppm + validator_ppm != PPM:
        raise EmissionInputError(f"shares must sum to {PPM} ppm")
    owner_udsc = amount_udsc * owner_ppm // PPM
    validators_udsc = amount_udsc * validator_ppm // PPM
    return RunSplit(owner_udsc, amount_udsc - owner_udsc - validators_udsc, validators_udsc)


def compute_pro_rata(amount_udsc: int, weights: Sequence[int]) -> list[int]:
    """Share an amount by weight so that the parts sum to it exactly.

    Part i is floor(amount * W_i / W) - floor(amount * W_(i-1) / W) with W_i the sum of the first i
    weights: every part is within one unit of its exact share, without sorting remainders.

    Args:
        amount_udsc: what to share, at least 0.
        weights: integers of at least 0, in a fixed order (uids ascending).

    Returns:
        One part per weight; zeros if all weights are zero, and then nothing is shared out.

    Raises:
        EmissionInputError: a negative amount or weight.
    """
    if amount_udsc < 0 or any(weight < 0 for weight in weights):
        raise EmissionInputError("amount and weights must not be negative")
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    parts, weight_so_far, paid_udsc = [], 0, 0
    for weight in weights:
        weight_so_far += weight
        due_udsc = amount_udsc * weight_so_far // total
        parts.append(due_udsc - paid_udsc)
        paid_udsc = due_udsc
    return parts


def compute_vesting_rounds(audit_rate_ppm: int) -> int:
    """Return over how many rounds a miner's reward is released: ceil(1 / audit rate).

    One more than the least that deters (1 / a - 1), see `audit.compute_required_vesting_rounds`.

    Raises:
        EmissionInputError: the rate is not in 1..1 000 000 ppm.

    Source: DESIGN 4.4; `reference/verification.md` section 4.3.
    """
    if not 1 <= audit_rate_ppm <= PPM:
        raise EmissionInputError(f"audit_rate_ppm must be in 1..{PPM}, not {audit_rate_ppm}")
    return -(-PPM // audit_rate_ppm)


def compute_vesting_schedule(amount_udsc: int, num_rounds: int) -> list[int]:
    """Return what each of the next rounds releases: equal parts that sum to the amount exactly."""
    return compute_pro_rata(amount_udsc, [1] * num_rounds)
