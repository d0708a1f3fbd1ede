"""LMDB environments: opening and sharing them, and their errors in the operator's words."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from node.store.errors import (
    WHAT_TO_DO,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
)

MAP_SIZE_BYTES = 64 << 30  # address space, not disk; doubled when the data reaches it
NUM_READERS_MAX = 1024
ROOM_BYTES = 16 << 20  # less free than this when a write was cut short: the disk is full
FORMAT_KEY = b"format"

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Layout:
    """What an environment holds.

    tables: names of all tables; one of them is `meta`.
    format: entry `format` of `meta`; another one is refused.
    """

    tables: tuple[bytes, ...]
    format: bytes


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
        raise StoreCorrupt(f"{path}: the data is damaged ({error}): {WHAT_TO_DO}") from error
    except (lmdb.VersionMismatchError, lmdb.IncompatibleError) as error:
        raise StoreCorrupt(f"{path}: not a state file ({error}): {WHAT_TO_DO}") from error
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

    def write(self, change: Callable[[Any], None]) -> None:
        """Run `change(txn)` in one write transaction; with a larger map if the map is full.

        No other transaction may be open in this process where the map has to grow.

        Raises:
            StoreFull: no room on the disk; nothing was written.
            StoreCorrupt: the files are damaged.
        """
        while True:
            try:
                with explain_errors(self.path), self.begin(write=True) as txn:
                    change(txn)
                extend_file(self.env, self.path)
                return
            except lmdb.MapFullError:
                self.env.set_mapsize(2 * self.env.info()["map_size"])


# LMDB forbids opening one environment twice in a process: doors and tests that share the node's
# process share its environment.
_open: dict[str, Database] = {}


def open_database(
    path: Path, layout: Layout, *, readonly: bool, map_size: int = MAP_SIZE_BYTES
) -> Database:
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
        env = _open_whole(path, layout, readonly=readonly, map_size=map_size)
        try:
            tables = _open_tables(env, path, layout, readonly=readonly)
        except BaseException:
            env.close()
            raise
    database = Database(env, tables, path, not readonly, num_users=1)
    _open[name] = database
    return database


def _open_whole(path: Path, layout: Layout, *, readonly: bool, map_size: int) -> Any:
    """Open the environment and make sure that no page it uses lies behind the end of the file."""
    env = _open_environment(path, layout, readonly=readonly, map_size=map_size)
    if not compute_missing_bytes(env, path):
        return env
    # Pages that were freed in the transaction that first used them were never written, so a file
    # may be shorter than it says. A used page there would kill this process: look from another.
    env.close()
    args = [sys.executable, "-I", str(Path(__file__).with_name("probe.py")), str(path)]
    args += [table.decode() for table in layout.tables]
    if subprocess.run(args, stderr=subprocess.DEVNULL, check=False).returncode:
        raise StoreCorrupt(f"{path}: the data is cut short or damaged: {WHAT_TO_DO}")
    env = _open_environment(path, layout, readonly=readonly, map_size=map_size)
    if not readonly:
        extend_file(env, path)
    return env


def _open_environment(path: Path, layout: Layout, *, readonly: bool, map_size: int) -> Any:
    return lmdb.open(
        str(path),
        map_size=map_size,
        readonly=readonly,
        max_dbs=len(layout.tables),
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


def _open_tables(env: Any, path: Path, layout: Layout, *, readonly: bool) -> dict[bytes, Any]:
    env.reader_check()
    try:
        tables = {name: env.open_db(name, create=not readonly) for name in layout.tables}
    except lmdb.NotFoundError as error:
        raise StoreMissing(f"{path} holds no chain data yet: start the node first") from error
    with env.begin(write=not readonly) as txn:
        found = txn.get(FORMAT_KEY, db=tables[b"meta"])
        if found is None and not readonly:
            txn.put(FORMAT_KEY, layout.format, db=tables[b"meta"])
        elif found != layout.format:
            raise StoreCorrupt(f"{path} has format {found!r}, not {layout.format!r}: {WHAT_TO_DO}")
    return tables


def close_database(database: Database) -> None:
    """Give up one use of a database; the last one closes it."""
    database.num_users -= 1
    if database.num_users == 0:
        del _open[os.path.realpath(database.path)]
        database.env.close()


def open_folder(
    folder: Path, layout: Layout, *, readonly: bool, map_size: int = MAP_SIZE_BYTES
) -> tuple[Database, int | None]:
    """Open the environment in a folder and, to write, become its one writer.

    Raises:
        StoreMissing, StoreBusy, StoreCorrupt, StoreFull: as `open_database` and `lock_folder`.
    """
    lock = None if readonly else lock_folder(folder)
    try:
        return open_database(folder, layout, readonly=readonly, map_size=map_size), lock
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise


def close_folder(database: Database, lock: int | None) -> None:
    """Give up what `open_folder` returned."""
    close_database(database)
    if lock is not None:
        os.close(lock)


def lock_folder(folder: Path) -> int:
    """Become the one writer of a folder, until the descriptor is closed or the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with explain_errors(folder):
        lock = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreBusy(f"another process is writing to {folder}: stop that node first") from error
    return lock
