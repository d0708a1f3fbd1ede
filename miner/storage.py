"""What a participant keeps on disk, and for how long.

    <home>/participants/<key>/run-<id>/
        blobs/            content-addressed store (chain_client.blob): payloads, evidence, states
        rounds/<r>.json   the addresses a round made, so that old ones can be let go

Every file is written under a temporary name and renamed. Addresses are checked when read; what
does not match is removed and made or fetched again, so a torn or flipped file costs work, never
truth. States of a round are kept `KEEP_ROUNDS` rounds (the time in which an audit may ask for
them), checkpoints `KEEP_CHECKPOINTS`, payloads and evidence for good: lineage needs them.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import structlog

from chain_client.blob.address import KIND_BLOB, KIND_STATE, KIND_TRACE
from chain_client.blob.errors import BlobCorrupt, BlobNotFound
from chain_client.blob.store import BlobStore
from exact import state
from exact.addresses import ADDRESS_FUNCTIONS
from exact.errors import InvalidState
from exact.state import State

KEEP_ROUNDS = 3
KEEP_CHECKPOINTS = 16

log = structlog.get_logger()


class ParticipantStore:
    """Blobs, states and traces of one participant in one run.

    Args:
        path: folder, made if absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = BlobStore(path / "blobs", ADDRESS_FUNCTIONS)
        self._rounds = path / "rounds"
        self._rounds.mkdir(parents=True, exist_ok=True)

    # -------------------------------------------------------------------------------- blobs
    def get_blob(self, address: bytes) -> bytes | None:
        """Return a blob by sha256, or None."""
        return self._get(KIND_BLOB, address)

    def put_blob(self, data: bytes) -> bytes:
        """Store bytes for good; returns their sha256."""
        return self.blobs.put(data)

    # -------------------------------------------------------------------------------- states
    def get_state(self, root: bytes, layout: state.Layout) -> State | None:
        """Return a state by tensor root, or None when it is not here or not of that layout."""
        data = self._get(KIND_STATE, root)
        if data is None:
            return None
        try:
            return state.deserialise(data, layout)
        except InvalidState as error:
            log.warning("stored_state_refused", root=root.hex()[:16], why=str(error))
            return None

    def put_state(self, tensors: State) -> bytes:
        """Store a state; returns its root."""
        return self.blobs.put(state.serialise(tensors), KIND_STATE)

    def put_checkpoint(self, round_index: int, theta: State) -> bytes:
        """Store a checkpoint and note which round it starts; returns its root."""
        root = self.put_state(theta)
        self._note(round_index, "checkpoints", [root])
        return root

    def put_round(self, round_index: int, states: Iterable[State], trace: bytes) -> None:
        """Store what an auditor may ask for.

        Args:
            round_index: of the round.
            states: interval states and carried optimisers.
            trace: the interval roots, one after the other.
        """
        roots = [self.put_state(tensors) for tensors in states]
        self.blobs.put(trace, KIND_TRACE)
        self._note(round_index, "states", roots)

    # ------------------------------------------------------------------------------ documents
    def put_document(self, name: str, document: dict[str, object]) -> None:
        """Write a small JSON file of ours, atomically."""
        target = self.path / f"{name}.json"
        temporary = target.with_suffix(".tmp")
        with temporary.open("w") as handle:
            json.dump(document, handle, sort_keys=True)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)

    def get_document(self, name: str) -> dict[str, object] | None:
        """Read a small JSON file of ours; a torn one counts as absent."""
        try:
            document = json.loads((self.path / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def remove_document(self, name: str) -> None:
        """Delete a small JSON file of ours, if it is there."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    # --------------------------------------------------------------------------------- ageing
    def prune(self, current_round: int) -> None:
        """Let go of states that no audit can ask for any more.

        Args:
            current_round: the round in work.
        """
        states_until = current_round - KEEP_ROUNDS
        checkpoints_until = current_round - KEEP_CHECKPOINTS
        notes = [(int(p.stem), p) for p in self._rounds.glob("*.json")]
        needed: set[bytes] = set()
        for index, path in notes:
            note = _read_note(path)
            if index > states_until:
                needed.update(note["states"])
            if index > checkpoints_until:
                needed.update(note["checkpoints"])
        for index, path in notes:
            note = _read_note(path)
            for kind, until in (("states", states_until), ("checkpoints", checkpoints_until)):
                if index <= until:
                    for root in note[kind]:
                        if root not in needed:
                            self.blobs.remove(KIND_STATE, root)
            if index <= checkpoints_until:
                path.unlink()

    def _note(self, round_index: int, kind: str, roots: list[bytes]) -> None:
        path = self._rounds / f"{round_index}.json"
        note = _read_note(path)
        note[kind] = sorted({*note[kind], *roots})
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({k: [r.hex() for r in v] for k, v in note.items()}))
        temporary.replace(path)

    def _get(self, kind: int, address: bytes) -> bytes | None:
        try:
            return self.blobs.read(kind, address)
        except BlobNotFound:
            return None
        except BlobCorrupt as error:
            log.warning("corrupt_blob_removed", why=str(error))
            return None


def _read_note(path: Path) -> dict[str, list[bytes]]:
    try:
        raw = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        raw = {}
    return {
        kind: [bytes.fromhex(root) for root in raw.get(kind, [])]
        for kind in ("states", "checkpoints")
    }
