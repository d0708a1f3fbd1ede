"""The LMDB side of the store: tables, their keys, opening, and errors in the store's own words.

| table    | key                                         | value                         |
|----------|---------------------------------------------|-------------------------------|
| values   | store id, key with zeros escaped, 00 00,    | value                         |
|          | inverted version, flag (0 value, 1 deleted) |                               |
| nodes    | version, node label (store id, depth, path) | `tree.Node.encode`            |
| stale    | version, kind (n, v), chunk number          | what that version replaced    |
| versions | version                                     | app hash, roots of all stores |
| meta     | name                                        | latest, oldest, format, app   |

All integers are big endian, so keys sort by number. In `values` the newest version of a key comes
first; everything else only grows at its end. Source of the layout: DESIGN.md 3.2.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from node.store.errors import (
    KeyTooLong,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
)

MAP_SIZE_BYTES = 64 << 30  # address space, not disk; doubled when the data reaches it
NUM_READERS_MAX = 1024
ROOM_BYTES = 16 << 20  # less free than this when a write was cut short: the disk is full
KEY_SIZE_MAX = 480  # bytes of a key with its zero bytes escaped; LMDB stops at 511 in all
VERSION_MAX = (1 << 64) - 1
FORMAT = b"descent-state-1"

STORE_ID_SIZE = 2
VERSION_SIZE = 8
_SUFFIX_SIZE = VERSION_SIZE + 1  # inverted version and flag
KEY_END = b"\x00\x00"  # after an escaped key; sorts below everything that continues the key
LIVE, DELETED = b"\x00", b"\x01"

TABLES = (b"values", b"nodes", b"stale", b"versions", b"meta")

_WHAT_TO_DO = "restore the data folder from a backup or start again from genesis"
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def pack_version(version: int) -> bytes:
    """Encode a version so that it sorts by number."""
    return version.to_bytes(VERSION_SIZE, "big")


def pack_inverted(version: int) -> bytes:
    """Encode a version so that newer ones sort first."""
    return (VERSION_MAX - version).to_bytes(VERSION_SIZE, "big")


def escape_key(key: bytes) -> bytes:
    """Escape zero bytes, so that KEY_END can follow a key without disturbing the order."""
    return key.replace(b"\x00", b"\x00\xff")


def make_value_prefix(store_id: bytes, key: bytes) -> bytes:
    """Return what all versions of a key's value begin with.

    Raises:
        KeyTooLong: the key, escaped, is over KEY_SIZE_MAX bytes.
    """
    escaped = key.replace(b"\x00", b"\x00\xff")
    if len(escaped) > KEY_SIZE_MAX:
        raise KeyTooLong(f"a key of {len(escaped)} bytes (zeros escaped), at most {KEY_SIZE_MAX}")
    return store_id + escaped + KEY_END


def split_value_key(record_key: bytes) -> tuple[bytes, bytes, bytes, bool]:
    """Split a key of `values` into (prefix, key, inverted version, whether it is a value)."""
    prefix = record_key[:-_SUFFIX_SIZE]
    key = prefix[STORE_ID_SIZE : -len(KEY_END)].replace(b"\x00\xff", b"\x00")
    return prefix, key, record_key[-_SUFFIX_SIZE:-1], record_key[-1:] == LIVE


@contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Turn LMDB's errors about the environment in folder `path` into the store's.

    Raises:
        StoreError: LMDB failed in another way; the message has its own words.
        StoreFull: no room on the disk.
        StoreCorrupt: the files are damaged.
    """
    try:
        yield
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError) as error:
        raise StoreCorrupt(f"{path}: the data is damaged ({error}): {_WHAT_TO_DO}") from error
    except (lmdb.VersionMismatchError, lmdb.IncompatibleError) as error:
        raise StoreCorrupt(f"{path}: not a state file ({error}): {_WHAT_TO_DO}") from error
    except (lmdb.MapFullError, lmdb.MapResizedError):
        raise
    except (lmdb.Error, OSError) as error:
        if _is_full(path, error):
            raise StoreFull(
                f"{path}: no room left on the disk; nothing of this block was kept: "
                "make room and start the node again"
            ) from error
        raise StoreError(f"{path}: {error}") from error


def _is_full(path: Path, error: Exception) -> bool:
    """Find out whether a failed write was for want of room.

    LMDB reports a write that was cut short as an input/output error, whatever cut it short; so try
    to reserve room at the place where the data would grow.
    """
    if isinstance(error, OSError):
        return error.errno in _FULL_ERRNOS
    if isinstance(error, lmdb.DiskError):
        return True
    if any(os.strerror(code) in str(error) for code in _FULL_ERRNOS):
        return True
    if os.strerror(errno.EIO) not in str(error):
        return False
    scratch = path / "room.tmp"
    try:
        with open(scratch, "wb") as file:
            os.posix_fallocate(file.fileno(), (path / "data.mdb").stat().st_size, ROOM_BYTES)
    except OSError as room_error:
        return room_error.errno in _FULL_ERRNOS
    finally:
        scratch.unlink(missing_ok=True)
    return False


