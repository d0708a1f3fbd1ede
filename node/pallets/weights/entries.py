"""Records of an epoch: its lines by uid, and its lineage entry."""

from __future__ import annotations

from typing import Any

from node.pallets.weights.epoch import Opinion
from proto.descent.lineage.v1 import lineage_pb2
from scoring.yuma_types import YumaOutput


def fill_entry(entry: Any, output: YumaOutput, is_mismatched: bool) -> None:
    """Fill what Yuma says about a uid into its line; work that does not replay has no incentive."""
    uid = entry.uid
    entry.incentive_u16 = 0 if is_mismatched else output.incentive_u16[uid]
    entry.dividends_u16 = output.dividends_u16[uid]
    entry.consensus_u16 = output.consensus_u16[uid]
    entry.trust_u16 = output.validator_trust_u16[uid]


def build_checkpoint_judgement(epoch: Any, seats: list[Any], opinions: list[Opinion]) -> Any:
    """Build the lineage entry of an epoch."""
    coldkeys = {seat.uid: seat.coldkey for seat in seats}
    entry = lineage_pb2.CheckpointJudgement(
        run_id=epoch.run_id,
        round=epoch.round + 1,
        base_heldout_loss_nanonats=epoch.base_heldout_loss_nanonats,
        entries=epoch.entries,
        owner_udsc=epoch.owner_udsc,
        height=epoch.height,
    )
    for opinion in opinions:
        for verdict in opinion.judgement.verdicts:
            if verdict.HasField("audit"):
                entry.audits.add(
                    uid=verdict.uid,
                    validator_uid=opinion.uid,
                    audit=verdict.audit,
                    evidence_hash=verdict.evidence_hash,
                )
    for line in epoch.entries:
        if line.emission_udsc:
            entry.rewards.add(
                uid=line.uid, coldkey=coldkeys[line.uid], amount_udsc=line.emission_udsc
            )
    return entry
