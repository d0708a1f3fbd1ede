"""A dataset on disk: `<directory>/<root>/{manifest.json, train.bin, heldout.bin}`.

A pack appears whole or not at all: it is written beside its place and renamed. Streams are opened
as memory maps and checked against the manifest on every open, about 0.1 s for the default corpus.
One lock a directory makes several processes that want the same pack take turns.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from exact.data.corpus import HELDOUT, TRAIN, SourceFile, choose_splits, read_source
from exact.data.errors import (
    ChunkUnavailable,
    DatasetCorrupt,
    DatasetMissing,
    DatasetUnwritable,
    InvalidCorpus,
    InvalidManifest,
)
from exact.data.manifest import (
    CHUNK_BYTES,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    find_wrong_chunks,
    hash_chunks,
    parse_manifest,
)

Stream: TypeAlias = npt.NDArray[np.uint8]
Fetch: TypeAlias = Callable[[bytes], bytes]

SPLITS = (TRAIN, HELDOUT)
_MANIFEST_NAME = "manifest.json"
_PARTIAL_PREFIX = ".partial-"
_FETCH_PREFIX = ".fetch-"


@dataclass(frozen=True)
class Dataset:
    """An opened and checked pack.

    Attributes:
        path: its folder.
        manifest: what it consists of.
        train: uint8 [num_train_bytes], memory-mapped, read-only.
        heldout: uint8 [num_heldout_bytes], the same.
    """

    path: Path
    manifest: Manifest
    train: Stream
    heldout: Stream

    @property
    def root(self) -> bytes:
        """The dataset root, 32 bytes."""
        return self.manifest.root

    def get_stream(self, split: str) -> Stream:
        """Return the bytes of a split."""
        return self.train if split == TRAIN else self.heldout

    def has_chunk(self, chunk_hash: bytes) -> bool:
        """Say whether a chunk with this SHA-256 is part of the dataset."""
        return chunk_hash in self._chunk_places

    def read_chunk(self, chunk_hash: bytes) -> bytes:
        """Return the chunk with this SHA-256, to serve it to a peer.

        Raises:
            DatasetMissing: no such chunk.
        """
        try:
            split, start = self._chunk_places[chunk_hash]
        except KeyError:
            raise DatasetMissing(f"no chunk {chunk_hash.hex()} in {self.path}") from None
        return self.get_stream(split)[start : start + CHUNK_BYTES].tobytes()

    @cached_property
    def _chunk_places(self) -> dict[bytes, tuple[str, int]]:
        return {
            chunk: (split, index * CHUNK_BYTES)
            for split in SPLITS
            for index, chunk in enumerate(self.manifest.get_chunks(split))
        }


def build_dataset(files: Sequence[SourceFile], directory: Path) -> Dataset:
    """Pack files, or open the pack if it is there already.

    Args:
        files: at least two, with distinct paths, none empty.
        directory: where packs live; made if absent.

    Raises:
        InvalidCorpus: fewer than two files, or one that is empty or cannot be read.
        DatasetUnwritable: no room or no permission.
    """
    splits = choose_splits([file.path for file in files])
    with _locked(directory), _writing(directory):
        _remove_partials(directory)
        partial = directory / f"{_PARTIAL_PREFIX}{secrets.token_hex(8)}"
        partial.mkdir()
        try:
            manifest = _write_streams(sorted(files, key=lambda f: f.path.encode()), splits, partial)
            return _publish(partial, manifest, directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def open_dataset(directory: Path, root: bytes) -> Dataset:
    """Open the pack of a root and check every byte of it.

    Raises:
        DatasetMissing: there is none.
        DatasetCorrupt: a file is missing, cut short, too long or changed.
    """
    path = directory / root.hex()
    if not path.is_dir():
        raise DatasetMissing(f"no dataset {root.hex()} in {directory}")
    manifest = _read_manifest(path, root)
    streams = {split: _open_stream(path, manifest, split) for split in SPLITS}
    return Dataset(path, manifest, streams[TRAIN], streams[HELDOUT])


def fetch_dataset(
    root: bytes,
    directory: Path,
    manifest: Manifest,
    fetch_blob: Fetch,
    local: Dataset | None = None,
) -> Dataset:
    """Rebuild a dataset from what is here and, chunk by chunk, from a peer.

    Files that `local` has are copied; only chunks that are still wrong are fetched. If it stops
    half way, the next call goes on where it was.

    Args:
        root: dataset root of the run spec.
        directory: where packs live; made if absent.
        manifest: of that root, from a peer.
        fetch_blob: SHA-256 of a chunk -> its bytes, at most 64 KiB.
        local: a dataset that may share files with it.

    Raises:
        InvalidManifest: `manifest` is of another root.
        ChunkUnavailable: a peer gave wrong bytes; whatever `fetch_blob` raises passes through.
        DatasetUnwritable: no room or no permission.
    """
    if manifest.root != root:
        raise InvalidManifest(f"a manifest of dataset {manifest.root.hex()}, not {root.hex()}")
    with _locked(directory), _writing(directory):
        partial = directory / f"{_FETCH_PREFIX}{root.hex()}"
        try:
            return open_dataset(directory, root)
        except DatasetMissing:
            partial.mkdir(exist_ok=True)
        except DatasetCorrupt:
            shutil.rmtree(partial, ignore_errors=True)
            os.rename(directory / root.hex(), partial)
        for split in SPLITS:
            _fill_stream(partial / f"{split}.bin", manifest, split, fetch_blob, local)
        return _publish(partial, manifest, directory)


# ------------------------------------------------------------------------------------------ writing
def _write_streams(files: Sequence[SourceFile], splits: dict[str, str], partial: Path) -> Manifest:
    entries = []
    streams = {split: (partial / f"{split}.bin").open("wb") for split in SPLITS}
    try:
        for file in files:
            data, split = read_source(file), splits[file.path]
            if not data:
                raise InvalidCorpus(f"{file.location} is empty")
            entry = FileEntry(file.path, len(data), hashlib.sha256(data).digest(), split)
            entries.append(entry)
            streams[split].write(data)
    finally:
        for stream in streams.values():
            stream.close()
    chunks = {split: hash_chunks(_map(partial / f"{split}.bin").data) for split in SPLITS}
    return Manifest(tuple(entries), chunks[TRAIN], chunks[HELDOUT])


def _fill_stream(
    path: Path, manifest: Manifest, split: str, fetch_blob: Fetch, local: Dataset | None
) -> None:
    """Make a stream's file right: keep its right chunks, copy known files, fetch the rest."""
    chunks, size = manifest.get_chunks(split), manifest.get_size(split)
    path.touch()
    os.truncate(path, size)
    wrong = find_wrong_chunks(_map(path).data, chunks)
    with path.open("r+b", buffering=0) as stream:
        if wrong and local is not None:
            _copy_files(stream, manifest, split, local)
            wrong = find_wrong_chunks(_map(path).data, chunks)
        for index in wrong:
            start = index * CHUNK_BYTES
            place = f"{split} chunk {index}"
            data = _fetch_chunk(chunks[index], min(CHUNK_BYTES, size - start), place, fetch_blob)
            _write_at(stream, start, data)


