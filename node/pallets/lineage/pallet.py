"""Lineage: every checkpoint of every run, what it was made from and what it earned.

An entry is written twice and never changed: `Checkpoint` when the round that made it is settled
(checkpoint 0 when the run starts), `CheckpointJudgement` when the epoch of that round ran. Parents
make a graph: the checkpoint before, or for the first one the checkpoint of another run it starts
from.

A light client proves an entry with `abci_query` of path `/store/lineage/key` and the raw key

    0x01 | run_id as 8 bytes big-endian | round as 4 bytes big-endian     -> Checkpoint
    0x02 | run_id as 8 bytes big-endian | round as 4 bytes big-endian     -> CheckpointJudgement

whose value is exactly the deterministic protobuf serialisation of the message.

Invariants: rounds of a run have no gaps; parents are recorded with the root that is named; every
checkpoint is found by its root; judgements belong to checkpoints.
"""

from __future__ import annotations

from typing import Any

from node.pallets.lineage.types import CheckpointJudged, CheckpointRecorded
from node.runtime.codecs import HASH, U32, U64, ProtoCodec, pair
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, QueryInvalid, QueryNotFound
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, invariant, query
from node.runtime.storage import Index, IndexedMap, Map, Schema
from proto.descent.lineage.v1 import lineage_pb2

HASH_BYTES = 32


class LineageSchema(Schema):
    """Storage of lineage, keyed by (run id, round)."""

    checkpoints: IndexedMap[tuple[int, int], Any] = IndexedMap(
        0x01,
        "checkpoints",
        pair(U64, U32),
        ProtoCodec(lineage_pb2.Checkpoint),
        (Index(0x11, "root", HASH, lambda key, checkpoint: bytes(checkpoint.root)),),
    )
    judgements: Map[tuple[int, int], Any] = Map(
        0x02, "judgements", pair(U64, U32), ProtoCodec(lineage_pb2.CheckpointJudgement)
    )


class LineagePallet(Pallet[LineageSchema]):
    """The lineage pallet. It takes no calls: other pallets write."""

    name = "lineage"
    index = 16
    schema = LineageSchema
    query_services = (lineage_pb2.DESCRIPTOR.services_by_name["Query"],)
    events = (CheckpointRecorded, CheckpointJudged)

    # Capabilities

    def record_checkpoint(self, ctx: Context, checkpoint: Any) -> None:
        """Record a final checkpoint.

        Emits: CheckpointRecorded.
        """
        key = (checkpoint.run_id, checkpoint.round)
        if self.storage.checkpoints.has(ctx, key):
            raise InvariantBroken(f"lineage: checkpoint {key} is recorded already")
        self.storage.checkpoints.set(ctx, key, checkpoint)
        num_contributions = len(checkpoint.contributions)
        ctx.emit(CheckpointRecorded(*key, bytes(checkpoint.root), num_contributions))

    def record_judgement(self, ctx: Context, judgement: Any) -> None:
        """Record what an epoch found about a checkpoint.

        Emits: CheckpointJudged.
        """
        key = (judgement.run_id, judgement.round)
        if self.storage.judgements.has(ctx, key):
            raise InvariantBroken(f"lineage: checkpoint {key} is judged already")
        self.storage.judgements.set(ctx, key, judgement)
        ctx.emit(CheckpointJudged(*key, judgement.base_heldout_loss_nanonats))

    def get_checkpoint_root(self, ctx: Context, run_id: int, round_index: int) -> bytes | None:
        """Get the root of a checkpoint, or None if it is not recorded."""
        checkpoint = self.storage.checkpoints.get(ctx, (run_id, round_index))
        return None if checkpoint is None else bytes(checkpoint.root)

    # Queries

    @query("Checkpoint")
    def query_checkpoint(self, ctx: Context, request: Any) -> Any:
        """Answer one checkpoint, with its judgement once there is one."""
        return self._answer(ctx, (request.run_id, request.round))

    @query("Latest")
    def query_latest(self, ctx: Context, request: Any) -> Any:
        """Answer the newest checkpoint of a run."""
        newest = self.storage.checkpoints.iterate(ctx, request.run_id, reverse=True)
        for key, _ in newest:
            return self._answer(ctx, key)
        raise QueryNotFound(f"run {request.run_id} has no checkpoint")

    @query("Checkpoints")
    def query_checkpoints(self, ctx: Context, request: Any) -> Any:
        """Answer the checkpoints of a run by round."""
        entries, page = paginate(ctx, self.storage.checkpoints, request.pagination, request.run_id)
        checkpoints = [checkpoint for _, checkpoint in entries]
        return lineage_pb2.QueryCheckpointsResponse(checkpoints=checkpoints, pagination=page)

    @query("ByRoot")
    def query_by_root(self, ctx: Context, request: Any) -> Any:
        """Answer the first checkpoint with a root."""
        if len(request.root) != HASH_BYTES:
            raise QueryInvalid(f"the root has {len(request.root)} bytes, not {HASH_BYTES}")
        for _, key in self.storage.checkpoints.iterate_index(ctx, "root", request.root):
            return self._answer(ctx, key)
        raise QueryNotFound(f"no checkpoint has root {request.root.hex()}")

    def _answer(self, ctx: Context, key: tuple[int, int]) -> Any:
        checkpoint = self.storage.checkpoints.get(ctx, key)
        if checkpoint is None:
            raise QueryNotFound(f"run {key[0]} has no checkpoint {key[1]}")
        judgement = self.storage.judgements.get(ctx, key)
        return lineage_pb2.QueryCheckpointResponse(checkpoint=checkpoint, judgement=judgement)

    # Invariants

    @invariant
    def check_graph(self, ctx: Context) -> None:
        """Rounds have no gaps and parents are recorded with the root that is named."""
        roots: dict[tuple[int, int], bytes] = {}
        for key, checkpoint in self.storage.checkpoints.iterate(ctx):
            run_id, round_index = key
            if round_index > 0 and (run_id, round_index - 1) not in roots:
                raise InvariantBroken(f"lineage: run {run_id} lacks checkpoint {round_index - 1}")
            roots[key] = bytes(checkpoint.root)
            parents = zip(checkpoint.parents, checkpoint.parent_roots, strict=True)
            for parent, root in parents:
                if roots.get((parent.run_id, parent.round)) != root:
                    raise InvariantBroken(f"lineage: checkpoint {key} names a wrong parent")

    @invariant
    def check_judgements(self, ctx: Context) -> None:
        """Every judgement belongs to a checkpoint."""
        for key in self.storage.judgements.keys(ctx):
            if not self.storage.checkpoints.has(ctx, key):
                raise InvariantBroken(f"lineage: judgement {key} has no checkpoint")
