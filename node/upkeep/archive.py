"""Snapshots of a node's state on its own disk: made, listed, and restored.

A snapshot is the one that state sync gives to other nodes (`node/store/snapshots.py`). Restoring
replaces the application's state only; when the node starts, the engine replays the blocks it keeps
from that height on. What is restored has the app hash that the chain has, or nothing changes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from node.engine.blockstore import BlockStore
from node.store.environment import lock_folder
from node.store.errors import StoreBusy, StoreMissing
from node.store.snapshots import (
    Manifest,
    SnapshotImport,
    SnapshotInvalid,
    list_snapshots,
    load_manifest,
    read_chunk,
    write_snapshot,
)
from node.store.state import StateStore
from node.upkeep.home import UpkeepRefused, ensure_data, measure_disk

SNAPSHOT_FOLDER = "snapshots"
RESTORE_FOLDER = "state.restore"


@dataclass(frozen=True)
class SnapshotInfo:
    """A snapshot on the disk."""

    manifest: Manifest
    folder: Path
    num_bytes: int


def get_snapshot_folder(home: Path) -> Path:
    """Get where a node's snapshots are."""
    return home / "data" / SNAPSHOT_FOLDER


def list_home_snapshots(home: Path) -> list[SnapshotInfo]:
    """List the snapshots of a node, newest first."""
    return [
        _describe(item, get_snapshot_folder(home))
        for item in list_snapshots(get_snapshot_folder(home))
    ]


def create_snapshot(home: Path, height: int = 0, folder: Path | None = None) -> SnapshotInfo:
    """Make a snapshot; the node may be running.

    Args:
        height: 0 for the newest.
        folder: where to put it, the node's own snapshots otherwise.
    Raises:
        UpkeepRefused: no data.
        VersionUnavailable: that height is not kept.
    """
    ensure_data(home)
    target = folder or get_snapshot_folder(home)
    with (
        StateStore.open(home / "data" / "state", readonly=True) as store,
        store.view(height or None) as view,
    ):
        if view.is_empty:
            raise UpkeepRefused(f"{home} has no committed height yet")
        manifest = write_snapshot(view, target)
    return _describe(manifest, target)


def find_chain_hash(home: Path, height: int) -> bytes | None:
    """Find the app hash after a block in the blocks a node keeps; None where it is not known."""
    try:
        with BlockStore.open(home / "data" / "blocks", readonly=True) as blocks:
            state, following = blocks.load_state(), blocks.load_block(height + 1)
    except StoreMissing:
        return None
    if following is not None:
        return bytes(following.header.app_hash)
    return state.app_hash if state is not None and state.height == height else None


def restore_snapshot(home: Path, snapshot: Path, app_hash: bytes | None = None) -> SnapshotInfo:
    """Replace the state of a stopped node by a snapshot's.

    Args:
        snapshot: folder of the snapshot, which holds its manifest.
        app_hash: that you trust, where the node's own blocks do not tell it.
    Raises:
        UpkeepRefused: the node runs, nothing tells the app hash, or the snapshot has another.
        SnapshotInvalid: a chunk is missing or damaged.
        StoreError: the disk is full, or the state cannot be replaced.
    """
    manifest = load_manifest(snapshot)
    state_folder, staging = home / "data" / "state", home / "data" / RESTORE_FOLDER
    try:
        lock = lock_folder(state_folder)
    except StoreBusy as error:
        raise UpkeepRefused(f"the node of {home} is running: stop it first") from error
    try:
        expected = _choose_hash(home, manifest.height, app_hash)
        shutil.rmtree(staging, ignore_errors=True)
        _stage(manifest, snapshot, staging, expected)
        os.replace(staging / "data.mdb", state_folder / "data.mdb")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)
    return _describe(manifest, snapshot.parent)


def _choose_hash(home: Path, height: int, given: bytes | None) -> bytes:
    known = find_chain_hash(home, height)
    if known is None and given is None:
        raise UpkeepRefused(
            f"the blocks in {home} do not tell the app hash of height {height}: give --app-hash; "
            "a node without blocks is brought up by state sync instead (--state-sync-rpc)"
        )
    if known is not None and given is not None and known != given:
        raise UpkeepRefused(
            f"--app-hash is not that of the chain in {home}, which is {known.hex()}"
        )
    return known or given or b""


def _stage(manifest: Manifest, snapshot: Path, staging: Path, expected: bytes) -> None:
    """Build the whole state beside the old one.

    Raises:
        UpkeepRefused: it has another app hash.
        SnapshotInvalid: a chunk is missing or damaged.
    """
    taken = SnapshotImport(manifest)
    for index in range(len(manifest.chunk_hashes)):
        chunk = read_chunk(snapshot.parent, int(snapshot.name), index)
        if not chunk:
            raise SnapshotInvalid(f"chunk {index} is missing in {snapshot}")
        taken.add(index, chunk)
    with StateStore.open(staging) as store:
        found = store.stage(manifest.height, taken.changes)
        if found != expected:
            raise UpkeepRefused(
                f"the snapshot has app hash {found.hex()}, the chain {expected.hex()}: nothing "
                "was changed"
            )
        store.commit()


def _describe(manifest: Manifest, folder: Path) -> SnapshotInfo:
    path = folder / str(manifest.height)
    return SnapshotInfo(manifest, path, measure_disk(path))
