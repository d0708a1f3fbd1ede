"""`descent node start` on a home that cannot be used: exit code 1 and what to do about it."""

import copy
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.devnet.layout import PORTS
from genesis.devnet import init_devnet_home
from node.engine.process import open_engine
from node.process import load_extender
from tests.support.devnet_node import GENESIS_TIME_NS, ROOT, find_port_offset

SEED = b"\x07" * 32
NUM_BLOCKS = 5
BLOCKS, STATE = "data/blocks/data.mdb", "data/state/data.mdb"
Break = Callable[[Path], None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A devnet node's home with some blocks."""
    folder = tmp_path / "home"
    init_devnet_home(folder, time_ns=GENESIS_TIME_NS, onion_seed=SEED)
    with open_engine(folder, extend=load_extender(folder)) as engine:
        for _ in range(NUM_BLOCKS):
            engine.step()
    return folder


def start(home: Path, offset: int | None = None) -> str:
    """Start the node, which must refuse; return what it says."""
    port_offset = find_port_offset() if offset is None else offset
    command = [sys.executable, "-m", "cli.main", "node", "start", "--home", str(home)]
    done = subprocess.run(
        [*command, "--port-offset", str(port_offset)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def edit_genesis(change: Callable[[dict[str, Any]], None]) -> Break:
    def edit(home: Path) -> None:
        path = home / "config" / "genesis.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


def edit_pallets(change: Callable[[dict[str, Any]], None]) -> Break:
    """Change the genesis of a chain that has no blocks yet."""
    edit = edit_genesis(lambda document: change(document["app_state"]["pallets"]))

    def edit_and_forget(home: Path) -> None:
        edit(home)
        for name in (BLOCKS, STATE):
            (home / name).unlink()

    return edit_and_forget


def cut(name: str, keep: int) -> Break:
    return lambda home: os.truncate(home / name, keep)


def overwrite(name: str, data: bytes) -> Break:
    return lambda home: (home / name).write_bytes(data) and None


def duplicate_account(pallets: dict[str, Any]) -> None:
    accounts = pallets["accounts"]["accounts"]
    accounts.append(copy.deepcopy(accounts[0]))


def set_negative_amount(pallets: dict[str, Any]) -> None:
    pallets["bank"]["balances"][0]["value"] = "-5"


def set_supply(pallets: dict[str, Any]) -> None:
    pallets["bank"]["supply"][0]["value"] = "5"


def remove_home(home: Path) -> None:
    (home / "config" / "genesis.json").unlink()


FAULTS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "another chain": (
        edit_genesis(lambda document: document.update(chain_id="descent-other-1")),
        ("holds chain descent-devnet-1", "of chain descent-other-1", "use another home"),
    ),
    "another genesis": (
        edit_genesis(lambda document: document.update(genesis_time="2026-02-02T00:00:00Z")),
        ("not the one the chain was started from", "put the old one back"),
    ),
    "no genesis": (remove_home, ("genesis.json", "initialise the home first")),
    "genesis cut short": (overwrite("config/genesis.json", b'{"chain_id"'), ("genesis.json",)),
    "duplicate account": (edit_pallets(duplicate_account), ("duplicate entry for 'descent1",)),
    "negative amount": (edit_pallets(set_negative_amount), ("negative amount -5",)),
    "supply": (edit_pallets(set_supply), ("is not the sum of balances",)),
    "key cut short": (
        overwrite("config/priv_validator_key.json", b'{"address":'),
        ("priv_validator_key.json",),
    ),
    "onion seed cut short": (overwrite("config/onion_seed", b"1234"), ("onion_seed",)),
    "operator unreadable": (overwrite("config/operator", b"nobody\n"), ("operator",)),
    "blocks cut short": (cut(BLOCKS, 20_000), ("data/blocks", "restore the data folder")),
    "state cut short": (cut(STATE, 20_000), ("data/state", "restore the data folder")),
    "blocks overwritten": (overwrite(BLOCKS, b"\x5a" * 50_000), ("restore the data folder",)),
    "state overwritten": (overwrite(STATE, b"\x5a" * 50_000), ("restore the data folder",)),
    "state without blocks": (lambda home: (home / BLOCKS).unlink(), ("there are no blocks in",)),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_invalid(home: Path, fault: str) -> None:
    break_home, words = FAULTS[fault]
    break_home(home)
    text = start(home)
    for part in words:
        assert part in text
    assert "error: the node stopped" in text


@pytest.fixture
def busy_port() -> Iterator[int]:
    place = ("127.0.0.1", PORTS["rpc"] + find_port_offset())
    with socket.create_server(place) as listener:
        yield listener.getsockname()[1]


def test_invalid_busy_port(home: Path, busy_port: int) -> None:
    text = start(home, offset=busy_port - PORTS["rpc"])
    assert f"port {busy_port} on 127.0.0.1" in text
    assert "--port-offset" in text


def test_invalid_home_in_use(home: Path) -> None:
    with open_engine(home, extend=load_extender(home)):
        text = start(home)
    assert "another process is writing to" in text
    assert "stop that node first" in text
