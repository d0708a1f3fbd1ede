"""MsgDelegate, MsgUndelegate, MsgCancelUnbondingDelegation, MsgEditValidator."""

from __future__ import annotations

import pytest
from cosmos.staking.v1beta1 import query_pb2, staking_pb2, tx_pb2

from node.pallets.staking.errors import (
    CommissionChangedTooSoon,
    CommissionChangeTooLarge,
    DelegationUnknown,
    OperatorUnknown,
    SelfDelegationBelowMinimum,
    SharesInsufficient,
    UnbondingEntriesFull,
    UnbondingUnknown,
)
from node.pallets.staking.types import DO_NOT_MODIFY, UnbondingCompleted
from node.runtime.coins import build_coin
from node.runtime.errors import InsufficientFunds, InvalidRequest
from tests.pallets.harness import Harness, make_text_addr
from tests.pallets.staking.staking_chain import (
    PERCENT,
    build_create,
    build_delegate,
    build_pallets,
    build_undelegate,
    get_stake,
    make_operator_addr,
    make_staking_chain,
)

UNBONDING_SECONDS = 21 * 24 * 3600
SERVICE = "/cosmos.staking.v1beta1.Query"


@pytest.fixture
def chain() -> Harness:
    return make_staking_chain()


def skip_time(chain: Harness, seconds: int) -> None:
    chain.block_ns = seconds * 10**9
    chain.next_block()
    chain.block_ns = 10**9


