"""CosmJS under Node: a wallet's whole life by the CometBFT RPC of the embedded engine.

`@cosmjs/stargate` is installed once into `.cosmjs`; without Node, npm or a registry the tests are
skipped and say so. `test_doors_on_cometbft.py` has a shorter run against the other engine.
"""

from typing import Any

import pytest

from node.chain import CHAIN_ID
from tests.support.cosmjs import check_wallet, run_client
from tests.support.devnet_node import DevnetNode


@pytest.fixture(scope="module")
def seen(devnet_node: DevnetNode) -> dict[str, Any]:
    receiver = devnet_node.get_address("miner-7")
    try:
        return run_client(devnet_node.rpc_port, "owner", receiver, "full")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{devnet_node.read_logs()}") from error


def test_wallet(seen: dict[str, Any], devnet_node: DevnetNode) -> None:
    check_wallet(seen, devnet_node.get_address("owner"))


def test_hardware_wallet(seen: dict[str, Any]) -> None:
    assert seen["amino"] == [0, True]


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
