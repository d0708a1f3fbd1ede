"""Snapshots of a whole version, in chunks that other nodes restore from.

Everything of a version, by store name and key, cut into chunks of about `CHUNK_BYTES`: the same
version gives the same bytes on every node. A snapshot is named by its chunks' hashes; what is
restored counts only if it stages to the app hash that the reader trusts already, so nothing in a
chunk is believed. Record: u8 length, store name; u32 length, key; u32 length, value; big endian. A
record with an empty key says that a store exists, and comes before the store's others.

    <folder>/<height>/manifest.json   {"height", "app_hash": hex, "chunks": [sha256 hex]}
    <folder>/<height>/<index>         a chunk
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from node.store.view import StateView

FORMAT = 1
CHUNK_BYTES = 4 << 20
CHUNK_BYTES_MAX = 10 << 20
NUM_CHUNKS_MAX = 100_000
HASH_BYTES = 32

_LENGTH = struct.Struct(">I")


class SnapshotInvalid(Exception):
    """A manifest or a chunk is not what it should be; the text says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot consists of: its height and the SHA-256 of every chunk, in order.

    app_hash: what its maker had; not offered to others, who trust a header's only.
    """

    height: int
    chunk_hashes: tuple[bytes, ...]
    app_hash: bytes = b""

    @property
    def metadata(self) -> bytes:
        """The hashes one after another: what is offered to other nodes."""
        return b"".join(self.chunk_hashes)

    @property
    def snapshot_hash(self) -> bytes:
        """Hash of the whole snapshot."""
        return sha256(_LENGTH.pack(FORMAT) + self.metadata).digest()

    @staticmethod
    def parse(height: int, num_chunks: int, snapshot_hash: bytes, metadata: bytes) -> Manifest:
        """Parse what another node offers.

        Raises:
            SnapshotInvalid: it contradicts itself.
        """
        if not 0 < num_chunks <= NUM_CHUNKS_MAX or len(metadata) != num_chunks * HASH_BYTES:
            raise SnapshotInvalid(f"{num_chunks} chunks, {len(metadata)} bytes of hashes")
        parts = range(0, len(metadata), HASH_BYTES)
        manifest = Manifest(height, tuple(metadata[at : at + HASH_BYTES] for at in parts))
        if manifest.snapshot_hash != snapshot_hash:
            raise SnapshotInvalid("the hashes of the chunks are not those of the snapshot")
        return manifest


def iterate_chunks(view: StateView, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the chunks of the version a view holds open."""
    chunk = bytearray()
    stores = iter(sorted(view.store_roots()))
    current = ""
    for store, key, value in view.export():
        while current != store:
            current = next(stores)
            chunk += _encode(current, b"", b"")
        chunk += _encode(store, key, value)
        if len(chunk) >= chunk_bytes:
            yield bytes(chunk)
            chunk.clear()
    for store in stores:
        chunk += _encode(store, b"", b"")
    if chunk:
        yield bytes(chunk)


