"""`descent node keys|export|snapshot|rollback|prune`, `debug diff`: folders of stopped nodes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from genesis.devnet import get_account, init_devnet_home
from node.chain import build_chain
from node.engine.blockstore import BlockStore
from node.engine.keys import load_node_id, load_validator_key
from node.engine.process import open_engine
from node.process import load_extender
from node.runtime.context import BlockInfo, Context
from node.runtime.state import Overlay
from node.store.state import StateStore
from node.upkeep.home import measure_disk
from tests.support.devnet_node import GENESIS_TIME_NS, ROOT
from tests.support.typed import Typed

SEED = b"\x07" * 32
NUM_BLOCKS = 8


def make_blocks(home: Path, num_blocks: int) -> dict[int, bytes]:
    """Go on with a chain; returns the app hash of every height it went through."""
    hashes = {}
    with open_engine(home, extend=load_extender(home)) as engine:
        hashes[engine.state.height] = engine.state.app_hash
        for _ in range(num_blocks):
            engine.step()
            hashes[engine.state.height] = engine.state.app_hash
    return hashes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    init_devnet_home(home, time_ns=GENESIS_TIME_NS, onion_seed=SEED)
    make_blocks(home, NUM_BLOCKS)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


def get_header_hash(home: Path, height: int) -> bytes:
    """The app hash after a block, as the next block's header says."""
    with BlockStore.open(home / "data" / "blocks", readonly=True) as blocks:
        return bytes(blocks.load_block(height + 1).header.app_hash)  # type: ignore[union-attr]


def test_keys(home: Path, typed: Typed) -> None:
    found = typed(home, "node", "keys")
    config = home / "config"
    assert found["node_id"] == load_node_id(config / "node_key.json")
    key = load_validator_key(config / "priv_validator_key.json")
    assert found["consensus_key"] == key.public_key.hex()
    assert found["consensus_address"].startswith("descentvalcons1")
    assert found["operator"].startswith("descentvaloper1")
    assert len(found["anchor"]) == 64
    error = typed(home / "nowhere", "node", "keys", code=1)
    assert "`descent node init` makes it" in error["message"]


def test_app_hash__offline(home: Path, typed: Typed) -> None:
    """What a node that stopped has can still be compared."""
    newest = typed(home, "node", "debug", "app-hash", "--offline")
    assert newest == {"height": NUM_BLOCKS, "app_hash": get_state(home).hex()}
    old = typed(home, "node", "debug", "app-hash", "--offline", "--height", "3")
    assert old["app_hash"] == get_header_hash(home, 3).hex()
    typed(home, "node", "debug", "app-hash", "--offline", "--height", "99", code=1)
    typed(home / "none", "node", "debug", "app-hash", "--offline", code=1)


# Rollback


def test_rollback(home: Path, typed: Typed) -> None:
    done = typed(home, "node", "rollback")
    assert done == {
        "height": NUM_BLOCKS - 1,
        "app_hash": get_header_hash(home, NUM_BLOCKS - 1).hex(),
    }
    # The block is executed again, to the same state, and the chain goes on.
    hashes = make_blocks(home, 2)
    assert sorted(hashes) == [NUM_BLOCKS, NUM_BLOCKS + 1, NUM_BLOCKS + 2]
    assert hashes[NUM_BLOCKS] == get_header_hash(home, NUM_BLOCKS)
    typed(home, "node", "debug", "invariants")


def test_rollback__several_and_hard(home: Path, typed: Typed) -> None:
    for height in (7, 6, 5):
        assert typed(home, "node", "rollback")["height"] == height
    assert typed(home, "node", "rollback", "--hard")["height"] == 4
    with BlockStore.open(home / "data" / "blocks", readonly=True) as blocks:
        assert (blocks.height, blocks.block_height) == (4, 4)
        state = blocks.load_state()
    assert state is not None
    assert (state.height, state.app_hash) == (4, get_state(home))
    assert sorted(make_blocks(home, 3)) == [4, 5, 6, 7]


def get_state(home: Path) -> bytes:
    """The app hash of the newest state."""
    with StateStore.open(home / "data" / "state", readonly=True) as store:
        return store.app_hash


def test_rollback__killed_in_between(home: Path, typed: Typed) -> None:
    """The application is back already, the engine is not: starting replays."""
    with StateStore.open(home / "data" / "state") as store:
        assert store.rollback() == NUM_BLOCKS - 1
    assert typed(home, "node", "rollback")["height"] == NUM_BLOCKS - 1
    with StateStore.open(home / "data" / "state") as store:
        store.rollback()
    assert min(make_blocks(home, 1)) == NUM_BLOCKS


