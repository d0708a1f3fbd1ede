"""Two nodes sign with one key on the real CometBFT: the evidence costs stake and the seat."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cosmos.slashing.v1beta1 import query_pb2 as slashing_query
from cosmos.staking.v1beta1 import query_pb2 as staking_query

from genesis.devnet import SELF_BOND_UDSC, get_account
from node.runtime.addresses import encode_operator
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = needs_cometbft

SIGNER = 3
FRACTION_KEPT = (95, 100)  # 5 % is the default fraction for double signing


def query(network: CometNetwork, path: str, request: Any, response_class: Any) -> Any:
    """Query the application through CometBFT."""
    data = request.SerializeToString().hex()
    answer = network.call("abci_query", path=path, data=data)["response"]
    assert not answer.get("code"), answer
    return response_class.FromString(base64.b64decode(answer["value"] or ""))


def get_tokens(network: CometNetwork) -> int:
    operator = encode_operator(get_account(f"validator-{SIGNER}").addr)
    answer = query(
        network,
        "/cosmos.staking.v1beta1.Query/Validator",
        staking_query.QueryValidatorRequest(validator_addr=operator),
        staking_query.QueryValidatorResponse,
    )
    return int(answer.validator.tokens)


def test_double_signing_is_slashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with CometNetwork(tmp_path, 4) as network:
        network.start_all()
        network.wait_for_height(3)
        assert get_tokens(network) == SELF_BOND_UDSC
        twin = network.add_node(twin_of=SIGNER)
        monkeypatch.setenv("DESCENT_TEST_LIE", "nil")
        network.start(twin, "tests.support.byzantine_node")
        kept, whole = FRACTION_KEPT
        network.wait_until(
            lambda: get_tokens(network) == SELF_BOND_UDSC * kept // whole, timeout_s=60
        )
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
        for index in (0, 1, 2):
            network.wait_for_height(height + 4, index)
        hashes = {network.get_app_hash(height + 2, index) for index in (0, 1, 2)}
        assert len(hashes) == 1
        assert get_tokens(network) == SELF_BOND_UDSC * kept // whole
