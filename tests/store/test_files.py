"""What can happen to the files: crash, damage, full disk, two writers, readers beside them."""

import gc
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.store.environment import NUM_READERS_MAX
from node.store.errors import (
    KeyTooLong,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreMissing,
    StoreMisuse,
)
from node.store.state import StateStore

WRITER = """
import sys
from node.store.state import StateStore
with StateStore.open(sys.argv[1]) as store:
    while True:
        version = store.version + 1
        changes = {b"%d" % (version * i % 997): b"%d" % version for i in range(300)}
        app_hash = store.stage(version, {"bank": changes, "runs": {b"h": b"%d" % version}})
        store.metadata["hash"] = app_hash
        store.commit(keep_recent=5)
        print(version, app_hash.hex(), flush=True)
"""


def write_blocks(path: Path, num_blocks: int) -> list[bytes]:
    app_hashes = []
    with StateStore.open(path) as store:
        for version in range(1, num_blocks + 1):
            changes = {b"%d" % (version * i % 997): b"%d" % version for i in range(300)}
            block = {"bank": changes, "runs": {b"h": b"%d" % version}}
            app_hashes.append(store.stage(version, block))
            store.commit()
    return app_hashes


def test_kill_at_any_moment(tmp_path: Path) -> None:
    """A killed writer leaves whole blocks, and goes on with the same app hashes."""
    chance = random.Random(7)
    seen: dict[int, str] = {}
    for _ in range(6):
        args = [sys.executable, "-c", WRITER, str(tmp_path / "a")]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(1, 6)):
                version, app_hash = writer.stdout.readline().split()
                assert seen.setdefault(int(version), app_hash) == app_hash
            os.kill(writer.pid, signal.SIGKILL)
        with StateStore.open(tmp_path / "a", readonly=True) as store:
            assert store.version in (max(seen), max(seen) + 1)
            assert store.metadata["hash"] == store.app_hash
            assert store.get("runs", b"h") == b"%d" % store.version
            # A commit whose line nobody read before the kill is as good as any other.
            left = store.app_hash.hex()
            assert seen.setdefault(store.version, left) == left
    undisturbed = write_blocks(tmp_path / "b", max(seen))
    assert seen == {version: undisturbed[version - 1].hex() for version in seen}


