"""Events of lineage and the capabilities other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from node.runtime.context import Context
from node.runtime.events import Event


@dataclass(frozen=True)
class CheckpointRecorded(Event):
    """A checkpoint is final."""

    run_id: int
    round: int
    root: bytes
    num_contributions: int


@dataclass(frozen=True)
class CheckpointJudged(Event):
    """What was found out about a checkpoint, and what it paid, is final."""

    run_id: int
    round: int
    base_heldout_loss_nanonats: int


class CheckpointsWrite(Protocol):
    """Record checkpoints; each at most once, in order."""

    def record_checkpoint(self, ctx: Context, checkpoint: Any) -> None: ...


class JudgementsWrite(Protocol):
    """Record what an epoch found, once a checkpoint."""

    def record_judgement(self, ctx: Context, judgement: Any) -> None: ...