def write_snapshot(view: StateView, folder: Path, chunk_bytes: int = CHUNK_BYTES) -> Manifest:
    """Write the version a view holds open under `folder`; one that is there is written anew."""
    target, temporary = folder / str(view.version), folder / f"{view.version}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    hashes = []
    for index, chunk in enumerate(iterate_chunks(view, chunk_bytes)):
        (temporary / str(index)).write_bytes(chunk)
        hashes.append(sha256(chunk).digest())
    manifest = Manifest(view.version, tuple(hashes), view.app_hash)
    document = {
        "height": view.version,
        "app_hash": view.app_hash.hex(),
        "chunks": [item.hex() for item in hashes],
    }
    with (temporary / "manifest.json").open("w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    return manifest


def list_snapshots(folder: Path) -> list[Manifest]:
    """List the snapshots under a folder, newest first; unfinished ones are not there."""
    found = []
    for path in folder.glob("*/manifest.json"):
        if not path.parent.name.isdigit():
            continue
        try:
            found.append(load_manifest(path.parent))
        except SnapshotInvalid:
            continue  # removed just now, or not ours
    return sorted(found, key=lambda item: -item.height)


def load_manifest(path: Path) -> Manifest:
    """Load the manifest of the snapshot in a folder of its own.

    Raises:
        SnapshotInvalid: there is none.
    """
    try:
        document = json.loads((path / "manifest.json").read_text())
        hashes = tuple(bytes.fromhex(text) for text in document["chunks"])
        app_hash = bytes.fromhex(document.get("app_hash", ""))
        return Manifest(int(document["height"]), hashes, app_hash)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotInvalid(f"{path} holds no snapshot: {error}") from error


def read_chunk(folder: Path, height: int, index: int) -> bytes:
    """Read a chunk; empty where there is none."""
    try:
        return (folder / str(height) / str(index)).read_bytes()
    except OSError:
        return b""


def remove_old(folder: Path, num_kept: int, min_age_s: float) -> None:
    """Remove all but the newest snapshots, and but those somebody may just be fetching."""
    for manifest in list_snapshots(folder)[num_kept:]:
        path = folder / str(manifest.height)
        if time.time() - path.stat().st_mtime >= min_age_s:
            shutil.rmtree(path, ignore_errors=True)


class SnapshotImport:
    """Takes the chunks of one snapshot, in order.

    `changes` is what is to be staged on an empty store once `is_complete`.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.changes: dict[str, dict[bytes, bytes]] = {}
        self._next = 0
        self._last = ("", b"")

    @property
    def is_complete(self) -> bool:
        """Whether every chunk was taken."""
        return self._next == len(self.manifest.chunk_hashes)

    def add(self, index: int, chunk: bytes) -> None:
        """Take a chunk.

        Raises:
            ChunkWrong: it is not the one the snapshot names; another sender may have it.
            SnapshotInvalid: it is, and the snapshot is nonsense.
        """
        if index != self._next or self.is_complete:
            raise SnapshotInvalid(f"chunk {index} instead of {self._next}")
        is_named = sha256(chunk).digest() == self.manifest.chunk_hashes[index]
        if len(chunk) > CHUNK_BYTES_MAX or not is_named:
            raise ChunkWrong(f"chunk {index} is not the one the snapshot names")
        for store, key, value in _decode_all(chunk):
            if (store, key) <= self._last:
                raise SnapshotInvalid(f"{store} {key.hex()} is out of order")
            self._last = (store, key)
            if not key:
                if value:
                    raise SnapshotInvalid(f"an empty key of {store} has a value")
                self.changes[store] = {}
            elif store not in self.changes:
                raise SnapshotInvalid(f"{store} was not announced")
            else:
                self.changes[store][key] = value
        self._next += 1


class ChunkWrong(SnapshotInvalid):
    """A chunk is not the one the snapshot names."""


def _encode(store: str, key: bytes, value: bytes) -> bytes:
    name = store.encode()
    head = bytes((len(name),)) + name + _LENGTH.pack(len(key)) + key
    return head + _LENGTH.pack(len(value)) + value


def _decode_all(chunk: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    at = 0
    try:
        while at < len(chunk):
            name_end = at + 1 + chunk[at]
            name = chunk[at + 1 : name_end].decode()
            key_at = name_end + 4
            (key_size,) = _LENGTH.unpack_from(chunk, name_end)
            (value_size,) = _LENGTH.unpack_from(chunk, key_at + key_size)
            value_at = key_at + key_size + 4
            at = value_at + value_size
            if at > len(chunk) or not name:
                raise SnapshotInvalid("a record is cut short")
            yield name, chunk[key_at : key_at + key_size], chunk[value_at:at]
    except (struct.error, UnicodeDecodeError) as error:
        raise SnapshotInvalid(f"a chunk does not parse: {error}") from error
