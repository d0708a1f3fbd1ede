"""`descent genesis`: a network that four operators make by hand, and what is refused on the way."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cosmos.tx.v1beta1 import tx_pb2

from cli.main import run
from genesis.devnet import get_account
from node.doors.supervisor import GRPC_PORT, PORTS_PER_NODE
from node.engine.comet.config import P2P_PORT
from tests.support.comet_network import (
    ROOT,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    find_port_offset,
    needs_cometbft,
)
from tests.support.typed import Typed

CHAIN_ID = "four-1"


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


def make_operator(typed: Typed, home: Path, genesis: Path, amount: str = "500DSC") -> str:
    """Make a key and a node for an operator, and its account in the common file."""
    address = str(typed(home, "keys", "add", "me", "--keyring-backend", "test")["address"])
    flags = ("--genesis", str(genesis))
    typed(home, "genesis", "add-account", address, amount, *flags)
    typed(home, "node", "init", "--operator", address, *flags)
    return address


def sign(typed: Typed, home: Path, genesis: Path, stake: str = "100DSC", code: int = 0) -> Any:
    flags = ("--genesis", str(genesis), "--moniker", home.name)
    return typed(home, "genesis", "gentx", "me", stake, *flags, code=code)


@pytest.fixture
def genesis(typed: Typed, tmp_path: Path) -> Path:
    path = tmp_path / "common" / "genesis.json"
    made = typed(tmp_path, "genesis", "init", "--chain-id", CHAIN_ID, "--genesis", str(path))
    assert made["chain_id"] == CHAIN_ID
    return path


def test_one_operator(typed: Typed, genesis: Path, tmp_path: Path) -> None:
    empty = typed(tmp_path, "genesis", "validate", str(genesis))
    assert (empty["num_accounts"], empty["num_validators"]) == (0, 0)
    home = tmp_path / "a"
    address = make_operator(typed, home, genesis)
    signed = sign(typed, home, genesis)
    assert (signed["stake_udsc"], signed["moniker"]) == ("100000000", "a")
    collected = typed(home, "genesis", "collect", "--genesis", str(genesis))
    assert [item["operator"] for item in collected["operators"]] == [signed["operator"]]
    checked = typed(tmp_path, "genesis", "validate", str(genesis))
    assert checked["genesis_hash"] == collected["genesis_hash"]
    assert (checked["num_validators"], checked["total_power"]) == (1, 100)
    assert checked["supply_udsc"] == "500000000"
    # What it signed cannot be sent to the chain: its account is past that sequence.
    document = json.loads(genesis.read_text())
    accounts = document["app_state"]["pallets"]["accounts"]["accounts"]
    (entry,) = [item for item in accounts if item["key"] == address]
    assert str(entry["value"]["sequence"]) == "1"


def test_invalid_accounts(typed: Typed, genesis: Path, tmp_path: Path) -> None:
    flags = ("--genesis", str(genesis))
    owner = get_account("owner").address
    error = typed(tmp_path, "genesis", "init", "--chain-id", "x-1", *flags, code=1)
    assert "is there" in error["message"]
    error = typed(tmp_path, "genesis", "add-account", owner, "1DSC", *flags, code=1)
    assert "published key" in error["message"]
    address = typed(tmp_path, "keys", "add", "me", "--keyring-backend", "test")["address"]
    typed(tmp_path, "genesis", "add-account", "me", "1DSC", *flags)
    error = typed(tmp_path, "genesis", "add-account", address, "1DSC", *flags, code=1)
    assert f"duplicate account {address}" in error["message"]
    error = typed(tmp_path, "genesis", "add-account", "nobody", "1DSC", *flags, code=1)
    assert "no key named 'nobody'" in error["message"]
    typed(tmp_path, "genesis", "add-account", "me", "1", *flags, code=1)
    error = typed(tmp_path, "genesis", "validate", str(tmp_path / "none"), code=1)
    assert "descent genesis init" in error["message"]
    document = json.loads(genesis.read_text())
    document["app_state"]["pallets"]["bank"]["supply"][0]["value"] = "5"
    genesis.write_text(json.dumps(document))
    error = typed(tmp_path, "genesis", "validate", str(genesis), code=1)
    assert "supply" in error["message"]


def test_invalid_gentx(typed: Typed, genesis: Path, tmp_path: Path) -> None:
    home = tmp_path / "a"
    make_operator(typed, home, genesis)
    error = sign(typed, home, genesis, "501DSC", code=1)
    assert "501 DSC, is above its balance of 500 DSC" in error["message"]
    error = sign(typed, home, genesis, "0.5DSC", code=1)
    assert "less than 1 DSC decides nothing" in error["message"]
    other = typed(home, "keys", "add", "other", "--keyring-backend", "test")["address"]
    flags = ("--genesis", str(genesis))
    error = typed(home, "genesis", "gentx", "other", "1DSC", *flags, code=1)
    assert f"not by {other}" in error["message"]
    error = typed(home, "genesis", "collect", *flags, code=1)
    assert "there is no gentx in" in error["message"]


def edit_amount(document: dict[str, Any]) -> None:
    """Raise the stake after it was signed."""
    raw = tx_pb2.TxRaw.FromString(base64.b64decode(document["tx"]))
    raw.body_bytes = raw.body_bytes.replace(b"100000000", b"200000000")
    document["tx"] = base64.b64encode(raw.SerializeToString()).decode()


EDITS = {
    "signature": (edit_amount, "the signature is not that of descent1"),
    "summary": (lambda d: d["summary"].update(stake_udsc="5"), "it was edited"),
    "chain": (lambda d: d.update(chain_id="other-1"), "is of chain 'other-1', the genesis of"),
    "format": (lambda d: d.update(format="x"), "its format is not"),
    "cut": (lambda d: d.update(tx=d["tx"][:40]), "does not parse"),
}


@pytest.mark.parametrize("case", sorted(EDITS))
def test_invalid_collected(typed: Typed, genesis: Path, tmp_path: Path, case: str) -> None:
    edit, words = EDITS[case]
    home = tmp_path / "a"
    make_operator(typed, home, genesis)
    path = Path(sign(typed, home, genesis)["file"])
    document = json.loads(path.read_text())
    edit(document)  # type: ignore[operator]
    path.write_text(json.dumps(document))
    before = genesis.read_bytes()
    error = typed(home, "genesis", "collect", str(path), "--genesis", str(genesis), code=1)
    assert words in error["message"]
    assert str(path) in error["message"]
    assert genesis.read_bytes() == before


def test_invalid_collected__twice_or_unknown(typed: Typed, genesis: Path, tmp_path: Path) -> None:
    home = tmp_path / "a"
    base = shutil.copy(genesis, tmp_path / "base.json")
    make_operator(typed, home, genesis)
    path = sign(typed, home, genesis)["file"]
    error = typed(home, "genesis", "collect", path, "--genesis", str(base), code=1)
    assert "has no account in the genesis" in error["message"]
    typed(home, "genesis", "collect", path, "--genesis", str(genesis))
    error = typed(home, "genesis", "collect", path, "--genesis", str(genesis), code=1)
    assert "is an operator in the genesis already" in error["message"]
    error = typed(home, "node", "init", "--genesis", str(genesis), code=1)
    assert "use another --home" in error["message"]


# Four operators


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
    for process in started:
        process.wait(STOP_TIMEOUT_S)


def start(home: Path, offset: int, peers: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cli.main", "node", "start", "--home", str(home)]
    command += ["--engine", "cometbft", "--port-offset", str(offset)]
    for peer in peers:
        command += ["--peer", peer]
    with open(home / "node.log", "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


@needs_cometbft
def test_four_operators(
    typed: Typed, genesis: Path, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Each with a home of its own; what they give each other are files."""
    homes = [tmp_path / name for name in ("ada", "bob", "cyd", "dee")]
    offset = find_port_offset(4)
    offsets = [offset + PORTS_PER_NODE * index for index in range(4)]
    addresses = [make_operator(typed, home, genesis) for home in homes]
    signed = []
    for home, own in zip(homes, offsets, strict=True):
        flags = ("--genesis", str(genesis), "--moniker", home.name)
        p2p = ("--p2p-address", f"127.0.0.1:{P2P_PORT + own}")
        signed.append(typed(home, "genesis", "gentx", "me", "100DSC", *flags, *p2p))
    files = [item["file"] for item in signed]
    collected = typed(homes[0], "genesis", "collect", *files, "--genesis", str(genesis))
    assert collected["num_validators"] == 4
    peers = [item["peer"] for item in collected["operators"]]
    assert peers == [item["peer"] for item in signed]
    for index, home in enumerate(homes):
        shutil.copy(genesis, home / "config" / "genesis.json")
        checked = typed(home, "genesis", "validate")
        assert checked["genesis_hash"] == collected["genesis_hash"]
        others = [peer for number, peer in enumerate(peers) if number != index]
        processes.append(start(home, offsets[index], others))
    nodes = [f"127.0.0.1:{GRPC_PORT + own}" for own in offsets]
    for home, node in zip(homes, nodes, strict=True):
        wait_for_height(typed, home, node, 3)
    flags = ("--node", nodes[0], "--chain-id", CHAIN_ID)
    sent = typed(homes[0], "tx", "send", "me", addresses[1], "7DSC", *flags)
    wait_for_height(typed, homes[3], nodes[3], sent["height"] + 1)
    found = typed(homes[3], "query", "bank", "balance", addresses[1], "--node", nodes[3])
    assert found["balance_udsc"] == "407000000"
    status = wait_for_peers(typed, homes[3], nodes[3], 3)
    assert (status["chain_id"], status["num_peers"]) == (CHAIN_ID, 3)
    assert (status["is_catching_up"], status["earliest_block_height"]) == (False, 1)
    assert status["node_id"] == peers[3].partition("@")[0]
    assert status["disk"]["total_bytes"] > status["disk"]["state_bytes"] > 0
    # Each has its own power in the set, and the hash of the state is one.
    hashes = {
        typed(homes[0], "node", "debug", "app-hash", "--height", "3", "--node", node)["app_hash"]
        for node in nodes
    }
    assert len(hashes) == 1
    same = typed(tmp_path, "node", "debug", "diff", str(homes[0]), str(homes[3]), "--height", "3")
    assert same["is_equal"]
    check_rollback(typed, homes[3], nodes[3], processes, (offsets[3], peers[:3]))


