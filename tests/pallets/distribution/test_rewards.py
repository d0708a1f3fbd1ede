"""Rewards of delegators and operators: pay_operator, the consensus set, withdrawals."""

from __future__ import annotations

import pytest
from cosmos.distribution.v1beta1 import query_pb2, tx_pb2

from node.pallets.distribution.errors import (
    CommissionMissing,
    RewardedDelegationUnknown,
    RewardedOperatorUnknown,
)
from node.pallets.distribution.types import FEE_COLLECTOR, RewardsWithdrawn
from node.runtime.addresses import compute_module_address, encode_account
from node.runtime.coins import build_coin
from node.runtime.errors import InvalidAddress, InvalidCoins, Unauthorized
from tests.pallets.distribution.reward_chain import (
    DEC,
    DSC,
    SERVICE,
    RewardChain,
    build_pallets,
    build_withdraw,
    build_withdraw_commission,
)
from tests.pallets.harness import make_addr, make_text_addr
from tests.pallets.staking.staking_chain import build_create, build_delegate, build_undelegate


@pytest.fixture
def chain() -> RewardChain:
    return RewardChain()


def collect_fees(chain: RewardChain, amount: int) -> None:
    bank = chain.get_pallet("bank")
    bank.transfer(chain.ctx(), make_addr("payer"), compute_module_address(FEE_COLLECTOR), amount)


def test_reward_is_shared_by_stake_after_commission(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 3_000 * DSC))
    before = chain.get_balance("val")
    chain.pay("val", 1_000)
    # 100 commission, 900 over 4 000 DSC of stake: 225 are the operator's own.
    assert chain.get_balance("val") == before + 100 + 225
    assert chain.get_reward("alice") == 675 * DEC
    assert chain.get_outstanding() == 675 * DEC
    alice = chain.get_balance("alice")
    result = chain.run(build_withdraw("alice"))
    assert chain.get_balance("alice") == alice + 675
    assert result.get_events(RewardsWithdrawn)[0].amount == "675udsc"
    assert chain.get_outstanding() == 0
    assert chain.withdraw("alice") == 0
    chain.assert_genesis_round_trips(*build_pallets())


def test_newcomer_earns_from_then_on(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 1_000 * DSC))
    chain.pay("val", 1_000)
    chain.run(build_delegate("bob", "val", 2_000 * DSC))
    assert (chain.get_reward("alice"), chain.get_reward("bob")) == (450 * DEC, 0)
    chain.pay("val", 1_000)
    assert (chain.get_reward("alice"), chain.get_reward("bob")) == (675 * DEC, 450 * DEC)
    chain.assert_genesis_round_trips(*build_pallets())


def test_change_of_shares_pays(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 1_000 * DSC))
    chain.pay("val", 1_000)
    before = chain.get_balance("alice")
    chain.run(build_delegate("alice", "val", 500 * DSC))
    assert chain.get_balance("alice") == before - 500 * DSC + 450
    chain.pay("val", 1_000)
    chain.run(build_undelegate("alice", "val", 1_500 * DSC))
    assert chain.get_balance("alice") == before - 500 * DSC + 450 + 540
    chain.assert_noop(build_withdraw("alice"), RewardedDelegationUnknown)


def test_fractions_are_never_lost(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 2_000 * DSC))
    for _ in range(30):
        chain.pay("val", 1)
    # 90 % of 30 are 27, two thirds of them alice's.
    assert chain.get_reward("alice") in (18 * DEC, 18 * DEC - 1)
    assert chain.withdraw("alice") in (17, 18)
    for _ in range(30):
        chain.pay("val", 1)
    assert chain.get_reward("alice") // DEC in (17, 18, 19)


