"""CosmJS under Node: a wallet's whole life by the CometBFT RPC, against either engine.

`@cosmjs/stargate` is installed once into `.cosmjs`; without Node, npm or a registry the tests are
skipped and say so.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.chain import CHAIN_ID
from node.doors.supervisor import RPC_PORT
from tests.support.comet_network import CometNetwork, needs_cometbft
from tests.support.devnet_node import DevnetNode, get_secret
from tests.support.npm_packages import install

FOLDER = Path(__file__).parent
INSUFFICIENT_FUNDS, INSUFFICIENT_FEE = 5, 13


def run_client(port: int, sender: str, receiver: str, extent: str) -> dict[str, Any]:
    """Run the script; return what it saw."""
    modules = install("cosmjs", FOLDER)
    command = ["node", str(FOLDER / "cosmjs_client.mjs"), f"http://127.0.0.1:{port}"]
    ended = subprocess.run(
        [*command, get_secret(sender).hex(), receiver, extent],
        env={**os.environ, "COSMJS_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    document: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return document


def check_wallet(seen: dict[str, Any], address: str) -> None:
    """Check what every wallet does: look, send, find again, be told."""
    assert seen["address"] == seen["account"]["address"] == address
    assert seen["chainId"] == CHAIN_ID
    assert seen["blockIsThatHeight"]
    assert seen["denoms"] == ["udsc"]
    assert seen["received"] == "4321"
    used, wanted = (int(gas) for gas in seen["gas"])
    assert 0 < used <= wanted < 2 * used
    assert seen["found"]["height"]
    assert seen["found"]["code"] == 0
    assert {"coin_received", "coin_spent", "message", "transfer", "tx"} <= set(
        seen["found"]["events"]
    )
    assert seen["searched"]
    assert seen["searchedByText"] == [seen["hash"]]
    assert seen["nothing"] is None
    assert seen["nextBlock"] == 1
    assert seen["watched"] == [True, 0]
    assert seen["tooMuch"]["code"] == INSUFFICIENT_FUNDS
    assert "insufficient" in seen["tooMuch"]["log"]
    assert (seen["noFee"]["code"], seen["noFee"]["codespace"]) == (INSUFFICIENT_FEE, "sdk")


@pytest.fixture(scope="module")
def seen(devnet_node: DevnetNode) -> dict[str, Any]:
    receiver = devnet_node.get_address("miner-7")
    try:
        return run_client(devnet_node.rpc_port, "owner", receiver, "full")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{devnet_node.read_logs()}") from error


def test_wallet(seen: dict[str, Any], devnet_node: DevnetNode) -> None:
    check_wallet(seen, devnet_node.get_address("owner"))


def test_staking(seen: dict[str, Any]) -> None:
    assert seen["delegation"] == {"denom": "udsc", "amount": "5000"}
    assert seen["delegationAfter"] == {"denom": "udsc", "amount": "2000"}
    assert seen["staked"] == {"denom": "udsc", "amount": "3000"}
    assert (seen["unbonding"], seen["redelegations"]) == ("2000", 1)
    assert seen["withdrew"]


def test_governance(seen: dict[str, Any]) -> None:
    assert seen["proposal"] == {"status": 2, "type": "/cosmos.gov.v1beta1.TextProposal"}
    assert seen["vote"] == 1


def test_pages_about_the_chain(seen: dict[str, Any]) -> None:
    assert float(seen["inflation"]) > 0
    assert (seen["supply"], seen["metadata"]) == (["udsc"], "DSC")
    assert seen["signing"] >= 0
    assert seen["pool"] == ["bondedTokens", "notBondedTokens"]
    assert seen["community"] <= 1


def test_cometbft_client(seen: dict[str, Any]) -> None:
    assert seen["committed"] == [0, 0, True]
    assert seen["results"]
    assert seen["validators"][0] == seen["validators"][1] >= 1
    assert seen["genesis"] == CHAIN_ID
    assert seen["minimalInfo"]


@needs_cometbft
def test_wallet_on_cometbft(tmp_path: Path, devnet_node: DevnetNode) -> None:
    install("cosmjs", FOLDER)
    with CometNetwork(tmp_path) as network:
        network.start_all()
        receiver = devnet_node.get_address("miner-7")
        found = run_client(network.get_port(RPC_PORT), "owner", receiver, "short")
    check_wallet(found, devnet_node.get_address("owner"))
