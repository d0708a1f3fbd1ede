"""Times and durations of messages, which anybody may have filled in with anything.

protobuf's own conversions raise for values out of range; what a user sends must never do that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

NANOS_PER_SECOND = 1_000_000_000
MAX_TIME_NS = 2**63 - 1
"""In the year 2262: later times are not stored."""
MAX_DURATION_SECONDS = 100 * 366 * 24 * 3600

_Key = TypeVar("_Key")


def get_nanoseconds(value: Any) -> int:
    """Get a `Timestamp` (since 1970) or `Duration` in nanoseconds; any value has one."""
    return int(value.seconds) * NANOS_PER_SECOND + int(value.nanos)


def is_valid_time(timestamp: Any) -> bool:
    """Tell whether a timestamp can be stored and shown: from 1970 to 2262."""
    has_nanos = 0 <= timestamp.nanos < NANOS_PER_SECOND
    return has_nanos and timestamp.seconds >= 0 and get_nanoseconds(timestamp) <= MAX_TIME_NS


def is_valid_duration(duration: Any) -> bool:
    """Tell whether a duration is above zero and at most 100 years."""
    has_nanos = 0 <= duration.nanos < NANOS_PER_SECOND
    is_in_range = 0 <= duration.seconds <= MAX_DURATION_SECONDS
    return has_nanos and is_in_range and get_nanoseconds(duration) > 0


def list_due(queue: Iterable[tuple[int, _Key]], now_ns: int, limit: int) -> list[_Key]:
    """List what of a queue by time (ns) is due now: the first `limit` entries at most."""
    due: list[_Key] = []
    for time_ns, key in queue:
        if time_ns > now_ns or len(due) == limit:
            break
        due.append(key)
    return due
