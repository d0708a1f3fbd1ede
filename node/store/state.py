"""The versioned, authenticated key-value state of a node: stage a block's changes, commit them.

One process writes; any number of processes read the same folder at the same time. A version is a
block height. `stage` computes the app hash and keeps everything in memory; `commit` writes it all
in one LMDB transaction, so a crash at any moment leaves the state of a whole block.

The app hash is a function of the set of store names and of each store's content: it does not depend
on the order or the grouping of the writes that led there. A store exists from the first version
that names it, even with an empty mapping.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from node.store.environment import (
    MAP_SIZE_BYTES,
    Database,
    close_folder,
    explain_errors,
    open_folder,
)
from node.store.errors import StoreMisuse
from node.store.nodes import Node
from node.store.proofs import EMPTY_HASH, Proof
from node.store.prune import prune_versions
from node.store.rollback import remove_newest
from node.store.tables import (
    DELETED,
    LIVE,
    STATE_LAYOUT,
    make_value_prefix,
    pack_inverted,
    pack_version,
)
from node.store.tree import Change, NodeCache, TreeUpdate
from node.store.view import StateView, StoreRoot, VersionRecord

Changes = Mapping[str, Mapping[bytes, bytes | None]]

STORE_NAME_SIZE_MAX = 64  # bytes
CACHED_VALUES_MAX = 1 << 15
CACHED_VALUE_SIZE_MAX = 1 << 10  # bytes; longer values are read again
STALE_CHUNK_SIZE = 512  # entries of one record of the stale table
NUM_STORES_MAX = 1 << 16


@dataclass(slots=True)
class _Staged:
    """What `commit` will write."""

    version: int
    record: VersionRecord
    values: list[tuple[bytes, bytes]] = field(default_factory=list)
    nodes: list[tuple[bytes, bytes]] = field(default_factory=list)
    stale_nodes: list[bytes] = field(default_factory=list)
    stale_values: list[bytes] = field(default_factory=list)
    top_nodes: dict[bytes, Node] = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)


class ValueCache:
    """Newest committed values that were asked for or written, by store and key.

    A transaction is checked and then executed on the same version, and blocks touch some keys
    again and again. Forgets everything when full.
    """

    def __init__(self) -> None:
        self._stores: dict[str, dict[bytes, bytes | None]] = {}
        self._count = 0

    def find(self, store: str) -> dict[bytes, bytes | None]:
        """Find the known values of a store."""
        values = self._stores.get(store)
        if values is None:
            values = self._stores[store] = {}
        return values

    def put(self, store: str, key: bytes, value: bytes | None) -> None:
        """Remember a value, None where there is none."""
        if value is not None and len(value) > CACHED_VALUE_SIZE_MAX:
            self.find(store).pop(key, None)
            return
        self._count += 1
        if self._count > CACHED_VALUES_MAX:
            self._stores.clear()
            self._count = 1
        self.find(store)[key] = value

    def put_all(self, changes: Changes) -> None:
        """Take over what a version changed."""
        self._count += sum(len(values) for values in changes.values())
        if self._count > CACHED_VALUES_MAX:
            self._stores.clear()
            self._count = 0
            return
        for store, values in changes.items():
            known = self.find(store)
            known.update(values)
            for key, value in values.items():
                if value is not None and len(value) > CACHED_VALUE_SIZE_MAX:
                    del known[key]


class StateStore:
    """The state in one folder. Open with `StateStore.open`, close with `close` or `with`."""

    def __init__(self, database: Database, lock: int | None) -> None:
        self._database = database
        self._lock = lock
        self._staged: _Staged | None = None
        self._cache = NodeCache(self._read_node)
        self._values = ValueCache()
        self._view: StateView | None = None
        self._metadata: dict[str, bytes] = {}
        if lock is not None:
            self._view = StateView(database)
            self._metadata = _decode_metadata(self._view.read_meta(b"app"))

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, readonly: bool = False, map_size: int = MAP_SIZE_BYTES
    ) -> "StateStore":
        """Open the state in folder `path`; a writer makes the folder if it is not there.

        Raises:
            StoreMissing: read-only, and no state was ever written there.
            StoreBusy: another process writes there.
            StoreCorrupt: the files are damaged or cut short.
            StoreFull: no room on the disk.
        """
        database, lock = open_folder(Path(path), STATE_LAYOUT, readonly=readonly, map_size=map_size)
        try:
            return StateStore(database, lock)
        except BaseException:
            close_folder(database, lock)
            raise

    def __enter__(self) -> "StateStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is staged and let go of the folder."""
        if self._view is not None:
            self._view.close()
            self._view = None
        close_folder(self._database, self._lock)
        self._lock = None

    def view(self, version: int | None = None) -> StateView:
        """Open one version for several reads that belong together; close it soon.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        return StateView(self._database, version)

    @property
    def version(self) -> int:
        """Newest committed version; 0 where nothing was committed."""
        if self._view is not None:
            return self._view.latest
        with self.view() as view:
            return view.latest

    @property
    def oldest_version(self) -> int:
        """Oldest version that can still be read."""
        if self._view is not None:
            return self._view.oldest
        with self.view() as view:
            return view.oldest

    @property
    def app_hash(self) -> bytes:
        """App hash of the newest committed version, 32 bytes."""
        if self._view is not None:
            return self._view.app_hash
        with self.view() as view:
            return view.app_hash

    @property
    def metadata(self) -> dict[str, bytes]:
        """Small entries that are committed with the version but are not under the app hash.

        In the writer this is the dict to change: the next `commit` writes it whole. In a reader
        it is a copy of what was committed last.
        """
        if self._view is not None:
            return self._metadata
        with self.view() as view:
            return _decode_metadata(view.read_meta(b"app"))

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        """Return the committed value of a key, None where it or the store does not exist.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        if version is None and self._view is not None:
            values = self._values.find(store)
            if key in values:
                return values[key]
            value = self._view.get(store, key)
            self._values.put(store, key, value)
            return value
        with self.view(version) as view:
            return view.get(store, key)

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield committed (key, value) of the keys with `prefix` in key order, or its reverse.

        Args:
            start: first key wanted, whole key, included; `reverse` goes down from it.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        with self.view(version) as view:
            yield from view.iterate(store, prefix, start, reverse=reverse)

    def export(self, version: int | None = None) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (store, key, value) of a whole version, by store name and key.

        Staging all of it in an empty store gives the same app hash.
        """
        with self.view(version) as view:
            yield from view.export()

    def store_roots(self, version: int | None = None) -> dict[str, bytes]:
        """Return the root of every pallet store at a version, by sorted name."""
        with self.view(version) as view:
            return view.store_roots()

    def prove(self, store: str, key: bytes, version: int | None = None) -> Proof:
        """Prove the value of a key, or its absence, under the app hash of a version.

        Raises:
            VersionUnavailable: not written yet, or pruned.
            StoreUnknown: no store of that name at that version.
        """
        with self.view(version) as view:
            return view.prove(store, key)

    def stage(self, version: int, changes: Changes) -> bytes:
        """Compute the app hash after `changes` on top of the newest committed version.

        Nothing is persisted, and an earlier staging is forgotten.

        Args:
            version: one more than the newest committed version; any where nothing is committed.
            changes: by store name, then key; None deletes. A store named here exists from now on.

        Returns:
            App hash, 32 bytes.

        Raises:
            StoreMisuse: read-only, version out of order, bad store name.
            KeyTooLong: a key that the store cannot hold.
            StoreCorrupt: a tree node is missing or damaged.
        """
        view = self._get_writer_view()
        if not view.is_empty and version != view.latest + 1:
            raise StoreMisuse(f"version {version} cannot follow version {view.latest}")
        self._staged = None
        roots = dict(view.record.roots)
        staged = _Staged(version, VersionRecord(b"", roots))
        with explain_errors(self._database.path):
            for store in sorted(changes):
                before = roots.get(store) or _make_store(store, roots)
                roots[store] = self._stage_store(staged, before, changes[store])
        staged.record = VersionRecord.make(roots)
        staged.values.sort()
        staged.nodes.sort()
        staged.changes = changes
        self._staged = staged
        return staged.record.app_hash

    def _stage_store(
        self, staged: _Staged, before: StoreRoot, changes: Mapping[bytes, bytes | None]
    ) -> StoreRoot:
        """Collect one store's new values and nodes; return its new root."""
        sorted_changes: list[Change] = sorted(
            (sha256(key).digest(), None if value is None else sha256(value).digest(), key)
            for key, value in changes.items()
        )
        update = TreeUpdate(before.store_id, staged.version, self._cache)
        node_version, root = before.node_version, before.root
        if sorted_changes:
            node_version, root = update.apply(node_version, root, sorted_changes)
        version = pack_version(staged.version)
        live, deleted = (pack_inverted(staged.version) + flag for flag in (LIVE, DELETED))
        skipped, store_id = update.skipped, before.store_id
        for key, value in changes.items():
            if key in skipped:
                continue
            prefix = make_value_prefix(store_id, key)
            if value is None:
                staged.values.append((prefix + deleted, b""))
            else:
                staged.values.append((prefix + live, value))
        staged.nodes += [(version + label, data) for label, data in update.nodes]
        staged.stale_nodes += [pack_version(old) + label for old, label in update.stale_nodes]
        staged.stale_values += [make_value_prefix(store_id, key) for key in update.replaced]
        staged.top_nodes.update(update.top_nodes)
        return StoreRoot(store_id, node_version, root)

    def commit(self, *, keep_recent: int | None = None, prune_limit: int = 4096) -> None:
        """Persist what is staged: state, version, app hash and metadata, in one transaction.

        Args:
            keep_recent: number of newest versions that stay readable; older ones are pruned a bit
                with every commit. None keeps all.
            prune_limit: about how many records one commit may prune.

        Raises:
            StoreMisuse: nothing is staged.
            StoreFull: no room on the disk. Nothing was written; the same commit may be tried again.
        """
        view = self._get_writer_view()
        staged = self._staged
        if staged is None:
            raise StoreMisuse("nothing is staged")
        view.close()
        try:
            self._database.write(
                lambda txn: self._put_staged(txn, staged, keep_recent, prune_limit)
            )
        finally:
            self._view = StateView(self._database)
        self._cache.keep(staged.version, staged.top_nodes)
        self._values.put_all(staged.changes)
        self._staged = None

    def prune(self, keep_recent: int, limit: int | None = None) -> int:
        """Forget all but the `keep_recent` newest versions, at most about `limit` records now.

        Returns:
            Number of records removed; 0 once nothing is left to remove.

        Raises:
            StoreMisuse: read-only, or keep_recent below 1.
        """
        self._get_writer_view().close()
        removed = 0

        def write(txn: Any) -> None:
            nonlocal removed
            removed = prune_versions(txn, self._database.tables, keep_recent, limit)

        try:
            self._database.write(write)
        finally:
            self._view = StateView(self._database)
        return removed

    def rollback(self) -> int:
        """Take the newest version back; return the one that is newest now.

        Raises:
            StoreMisuse: read-only.
            VersionUnavailable: the version before is not kept.
        """
        self._get_writer_view().close()
        newest = 0

        def write(txn: Any) -> None:
            nonlocal newest
            newest = remove_newest(txn, self._database.tables)

        try:
            self._database.write(write)
        finally:
            self._view = StateView(self._database)
        self._staged, self._cache = None, NodeCache(self._read_node)
        self._values = ValueCache()
        return newest

    def _get_writer_view(self) -> StateView:
        if self._view is None:
            raise StoreMisuse("this store is open for reading only, or closed")
        return self._view

    def _put_staged(
        self, txn: Any, staged: _Staged, keep_recent: int | None, prune_limit: int
    ) -> None:
        tables = self._database.tables
        version = pack_version(staged.version)
        txn.cursor(db=tables[b"values"]).putmulti(staged.values)
        txn.cursor(db=tables[b"nodes"]).putmulti(staged.nodes, append=True)
        stale = [
            *_make_chunks(version + b"n", staged.stale_nodes),
            *_make_chunks(version + b"v", staged.stale_values),
        ]
        txn.cursor(db=tables[b"stale"]).putmulti(stale, append=True)
        txn.put(version, staged.record.encode(), db=tables[b"versions"], append=True)
        if txn.get(b"latest", db=tables[b"meta"]) is None:
            txn.put(b"oldest", version, db=tables[b"meta"])
        txn.put(b"latest", version, db=tables[b"meta"])
        txn.put(b"app", _encode_metadata(self._metadata), db=tables[b"meta"])
        if keep_recent is not None:
            prune_versions(txn, tables, keep_recent, prune_limit)

    def _read_node(self, version: int, label: bytes) -> bytes | None:
        return self._get_writer_view().read_node(version, label)


