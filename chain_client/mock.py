"""Transports that answer from functions, and a clock that tests move.

```
transport = MockTransport({"/descent.runs.v1.Query/Run": lambda call: QueryRunResponse(...)})
client = ChainClient(transport, clock=MockClock())
```

A handler gets the `Call` and returns the answer or raises one of the errors of `errors.py`.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from chain_client.effects import Call
from chain_client.errors import QueryFailed

Handler = Callable[[Call], Any]


class MockTransport:
    """The asyncio transport; `calls` keeps what was asked, in order."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self.calls: list[Call] = []

    async def unary(self, call: Call) -> Any:
        """Answer from the handler of the method.

        Raises:
            QueryFailed: no handler, as a node without that service.
        """
        await asyncio.sleep(0)
        return answer(self.handlers, self.calls, call)

    async def close(self) -> None:
        """Nothing to give back."""


class MockSyncTransport:
    """The blocking twin of `MockTransport`."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self.calls: list[Call] = []

    def unary(self, call: Call) -> Any:
        """Answer from the handler of the method; see `MockTransport.unary`."""
        return answer(self.handlers, self.calls, call)

    def close(self) -> None:
        """Nothing to give back."""


def answer(handlers: Mapping[str, Handler], calls: list[Call], call: Call) -> Any:
    """Record a call and answer it.

    Raises:
        QueryFailed: no handler for the method.
    """
    calls.append(call)
    if call.method not in handlers:
        raise QueryFailed(f"unknown method {call.method}", status="UNIMPLEMENTED")
    return handlers[call.method](call)


class MockClock:
    """Time that passes only by sleeping; for the asyncio shell."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Move the time, and let other tasks run."""
        target = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, target)


class MockSyncClock:
    """Time that passes only by sleeping; for the blocking shell."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Move the time."""
        self.seconds += seconds
