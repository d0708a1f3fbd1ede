"""The commands on a node's folder where CometBFT orders blocks: what starts again afterwards."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_client.keys import Key, Keyring
from genesis.devnet import get_account
from node.doors.supervisor import GRPC_PORT, RPC_PORT
from tests.support.comet_network import ROOT, CometNetwork, needs_cometbft
from tests.support.typed import Typed

pytestmark = needs_cometbft


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    with CometNetwork(tmp_path_factory.mktemp("comet")) as network:
        network.start_all()
        network.wait_until_ready()
        network.wait_for_height(6)
        yield network


@pytest.fixture
def stopped(network: CometNetwork) -> Iterator[Path]:
    """The home of the node, stopped; it goes on afterwards, from where it was or further."""
    height = network.get_height()
    assert network.stop() == 0
    yield network.homes[0]
    network.start()
    network.wait_for_height(height + 3)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


def test_status(network: CometNetwork, typed: Typed) -> None:
    node = f"127.0.0.1:{network.get_port(GRPC_PORT)}"
    found = typed(network.homes[0], "node", "status", "--node", node)
    assert found["rpc"] == f"127.0.0.1:{network.get_port(RPC_PORT)}"
    assert (found["is_catching_up"], found["num_peers"]) == (False, 0)
    assert found["disk"]["engine_bytes"] > 0
    assert "stop it first" in typed(network.homes[0], "node", "rollback", code=1)["message"]


def test_rollback(stopped: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """CometBFT keeps the block, so rolling back again names the same height."""
    monkeypatch.chdir(stopped.parent)
    first = typed(Path(stopped.name), "node", "rollback")
    assert typed(stopped, "node", "rollback") == first
    exported = typed(stopped, "node", "export")
    assert int(exported["initial_height"]) == first["height"] + 1


def test_rollback__killed(stopped: Path, typed: Typed) -> None:
    """At moments of its work; the node starts afterwards and no block is lost."""
    chance = random.Random(5)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "node", "rollback", "--home", str(stopped)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.5, 2.0))
        process.kill()
        process.wait(10)
    typed(stopped, "node", "debug", "invariants")


def test_invalid_rollback__hard_and_alone(stopped: Path, typed: Typed) -> None:
    """Its signer would have to sign two blocks of one height; nothing was changed."""
    before = typed(stopped, "node", "export")["initial_height"]
    error = typed(stopped, "node", "rollback", "--hard", code=1)
    assert "alone decides blocks" in error["message"]
    assert typed(stopped, "node", "export")["initial_height"] == before


def test_snapshot_restore(stopped: Path, typed: Typed) -> None:
    """The state is lost; CometBFT has the blocks after the snapshot."""
    newest = int(typed(stopped, "node", "export")["initial_height"]) - 1
    made = typed(stopped, "node", "snapshot", "create", "--height", str(newest - 2))
    (stopped / "data" / "state" / "data.mdb").write_bytes(b"\x5a" * 50_000)
    assert typed(stopped, "node", "snapshot", "restore", str(newest - 2)) == made
    typed(stopped, "node", "debug", "invariants")


def test_prune(stopped: Path, typed: Typed) -> None:
    done = typed(stopped, "node", "prune", "--keep", "3")
    assert done["oldest_height"] == done["newest_height"] - 2


def test_export_starts_a_chain(stopped: Path, typed: Typed, tmp_path: Path) -> None:
    """Same operator, same balances, the height after; blocks are made again."""
    file = tmp_path / "genesis.json"
    written = typed(stopped, "node", "export", "--out", str(file), "--chain-id", "descent-two-1")
    checked = typed(stopped, "genesis", "validate", str(file))
    assert (checked["num_validators"], checked["initial_height"]) == (1, written["initial_height"])
    home = tmp_path / "two"
    shutil.copytree(stopped / "config", home / "config")
    shutil.copy(file, home / "config" / "genesis.json")
    with CometNetwork(tmp_path / "unused") as other:
        index = other.adopt(home)
        other.start(index)
        other.wait_for_height(written["initial_height"] + 3, index)
        keys = tmp_path / "keys"
        Keyring(keys, backend="test").add(Key("owner", get_account("owner").secret))
        node = ("--node", f"127.0.0.1:{other.get_port(GRPC_PORT, index)}")
        other.wait_until(lambda: "height" in typed(keys, "status", *node, code=None))
        balance = typed(keys, "query", "bank", "balance", "owner", *node)["balance_udsc"]
        assert balance == str(get_account("owner").balance_udsc)
        sent = typed(keys, "tx", "send", "owner", get_account("faucet").address, "1DSC", *node)
        assert sent["height"] > written["initial_height"]
        assert typed(keys, "status", *node)["chain_id"] == "descent-two-1"
