"""State sync: give snapshots of the state to new nodes, and become one from a snapshot.

CometBFT finds the snapshots, fetches chunks, and verifies by its light client the app hash that the
restored state must have; this side makes chunks, checks each, and stages them all at the end. A
snapshot is made in a thread, from a view that holds its version still.
"""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from tendermint.abci import types_pb2 as abci

from node.store.errors import StoreError
from node.store.snapshots import (
    FORMAT,
    ChunkWrong,
    Manifest,
    SnapshotImport,
    SnapshotInvalid,
    list_snapshots,
    read_chunk,
    remove_old,
    write_snapshot,
)
from node.store.view import StateView

logger = logging.getLogger(__name__)

NUM_KEPT = 2
MIN_AGE_S = 120.0
"""A new node looks for snapshots for some seconds and then needs all chunks of the one it chose."""

NUM_OFFERED = 10
Offer, Apply = abci.ResponseOfferSnapshot, abci.ResponseApplySnapshotChunk


class SnapshotKeeper:
    """The snapshot half of the ABCI application.

    Args:
        application: restores what was fetched.
        folder: where snapshots are kept.
        interval: blocks from one snapshot to the next; 0 makes none.
    """

    def __init__(self, application: Any, folder: Path, interval: int = 0) -> None:
        self._application = application
        self._folder = folder
        self._interval = interval
        self._making: asyncio.Task[None] | None = None
        self._import: SnapshotImport | None = None
        self._app_hash = b""

    async def close(self) -> None:
        """Wait for a snapshot that is being made."""
        if self._making is not None:
            await asyncio.wait([self._making])

    # Giving

    def note_commit(self, height: int) -> None:
        """Start a snapshot where one is due, unless the last is still being made."""
        is_busy = self._making is not None and not self._making.done()
        if not self._interval or height % self._interval or is_busy:
            return
        view = self._application.store.view(height)
        self._making = asyncio.create_task(asyncio.to_thread(self._make, view), name="snapshot")

    def _make(self, view: StateView) -> None:
        try:
            with view:
                manifest = write_snapshot(view, self._folder)
            remove_old(self._folder, NUM_KEPT, MIN_AGE_S)
        except (OSError, StoreError) as error:
            # A snapshot is for others; this node goes on without it.
            logger.warning("no snapshot of height %d: %s", view.version, error)
            shutil.rmtree(self._folder / f"{view.version}.tmp", ignore_errors=True)
        else:
            num_chunks = len(manifest.chunk_hashes)
            logger.info("snapshot of height %d in %d chunks", manifest.height, num_chunks)

    def list_snapshots(self, request: Any) -> Any:
        """List what other nodes may fetch."""
        return abci.ResponseListSnapshots(
            snapshots=[
                abci.Snapshot(
                    height=item.height,
                    format=FORMAT,
                    chunks=len(item.chunk_hashes),
                    hash=item.snapshot_hash,
                    metadata=item.metadata,
                )
                for item in list_snapshots(self._folder)[:NUM_OFFERED]
            ]
        )

    def load_snapshot_chunk(self, request: Any) -> Any:
        """Give one chunk; empty where there is none."""
        chunk = b""
        if request.format == FORMAT:
            chunk = read_chunk(self._folder, request.height, request.chunk)
        return abci.ResponseLoadSnapshotChunk(chunk=chunk)

    # Taking

    def offer_snapshot(self, request: Any) -> Any:
        """Decide whether to restore a snapshot that another node has."""
        offered = request.snapshot
        self._import = None
        if self._application.store.version or not request.app_hash:
            return Offer(result=Offer.ABORT)
        if offered.format != FORMAT:
            return Offer(result=Offer.REJECT_FORMAT)
        try:
            manifest = Manifest.parse(
                offered.height, offered.chunks, offered.hash, offered.metadata
            )
        except SnapshotInvalid as error:
            logger.warning("a snapshot of height %d is refused: %s", offered.height, error)
            return Offer(result=Offer.REJECT)
        self._import, self._app_hash = SnapshotImport(manifest), request.app_hash
        return Offer(result=Offer.ACCEPT)

    def apply_snapshot_chunk(self, request: Any) -> Any:
        """Take the next chunk; restore the state after the last."""
        if self._import is None:
            return Apply(result=Apply.ABORT)
        try:
            self._import.add(request.index, request.chunk)
            if self._import.is_complete:
                height, changes = self._import.manifest.height, self._import.changes
                if not self._application.restore_state(height, changes, self._app_hash):
                    raise SnapshotInvalid("its state has another app hash than the chain")
                self._import = None
        except ChunkWrong as error:
            logger.warning("%s sent a wrong chunk: %s", request.sender, error)
            senders = [request.sender] if request.sender else []
            return Apply(result=Apply.RETRY, refetch_chunks=[request.index], reject_senders=senders)
        except SnapshotInvalid as error:
            logger.warning("the snapshot is refused: %s", error)
            self._import = None
            return Apply(result=Apply.REJECT_SNAPSHOT)
        return Apply(result=Apply.ACCEPT)
