"""Committed state as the application's store, held still: what one query runs on.

The application asks for the newest version and for others by number. A snapshot keeps every
version it touched open until it is closed, so that all a query reads is of the same blocks even
while the node commits and prunes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

from node.runtime.state import Changes
from node.store.state import StateStore
from node.store.view import StateView


class Snapshot:
    """The newest committed state, and older ones on demand. A context manager."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._newest = store.view()
        self._views = {self._newest.version: self._newest}

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for view in self._views.values():
            view.close()

    @property
    def version(self) -> int:
        """Newest committed height."""
        return self._newest.latest

    @property
    def oldest_version(self) -> int:
        """Oldest height that can still be read."""
        return self._newest.oldest

    @property
    def app_hash(self) -> bytes:
        """App hash of the newest height."""
        return self._newest.app_hash

    def open_view(self, version: int | None) -> StateView:
        """Open a version, None for the newest.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        if version is None:
            return self._newest
        if version not in self._views:
            self._views[version] = self._store.view(version)
        return self._views[version]

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        """Get a value; raises as `open_view`."""
        return self.open_view(version).get(store, key)

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate in key order; raises as `open_view`."""
        return self.open_view(version).iterate(store, prefix, start, reverse=reverse)

    def prove(self, store: str, key: bytes, version: int | None = None) -> Any:
        """Prove a value or its absence; raises as `open_view`."""
        return self.open_view(version).prove(store, key)

    def stage(self, version: int, changes: Changes) -> NoReturn:
        """Refuse: a door never writes."""
        raise AssertionError("a snapshot is for reading")

    def commit(self, *, keep_recent: int | None = None) -> NoReturn:
        """Refuse: a door never writes."""
        raise AssertionError("a snapshot is for reading")