def test_rollback_to_the_start_is_refused(home: Path, typed: Typed) -> None:
    for _ in range(NUM_BLOCKS - 1):
        typed(home, "node", "rollback", "--hard")
    assert "is not kept" in typed(home, "node", "rollback", code=1)["message"]
    assert sorted(make_blocks(home, 1)) == [1, 2]


def test_killed_at_random_moments(home: Path) -> None:
    """Whatever a kill cut short, the node starts and no committed block is lost."""
    random.seed(3)
    commands = (["rollback"], ["prune", "--keep", "4"], ["snapshot", "create"])
    for index in range(6):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "node", *commands[index % 3]),
                *("--home", str(home)),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.2, 1.2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        hashes = make_blocks(home, 1)
        assert max(hashes) == NUM_BLOCKS + 1 + index
    assert run(["node", "debug", "invariants", "--home", str(home)]) == 0


@pytest.mark.parametrize(
    "words",
    [["rollback"], ["prune", "--keep", "2"], ["snapshot", "restore", "3", "--app-hash", "00"]],
    ids=lambda words: words[0],
)
def test_invalid_while_the_node_runs(home: Path, typed: Typed, words: list[str]) -> None:
    typed(home, "node", "snapshot", "create", "--height", "3")
    with open_engine(home, extend=load_extender(home)) as engine:
        error = typed(home, "node", *words, code=1)
        assert "is running: stop it first" in error["message"]
        engine.step()
    assert min(make_blocks(home, 1)) == NUM_BLOCKS + 1


@pytest.mark.parametrize("words", [["rollback"], ["prune", "--keep", "2"], ["export"]])
def test_invalid_no_data(tmp_path: Path, typed: Typed, words: list[str]) -> None:
    error = typed(tmp_path, "node", *words, code=1)
    assert "holds no chain data" in error["message"]
    assert list(tmp_path.iterdir()) == []


# Pruning


def test_prune(home: Path, typed: Typed) -> None:
    before = get_state(home)
    done = typed(home, "node", "prune", "--keep", "3")
    assert (done["oldest_height"], done["newest_height"]) == (NUM_BLOCKS - 2, NUM_BLOCKS)
    assert done["removed_records"] > 0
    assert done["removed_blocks"] == NUM_BLOCKS - 3
    assert done["after_bytes"] < done["before_bytes"]
    assert get_state(home) == before
    assert not list(home.glob("data/*/compact.tmp"))
    typed(home, "node", "debug", "invariants", "--height", str(NUM_BLOCKS - 2))
    typed(home, "node", "debug", "invariants", "--height", "2", code=1)
    assert typed(home, "node", "rollback")["height"] == NUM_BLOCKS - 1
    make_blocks(home, 2)
    assert "too small" in typed(home, "node", "prune", "--keep", "1", code=1)["message"]


# Snapshots


def test_snapshot(home: Path, typed: Typed, tmp_path: Path) -> None:
    assert typed(home, "node", "snapshot", "list") == []
    made = typed(home, "node", "snapshot", "create", "--height", "5")
    assert (made["height"], made["num_chunks"]) == (5, 1)
    assert made["app_hash"] == get_header_hash(home, 5).hex()
    other = typed(home, "node", "snapshot", "create", "--to", str(tmp_path / "elsewhere"))
    assert other["height"] == NUM_BLOCKS
    assert typed(home, "node", "snapshot", "list") == [made]
    whole = get_state(home)
    (home / "data" / "state" / "data.mdb").write_bytes(b"\x5a" * 50_000)
    assert typed(home, "node", "snapshot", "restore", "5") == made
    assert get_state(home).hex() == made["app_hash"]
    # The engine replays the blocks after it.
    hashes = make_blocks(home, 1)
    assert hashes[NUM_BLOCKS] == whole
    typed(home, "node", "snapshot", "restore", other["folder"])
    make_blocks(home, 1)
    typed(home, "node", "debug", "invariants")


