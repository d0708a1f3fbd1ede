"""Forget old versions of the state, a bit at a time.

What version w replaced (tree nodes, values) is needed by versions before w only. So once the oldest
kept version is at least w, the stale records of w say what to delete.
"""

from collections.abc import Iterator
from typing import Any

from node.store.errors import StoreMisuse
from node.store.tables import VERSION_SIZE, pack_inverted, pack_version


def prune_versions(txn: Any, tables: dict[bytes, Any], keep_recent: int, limit: int | None) -> int:
    """Make all but the `keep_recent` newest versions unreadable and delete what only they need.

    Returns:
        Number of records removed; stops soon after `limit`, the next call goes on.

    Raises:
        StoreMisuse: keep_recent below 1.
    """
    if keep_recent < 1:
        raise StoreMisuse("at least the newest version has to stay: keep_recent is below 1")
    latest = int.from_bytes(txn.get(b"latest", db=tables[b"meta"]) or b"", "big")
    oldest = int.from_bytes(txn.get(b"oldest", db=tables[b"meta"]) or b"", "big")
    if latest - keep_recent + 1 > oldest:
        oldest = latest - keep_recent + 1
        txn.put(b"oldest", pack_version(oldest), db=tables[b"meta"])
    removed = 0
    for step in (_delete_version_records, _delete_stale):
        for count in step(txn, tables, oldest):
            removed += count
            if limit is not None and removed >= limit:
                return removed
    return removed


def _delete_version_records(txn: Any, tables: dict[bytes, Any], oldest: int) -> Iterator[int]:
    cursor = txn.cursor(db=tables[b"versions"])
    while cursor.first() and cursor.key() < pack_version(oldest):
        cursor.delete()
        yield 1


def _delete_stale(txn: Any, tables: dict[bytes, Any], oldest: int) -> Iterator[int]:
    cursor = txn.cursor(db=tables[b"stale"])
    while cursor.first() and cursor.key() < pack_version(oldest + 1):
        key, entries = cursor.key(), list(_split_chunk(cursor.value()))
        if key[VERSION_SIZE : VERSION_SIZE + 1] == b"n":
            for node_key in entries:
                txn.delete(node_key, db=tables[b"nodes"])
        else:
            version = int.from_bytes(key[:VERSION_SIZE], "big")
            values = txn.cursor(db=tables[b"values"])
            for prefix in entries:
                _delete_older(values, prefix, version)
        cursor.first()
        cursor.delete()
        yield 1 + len(entries)


def _delete_older(cursor: Any, prefix: bytes, version: int) -> None:
    """Delete a value's records before `version`, and that of `version` if it is a deletion."""
    if not cursor.set_range(prefix + pack_inverted(version)):
        return
    found = cursor.key()
    if not found.startswith(prefix):
        return
    is_at_version = found[len(prefix) : len(prefix) + VERSION_SIZE] == pack_inverted(version)
    if is_at_version and not found[-1]:  # the value that replaced the older ones: keep it
        if not cursor.next():
            return
        found = cursor.key()
    while found.startswith(prefix):
        if not cursor.delete():
            return
        found = cursor.key()


def _split_chunk(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at = end
