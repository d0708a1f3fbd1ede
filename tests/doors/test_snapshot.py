"""A snapshot shows the same heights while the node commits and prunes."""

from pathlib import Path

from node.doors.snapshot import Snapshot
from node.store.state import StateStore


def commit(store: StateStore, version: int, value: bytes) -> None:
    store.stage(version, {"bank": {b"k": value}})
    store.commit(keep_recent=2)


def test_snapshot_stays_while_the_writer_goes_on(tmp_path: Path) -> None:
    with StateStore.open(tmp_path) as writer:
        commit(writer, 1, b"one")
        commit(writer, 2, b"two")
        with StateStore.open(tmp_path, readonly=True) as reader, Snapshot(reader) as snapshot:
            assert snapshot.get("bank", b"k", 1) == b"one"
            for version in range(3, 8):
                commit(writer, version, str(version).encode())
            assert (snapshot.oldest_version, snapshot.version) == (1, 2)
            assert snapshot.get("bank", b"k") == snapshot.get("bank", b"k", 2) == b"two"
            assert list(snapshot.iterate("bank", version=1)) == [(b"k", b"one")]
            proof = snapshot.prove("bank", b"k", 2)
            assert proof is not None
            with Snapshot(reader) as newer:
                assert newer.get("bank", b"k") == b"7"
                assert newer.app_hash == writer.app_hash
