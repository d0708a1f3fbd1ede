"""The manifest of a dataset, and the root that names it.

A dataset is two streams of bytes, `train` and `heldout`: the files of each split, in order of
their path, joined without anything between. Streams are cut into chunks of 64 KiB, each fetched by
its SHA-256. The root is the RFC 6962 root over

    sha256(file table), train chunk hashes ..., held-out chunk hashes ...

The file table fixes the sizes, hence how many chunks of each there are. A manifest is one JSON
document, and there is one way to write it: sorted keys, no spaces, ASCII.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from exact import merkle
from exact.data.corpus import HELDOUT, MAX_FILES, TRAIN
from exact.data.errors import DatasetMismatch, InvalidManifest

CHUNK_BYTES = 64 * 1024
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
MAX_STREAM_BYTES = 1 << 44
_VERSION = 1
_KEYS = {"chunk_bytes", "files", "heldout_chunks", "train_chunks", "version"}


@dataclass(frozen=True)
class FileEntry:
    """One file: path (POSIX, relative), size in bytes (> 0), sha256 (32 bytes), split."""

    path: str
    size: int
    sha256: bytes
    split: str


@dataclass(frozen=True)
class Manifest:
    """What a dataset consists of.

    Attributes:
        files: by ascending UTF-8 path.
        train_chunks: SHA-256 of every chunk of the train stream.
        heldout_chunks: the same of the held-out stream.
    """

    files: tuple[FileEntry, ...]
    train_chunks: tuple[bytes, ...]
    heldout_chunks: tuple[bytes, ...]

    @cached_property
    def root(self) -> bytes:
        """The dataset root, 32 bytes."""
        table_hash = hashlib.sha256(_encode(self._file_table())).digest()
        leaves = (table_hash, *self.train_chunks, *self.heldout_chunks)
        return merkle.compute_root([merkle.compute_leaf_hash(leaf) for leaf in leaves])

    def get_size(self, split: str) -> int:
        """Return the bytes of a stream."""
        return sum(file.size for file in self.files if file.split == split)

    def get_chunks(self, split: str) -> tuple[bytes, ...]:
        """Return the chunk hashes of a stream."""
        return self.train_chunks if split == TRAIN else self.heldout_chunks

    def to_bytes(self) -> bytes:
        """Encode as canonical JSON."""
        chunks = {
            "train_chunks": [chunk.hex() for chunk in self.train_chunks],
            "heldout_chunks": [chunk.hex() for chunk in self.heldout_chunks],
        }
        return _encode({**self._file_table(), **chunks})

    def _file_table(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "chunk_bytes": CHUNK_BYTES,
            "files": [[f.path, f.size, f.sha256.hex(), f.split] for f in self.files],
        }


def parse_manifest(data: bytes, *, expect_root: bytes | None = None) -> Manifest:
    """Read a manifest; accepts exactly what `Manifest.to_bytes` writes.

    Args:
        data: bytes from anywhere.
        expect_root: if given, the dataset root it must have.

    Raises:
        InvalidManifest: too large, not JSON, of another version, not canonical, a bad entry, or
            another root.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(f"a manifest of {len(data)} bytes, at most {MAX_MANIFEST_BYTES}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidManifest("the manifest is not JSON") from None
    if not isinstance(document, dict) or document.keys() != _KEYS:
        raise InvalidManifest(f"the manifest does not have the fields {', '.join(sorted(_KEYS))}")
    if document["version"] != _VERSION or document["chunk_bytes"] != CHUNK_BYTES:
        raise InvalidManifest(
            f"manifest version {document['version']} with chunks of {document['chunk_bytes']};"
            f" this program reads version {_VERSION} with {CHUNK_BYTES}"
        )
    manifest = Manifest(
        _parse_files(document["files"]),
        _parse_hashes(document["train_chunks"], "train_chunks"),
        _parse_hashes(document["heldout_chunks"], "heldout_chunks"),
    )
    _ensure_consistent(manifest)
    if manifest.to_bytes() != data:
        raise InvalidManifest("the manifest is not in canonical form")
    if expect_root is not None and manifest.root != expect_root:
        raise InvalidManifest(
            f"a manifest of dataset {manifest.root.hex()}, not {expect_root.hex()}"
        )
    return manifest


def ensure_same_dataset(
    local: Manifest, expect_root: bytes, expected: Manifest | None = None
) -> None:
    """Refuse a local dataset that is not the run's, and say which file differs.

    Args:
        local: made from the files here.
        expect_root: dataset root of the run spec.
        expected: the run's manifest, if a peer gave it.

    Raises:
        DatasetMismatch: the roots differ.
        InvalidManifest: `expected` is not the manifest of `expect_root`.
    """
    if local.root == expect_root:
        return
    if expected is None:
        detail = "no peer gave the run's manifest, so the file that differs is not known"
    elif expected.root != expect_root:
        raise InvalidManifest(
            f"a manifest of dataset {expected.root.hex()}, not {expect_root.hex()}"
        )
    else:
        detail = describe_difference(local, expected)
    raise DatasetMismatch(
        f"the files here make dataset {local.root.hex()}, the run has {expect_root.hex()}:"
        f" {detail}. Start while a peer that has it can be reached, so that chunks are fetched by"
        " hash, or give the run's own text with --dataset DIR (the default needs the same Python"
        " version)"
    )


def describe_difference(local: Manifest, expected: Manifest) -> str:
    """Say in words which file of two manifests differs first, and how many do."""
    mine = {file.path: file for file in local.files}
    theirs = {file.path: file for file in expected.files}
    paths = sorted(
        (path for path in mine.keys() | theirs.keys() if mine.get(path) != theirs.get(path)),
        key=str.encode,
    )
    if not paths:
        return "the files agree, their chunks do not: one of the manifests is wrong"
    path = paths[0]
    if path not in mine:
        text = f"{path} is missing here"
    elif path not in theirs:
        text = f"{path} is not part of the run's dataset"
    else:
        text = (
            f"{path} differs (here {mine[path].size} bytes, sha256"
            f" {mine[path].sha256.hex()[:16]}; the run's {theirs[path].size} bytes,"
            f" {theirs[path].sha256.hex()[:16]})"
        )
    return text if len(paths) == 1 else f"{text}, and {len(paths) - 1} more files differ"


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def _parse_files(entries: object) -> tuple[FileEntry, ...]:
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        raise InvalidManifest("files is not a list, or too long")
    files = tuple(_parse_file(entry) for entry in entries)
    paths = [file.path.encode() for file in files]
    for earlier, later in pairwise(paths):
        if earlier >= later:
            raise InvalidManifest(f"{later.decode()!r} is out of order or listed twice")
    return files


def _parse_file(entry: object) -> FileEntry:
    if not isinstance(entry, list) or len(entry) != 4:
        raise InvalidManifest(f"a file entry is not [path, size, sha256, split]: {entry!r:.80}")
    path, size, sha256, split = entry
    if not isinstance(path, str) or not _is_plain_path(path):
        raise InvalidManifest(f"bad file path {path!r:.80}")
    if type(size) is not int or not 0 < size <= MAX_STREAM_BYTES:
        raise InvalidManifest(f"{path}: bad size")
    if split not in (TRAIN, HELDOUT):
        raise InvalidManifest(f"{path}: bad split")
    return FileEntry(path, size, _parse_hash(sha256, path), split)


def _is_plain_path(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return all(part not in ("", ".", "..") for part in path.split("/")) and "\0" not in path


def _parse_hashes(entries: object, name: str) -> tuple[bytes, ...]:
    if not isinstance(entries, list):
        raise InvalidManifest(f"{name} is not a list")
    return tuple(_parse_hash(entry, name) for entry in entries)


def _parse_hash(text: object, name: str) -> bytes:
    try:
        if isinstance(text, str) and len(text) == 64:
            return bytes.fromhex(text)
    except ValueError:
        pass
    raise InvalidManifest(f"{name}: not 64 hexadecimal digits")


def _ensure_consistent(manifest: Manifest) -> None:
    for split in (TRAIN, HELDOUT):
        size, num_chunks = manifest.get_size(split), len(manifest.get_chunks(split))
        if not 0 < size <= MAX_STREAM_BYTES:
            raise InvalidManifest(f"the {split} stream has {size} bytes")
        if num_chunks != count_chunks(size):
            raise InvalidManifest(f"{num_chunks} {split} chunks for {size} bytes")


def count_chunks(size: int) -> int:
    """Return how many chunks a stream of `size` bytes has."""
    return -(-size // CHUNK_BYTES)


def hash_chunks(stream: memoryview) -> tuple[bytes, ...]:
    """Return the SHA-256 of every chunk of a stream."""
    return tuple(
        hashlib.sha256(stream[start : start + CHUNK_BYTES]).digest()
        for start in range(0, len(stream), CHUNK_BYTES)
    )


def find_wrong_chunks(stream: memoryview, chunks: Sequence[bytes]) -> list[int]:
    """Return the indexes of chunks whose bytes do not have the hash they should have."""
    found = hash_chunks(stream)
    return [
        index for index, chunk in enumerate(chunks) if index >= len(found) or found[index] != chunk
    ]
