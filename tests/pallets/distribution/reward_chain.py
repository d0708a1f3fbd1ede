"""A chain with staking, mint and distribution in memory, and the messages its tests send."""

from __future__ import annotations

from typing import Any

from cosmos.distribution.v1beta1 import query_pb2, tx_pb2

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.bank.pallet import BankPallet
from node.pallets.distribution.pallet import DistributionPallet
from node.pallets.mint.pallet import MintPallet
from node.pallets.staking.pallet import StakingPallet
from node.runtime.pallet import Pallet
from tests.pallets.harness import Harness, make_addr, make_text_addr
from tests.pallets.staking.staking_chain import POOLS, Nodes, build_create, make_operator_addr

SERVICE = "/cosmos.distribution.v1beta1.Query"
DSC = 10**6
DEC = 10**18


def build_pallets() -> list[Pallet[Any]]:
    accounts = AccountsPallet({**POOLS, "distribution": ()})
    bank = BankPallet(accounts)
    mint = MintPallet(bank)
    staking = StakingPallet(bank, Nodes())
    distribution = DistributionPallet(accounts, bank, staking, mint)
    staking.add_listener(distribution)
    return [accounts, bank, mint, staking, distribution]


class RewardChain(Harness):
    """A chain where `val` is an operator with 1 000 DSC and 10 % commission."""

    def __init__(self, consensus_share_ppm: int = 0) -> None:
        mint = {"consensus_share_ppm": consensus_share_ppm}
        params = {**mint, "initial_emission_udsc": "1000000", "supply_cap_udsc": str(21 * 10**12)}
        super().__init__(*build_pallets(), genesis={"mint": {"params": params}})
        for name in ("val", "other", "alice", "bob", "payer"):
            self.make_account(name, 100_000 * DSC)
        self.run(build_create("val", 1_000 * DSC))

    def make_account(self, name: str, udsc: int = 0) -> str:
        self.get_pallet("mint").issue(self.ctx(), make_addr(name), udsc)
        return super().make_account(name)

    def pay(self, operator: str, amount: int) -> None:
        """Pay a scoring reward."""
        distribution = self.get_pallet("distribution")
        distribution.pay_operator(self.ctx(), make_addr("payer"), make_addr(operator), amount)
        self.check_invariants()

    def withdraw(self, delegator: str, operator: str = "val") -> int:
        """Withdraw rewards; returns the amount."""
        coins = self.run(build_withdraw(delegator, operator)).response.amount
        return sum(int(coin.amount) for coin in coins)

    def get_reward(self, delegator: str, operator: str = "val") -> int:
        """Get the reward a delegation has earned, scaled by 10**18."""
        request = query_pb2.QueryDelegationRewardsRequest(
            delegator_address=make_text_addr(delegator),
            validator_address=make_operator_addr(operator),
        )
        rewards = self.query(f"{SERVICE}/DelegationRewards", request).rewards
        return sum(int(coin.amount) for coin in rewards)

    def get_commission(self, operator: str = "val") -> int:
        """Get the commission an operator has yet to withdraw, scaled by 10**18."""
        request = query_pb2.QueryValidatorCommissionRequest(
            validator_address=make_operator_addr(operator)
        )
        found = self.query(f"{SERVICE}/ValidatorCommission", request).commission.commission
        return sum(int(coin.amount) for coin in found)

    def get_outstanding(self, operator: str = "val") -> int:
        """Get what is held for an operator and its delegators, scaled by 10**18."""
        request = query_pb2.QueryValidatorOutstandingRewardsRequest(
            validator_address=make_operator_addr(operator)
        )
        found = self.query(f"{SERVICE}/ValidatorOutstandingRewards", request).rewards.rewards
        return sum(int(coin.amount) for coin in found)


def build_withdraw(delegator: str, operator: str = "val") -> Any:
    return tx_pb2.MsgWithdrawDelegatorReward(
        delegator_address=make_text_addr(delegator),
        validator_address=make_operator_addr(operator),
    )


def build_withdraw_commission(operator: str = "val") -> Any:
    return tx_pb2.MsgWithdrawValidatorCommission(validator_address=make_operator_addr(operator))
