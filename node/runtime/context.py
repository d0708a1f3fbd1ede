"""What a pallet sees: state, gas, events, and the block it runs in. Nothing else enters."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType

from node.runtime.events import Event
from node.runtime.gas import GasMeter
from node.runtime.state import Overlay

NANOS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class CommitVote:
    """Whether a member of the consensus set voted for the block before, as the engine saw it.

    `is_for_block` says that the vote was for the block and not for none: only such a vote has an
    extension. `extension` and its signature are there only while a proposal is built.
    """

    consensus_addr: bytes
    power: int
    has_signed: bool
    is_for_block: bool = False
    extension: bytes = b""
    extension_signature: bytes = b""


@dataclass(frozen=True)
class Misbehaviour:
    """A member of the consensus set was caught signing what contradicts itself at `height`."""

    consensus_addr: bytes
    power: int
    height: int
    time_ns: int


@dataclass(frozen=True)
class BlockInfo:
    """The block being executed. `time_ns` is block time in nanoseconds since 1970.

    `previous_app_hash` is the app hash of the state after `height` - 1, `block_hash` the engine's
    hash of this block; both are empty where they are not known. `votes` are those for the block
    before, cast in round `votes_round`.
    """

    chain_id: str
    height: int
    time_ns: int
    proposer_addr: bytes = b""
    votes: tuple[CommitVote, ...] = ()
    misbehaviours: tuple[Misbehaviour, ...] = ()
    previous_app_hash: bytes = b""
    block_hash: bytes = b""
    votes_round: int = 0

    @property
    def time_seconds(self) -> int:
        """Block time in whole seconds, rounded down."""
        return self.time_ns // NANOS_PER_SECOND


@dataclass
class Context:
    """Handed to every call, hook and query.

    Args:
        state: writes of this scope over everything before it.
        gas: meter of the transaction; hooks count without limit.
        block: height, time, chain id.
        events: emitted so far in this scope.
    """

    state: Overlay
    block: BlockInfo
    gas: GasMeter = field(default_factory=lambda: GasMeter(None))
    events: list[Event] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Height of the block being executed."""
        return self.block.height

    def emit(self, event: Event) -> None:
        """Record an event; it is dropped if the scope rolls back."""
        self.events.append(event)

    def snapshot(self) -> Snapshot:
        """Run a block whose writes and events vanish if it raises. Gas stays spent."""
        return Snapshot(self)


class Snapshot:
    """The block of one `Context.snapshot`. A class, because several are opened a transaction."""

    __slots__ = ("_ctx", "_mark", "_num_events")

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def __enter__(self) -> None:
        self._num_events = len(self._ctx.events)
        self._mark = self._ctx.state.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._ctx.state.keep()
        else:
            del self._ctx.events[self._num_events :]
            self._ctx.state.drop(self._mark)