def _make_store(name: str, roots: Mapping[str, StoreRoot]) -> StoreRoot:
    """Make an empty store with the next free id."""
    if not name or len(name.encode()) > STORE_NAME_SIZE_MAX:
        raise StoreMisuse(f"a store name has 1 to {STORE_NAME_SIZE_MAX} bytes: {name!r}")
    if len(roots) + 1 >= NUM_STORES_MAX:
        raise StoreMisuse("too many stores")
    return StoreRoot((len(roots) + 1).to_bytes(2, "big"), 0, EMPTY_HASH)


def _make_chunks(head: bytes, entries: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pack length-prefixed entries into records of bounded size."""
    for number, at in enumerate(range(0, len(entries), STALE_CHUNK_SIZE)):
        chunk = entries[at : at + STALE_CHUNK_SIZE]
        packed = b"".join(len(entry).to_bytes(2, "big") + entry for entry in chunk)
        yield head + number.to_bytes(4, "big"), packed


def _encode_metadata(metadata: Mapping[str, bytes]) -> bytes:
    parts = []
    for name in sorted(metadata):
        raw = name.encode()
        parts += [len(raw).to_bytes(4, "big"), raw]
        parts += [len(metadata[name]).to_bytes(4, "big"), metadata[name]]
    return b"".join(parts)


def _decode_metadata(data: bytes | None) -> dict[str, bytes]:
    fields: list[bytes] = []
    at, data = 0, data or b""
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        fields.append(data[at + 4 : end])
        at = end
    return {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
