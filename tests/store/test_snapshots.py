"""Snapshots: the same bytes everywhere, restored to the same app hash; hostile ones refused."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.store.snapshots import (
    ChunkWrong,
    Manifest,
    SnapshotImport,
    SnapshotInvalid,
    iterate_chunks,
    list_snapshots,
    read_chunk,
    remove_old,
    write_snapshot,
)
from node.store.state import StateStore

CHUNK = 500


def fill(store: StateStore, num_versions: int = 5) -> None:
    """Commit versions with changes and deletions in three stores, one of them empty."""
    source = random.Random(3)
    for version in range(1, num_versions + 1):
        changes = {
            name: {
                b"\x01" + source.randbytes(source.randrange(1, 9)): (
                    None if source.random() < 0.2 else source.randbytes(source.randrange(0, 60))
                )
                for _ in range(30)
            }
            for name in ("bank", "staking")
        }
        store.stage(version, {**changes, "empty": {}})
        store.commit()


@pytest.fixture
def source(tmp_path: Path) -> StateStore:
    store = StateStore.open(tmp_path / "source")
    fill(store)
    return store


def take(manifest: Manifest, chunks: list[bytes]) -> SnapshotImport:
    taken = SnapshotImport(manifest)
    for index, chunk in enumerate(chunks):
        taken.add(index, chunk)
    return taken


def test_restore_gives_the_same_app_hash(source: StateStore, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    with source.view(4) as view:
        written = write_snapshot(view, folder, CHUNK)
    (manifest,) = list_snapshots(folder)
    assert manifest == written
    assert len(manifest.chunk_hashes) > 3
    chunks = [read_chunk(folder, 4, index) for index in range(len(manifest.chunk_hashes))]
    taken = take(manifest, chunks)
    assert taken.is_complete
    with source.view(4) as view, StateStore.open(tmp_path / "target") as target:
        assert target.stage(4, taken.changes) == view.app_hash
        target.commit()
        assert target.version == target.oldest_version == 4
        assert list(target.export()) == list(view.export())
        # The next version follows on both alike.
        changes = {"bank": {b"\x01new": b"1"}}
        assert target.stage(5, changes)
    source.close()


def test_same_bytes_from_another_history(source: StateStore, tmp_path: Path) -> None:
    with source.view() as view, StateStore.open(tmp_path / "other") as other:
        changes: dict[str, dict[bytes, bytes]] = {"empty": {}, "bank": {}, "staking": {}}
        for store, key, value in view.export():
            changes[store][key] = value
        other.stage(view.version, changes)
        other.commit()
        with other.view() as twin:
            assert list(iterate_chunks(twin, CHUNK)) == list(iterate_chunks(view, CHUNK))
    source.close()


def test_old_ones_are_removed(source: StateStore, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    for version in (1, 2, 3, 4, 5):
        with source.view(version) as view:
            write_snapshot(view, folder, CHUNK)
    remove_old(folder, 2, 60.0)
    assert len(list_snapshots(folder)) == 5
    remove_old(folder, 2, 0.0)
    assert [item.height for item in list_snapshots(folder)] == [5, 4]
    assert read_chunk(folder, 1, 0) == b""
    source.close()


def test_chunk_of_another(source: StateStore) -> None:
    with source.view() as view:
        chunks = list(iterate_chunks(view, CHUNK))
    manifest = make_manifest(chunks)
    taken = SnapshotImport(manifest)
    for wrong in (b"", chunks[1], chunks[0] + b"x", chunks[0][:-1]):
        with pytest.raises(ChunkWrong):
            taken.add(0, wrong)
    taken.add(0, chunks[0])
    with pytest.raises(SnapshotInvalid):
        taken.add(0, chunks[0])
    source.close()


def make_manifest(chunks: list[bytes]) -> Manifest:
    from hashlib import sha256

    return Manifest(5, tuple(sha256(chunk).digest() for chunk in chunks))


@pytest.mark.parametrize("what", ["cut", "reordered", "unannounced", "name", "marked", "twice"])
def test_hostile_snapshot(source: StateStore, what: str) -> None:
    """The hashes fit, because the sender made them; the content is nonsense."""
    with source.view() as view:
        chunks = list(iterate_chunks(view, CHUNK))
    source.close()
    hostile = {
        "cut": [*chunks[:-1], chunks[-1][:-3]],
        "reordered": [chunks[0], *reversed(chunks[1:])],
        "unannounced": [b"\x01z\0\0\0\x01k\0\0\0\x01v"],
        "name": [b"\0\0\0\0\0\0\0\0\0"],
        "marked": [b"\x01z\0\0\0\0\0\0\0\x01v"],
        "twice": [chunks[0], chunks[0]],
    }[what]
    with pytest.raises(SnapshotInvalid):
        take(make_manifest(hostile), hostile)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    manifest = make_manifest([data])
    with contextlib.suppress(SnapshotInvalid):
        take(manifest, [data])


def test_invalid_offers(source: StateStore) -> None:
    with source.view() as view:
        manifest = make_manifest(list(iterate_chunks(view, CHUNK)))
    source.close()
    num, name, metadata = len(manifest.chunk_hashes), manifest.snapshot_hash, manifest.metadata
    assert Manifest.parse(5, num, name, metadata) == manifest
    offers = [
        (num + 1, name, metadata),
        (0, name, b""),
        (num, bytes(32), metadata),
        (num, name, metadata[:-1]),
        (num, name, bytes(len(metadata))),
        (2**31, name, metadata),
    ]
    for offer in offers:
        with pytest.raises(SnapshotInvalid):
            Manifest.parse(5, *offer)
