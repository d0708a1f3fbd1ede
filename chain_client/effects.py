"""What an operation may ask of the outside: send a request, sleep, read the clock.

An operation is a generator that yields effects and returns its result. A shell (`client.py`,
`sync_client.py`, or a test) performs each effect and sends the answer back in, or throws the error.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar


@dataclass(frozen=True)
class Call:
    """One unary request: `method` is the path `/package.Service/Method`."""

    method: str
    request: Any
    response_type: Any
    timeout_s: float = 10.0
    metadata: Sequence[tuple[str, str]] = field(default=())


@dataclass(frozen=True)
class Sleep:
    """Wait; answered with None."""

    seconds: float


@dataclass(frozen=True)
class Now:
    """Read a clock that never goes back; answered with seconds from an arbitrary origin."""


Effect: TypeAlias = Call | Sleep | Now
Result = TypeVar("Result")
Operation: TypeAlias = Generator[Effect, Any, Result]


class AsyncTransport(Protocol):
    """Any number of calls at once, over asyncio."""

    async def unary(self, call: Call) -> Any:
        """Return the decoded answer, or raise `NodeUnreachable`, `NotFound` or `QueryFailed`."""

    async def close(self) -> None:
        """Give sockets back."""


class SyncTransport(Protocol):
    """The blocking twin of `AsyncTransport`."""

    def unary(self, call: Call) -> Any:
        """Return the decoded answer, or raise `NodeUnreachable`, `NotFound` or `QueryFailed`."""

    def close(self) -> None:
        """Give sockets back."""


class AsyncClock(Protocol):
    """Time for the asyncio shell; tests bring their own."""

    def now(self) -> float:
        """Seconds from an arbitrary origin, never going back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SyncClock(Protocol):
    """Time for the blocking shell."""

    def now(self) -> float:
        """Seconds from an arbitrary origin, never going back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
