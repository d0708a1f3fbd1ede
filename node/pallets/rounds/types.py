"""Constants and events of rounds, and the capabilities given to and taken from other pallets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from node.runtime.context import Context
from node.runtime.events import Event
from proto.descent.rounds.v1 import rounds_pb2
from scoring.audit import AuditTarget

HASH_BYTES = 32
PPM = 10**6
QUORUM_NUMERATOR = 2
QUORUM_DENOMINATOR = 3
"""Availability and settlement need 2/3 of the validator stake of the run."""
PAYLOAD_OVERHEAD_BYTES = 2**16  # 64 KiB of headers over four bytes a model parameter
DETAIL_ROUNDS = 256
"""Commitments, bitmaps and attestations are kept for so many rounds; checkpoints for ever."""

PHASE_NAMES: dict[int, str] = {
    rounds_pb2.PHASE_TRAINING: "training",
    rounds_pb2.PHASE_ATTESTING: "attesting",
    rounds_pb2.PHASE_SETTLING: "settling",
    rounds_pb2.PHASE_JUDGING: "judging",
    rounds_pb2.PHASE_JUDGED: "judged",
}


@dataclass(frozen=True)
class RoundStarted(Event):
    """A round began; the beacon assigns the data."""

    run_id: int
    round: int
    beacon: bytes
    base_root: bytes
    commit_deadline: int
    attest_deadline: int


@dataclass(frozen=True)
class RoundPhaseChanged(Event):
    """A round went on to another phase."""

    run_id: int
    round: int
    phase: str


@dataclass(frozen=True)
class JudgeBeaconDrawn(Event):
    """The beacon that names evaluation data and audits is known."""

    run_id: int
    round: int
    beacon: bytes


@dataclass(frozen=True)
class PayloadCommitted(Event):
    """A miner bound itself to a payload."""

    run_id: int
    round: int
    uid: int
    payload_hash: bytes
    payload_size: int
    late: bool


@dataclass(frozen=True)
class AvailabilityAttested(Event):
    """A validator said which payloads it holds."""

    run_id: int
    round: int
    uid: int
    bitmap: bytes


@dataclass(frozen=True)
class AttestDeadlineExtended(Event):
    """Validators with too little stake attested; the round waits for them."""

    run_id: int
    round: int
    attest_deadline: int
    attesting_stake_udsc: int
    total_stake_udsc: int


@dataclass(frozen=True)
class AcceptedSetFixed(Event):
    """The payloads that make the next checkpoint are known."""

    run_id: int
    round: int
    accepted: tuple[int, ...]


@dataclass(frozen=True)
class StateAttested(Event):
    """A validator said which checkpoint the round makes."""

    run_id: int
    round: int
    uid: int
    result_root: bytes


@dataclass(frozen=True)
class RoundSettled(Event):
    """The checkpoint of a round is final."""

    run_id: int
    round: int
    result_root: bytes
    attested_stake_udsc: int
    total_stake_udsc: int


class BeaconRead(Protocol):
    """Beacon value (32 bytes) drawn in the block of a height."""

    def get_value(self, ctx: Context, height: int) -> bytes: ...


class RoundsRead(Protocol):
    """Rounds and commitments, as other pallets see them."""

    def get_round(self, ctx: Context, run_id: int, round_index: int) -> Any | None: ...

    def get_commitment(
        self, ctx: Context, run_id: int, round_index: int, uid: int
    ) -> Any | None: ...


class RoundsJudge(RoundsRead, Protocol):
    """Close a round after its epoch."""

    def list_audit_targets(self, ctx: Context, current: Any) -> list[AuditTarget]: ...

    def mark_judged(self, ctx: Context, run_id: int, round_index: int) -> None: ...