def test_snapshot__restore_is_verified(home: Path, typed: Typed, tmp_path: Path) -> None:
    made = typed(home, "node", "snapshot", "create", "--height", "5")
    before = get_state(home)
    chunk = Path(made["folder"]) / "0"
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes((good[-1] ^ 1,)))
    error = typed(home, "node", "snapshot", "restore", "5", code=1)
    assert "not the one the snapshot names" in error["message"]
    chunk.unlink()
    assert (
        "chunk 0 is missing" in typed(home, "node", "snapshot", "restore", "5", code=1)["message"]
    )
    chunk.write_bytes(good)
    wrong = ("--app-hash", "00" * 32)
    error = typed(home, "node", "snapshot", "restore", "5", *wrong, code=1)
    assert "is not that of the chain" in error["message"]
    assert "holds no snapshot" in typed(home, "node", "snapshot", "restore", "6", code=1)["message"]
    # Another state under this height's number.
    forged = Path(made["folder"]).with_name("6")
    Path(made["folder"]).rename(forged)
    manifest = json.loads((forged / "manifest.json").read_text()) | {"height": 6}
    (forged / "manifest.json").write_text(json.dumps(manifest))
    error = typed(home, "node", "snapshot", "restore", "6", code=1)
    assert "nothing was changed" in error["message"]
    assert get_state(home) == before
    empty = tmp_path / "empty"
    error = typed(empty, "node", "snapshot", "restore", str(forged), code=1)
    assert "--app-hash" in error["message"]
    assert min(make_blocks(home, 1)) == NUM_BLOCKS


# Export


def read_balances(home: Path) -> dict[str, int]:
    """Every devnet account's coins at the newest height."""
    chain = build_chain()
    with StateStore.open(home / "data" / "state", readonly=True) as store:
        ctx = Context(Overlay(store), BlockInfo("", 0, 0))
        names = ("faucet", "owner", "miner-0", "validator-3")
        return {name: chain.bank.get_balance(ctx, get_account(name).addr) for name in names}


def test_export(home: Path, typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "genesis.json"
    written = typed(home, "node", "export", "--out", str(file), "--chain-id", "descent-two-1")
    assert (written["chain_id"], written["initial_height"]) == ("descent-two-1", NUM_BLOCKS + 1)
    checked = typed(home, "genesis", "validate", str(file))
    assert checked["genesis_hash"] == written["genesis_hash"]
    assert checked["num_validators"] == 1
    # The operator starts the new chain with the old keys.
    other = tmp_path / "other"
    shutil.copytree(home / "config", other / "config")
    shutil.copy(file, other / "config" / "genesis.json")
    hashes = make_blocks(other, 1)
    assert sorted(hashes) == [NUM_BLOCKS, NUM_BLOCKS + 1]
    before, after = read_balances(home), read_balances(other)
    assert after == before
    again = typed(other, "node", "export", "--out", str(tmp_path / "again.json"))
    assert again["chain_id"] == "descent-two-1"
    typed(other, "genesis", "validate", str(tmp_path / "again.json"))


def test_export__height(home: Path, typed: Typed) -> None:
    document = typed(home, "node", "export", "--height", "3")
    assert document["initial_height"] == "4"
    assert "is not kept" in typed(home, "node", "export", "--height", "99", code=1)["message"]


# The disk


def test_disk_while_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CometBFT's do while it runs: one is gone between listing the folder and looking at it."""
    for name in ("kept", "gone"):
        (tmp_path / name).write_bytes(bytes(10_000))
    look = os.stat

    def look_too_late(path: Any, **options: Any) -> os.stat_result:
        if os.fspath(path).endswith("gone") and not options.get("follow_symlinks", True):
            raise FileNotFoundError(path)
        return look(path, **options)

    whole = measure_disk(tmp_path)
    monkeypatch.setattr(os, "stat", look_too_late)
    assert 0 < measure_disk(tmp_path) < whole
    assert measure_disk(tmp_path / "absent") == 0


# Differences


def test_diff(home: Path, typed: Typed, tmp_path: Path, capsys: Any) -> None:
    other = Path(shutil.copytree(home, tmp_path / "other"))
    same = typed(home, "node", "debug", "diff", str(home), str(other))
    assert (same["height"], same["is_equal"]) == (NUM_BLOCKS, True)
    chain, owner = build_chain(), get_account("owner")
    for folder, amount in ((home, 3), (other, 5)):
        with StateStore.open(folder / "data" / "state") as store:
            state = Overlay(store)
            ctx = Context(state, BlockInfo("", NUM_BLOCKS + 1, 0))
            chain.bank.mint(ctx, owner.addr, amount)
            store.stage(NUM_BLOCKS + 1, state.changes)
            store.commit()
    error = typed(home, "node", "debug", "diff", str(home), str(other), code=4)
    message = error["message"]
    assert f"states of height {NUM_BLOCKS + 1} differ in bank" in message
    assert "first in bank.supply" in message
    flags = ("--height", str(NUM_BLOCKS))
    assert typed(home, "node", "debug", "diff", str(home), str(other), *flags)["is_equal"]
    typed(home, "node", "debug", "diff", str(home), str(tmp_path / "none"), code=1)
