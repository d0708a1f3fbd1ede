"""Count and time what a door is asked, by method and by how it ended.

Doors run as processes of their own: prometheus writes their numbers into files of
`<home>/data/door_metrics`, and the node's monitor adds them up (`PROMETHEUS_MULTIPROC_DIR`, set by
the node). Only methods the door knows become labels, so strangers cannot make new ones.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
OK, INTERNAL, UNKNOWN = "ok", "internal", "unknown"
WAITING_PREFIX = "/descent.node."  # held until there is news: how long says nothing of the door

_registry = CollectorRegistry()  # never shown by the door itself
_requests = Counter(
    "descent_door_requests",
    "Requests by door, method and status.",
    ["door", "method", "status"],
    registry=_registry,
)
_seconds = Histogram(
    "descent_door_request_seconds",
    "Time to answer a request, by door.",
    ["door"],
    buckets=BUCKETS_S,
    registry=_registry,
)


class RequestMeter:
    """The meter of one door."""

    def __init__(self, door: str) -> None:
        self._door = door
        self._counters: dict[tuple[str, str], Any] = {}  # finding a child costs more than counting
        self._seconds = _seconds.labels(door)

    def observe(self, method: str, status: str, seconds: float) -> None:
        """Take note of one request.

        Args:
            method: as the door knows it; UNKNOWN for any other.
            status: OK, or the protocol's name or number of the error.
        """
        counter = self._counters.get((method, status))
        if counter is None:
            counter = _requests.labels(self._door, method, status)
            self._counters[method, status] = counter
        counter.inc()
        if not method.startswith(WAITING_PREFIX):
            self._seconds.observe(seconds)

    def wrap(
        self, method: str, handler: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        """Return a handler that is counted; an error's `code` is its status."""

        @functools.wraps(handler)
        async def counted(*arguments: Any, **named: Any) -> Any:
            started_s, status = time.perf_counter(), OK
            try:
                return await handler(*arguments, **named)
            except BaseException as error:
                status = str(getattr(error, "code", INTERNAL))
                raise
            finally:
                self.observe(method, status, time.perf_counter() - started_s)

        return counted
