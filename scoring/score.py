"""From one round's evidence to a weights row, and a running test over rounds.

Weights. Only reason OK carries weight; it is proportional to the held-out gain, cut at twice the
median gain of those that are OK. The cut is there because a held-out draw is small and gains have a
heavy tail: without it one lucky or over-long update could take most of a round, and losing a round
to luck is what makes people leave. Twice the median still pays twice the peers for twice the work.

How to measure a gain: apply the payload with one part in the number of accepted payloads of the
outer step. With the whole step an honest payload alone overshoots: in `bench/honest_rounds.py` (20
rounds, 4 miners, default model) 18 of 80 honest payloads then raise the held-out loss and would be
called NO_IMPROVEMENT; with one part in four none does.

Running test. An update lowers the loss on the sequences it was trained on a little more than a
peer's update does, beyond what both do on held-out text; a copier's or a free rider's does not.
Each round gives one sign, by the majority over its sequences, to Wald's sequential test, in
integers. It is one sign a round because the sequences of a round are not independent of each other.
In the same measurement honest miners win 68 of 80 rounds and a sender of a peer's update 35 of 80.
Setting assigned against held-out sequences without a peer separates nothing: the draws of the two
streams differ more than the updates do. The test flags (to audit more, to show people), it never
slashes.

Source: DESIGN 4.3; `reference/training.md` section 9, statistics for scoring.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scoring.fixed_point import U16_MAX
from scoring.reasons import ReasonCode

__all__ = [
    "Evidence",
    "EvidenceError",
    "PairedGains",
    "ReasonCode",
    "Trail",
    "compute_median",
    "compute_round_sign",
    "compute_trail",
    "compute_weights",
]

GAIN_CAP_MEDIANS = 2

# Wald's test of "wins half of the rounds" (not trained on its data) against "wins 7 in 10"
# (trained), wrong in at most 1 of 1000 cases either way. Steps and bound in 1e-6 nats:
STEP_WIN_MICRONATS = -336_472  # ln(0.5 / 0.7)
STEP_LOSS_MICRONATS = 510_826  # ln(0.5 / 0.3)
BOUND_MICRONATS = 6_906_755  # ln(0.999 / 0.001)


class EvidenceError(ValueError):
    """Gains that should be paired are not of the same number, or there are none."""


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
        num_rounds: rounds that counted (ties do not).
        num_wins: rounds won.
        num_flags: decisions for "not trained".
        num_clears: decisions for "trained".
        is_flagged: whether the last decision was a flag.
    """

    evidence_micronats: int = 0
    num_rounds: int = 0
    num_wins: int = 0
    num_flags: int = 0
    num_clears: int = 0
    is_flagged: bool = False


@dataclass(frozen=True)
class PairedGains:
    """Gains per sequence of one update and of a peer's, on the same sequences; any unit.

    Attributes:
        own_assigned: of the miner's update on sequences assigned to the miner.
        peer_assigned: of the peer's update on the same sequences.
        own_heldout: of the miner's update on the held-out draw.
        peer_heldout: of the peer's update on the held-out draw.

    Raises:
        EvidenceError: lengths that do not match, or nothing.
    """

    own_assigned: Sequence[int]
    peer_assigned: Sequence[int]
    own_heldout: Sequence[int]
    peer_heldout: Sequence[int]

    def __post_init__(self) -> None:
        assigned, heldout = len(self.own_assigned), len(self.own_heldout)
        if assigned != len(self.peer_assigned) or heldout != len(self.peer_heldout):
            raise EvidenceError("a gain of the miner has no counterpart of the peer")
        if not assigned or not heldout:
            raise EvidenceError("there are no gains")


def compute_round_sign(gains: PairedGains) -> int:
    """Return 1 if the miner wins the round against the peer, -1 if it loses, 0 on a tie.

    A sequence is won if the miner's lead over the peer there is above its mean lead on held-out
    text; the round goes to the majority of sequences.
    """
    num_heldout = len(gains.own_heldout)
    heldout_lead = sum(gains.own_heldout) - sum(gains.peer_heldout)
    balance = 0
    for own, peer in zip(gains.own_assigned, gains.peer_assigned, strict=True):
        lead = (own - peer) * num_heldout
        balance += (lead > heldout_lead) - (lead < heldout_lead)
    return (balance > 0) - (balance < 0)


def compute_trail(trail: Trail, gains: PairedGains) -> Trail:
    """Feed one round to the running test.

    Error rates, if rounds are independent: a miner that wins 7 of 10 rounds or more is flagged in
    at most 0.1 % of decisions; one that wins half or less is cleared in at most 0.1 %. A decision
    takes about 85 rounds either way.

    Args:
        trail: result of the rounds before; `Trail()` for a new miner.
        gains: of this round.
    """
    sign = compute_round_sign(gains)
    if not sign:
        return trail
    level = trail.evidence_micronats + (STEP_WIN_MICRONATS if sign > 0 else STEP_LOSS_MICRONATS)
    is_decided, is_against = abs(level) >= BOUND_MICRONATS, level > 0
    return Trail(
        evidence_micronats=0 if is_decided else level,
        num_rounds=trail.num_rounds + 1,
        num_wins=trail.num_wins + (sign > 0),
        num_flags=trail.num_flags + (is_decided and is_against),
        num_clears=trail.num_clears + (is_decided and not is_against),
        is_flagged=is_against if is_decided else trail.is_flagged,
    )
