"""What one client may ask for, and what all of them together may leave unread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from node.doors.substrate.rpc import RateLimited

SECONDS_PER_MINUTE = 60
MAX_WAIT_S = 1.0
MAX_UNREAD_BYTES = 64 * 2**20
"""Of all clients together; with more, whoever holds most is let go."""


class RateLimit:
    """A bucket of so many calls, which fills within a minute; one a connection.

    A caller that is a little early waits, one that is far too early is refused: as Substrate's
    `--rpc-rate-limit` has it.

    Args:
        calls_per_minute: None for no limit.
        now: seconds, never going back.
    """

    def __init__(
        self, calls_per_minute: int | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = calls_per_minute
        self._now = now
        self._left = float(calls_per_minute or 0)
        self._filled_at = now()

    def take(self) -> float:
        """Take one call; returns the seconds to wait before it.

        Raises: RateLimited.
        """
        if self._capacity is None:
            return 0.0
        now, rate = self._now(), self._capacity / SECONDS_PER_MINUTE
        self._left = min(float(self._capacity), self._left + rate * (now - self._filled_at))
        self._filled_at = now
        wait_s = max(0.0, (1 - self._left) / rate)
        if wait_s > MAX_WAIT_S:
            raise RateLimited()
        self._left -= 1
        return wait_s


class Holder(Protocol):
    """A client that has bytes to read."""

    def end(self) -> None: ...


class Unread:
    """Bytes that wait for clients to read them.

    Args:
        limit_bytes: of all together.
    """

    def __init__(self, limit_bytes: int = MAX_UNREAD_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.total = 0
        self._held: dict[Holder, int] = {}

    def add(self, holder: Holder, size: int) -> None:
        """Count bytes to a holder; whoever holds most is ended if they are too many."""
        self._held[holder] = self._held.get(holder, 0) + size
        self.total += size
        while self.total > self.limit_bytes:
            largest = max(self._held, key=lambda item: self._held[item])
            self.remove(largest)
            largest.end()

    def remove(self, holder: Holder, size: int | None = None) -> None:
        """Count bytes off a holder, all of them if no size is given."""
        held = self._held.get(holder, 0)
        taken = held if size is None else min(size, held)
        self.total -= taken
        if taken == held:
            self._held.pop(holder, None)
        else:
            self._held[holder] = held - taken
