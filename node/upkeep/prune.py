"""Forget the state and the blocks of old heights, and give the room back to the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.engine.blockstore import BLOCKS_LAYOUT
from node.store.compact import compact_folder
from node.store.tables import STATE_LAYOUT
from node.upkeep.home import UpkeepRefused, measure_disk, open_stopped_home

RECORDS_AT_ONCE = 100_000
BLOCKS_AT_ONCE = 1_000
KEEP_MIN = 2
"""The newest height and the one a rollback goes back to."""


@dataclass(frozen=True)
class Pruned:
    """What pruning did: heights that can still be read, and bytes on the disk."""

    oldest: int
    newest: int
    num_records: int
    num_blocks: int
    bytes_before: int
    bytes_after: int


def prune_home(home: Path, keep: int) -> Pruned:
    """Forget all but the newest heights of a stopped node.

    CometBFT's own files are not touched: it forgets blocks while it runs.

    Args:
        keep: heights that stay readable, 2 or more.
    Raises:
        UpkeepRefused: the node runs, or `keep` is too small.
        StoreError: the files are damaged, or there is no room for the copy.
    """
    if keep < KEEP_MIN:
        raise UpkeepRefused(f"--keep {keep} is too small: at least {KEEP_MIN} heights stay")
    data = home / "data"
    with open_stopped_home(home) as stopped:
        before = measure_disk(data)
        num_records = num_blocks = 0
        while removed := stopped.state.prune(keep, RECORDS_AT_ONCE):
            num_records += removed
        retain_height = stopped.state.version - keep + 1
        while removed := stopped.blocks.prune(retain_height, BLOCKS_AT_ONCE):
            num_blocks += removed
        oldest, newest = stopped.state.oldest_version, stopped.state.version
    for name, layout in (("state", STATE_LAYOUT), ("blocks", BLOCKS_LAYOUT)):
        compact_folder(data / name, len(layout.tables))
    return Pruned(oldest, newest, num_records, num_blocks, before, measure_disk(data))
