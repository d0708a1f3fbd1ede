"""Read one version of the state: values, iteration in key order, roots and proofs.

A view holds an LMDB read transaction, so what it shows cannot change while it is open; close it
soon, because pages freed meanwhile cannot be used again before that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from types import TracebackType

from node.store.environment import Database, explain_errors
from node.store.errors import KeyTooLong, StoreCorrupt, StoreUnknown, VersionUnavailable
from node.store.proofs import HASH_SIZE, Proof, hash_store, merkle_path, merkle_root
from node.store.tables import (
    escape_key,
    make_value_prefix,
    pack_inverted,
    pack_version,
    split_value_key,
)
from node.store.tree import NodeCache, prove_place

_AFTER_VERSIONS = b"\xff" * 9  # sorts after every version of a key


@dataclass(frozen=True, slots=True)
class StoreRoot:
    """Root of one pallet store's tree at one version.

    store_id: short name of the store in database keys; means nothing outside this database.
    node_version: version that wrote the root node.
    """

    store_id: bytes
    node_version: int
    root: bytes


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """App hash of a version and the root of every store, by name."""

    app_hash: bytes
    roots: dict[str, StoreRoot]

    @staticmethod
    def make(roots: dict[str, StoreRoot]) -> "VersionRecord":
        """Compute the app hash over the stores' roots."""
        return VersionRecord(merkle_root(_hash_stores(roots)), roots)

    def encode(self) -> bytes:
        """Encode: app hash, then (name length, name, store id, node version, root) a store."""
        parts = [self.app_hash]
        for name in sorted(self.roots):
            entry, raw = self.roots[name], name.encode()
            parts += (bytes((len(raw),)), raw, entry.store_id)
            parts += (pack_version(entry.node_version), entry.root)
        return b"".join(parts)

    @staticmethod
    @lru_cache(maxsize=64)
    def decode(data: bytes) -> "VersionRecord":
        """Decode `encode`'s bytes. Every view of a version needs it: the newest are remembered.

        Raises:
            StoreCorrupt: the app hash is not that of the roots.
        """
        roots = {}
        at = HASH_SIZE
        while at < len(data):
            end = at + 1 + data[at]
            fixed = data[end : end + 2 + 8 + HASH_SIZE]
            roots[data[at + 1 : end].decode(errors="replace")] = StoreRoot(
                fixed[:2], int.from_bytes(fixed[2:10], "big"), fixed[10:]
            )
            at = end + 2 + 8 + HASH_SIZE
        record = VersionRecord.make(roots)
        if record.app_hash != data[:HASH_SIZE]:
            raise StoreCorrupt(
                "the stored app hash is not that of the stored roots: restore the data folder "
                "from a backup or start again from genesis"
            )
        return record


def _hash_stores(roots: dict[str, StoreRoot]) -> list[bytes]:
    return [hash_store(name, roots[name].root) for name in sorted(roots)]


EMPTY_RECORD = VersionRecord.make({})