def check_rollback(
    typed: Typed,
    home: Path,
    node: str,
    processes: list[subprocess.Popen[bytes]],
    again: tuple[int, list[str]],
) -> None:
    """A stopped node goes back a block, is pruned, and catches up with the others."""
    assert "stop it first" in typed(home, "node", "rollback", code=1)["message"]
    process = processes.pop()
    process.terminate()
    assert process.wait(STOP_TIMEOUT_S) == 0
    height = typed(home, "node", "prune", "--keep", "3")["newest_height"]
    assert typed(home, "node", "rollback")["height"] == height - 1
    assert typed(home, "node", "rollback", "--hard")["height"] == height - 1
    exported = typed(home, "node", "export")
    assert len(exported["validators"]) == 4
    typed(home, "node", "debug", "invariants")
    processes.append(start(home, *again))
    wait_for_height(typed, home, node, height + 3)


def wait_for_peers(typed: Typed, home: Path, node: str, num_peers: int) -> Any:
    """Wait until a node goes with the others and knows so many; return its status."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        status = typed(home, "node", "status", "--node", node)
        if status["num_peers"] == num_peers and not status["is_catching_up"]:
            return status
        assert time.monotonic() < deadline, (status, (home / "node.log").read_text()[-3000:])
        time.sleep(0.3)


def wait_for_height(typed: Typed, home: Path, node: str, height: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        code = run(["status", "--home", str(home), "--node", node, "--output", "json"])
        out, _ = typed.capsys.readouterr()
        if code == 0 and json.loads(out)["height"] >= height:
            return
        assert time.monotonic() < deadline, (home / "node.log").read_text()[-3000:]
        time.sleep(0.3)
