"""Parameters and events of runs, and the capabilities given to and taken from other pallets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, bounded
from proto.descent.runs.v1 import runs_pb2

RUNS_MODULE = "runs"
"""Name of the module account that holds bounties in escrow."""

STATUS_NAMES: dict[int, str] = {
    runs_pb2.RUN_STATUS_PENDING: "pending",
    runs_pb2.RUN_STATUS_TRAINING: "training",
    runs_pb2.RUN_STATUS_VERIFYING: "verifying",
    runs_pb2.RUN_STATUS_COMPLETED: "completed",
    runs_pb2.RUN_STATUS_HALTED: "halted",
}
OPEN_STATUSES = (
    runs_pb2.RUN_STATUS_PENDING,
    runs_pb2.RUN_STATUS_TRAINING,
    runs_pb2.RUN_STATUS_VERIFYING,
)
"""Statuses of a run that is not over."""
ROLE_NAMES: dict[int, str] = {runs_pb2.ROLE_MINER: "miner", runs_pb2.ROLE_VALIDATOR: "validator"}


@dataclass(frozen=True)
class RunsParams(Params):
    """Limits on runs. `max_runs` counts the open ones."""

    message_class: ClassVar[Any] = runs_pb2.Params

    max_runs: int = bounded(64, low=1, high=1_024)
    max_spec_bytes: int = bounded(4_096, low=256, high=65_536)
    max_model_params: int = bounded(2_000_000_000, low=1_000, high=10**13)
    min_bounty_udsc: int = bounded(0, low=0, high=21 * 10**12)
    max_name_bytes: int = bounded(64, low=1, high=256)
    max_endpoint_bytes: int = bounded(128, low=16, high=512)


@dataclass(frozen=True)
class RunCreated(Event):
    """A run was created and its bounty put in escrow."""

    run_id: int
    owner: Address
    name: str
    spec_hash: bytes
    bounty_udsc: int


@dataclass(frozen=True)
class RunFunded(Event):
    """Coins were added to the bounty of a run."""

    run_id: int
    funder: Address
    amount_udsc: int
    bounty_udsc: int


@dataclass(frozen=True)
class RunStatusChanged(Event):
    """A run went on to another status."""

    run_id: int
    status: str


@dataclass(frozen=True)
class BountyReturned(Event):
    """What was left of a bounty went back to the owner."""

    run_id: int
    owner: Address
    amount_udsc: int


@dataclass(frozen=True)
class ParticipantRegistered(Event):
    """A coldkey bought a seat."""

    run_id: int
    uid: int
    participant_id: int
    role: str
    coldkey: Address
    hotkey: Address
    burned_udsc: int


@dataclass(frozen=True)
class ParticipantReplaced(Event):
    """A seat went to a newcomer because the run was full."""

    run_id: int
    uid: int
    participant_id: int
    coldkey: Address


@dataclass(frozen=True)
class EndpointSet(Event):
    """A participant says where it serves."""

    run_id: int
    uid: int
    endpoint: str


@dataclass(frozen=True)
class HotkeyRotated(Event):
    """A participant signs with another key from now on."""

    run_id: int
    uid: int
    hotkey: Address


class OperatorStake(Protocol):
    """Bonded stake (own and delegated) of the operator that an account owns, 0 if it has none."""

    def get_bonded_stake(self, ctx: Context, operator_addr: bytes) -> int: ...


class CheckpointLookup(Protocol):
    """Root of a recorded checkpoint, None if it is not on this chain."""

    def get_checkpoint_root(self, ctx: Context, run_id: int, round_index: int) -> bytes | None: ...


class RunListener(Protocol):
    """What another pallet does when a seat changes hands or a run is halted."""

    def on_participant_replaced(self, ctx: Context, participant: Any) -> None: ...

    def on_run_halted(self, ctx: Context, run: Any) -> None: ...


class RunsRead(Protocol):
    """Runs and participants, as other pallets see them."""

    def get_run(self, ctx: Context, run_id: int) -> Any | None: ...

    def get_spec(self, run: Any) -> Any: ...

    def list_runs_with_status(self, ctx: Context, *statuses: int) -> list[Any]: ...

    def get_participant(self, ctx: Context, run_id: int, uid: int) -> Any | None: ...

    def expect_seat(self, ctx: Context, run_id: int, hotkey: str, role: int) -> Any: ...

    def list_participants(self, ctx: Context, run_id: int) -> list[Any]: ...

    def list_validator_stakes(self, ctx: Context, run_id: int) -> dict[int, int]: ...


class RunsAdvance(RunsRead, Protocol):
    """What settling a round changes in its run."""

    def set_carried_optimiser(self, ctx: Context, run_id: int, uid: int, root: bytes) -> None: ...

    def advance_round(self, ctx: Context, run_id: int) -> None: ...


class RunsReward(RunsRead, Protocol):
    """What an epoch changes in its run."""

    def set_carried_optimiser(self, ctx: Context, run_id: int, uid: int, root: bytes) -> None: ...

    def set_suspect(self, ctx: Context, run_id: int, uid: int) -> None: ...

    def take_bounty(
        self, ctx: Context, run_id: int, recipient: bytes, amount_udsc: int
    ) -> None: ...

    def record_epoch(
        self,
        ctx: Context,
        run_id: int,
        uid: int,
        *,
        earned_udsc: int,
        incentive_u16: int,
        dividends_u16: int,
    ) -> None: ...

    def record_payment(self, ctx: Context, run_id: int, uid: int, amount_udsc: int) -> None: ...

    def complete_run(self, ctx: Context, run_id: int) -> None: ...