class StateView:
    """The state as one version left it. A context manager; close it when done."""

    def __init__(self, database: Database, version: int | None = None) -> None:
        """Open the newest version, or `version`.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        self._database = database
        self._txn = database.begin()
        try:
            self.latest = self._read_number(b"latest")
            self.oldest = self._read_number(b"oldest")
            self.version = self.latest if version is None else version
            self._record = self._read_record()
        except BaseException:
            self._txn.abort()
            raise
        self._values = self._txn.cursor(db=database.tables[b"values"])

    def __enter__(self) -> "StateView":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the pages that only this view still needs be used again."""
        self._txn.abort()

    @property
    def app_hash(self) -> bytes:
        """App hash of this version, 32 bytes."""
        return self._record.app_hash

    @property
    def record(self) -> VersionRecord:
        """Roots of this version with where their nodes are kept."""
        return self._record

    @property
    def is_empty(self) -> bool:
        """Whether no version was ever committed."""
        return self.read_meta(b"latest") is None

    def store_roots(self) -> dict[str, bytes]:
        """Return the root of every pallet store, by sorted name."""
        return {name: self._record.roots[name].root for name in sorted(self._record.roots)}

    def get(self, store: str, key: bytes) -> bytes | None:
        """Return the value of a key, None where it has none."""
        entry = self._record.roots.get(store)
        if entry is None:
            return None
        try:
            prefix = make_value_prefix(entry.store_id, key)
        except KeyTooLong:
            return None  # asked for by a query: no such key can have been written
        cursor = self._values
        seek = prefix if self.version == self.latest else prefix + pack_inverted(self.version)
        if not cursor.set_range(seek):
            return None
        found: bytes = cursor.key()
        if not found.startswith(prefix) or found[-1]:
            return None
        value: bytes = cursor.value()
        return value

    def iterate(
        self, store: str, prefix: bytes = b"", start: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of the keys with `prefix`, in key order or its reverse.

        Args:
            start: first key wanted, whole; keys before it in the direction of travel are left out.
        """
        entry = self._record.roots.get(store)
        if entry is None:
            return iter(())
        if reverse:
            return self._iterate_backward(entry.store_id, prefix, start)
        return self._iterate_forward(entry.store_id, prefix, start)

    def _iterate_forward(
        self, store_id: bytes, prefix: bytes, start: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        head = store_id + escape_key(prefix)
        inverted = pack_inverted(self.version)
        cursor = self._txn.cursor(db=self._database.tables[b"values"])
        is_found = cursor.set_range(max(head, store_id + escape_key(start or b"")))
        while is_found:
            record_key = cursor.key()
            if not record_key.startswith(head):
                return
            key_prefix, key, version, is_value = split_value_key(record_key)
            if version < inverted:  # newer than this view: look for the one it sees
                is_found = cursor.set_range(key_prefix + inverted)
                continue
            if is_value:
                yield key, cursor.value()
            is_found = cursor.next()
            if is_found and cursor.key().startswith(key_prefix):
                is_found = cursor.set_range(key_prefix + _AFTER_VERSIONS)

    def _iterate_backward(
        self, store_id: bytes, prefix: bytes, start: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        head = store_id + escape_key(prefix)
        inverted = pack_inverted(self.version)
        cursor = self._txn.cursor(db=self._database.tables[b"values"])
        after = _increment(head)
        if start is not None:
            after = min(after, store_id + escape_key(start) + b"\x00\x00" + _AFTER_VERSIONS)
        is_found = cursor.prev() if cursor.set_range(after) else cursor.last()
        while is_found:
            record_key = cursor.key()
            if not record_key.startswith(head):
                return
            key_prefix, key, _, _ = split_value_key(record_key)
            if cursor.set_range(key_prefix + inverted):
                record_key = cursor.key()
                if record_key.startswith(key_prefix) and not record_key[-1]:
                    yield key, cursor.value()
            cursor.set_range(key_prefix)
            is_found = cursor.prev()

    def prove(self, store: str, key: bytes) -> Proof:
        """Prove the value of a key, or its absence, under this version's app hash.

        Raises:
            StoreUnknown: no store of that name at this version.
        """
        roots = self._record.roots
        entry = roots.get(store)
        if entry is None:
            raise StoreUnknown(f"there is no store {store!r} at version {self.version}")
        key_hash = sha256(key).digest()
        # Not kept: a view that refers to itself holds its place among LMDB's readers after `close`.
        nodes = NodeCache(self.read_node)
        tree = prove_place(nodes.load, entry.store_id, entry.node_version, entry.root, key_hash)
        index = sorted(roots).index(store)
        path = merkle_path(_hash_stores(roots), index)
        return Proof(tree, entry.root, index, len(roots), path)

    def export(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (store, key, value) of the whole version, by store name and key."""
        for store in sorted(self._record.roots):
            for key, value in self.iterate(store):
                yield store, key, value

    def read_node(self, version: int, label: bytes) -> bytes | None:
        """Return the stored bytes of a tree node."""
        data: bytes | None = self._txn.get(
            pack_version(version) + label, db=self._database.tables[b"nodes"]
        )
        return data

    def read_meta(self, name: bytes) -> bytes | None:
        """Return an entry of the meta table."""
        data: bytes | None = self._txn.get(name, db=self._database.tables[b"meta"])
        return data

    def _read_number(self, name: bytes) -> int:
        return int.from_bytes(self.read_meta(name) or b"", "big")

    def _read_record(self) -> VersionRecord:
        if self.version == 0 and self.is_empty:
            return EMPTY_RECORD
        if not self.oldest <= self.version <= self.latest:
            raise VersionUnavailable(
                f"version {self.version} is not kept here: versions {self.oldest} to "
                f"{self.latest} are"
            )
        with explain_errors(self._database.path):
            data = self._txn.get(pack_version(self.version), db=self._database.tables[b"versions"])
        if data is None:
            raise VersionUnavailable(f"version {self.version} was never committed here")
        return VersionRecord.decode(data)


def _increment(head: bytes) -> bytes:
    """Return the first byte string after everything that begins with `head`."""
    stripped = head.rstrip(b"\xff")
    if not stripped:
        return b"\xff" * 512
    return stripped[:-1] + bytes((stripped[-1] + 1,))