def test_delegate(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    chain.run(build_delegate("alice", "val", 100))
    assert get_stake(chain, "val") == 1_400
    assert chain.get_balance("alice") == 100
    request = query_pb2.QueryDelegatorDelegationsRequest(delegator_addr=make_text_addr("alice"))
    answer = chain.query(f"{SERVICE}/DelegatorDelegations", request)
    assert [entry.balance.amount for entry in answer.delegation_responses] == ["400"]
    assert answer.pagination.next_key == b""


def test_delegations_page_by_page(chain: Harness) -> None:
    for index in range(5):
        name = f"operator-{index}"
        chain.make_account(name, 1_000)
        chain.run(build_create(name, 1_000))
        chain.run(build_delegate("alice", name, 10 + index))
    amounts, key = [], b""
    for _ in range(5):
        request = query_pb2.QueryDelegatorDelegationsRequest(delegator_addr=make_text_addr("alice"))
        request.pagination.limit = 1
        request.pagination.key = key
        answer = chain.query(f"{SERVICE}/DelegatorDelegations", request)
        amounts.append(int(answer.delegation_responses[0].balance.amount))
        key = answer.pagination.next_key
    assert key == b""
    assert sorted(amounts) == [10, 11, 12, 13, 14]


def test_undelegate(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    result = chain.run(build_undelegate("alice", "val", 120))
    assert result.response.amount.amount == "120"
    assert get_stake(chain, "val") == 1_180
    assert chain.get_balance("alice") == 200
    skip_time(chain, UNBONDING_SECONDS - 1)
    chain.next_block()
    events = chain.next_block()
    assert chain.get_balance("alice") == 320
    assert [event.amount for event in events if isinstance(event, UnbondingCompleted)] in (
        ["120udsc"],
        [],
    )
    request = query_pb2.QueryDelegatorUnbondingDelegationsRequest(
        delegator_addr=make_text_addr("alice")
    )
    answer = chain.query(f"{SERVICE}/DelegatorUnbondingDelegations", request)
    assert list(answer.unbonding_responses) == []


def test_undelegate__not_paid_early(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    chain.run(build_undelegate("alice", "val", 120))
    skip_time(chain, UNBONDING_SECONDS - 2)
    chain.next_block()
    assert chain.get_balance("alice") == 200
    chain.assert_genesis_round_trips(*build_pallets())


def test_undelegate__last_share_removes_the_operator(chain: Harness) -> None:
    chain.run(build_undelegate("val", "val", 1_000))
    assert get_stake(chain, "val") == 0
    chain.run(build_create("val", 1_000))


def test_invalid_operator_leaves_below_its_minimum(chain: Harness) -> None:
    chain.assert_noop(build_undelegate("val", "val", 950), SelfDelegationBelowMinimum)
    chain.run(build_delegate("alice", "val", 1))
    chain.assert_noop(build_undelegate("val", "val", 1_000), SelfDelegationBelowMinimum)


def test_invalid_delegate(chain: Harness) -> None:
    chain.assert_noop(build_delegate("alice", "nobody", 1), OperatorUnknown)
    chain.assert_noop(build_delegate("alice", "val", 501), InsufficientFunds)
    chain.assert_noop(build_delegate("alice", "val", 1, "uother"), InvalidRequest)


def test_invalid_undelegate(chain: Harness) -> None:
    chain.assert_noop(build_undelegate("alice", "val", 1), DelegationUnknown)
    chain.run(build_delegate("alice", "val", 10))
    chain.assert_noop(build_undelegate("alice", "val", 11), SharesInsufficient)


def test_invalid_undelegate_too_often(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 100))
    for _ in range(7):
        chain.run(build_undelegate("alice", "val", 1))
        chain.next_block()
    chain.assert_noop(build_undelegate("alice", "val", 1), UnbondingEntriesFull)


def build_cancel(height: int, amount: int) -> tx_pb2.MsgCancelUnbondingDelegation:
    return tx_pb2.MsgCancelUnbondingDelegation(
        delegator_address=make_text_addr("alice"),
        validator_address=make_operator_addr("val"),
        amount=build_coin("udsc", amount),
        creation_height=height,
    )


def test_cancel_unbonding(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    height = chain.height
    chain.run(build_undelegate("alice", "val", 120))
    chain.run(build_cancel(height, 20))
    assert get_stake(chain, "val") == 1_200
    chain.run(build_cancel(height, 100))
    assert get_stake(chain, "val") == 1_300
    chain.assert_noop(build_cancel(height, 1), UnbondingUnknown)
    skip_time(chain, UNBONDING_SECONDS)
    chain.next_block()
    assert chain.get_balance("alice") == 200


def test_invalid_cancel_too_much(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    chain.run(build_undelegate("alice", "val", 120))
    chain.assert_noop(build_cancel(chain.height, 121), InvalidRequest)
    chain.assert_noop(build_cancel(chain.height + 1, 1), UnbondingUnknown)


def build_edit(rate: str) -> tx_pb2.MsgEditValidator:
    kept = dict.fromkeys(("identity", "website", "security_contact", "details"), DO_NOT_MODIFY)
    return tx_pb2.MsgEditValidator(
        description=staking_pb2.Description(moniker="renamed", **kept),
        validator_address=make_operator_addr("val"),
        commission_rate=rate,
    )


def test_edit_operator(chain: Harness) -> None:
    chain.assert_noop(build_edit(str(11 * PERCENT)), CommissionChangedTooSoon)
    skip_time(chain, 24 * 3600)
    chain.assert_noop(build_edit(str(12 * PERCENT)), CommissionChangeTooLarge)
    chain.run(build_edit(str(11 * PERCENT)))
    request = query_pb2.QueryValidatorRequest(validator_addr=make_operator_addr("val"))
    operator = chain.query(f"{SERVICE}/Validator", request).validator
    assert operator.description.moniker == "renamed"
    assert operator.commission.commission_rates.rate == str(11 * PERCENT)


def test_pool(chain: Harness) -> None:
    chain.run(build_delegate("alice", "val", 300))
    chain.run(build_undelegate("alice", "val", 120))
    pool = chain.query(f"{SERVICE}/Pool", query_pb2.QueryPoolRequest()).pool
    assert (pool.bonded_tokens, pool.not_bonded_tokens) == ("1180", "120")