def test_reader_process_follows(tmp_path: Path) -> None:
    """A reader in another process sees every commit, also after the map has grown."""
    code = (
        "import sys\nfrom node.store.state import StateStore\n"
        "store = StateStore.open(sys.argv[1], readonly=True)\n"
        "for line in sys.stdin:\n"
        "    print(store.version, store.app_hash.hex(), len(list(store.iterate('bank'))),"
        " flush=True)\n"
    )
    with StateStore.open(tmp_path, map_size=1 << 18) as store:
        store.stage(1, {"bank": {b"a": b"1"}})
        store.commit()
        args = [sys.executable, "-c", code, str(tmp_path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(args, stdin=pipe, stdout=pipe, text=True) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for version in range(2, 12):
                changes = {b"%d" % i: bytes(100) for i in range(version * 200)}
                store.stage(version, {"bank": changes})
                store.commit()
                reader.stdin.write("\n")
                reader.stdin.flush()
                expected = f"{version} {store.app_hash.hex()} {version * 200 + 1}\n"
                assert reader.stdout.readline() == expected
            reader.stdin.close()
        assert store._database.env.info()["map_size"] > 1 << 18


def test_invalid_second_writer(tmp_path: Path) -> None:
    code = "import sys; from node.store.state import StateStore; StateStore.open(sys.argv[1])"
    with StateStore.open(tmp_path):
        args = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert "another process is writing" in done.stderr
    StateStore.open(tmp_path).close()


def test_invalid_reader_before_first_start(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="start the node first"):
        StateStore.open(tmp_path / "nothing", readonly=True)


def test_invalid_truncated(tmp_path: Path) -> None:
    write_blocks(tmp_path, 5)
    data = tmp_path / "data.mdb"
    size = data.stat().st_size
    for kept in (size * 3 // 4, size // 2, 8192, 100):
        os.truncate(data, kept)
        with pytest.raises(StoreCorrupt, match="restore the data folder from a backup"):
            StateStore.open(tmp_path)


def test_invalid_overwritten_with_noise(tmp_path: Path) -> None:
    write_blocks(tmp_path, 2)
    (tmp_path / "data.mdb").write_bytes(random.Random(1).randbytes(40960))
    with pytest.raises(StoreCorrupt, match="restore the data folder from a backup"):
        StateStore.open(tmp_path)


def test_invalid_damaged_node(tmp_path: Path) -> None:
    """A tree node with one bit flipped is noticed by the first block that passes it."""
    write_blocks(tmp_path, 2)
    with StateStore.open(tmp_path) as store:
        database = store._database
        with database.begin(write=True) as txn:
            cursor = txn.cursor(db=database.tables[b"nodes"])
            for key, value in cursor:
                if key.startswith((2).to_bytes(8, "big")) and len(value) > 200:
                    cursor.put(key, value[:-1] + bytes([value[-1] ^ 1]))
                    break
    with StateStore.open(tmp_path) as store, pytest.raises(StoreCorrupt, match="restore the data"):
        store.stage(3, {"bank": {b"%d" % i: b"x" for i in range(997)}})


def test_full_disk(tmp_path: Path) -> None:
    """With no room for a block the store says so, keeps the block before, and later goes on."""
    expected = write_blocks(tmp_path / "b", 12)
    code = f"""
import resource, sys
from node.store.errors import StoreFull
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    exec({WRITER!r})
except StoreFull as error:
    print(error)
"""
    args = [sys.executable, "-c", code, str(tmp_path / "a"), str(400 << 10)]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    *blocks, message = done.stdout.splitlines()
    assert "no room left on the disk" in message
    assert "make room and start the node again" in message
    assert 0 < len(blocks) < 12
    with StateStore.open(tmp_path / "a") as store:
        assert store.version == len(blocks)
        for version in range(store.version + 1, 13):
            changes = {b"%d" % (version * i % 997): b"%d" % version for i in range(300)}
            store.stage(version, {"bank": changes, "runs": {b"h": b"%d" % version}})
            store.commit()
            assert store.app_hash == expected[version - 1]


def test_commit_again_after_full_disk(tmp_path: Path) -> None:
    with StateStore.open(tmp_path) as store:
        store.stage(1, {"bank": {b"a": b"1"}})
        store.commit()
        app_hash = store.stage(2, {"bank": {b"%d" % i: bytes(500) for i in range(3000)}})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 10, hard))
        try:
            with pytest.raises(StoreFull):
                store.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.version == 1
        store.commit()
        assert (store.version, store.app_hash) == (2, app_hash)


def test_invalid_misuse(tmp_path: Path) -> None:
    with StateStore.open(tmp_path) as store:
        with pytest.raises(StoreMisuse, match="nothing is staged"):
            store.commit()
        store.stage(0, {"bank": {b"a": b"genesis"}})
        store.stage(5, {"bank": {b"a": b"1"}})
        store.commit()
        for version in (5, 7):
            with pytest.raises(StoreMisuse, match="cannot follow"):
                store.stage(version, {})
        with pytest.raises(KeyTooLong):
            store.stage(6, {"bank": {bytes(300): b""}})
        with pytest.raises(StoreMisuse, match="store name"):
            store.stage(6, {"": {}})
        with pytest.raises(StoreMisuse, match="keep_recent"):
            store.prune(0)
        with StateStore.open(tmp_path, readonly=True) as reader:
            assert reader.get("bank", b"a") == b"1"
            for long in (b"a" * 600, bytes(300), b"\xff" * 5_000):
                assert reader.get("bank", long) is None
                assert not list(reader.iterate("bank", long))
                assert not list(reader.iterate("bank", b"z", long))
                assert len(list(reader.iterate("bank", b"", long, reverse=True))) <= 1
            with pytest.raises(StoreMisuse, match="reading only"):
                reader.stage(6, {})
    with StateStore.open(tmp_path, readonly=True), pytest.raises(StoreBusy):
        StateStore.open(tmp_path)


def test_closed_views_leave_no_readers(tmp_path: Path) -> None:
    """More views than LMDB has places for readers, with nobody collecting cycles."""
    with StateStore.open(tmp_path) as store:
        store.stage(1, {"bank": {b"a": b"1"}})
        store.commit()
        gc.collect()
        gc.disable()
        try:
            for _ in range(NUM_READERS_MAX + 200):
                with store.view() as view:
                    assert view.get("bank", b"a") == b"1"
                    view.prove("bank", b"a")
        finally:
            gc.enable()


def test_invalid_damaged_node__any_byte(tmp_path: Path) -> None:
    """Damage anywhere in the nodes is noticed, or was in nothing that the block needed."""
    write_blocks(tmp_path, 2)
    changes = {"bank": {b"%d" % i: b"x" for i in range(0, 997, 7)}}
    with StateStore.open(tmp_path) as store:
        expected = store.stage(3, changes)
        table = store._database.tables[b"nodes"]
        with store._database.begin() as txn:
            nodes = list(txn.cursor(db=table))
    chance, num_noticed = random.Random(7), 0
    for _ in range(80):
        key, value = chance.choice(nodes)
        at, flip = chance.randrange(len(value)), 1 << chance.randrange(8)
        put_node(tmp_path, key, value[:at] + bytes([value[at] ^ flip]) + value[at + 1 :])
        with StateStore.open(tmp_path) as store:
            try:
                assert store.stage(3, changes) == expected
            except StoreCorrupt:
                num_noticed += 1
        put_node(tmp_path, key, value)
    assert num_noticed > 20


def put_node(path: Path, key: bytes, value: bytes) -> None:
    """Overwrite the bytes of a tree node."""
    with StateStore.open(path) as store, store._database.begin(write=True) as txn:
        txn.put(key, value, db=store._database.tables[b"nodes"])
