"""Pure arithmetic of an epoch: what most stake found, and who earns how much of it.

Opinions are those of validators that revealed and have stake; the rest of the stake is silent and
counts nowhere. Amounts and stakes are integers in udsc; every split is exact.

Source: `scoring/yuma.py` for the epoch, `scoring/emission.py` for the splits; DESIGN 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from scoring.emission import RunSplit, compute_pro_rata
from scoring.yuma_fast import compute_epoch
from scoring.yuma_types import (
    EMPTY_ROW,
    MAX_UIDS,
    SparseRow,
    YumaInput,
    YumaOutput,
    YumaParams,
    YumaVariant,
)

SHARE_UNITS = 2**40
"""Emission handed to Yuma: only the ratios of its parts are used, this is their resolution."""
VARIANTS: dict[int, YumaVariant] = {
    runs_pb2.YUMA_VARIANT_YUMA3: YumaVariant.YUMA3,
    runs_pb2.YUMA_VARIANT_ORIGINAL: YumaVariant.ORIGINAL,
}


@dataclass(frozen=True)
class Opinion:
    """What a validator with stake revealed.

    Args:
        uid: of the validator.
        stake_udsc: bonded stake at the epoch, above zero.
        commit_height: height at which the weights were committed.
        judgement: the `Judgement`.
    """

    uid: int
    stake_udsc: int
    commit_height: int
    judgement: Any


@dataclass(frozen=True)
class Earnings:
    """Who earns how much: amounts by uid, and the owner's. Their sum is at most the whole."""

    owner_udsc: int
    miners_udsc: dict[int, int]
    validators_udsc: dict[int, int]

    @property
    def total_udsc(self) -> int:
        """What has to be brought up for this."""
        parts = (*self.miners_udsc.values(), *self.validators_udsc.values())
        return self.owner_udsc + sum(parts)


NO_EARNINGS = Earnings(0, {}, {})


def compute_majority_reasons(opinions: Sequence[Opinion]) -> dict[int, int]:
    """Compute the verdict with the most stake by uid; the lower code wins a tie."""
    stakes: dict[int, dict[int, int]] = {}
    for opinion in opinions:
        for verdict in opinion.judgement.verdicts:
            by_reason = stakes.setdefault(verdict.uid, {})
            by_reason[verdict.reason] = by_reason.get(verdict.reason, 0) + opinion.stake_udsc
    return {
        uid: min(by_reason, key=lambda reason: (-by_reason[reason], reason))
        for uid, by_reason in sorted(stakes.items())
    }


def compute_mismatched(
    opinions: Sequence[Opinion], auditors: Mapping[int, Sequence[int]]
) -> dict[int, bytes]:
    """Compute which uids more than half of their auditors' revealed stake finds REPLAY_MISMATCH.

    Args:
        opinions: what was revealed.
        auditors: miner's uid -> uids of the validators the beacon named; others have not replayed.

    Returns: the evidence hash of the first such verdict by uid.
    """
    total: dict[int, int] = {}
    against: dict[int, int] = {}
    evidence: dict[int, bytes] = {}
    for opinion in opinions:
        for verdict in opinion.judgement.verdicts:
            if opinion.uid not in auditors.get(verdict.uid, ()):
                continue
            total[verdict.uid] = total.get(verdict.uid, 0) + opinion.stake_udsc
            if verdict.reason == weights_pb2.REASON_CODE_REPLAY_MISMATCH:
                against[verdict.uid] = against.get(verdict.uid, 0) + opinion.stake_udsc
                evidence.setdefault(verdict.uid, bytes(verdict.evidence_hash))
    return {uid: evidence[uid] for uid, stake in sorted(against.items()) if 2 * stake > total[uid]}


def compute_base_loss(opinions: Sequence[Opinion]) -> int:
    """Compute the stake-weighted lower median of the base loss (nano-nats), 0 without opinions."""
    entries = sorted((o.judgement.base_heldout_loss_nanonats, o.stake_udsc) for o in opinions)
    total, below = sum(stake for _, stake in entries), 0
    for loss, stake in entries:
        below += stake
        if 2 * below >= total:
            return int(loss)
    return 0


def build_yuma_params(incentive: Any, height: int) -> YumaParams:
    """Build the parameters of an epoch from a run's `IncentiveSpec`.

    Everybody who revealed is active and every validator with stake keeps its bonds.
    """
    return YumaParams(
        variant=VARIANTS[incentive.variant],
        kappa_u16=incentive.kappa_u16,
        bonds_penalty_u16=incentive.bonds_penalty_u16,
        bonds_moving_average_ppm=incentive.bonds_moving_average_ppm,
        liquid_alpha=incentive.liquid_alpha,
        activity_cutoff_blocks=height,
        max_validators=MAX_UIDS,
    )


def compute_yuma(
    incentive: Any,
    height: int,
    last_epoch_height: int | None,
    registered_heights: Sequence[int],
    stakes_udsc: Mapping[int, int],
    opinions: Sequence[Opinion],
    eligible_uids: Sequence[int],
    bonds: Mapping[int, SparseRow],
) -> YumaOutput:
    """Run the Yuma epoch of a run.

    Args:
        incentive: the `IncentiveSpec`.
        height: of this block.
        last_epoch_height: of the run's epoch before, None if this is the first.
        registered_heights: by uid, one for every seat.
        stakes_udsc: of the validators that have any, by uid.
        opinions: at least one.
        eligible_uids: miners that may earn; weights of others are dropped.
        bonds: rows by validator uid.
    """
    num_uids = len(registered_heights)
    eligible = frozenset(eligible_uids)
    by_uid = {opinion.uid: opinion for opinion in opinions}
    weights = [EMPTY_ROW] * num_uids
    for opinion in opinions:
        judgement = opinion.judgement
        pairs = zip(judgement.uids, judgement.weights_u16, strict=True)
        kept = [(uid, weight) for uid, weight in pairs if uid in eligible]
        weights[opinion.uid] = SparseRow.from_ints(
            [uid for uid, _ in kept], [weight for _, weight in kept]
        )
    uids = range(num_uids)
    state = YumaInput(
        now_block=height,
        last_epoch_block=last_epoch_height,
        stakes_units=tuple(stakes_udsc.get(uid, 0) for uid in uids),
        permits=tuple(uid in by_uid for uid in uids),
        last_update_blocks=tuple(by_uid[uid].commit_height if uid in by_uid else 0 for uid in uids),
        registered_at_blocks=tuple(registered_heights),
        weights=tuple(weights),
        bonds=tuple(bonds.get(uid, EMPTY_ROW) for uid in uids),
        emission_units=SHARE_UNITS,
    )
    return compute_epoch(build_yuma_params(incentive, height), state)


def compute_earnings(
    split: RunSplit, output: YumaOutput, mismatched: Mapping[int, bytes]
) -> Earnings:
    """Compute who earns how much of one split.

    The part of a miner whose work does not replay goes to nobody, and so does the miners' side if
    there is no incentive.
    """
    miners = compute_pro_rata(split.miners_udsc, output.server_emission_units)
    validators = compute_pro_rata(split.validators_udsc, output.validator_emission_units)
    return Earnings(
        split.owner_udsc,
        {uid: part for uid, part in enumerate(miners) if part and uid not in mismatched},
        {uid: part for uid, part in enumerate(validators) if part},
    )


def add_amounts(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    """Add amounts by uid, uids ascending."""
    uids = sorted({*first, *second})
    return {uid: first.get(uid, 0) + second.get(uid, 0) for uid in uids}
