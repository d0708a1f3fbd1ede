"""Random bonding and unbonding against a dict of who has lent what to whom."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos.staking.v1beta1 import tx_pb2
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from node.runtime.coins import build_coin
from tests.pallets.harness import Harness, make_text_addr
from tests.pallets.machine import SETTINGS, ChainMachine
from tests.pallets.staking.staking_chain import (
    build_create,
    build_delegate,
    build_pallets,
    build_undelegate,
    get_stake,
    make_operator_addr,
)

START_UDSC = 1_000
MIN_SELF_UDSC = 100  # of every operator that `build_create` makes
MAX_ENTRIES = 7
UNBONDING_NS = 21 * 24 * 3600 * 10**9
OPERATORS = ("operator-0", "operator-1")
EVERYBODY = (*OPERATORS, "alice", "bob")
NAMES = st.sampled_from(EVERYBODY)
OPERATOR = st.sampled_from((*OPERATORS, "alice"))
AMOUNTS = st.one_of(st.integers(1, 150), st.sampled_from([0, 300, START_UDSC + 1]))


@dataclass
class Unbonding:
    """Coins on their way back."""

    delegator: str
    operator: str
    height: int
    due_ns: int
    amount: int


class StakingMachine(ChainMachine):
    """Four accounts; nobody is slashed, so a coin bonded is a coin returned."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Harness(*build_pallets())
        self.balances = dict.fromkeys(EVERYBODY, START_UDSC)
        for name in EVERYBODY:
            self.chain.make_account(name, START_UDSC)
        self.bonds: dict[tuple[str, str], int] = {}  # (delegator, operator) -> udsc
        self.unbondings: list[Unbonding] = []
        for name in OPERATORS:
            self.create_operator(name, 2 * MIN_SELF_UDSC)

    def get_total(self, operator: str) -> int:
        return sum(amount for key, amount in self.bonds.items() if key[1] == operator)

    def bond(self, delegator: str, operator: str, amount: int) -> None:
        self.bonds[delegator, operator] = self.bonds.get((delegator, operator), 0) + amount

    @rule(name=NAMES, amount=AMOUNTS)
    def create_operator(self, name: str, amount: int) -> None:
        is_right = self.get_total(name) == 0 and MIN_SELF_UDSC <= amount <= self.balances[name]
        assert (self.attempt(build_create(name, amount)) is not None) == is_right
        if is_right:
            self.balances[name] -= amount
            self.bond(name, name, amount)

    @rule(name=NAMES, operator=OPERATOR, amount=AMOUNTS)
    def delegate(self, name: str, operator: str, amount: int) -> None:
        is_right = self.get_total(operator) > 0 and 0 < amount <= self.balances[name]
        assert (self.attempt(build_delegate(name, operator, amount)) is not None) == is_right
        if is_right:
            self.balances[name] -= amount
            self.bond(name, operator, amount)

    @rule(data=st.data(), amount=AMOUNTS, is_all=st.booleans())
    def undelegate(self, data: st.DataObject, amount: int, is_all: bool) -> None:
        known = st.sampled_from(sorted(self.bonds)) if self.bonds else st.nothing()
        name, operator = data.draw(known | st.tuples(NAMES, OPERATOR))
        held = self.bonds.get((name, operator), 0)
        amount = held if is_all else amount
        entries = [u for u in self.unbondings if (u.delegator, u.operator) == (name, operator)]
        is_last = self.get_total(operator) == amount
        keeps_own = name != operator or held - amount >= MIN_SELF_UDSC or is_last
        is_right = 0 < amount <= held and keeps_own and len(entries) < MAX_ENTRIES
        assert (self.attempt(build_undelegate(name, operator, amount)) is not None) == is_right
        if is_right:
            self.bonds[name, operator] -= amount
            due_ns = self.chain.block.time_ns + UNBONDING_NS
            self.unbondings.append(Unbonding(name, operator, self.chain.height, due_ns, amount))

    @rule(data=st.data(), amount=AMOUNTS)
    def cancel(self, data: st.DataObject, amount: int) -> None:
        if not self.unbondings:
            return
        chosen = data.draw(st.sampled_from(self.unbondings))
        first = next(  # the chain takes the oldest entry of a height
            u
            for u in self.unbondings
            if (u.delegator, u.operator, u.height)
            == (chosen.delegator, chosen.operator, chosen.height)
        )
        message = tx_pb2.MsgCancelUnbondingDelegation(
            delegator_address=make_text_addr(first.delegator),
            validator_address=make_operator_addr(first.operator),
            amount=build_coin("udsc", amount),
            creation_height=first.height,
        )
        is_right = self.get_total(first.operator) > 0 and 0 < amount <= first.amount
        assert (self.attempt(message) is not None) == is_right
        if is_right:
            self.bond(first.delegator, first.operator, amount)
            first.amount -= amount
            if not first.amount:
                self.unbondings.remove(first)

    @rule(count=st.integers(1, 3), interval_ns=st.sampled_from([10**9, UNBONDING_NS // 2]))
    def wait(self, count: int, interval_ns: int) -> None:
        self.chain.block_ns = interval_ns
        for _ in range(count):
            for unbonding in list(self.unbondings):
                if unbonding.due_ns <= self.chain.block.time_ns:
                    self.balances[unbonding.delegator] += unbonding.amount
                    self.unbondings.remove(unbonding)
            self.chain.next_block()

    @invariant()
    def chain_is_the_model(self) -> None:
        for name in EVERYBODY:
            assert self.chain.get_balance(name) == self.balances[name] >= 0
            assert get_stake(self.chain, name) == self.get_total(name)
        away = sum(self.bonds.values()) + sum(u.amount for u in self.unbondings)
        assert sum(self.balances.values()) + away == START_UDSC * len(EVERYBODY)

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*build_pallets())


TestStaking = StakingMachine.TestCase
TestStaking.settings = SETTINGS
