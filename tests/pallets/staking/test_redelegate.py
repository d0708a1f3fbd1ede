"""MsgBeginRedelegate, slashes, jail and the consensus set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import query_pb2, staking_pb2

from node.pallets.staking.errors import (
    ExchangeRateZero,
    RedelegationEntriesFull,
    RedelegationTargetUnknown,
    SelfDelegationBelowMinimum,
    SelfRedelegation,
    TransitiveRedelegation,
)
from node.pallets.staking.shares import DECIMALS_18
from node.pallets.staking.types import ConsensusPowerChanged, RedelegationCompleted
from tests.pallets.harness import Harness, make_addr, make_text_addr
from tests.pallets.staking.staking_chain import (
    build_consensus_key,
    build_create,
    build_delegate,
    build_pallets,
    build_redelegate,
    build_undelegate,
    get_stake,
    skip_time,
)

DSC = 10**6
UNBONDING_SECONDS = 21 * 24 * 3600
HALF = DECIMALS_18 // 2


@pytest.fixture
def chain() -> Harness:
    """A chain with three operators of 100, 200 and 300 DSC; alice delegates 50 to the first."""
    harness = Harness(*build_pallets())
    for name, amount in (("val", 100), ("second", 200), ("third", 300)):
        harness.make_account(name, 1_000 * DSC)
        harness.run(build_create(name, amount * DSC))
    harness.make_account("alice", 1_000 * DSC)
    harness.run(build_delegate("alice", "val", 50 * DSC))
    harness.next_block()
    return harness


def slash(chain: Harness, operator: str, height: int, power: int, fraction: int) -> int:
    staking = chain.get_pallet("staking")
    burned = staking.slash(chain.ctx(), make_addr(operator), height, power, fraction)
    chain.check_invariants()
    return int(burned)


def test_redelegate(chain: Harness) -> None:
    chain.run(build_redelegate("alice", "val", "second", 20 * DSC))
    assert (get_stake(chain, "val"), get_stake(chain, "second")) == (130 * DSC, 220 * DSC)
    request = query_pb2.QueryRedelegationsRequest(delegator_addr=make_text_addr("alice"))
    path = "/cosmos.staking.v1beta1.Query/Redelegations"
    found = chain.query(path, request).redelegation_responses
    assert [entry.balance for entry in found[0].entries] == [str(20 * DSC)]
    chain.assert_genesis_round_trips(*build_pallets())
    skip_time(chain, UNBONDING_SECONDS)
    chain.next_block()
    assert chain.query(path, request).redelegation_responses == []
    chain.assert_genesis_round_trips(*build_pallets())


def test_redelegate__completes_once(chain: Harness) -> None:
    chain.run(build_redelegate("alice", "val", "second", 1 * DSC))
    skip_time(chain, 1_000)
    chain.run(build_redelegate("alice", "val", "second", 1 * DSC))
    skip_time(chain, UNBONDING_SECONDS - 500)
    events = chain.next_block()
    assert sum(isinstance(event, RedelegationCompleted) for event in events) == 1
    skip_time(chain, 1_000)
    events = chain.next_block()
    assert sum(isinstance(event, RedelegationCompleted) for event in events) == 1


def test_invalid_redelegations(chain: Harness) -> None:
    chain.assert_noop(build_redelegate("alice", "val", "val", 1), SelfRedelegation)
    chain.assert_noop(build_redelegate("alice", "val", "bob", 1), RedelegationTargetUnknown)
    chain.run(build_redelegate("alice", "val", "second", 20 * DSC))
    message = build_redelegate("alice", "second", "third", 10 * DSC)
    chain.assert_noop(message, TransitiveRedelegation)
    for _ in range(6):
        chain.run(build_redelegate("alice", "val", "second", 1 * DSC))
    chain.assert_noop(build_redelegate("alice", "val", "second", 1), RedelegationEntriesFull)
    message = build_redelegate("val", "val", "second", 100 * DSC - 99)
    chain.assert_noop(message, SelfDelegationBelowMinimum)


def test_slash(chain: Harness) -> None:
    burned = slash(chain, "val", chain.height, 150, HALF)
    assert burned == 75 * DSC
    assert get_stake(chain, "val") == 75 * DSC
    chain.run(build_undelegate("alice", "val", 25 * DSC))
    assert get_stake(chain, "val") == 50 * DSC
    request = query_pb2.QueryDelegatorDelegationsRequest(delegator_addr=make_text_addr("alice"))
    path = "/cosmos.staking.v1beta1.Query/DelegatorDelegations"
    assert chain.query(path, request).delegation_responses == []


def test_slash__reaches_what_left_since(chain: Harness) -> None:
    chain.run(build_undelegate("alice", "val", 10 * DSC))
    infraction = chain.height + 1
    chain.next_block(2)
    chain.run(build_undelegate("alice", "val", 20 * DSC))
    chain.run(build_redelegate("alice", "val", "second", 20 * DSC))
    chain.next_block()
    burned = slash(chain, "val", infraction, 140, HALF)
    assert burned == 70 * DSC
    assert get_stake(chain, "val") == 50 * DSC
    assert get_stake(chain, "second") == 210 * DSC
    request = query_pb2.QueryDelegatorUnbondingDelegationsRequest(
        delegator_addr=make_text_addr("alice")
    )
    path = "/cosmos.staking.v1beta1.Query/DelegatorUnbondingDelegations"
    entries = chain.query(path, request).unbonding_responses[0].entries
    assert [int(entry.balance) for entry in entries] == [10 * DSC, 10 * DSC]
    chain.assert_genesis_round_trips(*build_pallets())


def test_slash__to_nothing(chain: Harness) -> None:
    slash(chain, "val", chain.height, 150, DECIMALS_18)
    assert get_stake(chain, "val") == 0
    chain.assert_noop(build_delegate("alice", "val", 1), ExchangeRateZero)


def test_consensus_set__follows_stake(chain: Harness) -> None:
    def list_changes() -> dict[str, int]:
        events = chain.next_block()
        assert len(chain.set_changes) == sum(isinstance(e, ConsensusPowerChanged) for e in events)
        names = {make_key(name): name for name in ("val", "second", "third", "fourth")}
        return {names[key]: power for key, power in chain.set_changes.items()}

    assert list_changes() == {}
    chain.run(build_delegate("alice", "val", 60 * DSC))
    chain.run(build_delegate("alice", "third", 1))
    assert list_changes() == {"val": 210}
    staking = chain.get_pallet("staking")
    staking.set_jailed(chain.ctx(), make_addr("third"), True)
    assert get_stake(chain, "third") == 0
    assert list_changes() == {"third": 0}
    staking.set_jailed(chain.ctx(), make_addr("third"), False)
    assert list_changes() == {"third": 300}
    staking.storage.params.set(chain.ctx(), replace_max_validators(staking, chain, 2))
    staking.note_set_change(chain.ctx())
    assert list_changes() == {"second": 0}
    chain.make_account("fourth", 1_000 * DSC)
    chain.run(build_create("fourth", 900 * DSC))
    assert len(staking.list_consensus_powers(chain.ctx())) == 2
    changes = list_changes()
    assert changes["fourth"] == 900
    assert [power for _, power in sorted_powers(chain)] == [900, 300]
    chain.assert_genesis_round_trips(*build_pallets())


def make_key(name: str) -> bytes:
    return bytes(keys_pb2.PubKey.FromString(build_consensus_key(name).value).key)


def replace_max_validators(staking: Any, chain: Harness, count: int) -> Any:
    return replace(staking.get_params(chain.ctx()), max_validators=count)


def sorted_powers(chain: Harness) -> list[tuple[bytes, int]]:
    powers = chain.get_pallet("staking").list_consensus_powers(chain.ctx())
    return sorted(powers, key=lambda entry: -entry[1])


def test_consensus_set__is_never_emptied(chain: Harness) -> None:
    staking = chain.get_pallet("staking")
    for name in ("val", "second", "third"):
        staking.set_jailed(chain.ctx(), make_addr(name), True)
    chain.next_block()
    assert chain.set_changes == {}
    assert len(staking.list_consensus_powers(chain.ctx())) == 3


def test_jailed_operator_is_not_bonded(chain: Harness) -> None:
    staking = chain.get_pallet("staking")
    staking.set_jailed(chain.ctx(), make_addr("val"), True)
    operator = staking.get_operator(chain.ctx(), make_addr("val"))
    assert (operator.jailed, operator.status) == (True, staking_pb2.BOND_STATUS_UNBONDING)
    assert operator.unbonding_time.seconds > 0
