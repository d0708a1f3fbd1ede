"""Give back to the disk the room that pruning freed inside an LMDB file."""

import os
import shutil
from pathlib import Path

import lmdb

from node.store.environment import MAP_SIZE_BYTES, explain_errors, lock_folder

TEMPORARY_NAME = "compact.tmp"


def compact_folder(folder: Path, num_tables: int) -> None:
    """Write the file of an environment anew without free pages, and put it in place at once.

    A kill at any moment leaves the old file or the new one.

    Raises:
        StoreBusy: another process writes there.
        StoreFull: no room for the copy; the old file stays.
        StoreCorrupt: the file is damaged.
    """
    lock = lock_folder(folder)
    temporary = folder / TEMPORARY_NAME
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        with explain_errors(folder):
            temporary.mkdir()
            env = lmdb.open(str(folder), map_size=MAP_SIZE_BYTES, readonly=True, max_dbs=num_tables)
            try:
                env.copy(str(temporary), compact=True)
            finally:
                env.close()
            with (temporary / "data.mdb").open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary / "data.mdb", folder / "data.mdb")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)
