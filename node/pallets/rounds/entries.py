"""Lineage entries of what rounds make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.pallets.rounds.types import PPM
from node.runtime.context import Context
from proto.descent.lineage.v1 import lineage_pb2

NANOS_PER_MILLI = 10**6


def build_checkpoint(ctx: Context, run: Any, spec: Any, round_index: int, root: bytes) -> Any:
    """Build what every checkpoint has."""
    return lineage_pb2.Checkpoint(
        run_id=run.id,
        round=round_index,
        root=root,
        spec_hash=run.spec_hash,
        dataset_root=spec.data.dataset_root,
        height=ctx.height,
        time_unix_ms=ctx.block.time_ns // NANOS_PER_MILLI,
        previous_app_hash=ctx.block.previous_app_hash,
    )


def build_first_checkpoint(ctx: Context, run: Any, spec: Any) -> Any:
    """Build checkpoint 0 of a run: its initial root, and the parent it comes from if any."""
    checkpoint = build_checkpoint(ctx, run, spec, 0, spec.initial_root)
    if spec.HasField("parent"):
        checkpoint.parents.add(run_id=spec.parent.run_id, round=spec.parent.round)
        checkpoint.parent_roots.append(spec.parent.root)
    return checkpoint


def build_settled_checkpoint(
    ctx: Context,
    run: Any,
    spec: Any,
    settled: Any,
    commitments: Mapping[int, Any],
    attestations: Mapping[int, Any],
    stakes_udsc: Mapping[int, int],
) -> Any:
    """Build the entry of the checkpoint a round made.

    Args:
        settled: the round, with its result root and accepted uids.
        commitments: of the round, by uid.
        attestations: of the round, by validator uid; those of another root are left out.
        stakes_udsc: of the validators that have any, at this height.
    """
    checkpoint = build_checkpoint(ctx, run, spec, settled.index + 1, settled.result_root)
    checkpoint.parents.add(run_id=run.id, round=settled.index)
    checkpoint.parent_roots.append(settled.base_root)
    checkpoint.data_beacon = settled.beacon
    checkpoint.total_stake_udsc = sum(stakes_udsc.values())
    accepted = list(settled.accepted)
    if not accepted:
        return checkpoint
    share = spec.work.inner_steps * spec.work.batch_size
    checkpoint.first_sequence = accepted[0] * share
    checkpoint.num_sequences = (accepted[-1] - accepted[0] + 1) * share
    for uid in accepted:
        checkpoint.contributions.add(
            uid=uid,
            hotkey=commitments[uid].hotkey,
            payload_hash=commitments[uid].payload_hash,
            payload_size=commitments[uid].payload_size,
            weight_ppm=PPM // len(accepted),
        )
    for uid, attestation in sorted(attestations.items()):
        if attestation.result_root != settled.result_root or uid not in stakes_udsc:
            continue
        entry = checkpoint.attestations.add()
        entry.CopyFrom(attestation)
        entry.stake_udsc = stakes_udsc[uid]
        checkpoint.attested_stake_udsc += stakes_udsc[uid]
    return checkpoint
