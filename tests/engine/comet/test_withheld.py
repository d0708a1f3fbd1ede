"""A node that votes and never reveals, on the real CometBFT: it is jailed as one that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosmos.staking.v1beta1 import query_pb2 as staking_query

from genesis.devnet import SELF_BOND_UDSC, get_account
from node.pallets.slashing.types import SlashingParams
from node.runtime.addresses import encode_operator
from node.runtime.params import ParamsCodec
from tests.engine.comet.test_double_sign import query
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = needs_cometbft

SILENT = 3
PARAMS = SlashingParams(signed_blocks_window=10)


def test_withholding_is_downtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"slashing": ParamsCodec(SlashingParams).to_json(PARAMS)}
    with CometNetwork(tmp_path, 4, params=params) as network:
        for index in range(3):
            network.start(index)
        monkeypatch.setenv("DESCENT_TEST_LIE", "withhold")
        network.start(SILENT, "tests.support.byzantine_node")
        operator = encode_operator(get_account(f"validator-{SILENT}").addr)

        def is_jailed() -> bool:
            try:
                answer = query(
                    network,
                    "/cosmos.staking.v1beta1.Query/Validator",
                    staking_query.QueryValidatorRequest(validator_addr=operator),
                    staking_query.QueryValidatorResponse,
                )
            except (OSError, AssertionError):
                return False
            assert int(answer.validator.tokens) in (SELF_BOND_UDSC, SELF_BOND_UDSC * 99 // 100)
            return bool(answer.validator.jailed)

        network.wait_until(is_jailed, timeout_s=90)
        height = network.get_height()
        network.wait_for_height(height + 4)
        assert network.call("validators")["total"] == "3"
        signatures = network.call("commit", height="4")["signed_header"]["commit"]["signatures"]
        assert sum(item["block_id_flag"] == 2 for item in signatures) >= 3
        for index in range(4):
            network.wait_for_height(height + 3, index)
        assert len({network.get_app_hash(height + 2, index) for index in range(4)}) == 1
