"""The blob store: addresses, damage, full disk, garbage."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from chain_client.blob import store as store_module
from chain_client.blob.address import KIND_BLOB, KIND_MANIFEST, KIND_STATE, KIND_TRACE, make_target
from chain_client.blob.errors import (
    BlobCorrupt,
    BlobHashMismatch,
    BlobNotFound,
    BlobUnwritable,
    InvalidAddress,
)
from chain_client.blob.store import BlobStore
from exact.addresses import ADDRESS_FUNCTIONS, DatasetSource
from exact.data.corpus import SourceFile
from exact.data.pack import build_dataset
from exact.state import compute_state_root, compute_trace_root, serialise

DATA = b"some bytes" * 1000


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", ADDRESS_FUNCTIONS)


def find_file(store: BlobStore, address: bytes) -> Path:
    return next(store.directory.rglob(address.hex()))


def test_put_and_read(store: BlobStore) -> None:
    address = store.put(DATA)
    assert address == hashlib.sha256(DATA).digest()
    assert store.has(KIND_BLOB, address)
    assert store.read(KIND_BLOB, address) == DATA
    assert BlobStore(store.directory).read(KIND_BLOB, address) == DATA
    store.remove(KIND_BLOB, address)
    store.remove(KIND_BLOB, address)
    with pytest.raises(BlobNotFound, match=f"no blob {address.hex()}"):
        store.read(KIND_BLOB, address)


def test_empty_blob(store: BlobStore) -> None:
    assert store.read(KIND_BLOB, store.put(b"")) == b""


def test_states_traces_and_manifests(store: BlobStore, tmp_path: Path) -> None:
    state = {"param/a": np.arange(5000, dtype=np.float32)}
    root = store.put(serialise(state), KIND_STATE)
    assert root == compute_state_root(state)
    assert store.read(KIND_STATE, root) == serialise(state)
    roots = [hashlib.sha256(bytes([i])).digest() for i in range(3)]
    assert store.put(b"".join(roots), KIND_TRACE) == compute_trace_root(roots)
    files = [SourceFile(name, tmp_path / name) for name in "ab"]
    for file in files:
        file.location.write_text(file.path)
    dataset = build_dataset(files, tmp_path / "packs")
    assert store.put(dataset.manifest.to_bytes(), KIND_MANIFEST) == dataset.root
    source = DatasetSource(dataset)
    found = source.find(KIND_MANIFEST, dataset.root)
    assert found is not None
    assert bytes(found) == dataset.manifest.to_bytes()
    chunk = source.find(KIND_BLOB, dataset.manifest.train_chunks[0])
    assert chunk is not None
    assert bytes(chunk) == dataset.train.tobytes()
    assert source.find(KIND_BLOB, dataset.root) is None
    assert source.find(KIND_STATE, dataset.root) is None


@pytest.mark.parametrize("kind", [KIND_STATE, KIND_TRACE, KIND_MANIFEST])
@pytest.mark.parametrize("data", [b"", b"x", b"{}" * 40, b"\xff" * 65])
def test_invalid_bytes_of_a_kind(store: BlobStore, kind: int, data: bytes) -> None:
    with pytest.raises(InvalidAddress, match="are no"):
        store.put(data, kind)


def test_invalid_address(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidAddress, match="unknown kind of address 9"):
        store.read(9, bytes(32))
    with pytest.raises(InvalidAddress, match="31 bytes"):
        store.has(KIND_BLOB, bytes(31))
    with pytest.raises(InvalidAddress, match="cannot check state"):
        BlobStore(tmp_path / "plain").put(b"", KIND_STATE)


def test_corrupt_file_is_removed_and_named(store: BlobStore) -> None:
    address = store.put(DATA)
    path = find_file(store, address)
    store.read(KIND_BLOB, address)
    path.write_bytes(b"X" + DATA[1:])
    os.utime(path, ns=(1, 1))
    with pytest.raises(BlobCorrupt, match=f"{address.hex()} does not have its address"):
        store.read(KIND_BLOB, address)
    assert not path.exists()
    with pytest.raises(BlobNotFound):
        store.read(KIND_BLOB, address)
    store.put(DATA)
    assert store.read(KIND_BLOB, address) == DATA


def test_truncated_file_is_removed(store: BlobStore) -> None:
    address = store.put(DATA)
    os.truncate(find_file(store, address), 17)
    assert store.find(KIND_BLOB, address) is None
    assert not store.has(KIND_BLOB, address)


def test_a_file_is_checked_once(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    address = store.put(DATA)
    fresh = BlobStore(store.directory)
    fresh.read(KIND_BLOB, address)
    monkeypatch.setattr(fresh, "compute_address", lambda *_: pytest.fail("checked again"))
    fresh.read(KIND_BLOB, address)


def test_adopt_refuses_other_bytes(store: BlobStore) -> None:
    partial = store.get_partial_path(KIND_BLOB, bytes(32))
    partial.write_bytes(DATA)
    with pytest.raises(BlobHashMismatch, match="not 0000"):
        store.adopt(partial, KIND_BLOB, bytes(32))
    assert not partial.exists()


def test_full_disk(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "sync_path", fail)
    with pytest.raises(BlobUnwritable, match="No space left on device; make room"):
        store.put(DATA)
    assert not list((store.directory / "partial").iterdir())
    monkeypatch.undo()
    assert store.read(KIND_BLOB, store.put(DATA)) == DATA


def test_unwritable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobUnwritable, match="cannot make"):
        BlobStore(tmp_path / "file" / "blobs")


def test_garbage_by_age_size_and_keep_set(store: BlobStore) -> None:
    addresses = [store.put(bytes([i]) * 1000) for i in range(10)]
    for i, address in enumerate(addresses):
        os.utime(find_file(store, address), (1000 + i, 1000 + i))
    keep = [(KIND_BLOB, addresses[0]), (KIND_BLOB, addresses[5])]
    result = store.collect_garbage(keep, now_s=1010, max_age_s=7, max_bytes=10**9)
    assert (result.num_removed, result.bytes_removed, result.bytes_left) == (2, 2000, 8000)
    left = [i for i in range(10) if store.has(KIND_BLOB, addresses[i])]
    assert left == [0, 3, 4, 5, 6, 7, 8, 9]
    store.collect_garbage(keep, now_s=1010, max_age_s=100, max_bytes=4000)
    assert [i for i in range(10) if store.has(KIND_BLOB, addresses[i])] == [0, 5, 8, 9]
    store.collect_garbage(keep, now_s=1010, max_age_s=100, max_bytes=0)
    assert [i for i in range(10) if store.has(KIND_BLOB, addresses[i])] == [0, 5]


def test_garbage_leaves_a_fetch_under_way(store: BlobStore) -> None:
    partial = store.get_partial_path(KIND_BLOB, bytes(32))
    partial.write_bytes(DATA)
    os.utime(partial, (1000, 1000))
    store.collect_garbage([], now_s=1001, max_age_s=10, max_bytes=0)
    assert partial.exists()
    store.collect_garbage([], now_s=1020, max_age_s=10, max_bytes=10**9)
    assert not partial.exists()


def test_putting_again_renews_the_age(store: BlobStore) -> None:
    address = store.put(DATA)
    os.utime(find_file(store, address), (1000, 1000))
    store.put(DATA)
    assert find_file(store, address).stat().st_mtime > 2000


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9300", "miner.example:1", "[::1]:65535"])
def test_endpoint(endpoint: str) -> None:
    assert make_target(endpoint) == f"dns:///{endpoint}"


@pytest.mark.parametrize(
    "endpoint",
    ["", "host", "host:0", "host:65536", "host:x", "unix:/tmp/s", "unix:///s:1", "a b:1", "h:1\n"],
)
def test_invalid_endpoint(endpoint: str) -> None:
    with pytest.raises(InvalidAddress, match="is not host:port"):
        make_target(endpoint)
