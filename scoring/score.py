"""From one round's evidence to a weights row, and a running test over rounds.

Weights. Only reason OK carries weight; it is proportional to the held-out gain, cut at twice the
median gain of those that are OK. The cut is there because a held-out draw is small and gains have a
heavy tail: without it one lucky or over-long update could take most of a round, and losing a round
to luck is what makes people leave. Twice the median still pays twice the peers for twice the work.

Running test. A miner that trained on its assigned data improves assigned sequences more often than
held-out ones; a copier or a free rider improves both alike. Each round pairs the j-th assigned with
the j-th held-out sequence of the draw and feeds the sign of the difference to Wald's sequential
test, in integers. It flags (to audit more, to show people) and never slashes.

Source: DESIGN 4.3; `reference/training.md` section 9, statistics for scoring.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scoring.fixed_point import U16_MAX
from scoring.reasons import ReasonCode

__all__ = [
    "Evidence",
    "ReasonCode",
    "Trail",
    "compute_median",
    "compute_trail",
    "compute_weights",
]

GAIN_CAP_MEDIANS = 2

# Wald's test of "assigned improves more in 1/2 of the pairs" (not trained on them) against "in 3/5"
# (trained), wrong in at most 1 of 1000 cases either way. Steps and bound in 1e-6 nats:
STEP_WIN_MICRONATS = -182_322  # ln(0.5 / 0.6)
STEP_LOSS_MICRONATS = 223_144  # ln(0.5 / 0.4)
BOUND_MICRONATS = 6_906_755  # ln(0.999 / 0.001)


@dataclass(frozen=True)
class Evidence:
    """What a validator found about one miner in one round.

    Attributes:
        reason: the verdict.
        assigned_gain_nanonats: loss before minus after, per token, on assigned sequences.
        heldout_gain_nanonats: the same on the held-out draw.
    """

    reason: ReasonCode
    assigned_gain_nanonats: int = 0
    heldout_gain_nanonats: int = 0


def compute_weights(evidence: Mapping[int, Evidence]) -> dict[int, int]:
    """Return uid -> weight in 0..65535 for every uid, ascending; the largest is 65535.

    An uid that is OK with a positive held-out gain has at least 1; every other has 0. Rounded down.

    Source: DESIGN 4.3.
    """
    gains = {
        uid: found.heldout_gain_nanonats
        for uid, found in evidence.items()
        if found.reason == ReasonCode.OK and found.heldout_gain_nanonats > 0
    }
    if not gains:
        return dict.fromkeys(sorted(evidence), 0)
    cap = GAIN_CAP_MEDIANS * compute_median(list(gains.values()))
    clipped = {uid: min(gain, cap) for uid, gain in gains.items()}
    largest = max(clipped.values())
    return {
        uid: max(clipped[uid] * U16_MAX // largest, 1) if uid in clipped else 0
        for uid in sorted(evidence)
    }


def compute_median(values: Sequence[int]) -> int:
    """Return the lower median: of an even number, the smaller of the two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]


@dataclass(frozen=True)
class Trail:
    """Running test of one miner: does its work follow its assigned data?

    Attributes:
        evidence_micronats: log likelihood ratio of "not trained" since the last decision.
        num_pairs: pairs that counted, all rounds (ties do not count).
        num_wins: pairs in which the assigned sequence improved more.
        num_flags: decisions for "not trained".
        num_clears: decisions for "trained".
        is_flagged: whether the last decision was a flag.
    """

    evidence_micronats: int = 0
    num_pairs: int = 0
    num_wins: int = 0
    num_flags: int = 0
    num_clears: int = 0
    is_flagged: bool = False


def compute_trail(
    trail: Trail, assigned_gains: Sequence[int], heldout_gains: Sequence[int]
) -> Trail:
    """Feed one round's gains per sequence to the running test.

    Error rates: a miner whose assigned sequence wins 3/5 of the pairs or more is flagged in at most
    0.1 % of decisions; one that wins half or less is cleared in at most 0.1 %. A decision takes
    about 340 pairs either way, so five to six rounds of 64.

    Args:
        trail: result of the rounds before; `Trail()` for a new miner.
        assigned_gains: gain of each assigned sequence in the order of the draw, any unit.
        heldout_gains: gain of each held-out sequence in the order of the draw, the same unit; the
            longer list is cut.
    """
    level, wins, pairs = trail.evidence_micronats, trail.num_wins, trail.num_pairs
    flags, clears, is_flagged = trail.num_flags, trail.num_clears, trail.is_flagged
    for assigned, heldout in zip(assigned_gains, heldout_gains, strict=False):
        if assigned == heldout:
            continue
        pairs += 1
        wins += assigned > heldout
        level += STEP_WIN_MICRONATS if assigned > heldout else STEP_LOSS_MICRONATS
        if abs(level) >= BOUND_MICRONATS:
            is_flagged = level > 0
            flags, clears, level = flags + is_flagged, clears + (not is_flagged), 0
    return Trail(level, pairs, wins, flags, clears, is_flagged)