def test_slash_leaves_rewards_alone(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 1_000 * DSC))
    chain.pay("val", 1_000)
    staking = chain.get_pallet("staking")
    staking.slash(chain.ctx(), make_addr("val"), chain.height, 2_000, DEC // 2)
    chain.check_invariants()
    assert chain.get_reward("alice") == 450 * DEC
    chain.pay("val", 1_000)
    assert chain.get_reward("alice") == 900 * DEC


def test_operator_that_left_is_paid_directly(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 2_000 * DSC))
    chain.pay("val", 1_001)
    chain.run(build_undelegate("alice", "val", 2_000 * DSC))
    chain.run(build_undelegate("val", "val", 1_000 * DSC))
    before = chain.get_balance("val")
    chain.pay("val", 77)
    assert chain.get_balance("val") == before + 77
    pool = chain.query(f"{SERVICE}/CommunityPool", query_pb2.QueryCommunityPoolRequest()).pool
    assert sum(int(coin.amount) for coin in pool) <= 2 * DEC
    chain.assert_noop(build_withdraw("val"), RewardedOperatorUnknown)


def test_fees_go_to_the_consensus_set_by_power(chain: RewardChain) -> None:
    chain.run(build_create("other", 3_000 * DSC))
    collect_fees(chain, 1_000)
    chain.next_block(10)
    # 2 % are the community's, 980 are split 1 : 3.
    assert (chain.get_outstanding("val"), chain.get_outstanding("other")) == (245 * DEC, 735 * DEC)
    assert chain.get_commission("val") == 245 * DEC // 10
    chain.run(build_withdraw_commission())
    assert chain.get_commission("val") == DEC // 2
    chain.assert_noop(build_withdraw_commission(), CommissionMissing)
    assert chain.withdraw("val") == 220
    pool = chain.query(f"{SERVICE}/CommunityPool", query_pb2.QueryCommunityPoolRequest()).pool
    assert [(coin.denom, coin.amount) for coin in pool] == [("udsc", str(20 * DEC))]
    chain.assert_genesis_round_trips(*build_pallets())


def test_consensus_emission_is_minted_when_shared_out() -> None:
    chain = RewardChain(consensus_share_ppm=200_000)
    before = chain.get_pallet("bank").get_supply(chain.ctx())
    chain.next_block(9)
    assert chain.get_pallet("bank").get_supply(chain.ctx()) == before
    chain.next_block(1)
    assert chain.get_pallet("bank").get_supply(chain.ctx()) == before + 10 * 200_000
    assert chain.get_outstanding() == 10 * 196_000 * DEC


def test_set_withdraw_address(chain: RewardChain) -> None:
    chain.run(build_delegate("alice", "val", 1_000 * DSC))
    message = tx_pb2.MsgSetWithdrawAddress(
        delegator_address=make_text_addr("alice"), withdraw_address=make_text_addr("bob")
    )
    chain.run(message)
    chain.pay("val", 1_000)
    before = chain.get_balance("bob")
    chain.withdraw("alice")
    assert chain.get_balance("bob") == before + 450
    request = query_pb2.QueryDelegatorWithdrawAddressRequest(
        delegator_address=make_text_addr("alice")
    )
    answer = chain.query(f"{SERVICE}/DelegatorWithdrawAddress", request)
    assert answer.withdraw_address == make_text_addr("bob")
    message.withdraw_address = encode_account(compute_module_address(FEE_COLLECTOR))
    chain.assert_noop(message, Unauthorized)
    message.withdraw_address = "cosmos1x"
    chain.assert_noop(message, InvalidAddress)
    chain.assert_genesis_round_trips(*build_pallets())


def test_fund_community_pool(chain: RewardChain) -> None:
    message = tx_pb2.MsgFundCommunityPool(
        depositor=make_text_addr("alice"), amount=[build_coin("udsc", 5)]
    )
    chain.run(message)
    pool = chain.query(f"{SERVICE}/CommunityPool", query_pb2.QueryCommunityPoolRequest()).pool
    assert [coin.amount for coin in pool] == [str(5 * DEC)]
    message.amount[0].denom = "uother"
    chain.assert_noop(message, InvalidCoins)


def test_total_rewards(chain: RewardChain) -> None:
    chain.run(build_create("other", 1_000 * DSC))
    for operator in ("val", "other"):
        chain.run(build_delegate("alice", operator, 1_000 * DSC))
        chain.pay(operator, 100)
    request = query_pb2.QueryDelegationTotalRewardsRequest(
        delegator_address=make_text_addr("alice")
    )
    answer = chain.query(f"{SERVICE}/DelegationTotalRewards", request)
    assert [coin.amount for coin in answer.total] == [str(90 * DEC)]
    assert len(answer.rewards) == 2