def _fetch_chunk(chunk: bytes, size: int, place: str, fetch_blob: Fetch) -> bytes:
    place = f"{place} ({chunk.hex()[:16]})"
    try:
        data = fetch_blob(chunk)
    except OSError as error:
        raise ChunkUnavailable(f"no peer gave {place}: {error}") from error
    if len(data) != size:
        raise ChunkUnavailable(f"a peer gave {len(data)} bytes for {place}, not {size}")
    if hashlib.sha256(data).digest() != chunk:
        raise ChunkUnavailable(f"a peer gave other bytes for {place}")
    return data


def _copy_files(stream: FileIO, manifest: Manifest, split: str, local: Dataset) -> None:
    places = {}
    for local_split in SPLITS:
        start = 0
        for file in local.manifest.files:
            if file.split == local_split:
                places[file.sha256, file.size] = local.get_stream(local_split)[start:]
                start += file.size
    start = 0
    for file in manifest.files:
        if file.split != split:
            continue
        if (file.sha256, file.size) in places:
            _write_at(stream, start, places[file.sha256, file.size][: file.size].tobytes())
        start += file.size


def _write_at(stream: FileIO, offset: int, data: bytes) -> None:
    """Write by call, not through a map, so that a full disk is an error and not a signal."""
    view = memoryview(data)
    while view:
        num_written = os.pwrite(stream.fileno(), view, offset)
        view, offset = view[num_written:], offset + num_written


def _publish(partial: Path, manifest: Manifest, directory: Path) -> Dataset:
    """Complete a pack, move it to its place unless a good one is there, and open it."""
    final = directory / manifest.root.hex()
    (partial / _MANIFEST_NAME).write_bytes(manifest.to_bytes())
    for path in (*partial.iterdir(), partial):
        _sync(path)
    try:
        return open_dataset(directory, manifest.root)
    except DatasetMissing:
        pass
    except DatasetCorrupt:
        shutil.rmtree(final)
    os.rename(partial, final)
    _sync(directory)
    return open_dataset(directory, manifest.root)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_partials(directory: Path) -> None:
    """Remove what a killed process left; nobody writes, since the lock is held."""
    for path in directory.glob(f"{_PARTIAL_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise DatasetUnwritable(f"cannot write to {directory}: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; make room and start again" if error.errno == errno.ENOSPC else ""
        raise DatasetUnwritable(
            f"cannot write the dataset in {directory}: {error.strerror}{hint}"
        ) from error


# ------------------------------------------------------------------------------------------ reading
def _read_manifest(path: Path, root: bytes) -> Manifest:
    file = path / _MANIFEST_NAME
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
        return parse_manifest(data, expect_root=root)
    except OSError as error:
        raise DatasetCorrupt(f"{file}: {error.strerror}; {_HINT}") from error
    except InvalidManifest as error:
        raise DatasetCorrupt(f"{file}: {error}; {_HINT}") from error


def _open_stream(path: Path, manifest: Manifest, split: str) -> Stream:
    file, size = path / f"{split}.bin", manifest.get_size(split)
    try:
        found_size = file.stat().st_size
    except OSError as error:
        raise DatasetCorrupt(f"{file}: {error.strerror}; {_HINT}") from error
    if found_size != size:
        raise DatasetCorrupt(f"{file} has {found_size} bytes, not {size}; {_HINT}")
    stream = _map(file)
    wrong = find_wrong_chunks(stream.data, manifest.get_chunks(split))
    if wrong:
        raise DatasetCorrupt(
            f"{file}: chunk {wrong[0]} (bytes {wrong[0] * CHUNK_BYTES} ff.) is not what the"
            f" manifest says, {len(wrong)} wrong of {len(manifest.get_chunks(split))}; {_HINT}"
        )
    return stream


_HINT = "remove the folder to have it packed or fetched again"


def _map(path: Path) -> Stream:
    return np.memmap(path, np.uint8, "r")
