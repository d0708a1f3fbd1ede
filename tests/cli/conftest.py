"""A real node with its doors, a devnet's home, and command lines typed at them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_client.keys import Key, Keyring
from node.pallets.gov.types import GovParams
from node.runtime.params import ParamsCodec
from tests.support.devnet_node import DevnetNode, get_secret
from tests.support.typed import Typed

VALIDATORS = tuple(f"validator-{index}" for index in range(7))
STAKER = "miner-30"  # coins that it unbonds come back within a test session, so nobody counts its
NAMES = ("faucet", "owner", *VALIDATORS, "miner-0", STAKER)
# All seven vote within two seconds on a quiet machine.
FAST_VOTES = ParamsCodec(GovParams).to_json(GovParams(max_deposit_seconds=60, voting_seconds=12))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetNode]:
    home = tmp_path_factory.mktemp("node") / "home"
    found = DevnetNode(home, params={"gov": FAST_VOTES})
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def home(node: DevnetNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A devnet's home: keys and the file that says where the node is."""
    folder = tmp_path_factory.mktemp("client")
    keyring = Keyring(folder, backend="test")
    for name in NAMES:
        keyring.add(Key(name, get_secret(name)))
    endpoints = {"grpc": f"127.0.0.1:{node.grpc_port}"}
    (folder / "devnet.json").write_text(
        json.dumps({"chain_id": node.chain_id, "endpoints": endpoints})
    )
    return folder


@pytest.fixture
def typed(home: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys, home)