@dataclass(slots=True)
class Database:
    """An open LMDB environment and its tables."""

    env: Any
    tables: dict[bytes, Any]
    path: Path
    is_writable: bool
    num_users: int = 0

    def begin(self, *, write: bool = False) -> Any:
        """Begin a transaction, following a map that another process has grown."""
        with explain_errors(self.path):
            try:
                return self.env.begin(write=write, buffers=False)
            except lmdb.MapResizedError:
                self.env.set_mapsize(0)
                return self.env.begin(write=write, buffers=False)

    def grow(self) -> None:
        """Double the map. No transaction may be open in this process."""
        self.env.set_mapsize(2 * self.env.info()["map_size"])


# LMDB forbids opening one environment twice in a process: doors and tests that share the node's
# process share its environment.
_open: dict[str, Database] = {}


def open_database(path: Path, *, readonly: bool, map_size: int) -> Database:
    """Open, or share, the environment in folder `path`.

    Raises:
        StoreMissing: read-only, and there is nothing yet.
        StoreBusy: this process has it open for reading only and now wants to write.
        StoreCorrupt: not an LMDB file, damaged or cut short.
        StoreFull: no room on the disk for the first pages.
    """
    name = os.path.realpath(path)
    shared = _open.get(name)
    if shared is not None:
        if not readonly and not shared.is_writable:
            raise StoreBusy(f"{path} is open for reading in this process: close it first")
        shared.num_users += 1
        return shared
    data = path / "data.mdb"
    if readonly and not data.exists():
        raise StoreMissing(f"{path} holds no chain data yet: start the node first")
    path.mkdir(parents=True, exist_ok=True)
    with explain_errors(path):
        env = _open_whole(path, readonly=readonly, map_size=map_size)
        try:
            tables = _open_tables(env, path, readonly=readonly)
        except BaseException:
            env.close()
            raise
    database = Database(env, tables, path, not readonly, num_users=1)
    _open[name] = database
    return database


def _open_whole(path: Path, *, readonly: bool, map_size: int) -> Any:
    """Open the environment and make sure that no page it uses lies behind the end of the file."""
    env = _open_environment(path, readonly=readonly, map_size=map_size)
    if not compute_missing_bytes(env, path):
        return env
    # Pages that were freed in the transaction that first used them were never written, so a file
    # may be shorter than it says. A used page there would kill this process: look from another.
    env.close()
    args = [sys.executable, "-I", str(Path(__file__).with_name("probe.py")), str(path)]
    args += [table.decode() for table in TABLES]
    if subprocess.run(args, stderr=subprocess.DEVNULL, check=False).returncode:
        raise StoreCorrupt(f"{path}: the data is cut short or damaged: {_WHAT_TO_DO}")
    env = _open_environment(path, readonly=readonly, map_size=map_size)
    if not readonly:
        extend_file(env, path)
    return env


def _open_environment(path: Path, *, readonly: bool, map_size: int) -> Any:
    return lmdb.open(
        str(path),
        map_size=map_size,
        readonly=readonly,
        max_dbs=len(TABLES),
        max_readers=NUM_READERS_MAX,
        create=not readonly,
    )


def compute_missing_bytes(env: Any, path: Path) -> int:
    """Return how much shorter the file is than the pages it has numbered, in bytes."""
    numbered = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    return max(0, int(numbered) - (path / "data.mdb").stat().st_size)


def extend_file(env: Any, path: Path) -> None:
    """Give the file the length of the pages it has numbered, without taking room on the disk."""
    missing = compute_missing_bytes(env, path)
    if missing:
        data = path / "data.mdb"
        with suppress(OSError):  # only spares the next start a walk through all records
            os.truncate(data, data.stat().st_size + missing)


def _open_tables(env: Any, path: Path, *, readonly: bool) -> dict[bytes, Any]:
    env.reader_check()
    try:
        tables = {name: env.open_db(name, create=not readonly) for name in TABLES}
    except lmdb.NotFoundError as error:
        raise StoreMissing(f"{path} holds no chain data yet: start the node first") from error
    with env.begin(write=not readonly) as txn:
        found = txn.get(b"format", db=tables[b"meta"])
        if found is None and not readonly:
            txn.put(b"format", FORMAT, db=tables[b"meta"])
        elif found != FORMAT:
            raise StoreCorrupt(f"{path} has format {found!r}, not {FORMAT!r}: {_WHAT_TO_DO}")
    return tables


def close_database(database: Database) -> None:
    """Give up one use of a database; the last one closes it."""
    database.num_users -= 1
    if database.num_users == 0:
        del _open[os.path.realpath(database.path)]
        database.env.close()
