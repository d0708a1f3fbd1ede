"""On the real CometBFT: two nodes sign with one key, and a node votes and never reveals."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from cosmos.slashing.v1beta1 import query_pb2 as slashing_query
from cosmos.staking.v1beta1 import query_pb2 as staking_query

from genesis.devnet import SELF_BOND_UDSC, get_account
from node.pallets.slashing.types import SlashingParams
from node.runtime.addresses import encode_operator
from node.runtime.params import ParamsCodec
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = needs_cometbft

SIGNER, SILENT = 3, 2
FRACTION_KEPT = (95, 100)  # 5 % is the default fraction for double signing
PARAMS = SlashingParams(signed_blocks_window=30)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    params = {"slashing": ParamsCodec(SlashingParams).to_json(PARAMS)}
    with CometNetwork(tmp_path_factory.mktemp("slashed"), 4, params=params) as network:
        network.start_all()
        yield network


def query(network: CometNetwork, path: str, request: Any, response_class: Any) -> Any:
    """Query the application through CometBFT."""
    data = request.SerializeToString().hex()
    answer = network.call("abci_query", path=path, data=data)["response"]
    assert not answer.get("code"), answer
    return response_class.FromString(base64.b64decode(answer["value"] or ""))


def get_operator(network: CometNetwork, index: int) -> Any:
    """Get what staking knows of a node's operator."""
    operator = encode_operator(get_account(f"validator-{index}").addr)
    answer = query(
        network,
        "/cosmos.staking.v1beta1.Query/Validator",
        staking_query.QueryValidatorRequest(validator_addr=operator),
        staking_query.QueryValidatorResponse,
    )
    return answer.validator


def test_double_signing_is_slashed(network: CometNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    network.wait_for_height(3)
    assert int(get_operator(network, SIGNER).tokens) == SELF_BOND_UDSC
    twin = network.add_node(twin_of=SIGNER)
    monkeypatch.setenv("DESCENT_TEST_LIE", "nil")
    network.start(twin, "tests.support.byzantine_node")
    kept, whole = FRACTION_KEPT
    tokens = SELF_BOND_UDSC * kept // whole
    network.wait_until(lambda: int(get_operator(network, SIGNER).tokens) == tokens, timeout_s=60)
    infos = query(
        network,
        "/cosmos.slashing.v1beta1.Query/SigningInfos",
        slashing_query.QuerySigningInfosRequest(),
        slashing_query.QuerySigningInfosResponse,
    ).info
    assert [info.tombstoned for info in infos].count(True) == 1
    height = network.get_height()
    network.wait_for_height(height + 4)
    assert network.call("validators")["total"] == "3"
    ensure_agreement(network, [0, 1, 2], height + 2)
    assert int(get_operator(network, SIGNER).tokens) == tokens
    network.kill(twin)
    network.kill(SIGNER)


def test_withholding_is_downtime(network: CometNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always there to vote, and jailed as one that is away."""
    monkeypatch.setenv("DESCENT_TEST_LIE", "withhold")
    assert network.stop(SILENT) == 0
    network.start(SILENT, "tests.support.byzantine_node")
    seen = []

    def is_jailed() -> bool:
        seen.append(network.get_height())
        return bool(get_operator(network, SILENT).jailed)

    network.wait_until(is_jailed, timeout_s=90)
    # At the last height but one that was seen it was not jailed yet.
    commit = network.call("commit", height=str(seen[-2]))["signed_header"]["commit"]
    assert [item["block_id_flag"] for item in commit["signatures"]] == [2, 2, 2]
    height = network.get_height()
    network.wait_for_height(height + 4)
    assert network.call("validators")["total"] == "2"
    assert int(get_operator(network, SILENT).tokens) == SELF_BOND_UDSC * 99 // 100
    ensure_agreement(network, [0, 1, 2], height + 2)


def ensure_agreement(network: CometNetwork, indexes: list[int], height: int) -> None:
    """Check that nodes have the same app hash after a block."""
    for index in indexes:
        network.wait_for_height(height + 2, index)
    assert len({network.get_app_hash(height, index) for index in indexes}) == 1
