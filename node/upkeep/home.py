"""The folder of a node that does not run: its stores, opened for this process alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.engine.blockstore import BlockStore
from node.store.errors import StoreBusy
from node.store.state import StateStore

BLOCK_BYTES = 512  # unit of st_blocks


class UpkeepRefused(Exception):
    """The folder cannot be worked on; the text says what to do."""


@dataclass(frozen=True)
class StoppedHome:
    """An open folder.

    state, blocks: open for writing; nobody else may write meanwhile.
    """

    path: Path
    state: StateStore
    blocks: BlockStore

    @property
    def has_comet(self) -> bool:
        """Whether CometBFT orders the blocks of this node."""
        return has_comet(self.path)


def has_comet(home: Path) -> bool:
    """Tell whether CometBFT keeps blocks in a folder."""
    return (home / "data" / "blockstore.db").exists()


def ensure_data(home: Path) -> None:
    """Refuse a folder without a chain's data.

    Raises:
        UpkeepRefused: there is none.
    """
    if not (home / "data" / "state" / "data.mdb").exists():
        raise UpkeepRefused(
            f"{home} holds no chain data: --home names the folder of a node that has run"
        )


@contextmanager
def open_stopped_home(home: Path) -> Iterator[StoppedHome]:
    """Open the stores of a node that does not run.

    Raises:
        UpkeepRefused: no data, or the node runs.
        StoreError: the files are damaged.
    """
    ensure_data(home)
    try:
        with (
            StateStore.open(home / "data" / "state") as state,
            BlockStore.open(home / "data" / "blocks") as blocks,
        ):
            yield StoppedHome(home, state, blocks)
    except StoreBusy as error:
        raise UpkeepRefused(f"the node of {home} is running: stop it first") from error


def measure_disk(path: Path) -> int:
    """Measure what a file or folder takes on the disk, in bytes.

    Holes in files take nothing, and neither does what a running node removes meanwhile.
    """
    paths = [str(path)]
    for folder, folders, files in os.walk(path):
        paths += [os.path.join(folder, name) for name in (*folders, *files)]
    return sum(map(_measure_one, paths))


def _measure_one(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_blocks * BLOCK_BYTES
    except FileNotFoundError:
        return 0
