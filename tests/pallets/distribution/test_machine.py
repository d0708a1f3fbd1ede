"""Any order of bonds, rewards and withdrawals pays what exact fractions say, to the udsc."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.runtime.errors import ChainError
from tests.pallets.distribution.reward_chain import DEC, DSC, RewardChain
from tests.pallets.harness import make_addr
from tests.pallets.staking.staking_chain import build_delegate, build_undelegate

DELEGATORS = ("alice", "bob")
COMMISSION = Fraction(1, 10)


class RewardMachine(RuleBasedStateMachine):
    """The chain beside a model that keeps fractions for every delegator."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = RewardChain()
        self.due: dict[str, Fraction] = dict.fromkeys((*DELEGATORS, "val"), Fraction())
        self.paid = dict.fromkeys(DELEGATORS, 0)

    def get_shares(self, name: str) -> int:
        staking: Any = self.chain.get_pallet("staking")
        return int(staking.get_shares(self.chain.ctx(), make_addr(name), make_addr("val")))

    def run_watched(self, name: str, message: Any, spent: int) -> None:
        """Run a message and book what it paid out beside what it spent."""
        before = self.chain.get_balance(name)
        try:
            self.chain.run(message)
        except ChainError:
            return
        self.paid[name] += self.chain.get_balance(name) - before + spent

    @rule(name=st.sampled_from(DELEGATORS), amount=st.integers(1, 50 * DSC))
    def delegate(self, name: str, amount: int) -> None:
        self.run_watched(name, build_delegate(name, "val", amount), amount)

    @rule(name=st.sampled_from(DELEGATORS), amount=st.integers(1, 50 * DSC))
    def undelegate(self, name: str, amount: int) -> None:
        self.run_watched(name, build_undelegate(name, "val", amount), 0)

    @rule(amount=st.integers(0, 10**9))
    def reward(self, amount: int) -> None:
        shares = {name: self.get_shares(name) for name in self.due}
        total = sum(shares.values())
        for name, held in shares.items():
            self.due[name] += amount * (1 - COMMISSION) * Fraction(held, total)
        self.chain.pay("val", amount)

    @rule(name=st.sampled_from(DELEGATORS))
    def withdraw(self, name: str) -> None:
        if self.get_shares(name):
            self.paid[name] += self.chain.withdraw(name)

    @rule(percent=st.integers(1, 30))
    def slash(self, percent: int) -> None:
        staking: Any = self.chain.get_pallet("staking")
        operator = staking.get_operator(self.chain.ctx(), make_addr("val"))
        power = int(operator.tokens) // DSC
        fraction = percent * DEC // 100
        staking.slash(self.chain.ctx(), make_addr("val"), self.chain.height, power, fraction)

    @invariant()
    def everybody_gets_what_is_due(self) -> None:
        self.chain.check_invariants()
        for name in DELEGATORS:
            left = Fraction(self.chain.get_reward(name), DEC) if self.get_shares(name) else 0
            gap = self.due[name] - self.paid[name] - left
            # Fractions of a udsc are forgone when a delegation ends, at most once a step.
            assert -1 <= gap < 60, (name, float(gap))


TestRewardMachine = RewardMachine.TestCase
TestRewardMachine.settings = settings(max_examples=25, stateful_step_count=30)
