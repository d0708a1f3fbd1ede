"""MsgCreateValidator."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.staking.v1beta1 import query_pb2, staking_pb2

from node.pallets.staking.errors import (
    CommissionAboveMaximum,
    CommissionAboveOne,
    CommissionChangeAboveMaximum,
    CommissionNegative,
    ConsensusKeyExists,
    ConsensusKeyTypeRefused,
    OperatorExists,
    SelfDelegationBelowMinimum,
)
from node.pallets.staking.types import Delegated, OperatorCreated
from node.runtime.coins import build_coin
from node.runtime.errors import ChainError, InsufficientFunds, InvalidRequest
from tests.pallets.harness import Harness
from tests.pallets.staking.staking_chain import (
    build_consensus_key,
    build_create,
    build_pallets,
    get_stake,
    make_operator_addr,
)

PERCENT = 10**16


@pytest.fixture
def chain() -> Harness:
    harness = Harness(*build_pallets())
    harness.make_account("val", 5_000)
    harness.make_account("other", 5_000)
    return harness


def build_rates(rate: int, max_rate: int, max_change: int) -> Any:
    return staking_pb2.CommissionRates(
        rate=str(rate), max_rate=str(max_rate), max_change_rate=str(max_change)
    )


def test_create_operator(chain: Harness) -> None:
    result = chain.run(build_create("val", 1_000))
    assert get_stake(chain, "val") == 1_000
    assert chain.get_balance("val") == 4_000
    assert result.get_events(OperatorCreated)[0].amount == "1000udsc"
    assert result.get_events(Delegated)[0].new_shares == str(1_000 * 10**18)
    answer = chain.query(
        "/cosmos.staking.v1beta1.Query/Validators",
        query_pb2.QueryValidatorsRequest(status="BOND_STATUS_BONDED"),
    )
    assert [operator.operator_address for operator in answer.validators] == [
        make_operator_addr("val")
    ]
    chain.assert_genesis_round_trips(*build_pallets())


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"commission": build_rates(-1, PERCENT, 0)}, CommissionNegative),
        ({"commission": build_rates(0, 101 * PERCENT, 0)}, CommissionAboveOne),
        ({"commission": build_rates(2, 1, 0)}, CommissionAboveMaximum),
        ({"commission": build_rates(0, 1, 2)}, CommissionChangeAboveMaximum),
        ({"commission": staking_pb2.CommissionRates(rate="0.1")}, InvalidRequest),
        ({"min_self_delegation": "0"}, InvalidRequest),
        ({"min_self_delegation": "1001"}, SelfDelegationBelowMinimum),
        ({"description": staking_pb2.Description()}, InvalidRequest),
        ({"description": staking_pb2.Description(moniker="m" * 71)}, InvalidRequest),
        ({"value": build_coin("uother", 5)}, InvalidRequest),
        ({"value": build_coin("udsc", 5_001)}, InsufficientFunds),
        ({"pubkey": None}, ConsensusKeyTypeRefused),
    ],
)
def test_invalid_fields(chain: Harness, changes: dict[str, Any], error: type[ChainError]) -> None:
    chain.assert_noop(build_create("val", 1_000, **changes), error)


def test_invalid_twice(chain: Harness) -> None:
    chain.run(build_create("val", 1_000))
    chain.assert_noop(build_create("val", 1_000), OperatorExists)
    message = build_create("other", 1_000, pubkey=build_consensus_key("val"))
    chain.assert_noop(message, ConsensusKeyExists)
