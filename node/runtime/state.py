"""Uncommitted state: writes layered over a reader, with nested snapshots.

An `Overlay` holds writes in memory. Inside a snapshot it notes what each write replaced, so that
`drop` can take the writes back; reading costs the same however deep snapshots nest. Iteration
merges writes and reader in key order. State has a name space a pallet ("store"); keys are bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from typing import Protocol

Changes = Mapping[str, Mapping[bytes, bytes | None]]


class KeyValueReader(Protocol):
    """Committed state at one version, or at the newest one when `version` is None.

    `iterate` yields (key, value) in key order for keys under `prefix`; `start` is the first key to
    yield (the last one, inclusive, when `reverse`).
    """

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None: ...

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]: ...


class EmptyReader:
    """State with nothing in it: the base of tests and of genesis building."""

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        return None

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class VersionReader:
    """A reader pinned to one version, so that queries see one height."""

    def __init__(self, reader: KeyValueReader, version: int) -> None:
        self._reader = reader
        self.version = version

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        return self._reader.get(store, key, self.version)

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._reader.iterate(store, prefix, start, self.version, reverse)


def compute_prefix_end(prefix: bytes) -> bytes | None:
    """Compute the first key after every key under `prefix`; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes((stripped[-1] + 1,))


class StoreWrites:
    """Writes to one store: values by key, None for a deletion, and the keys in order."""

    __slots__ = ("_ordered", "values")

    ABSENT = object()
    """What `get_before` gives for a key that was not written."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self._ordered: list[bytes] | None = None

    def put(self, key: bytes, value: bytes | None) -> None:
        if self._ordered is not None and key not in self.values:
            insort(self._ordered, key)
        self.values[key] = value

    def get_before(self, key: bytes) -> object:
        """Get what `restore` has to put back."""
        return self.values.get(key, self.ABSENT)

    def restore(self, key: bytes, before: object) -> None:
        """Take the latest write of a key back."""
        if before is self.ABSENT:
            del self.values[key]
            self._ordered = None
        else:
            self.values[key] = before  # type: ignore[assignment]

    def select(
        self, prefix: bytes, start: bytes | None, reverse: bool
    ) -> list[tuple[bytes, bytes | None]]:
        """List writes under `prefix` from `start`, in the direction of iteration."""
        if self._ordered is None:
            self._ordered = sorted(self.values)
        keys = self._ordered
        low = bisect_left(keys, prefix)
        end = compute_prefix_end(prefix)
        high = len(keys) if end is None else bisect_left(keys, end)
        if start is not None:
            if reverse:
                high = min(high, bisect_right(keys, start))
            else:
                low = max(low, bisect_left(keys, start))
        chosen = keys[low:high]
        if reverse:
            chosen.reverse()
        return [(key, self.values[key]) for key in chosen]


def merge_layers(
    base: Iterator[tuple[bytes, bytes]],
    writes: list[tuple[bytes, bytes | None]],
    reverse: bool,
) -> Iterator[tuple[bytes, bytes]]:
    """Merge an ordered base with ordered writes that shadow it."""
    index = 0
    for key, value in base:
        while index < len(writes):
            written_key, written = writes[index]
            if written_key == key or (written_key < key) == reverse:
                break
            index += 1
            if written is not None:
                yield written_key, written
        if index < len(writes) and writes[index][0] == key:
            shadow = writes[index][1]
            index += 1
            if shadow is not None:
                yield key, shadow
        else:
            yield key, value
    for written_key, written in writes[index:]:
        if written is not None:
            yield written_key, written


class Overlay:
    """Writes over a reader; itself a reader, so overlays nest."""

    __slots__ = ("_depth", "_journal", "_reader", "_writes")

    def __init__(self, reader: KeyValueReader) -> None:
        self._reader = reader
        self._writes: dict[str, StoreWrites] = {}
        self._depth = 0
        self._journal: list[tuple[StoreWrites, bytes, object]] = []

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        writes = self._writes.get(store)
        if writes is not None and key in writes.values:
            return writes.values[key]
        return self._reader.get(store, key)

    def set(self, store: str, key: bytes, value: bytes | None) -> None:
        """Write a value, or delete the key with None."""
        writes = self._writes.get(store)
        if writes is None:
            writes = self._writes[store] = StoreWrites()
        if self._depth:
            self._journal.append((writes, key, writes.get_before(key)))
        writes.put(key, value)

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        base = self._reader.iterate(store, prefix, start, None, reverse)
        writes = self._writes.get(store)
        if writes is None:
            return base
        return merge_layers(base, writes.select(prefix, start, reverse), reverse)

    def begin(self) -> int:
        """Open a snapshot; returns the mark to `drop` it by. They close innermost first."""
        self._depth += 1
        return len(self._journal)

    def keep(self) -> None:
        """Close the innermost snapshot; its writes stay."""
        self._depth -= 1
        if not self._depth:
            self._journal.clear()

    def drop(self, mark: int) -> None:
        """Close the innermost snapshot and take its writes back."""
        self._depth -= 1
        for writes, key, before in reversed(self._journal[mark:]):
            writes.restore(key, before)
        del self._journal[mark:]

    def merge(self, other: Overlay) -> None:
        """Take over the writes of another overlay."""
        for store, writes in other._writes.items():
            for key, value in writes.values.items():
                self.set(store, key, value)

    @property
    def changes(self) -> dict[str, dict[bytes, bytes | None]]:
        """The writes, stores and keys in order."""
        return {
            store: {key: writes.values[key] for key in sorted(writes.values)}
            for store, writes in sorted(self._writes.items())
            if writes.values
        }
