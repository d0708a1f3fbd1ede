"""Stake, rewards, slashes, votes and grants in any order: no invariant breaks, no coin is lost."""

from __future__ import annotations

import hashlib
from typing import Any

from cosmos.slashing.v1beta1 import tx_pb2 as slashing_tx_pb2
from cosmos.staking.v1beta1 import query_pb2, tx_pb2
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.chain import MODULE_PERMISSIONS, build_chain
from node.runtime.addresses import compute_consensus_address, compute_module_address
from node.runtime.coins import build_coin
from node.runtime.context import CommitVote, Misbehaviour
from node.runtime.errors import ChainError
from tests.pallets.distribution.reward_chain import build_withdraw, build_withdraw_commission
from tests.pallets.gov.gov_chain import AUTHORITY, build_deposit, build_proposal, build_vote
from tests.pallets.harness import Harness, make_addr, make_text_addr
from tests.pallets.staking.staking_chain import (
    build_create,
    build_delegate,
    build_redelegate,
    build_undelegate,
    make_operator_addr,
    skip_time,
)

DSC = 10**6
OPERATORS = ("val", "second", "third")
PEOPLE = (*OPERATORS, "alice", "bob")
AMOUNTS = st.one_of(st.integers(1, 40 * DSC), st.sampled_from((1, 7, DSC, 100 * DSC)))
STAKE = 100 * DSC


def build_harness() -> Harness:
    chain = build_chain()
    harness = Harness(*chain.runtime.pallets.values())
    chain.gov.set_dispatcher(harness.runtime)
    chain.authz.set_dispatcher(harness.runtime)
    return harness


class EconomyMachine(RuleBasedStateMachine):
    """The whole chain, with everything that moves stake."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = build_harness()
        mint = self.chain.get_pallet("mint")
        for name in PEOPLE:
            mint.issue(self.chain.ctx(), make_addr(name), 1_000 * DSC)
        beacon = self.chain.get_pallet("beacon")
        for name in OPERATORS:
            beacon.register_anchor(
                self.chain.ctx(), make_addr(name), hashlib.sha256(name.encode()).digest()
            )
            self.chain.run(build_create(name, STAKE))
        self.chain.check_is_on = True
        self.num_done = 0

    def attempt(self, message: Any) -> None:
        """Run a message that may be refused; invariants are checked either way."""
        try:
            self.chain.run(message)
        except ChainError:
            return
        self.num_done += 1

    def list_votes(self, absent: str = "") -> tuple[CommitVote, ...]:
        staking: Any = self.chain.get_pallet("staking")
        powers = staking.list_consensus_set(self.chain.ctx())
        missing = hashlib.sha256(absent.encode()).digest()
        return tuple(
            CommitVote(compute_consensus_address(key), power, key != missing)
            for key, power in powers.items()
        )

    @rule(who=st.sampled_from(PEOPLE), to=st.sampled_from(OPERATORS), amount=AMOUNTS)
    def delegate(self, who: str, to: str, amount: int) -> None:
        self.attempt(build_delegate(who, to, amount))

    @rule(who=st.sampled_from(PEOPLE), of=st.sampled_from(OPERATORS), amount=AMOUNTS)
    def undelegate(self, who: str, of: str, amount: int) -> None:
        self.attempt(build_undelegate(who, of, amount))

    @rule(
        who=st.sampled_from(PEOPLE),
        source=st.sampled_from(OPERATORS),
        goal=st.sampled_from(OPERATORS),
        amount=AMOUNTS,
    )
    def redelegate(self, who: str, source: str, goal: str, amount: int) -> None:
        self.attempt(build_redelegate(who, source, goal, amount))

    @rule(who=st.sampled_from(PEOPLE), of=st.sampled_from(OPERATORS))
    def leave(self, who: str, of: str) -> None:
        """Undelegate everything."""
        request = query_pb2.QueryDelegatorDelegationsRequest(delegator_addr=make_text_addr(who))
        path = "/cosmos.staking.v1beta1.Query/DelegatorDelegations"
        for found in self.chain.query(path, request).delegation_responses:
            if found.delegation.validator_address == make_operator_addr(of):
                self.attempt(build_undelegate(who, of, int(found.balance.amount) or 1))

    @rule(name=st.sampled_from(OPERATORS))
    def come_back(self, name: str) -> None:
        self.attempt(build_create(name, 30 * DSC))

    @rule(who=st.sampled_from(PEOPLE), of=st.sampled_from(OPERATORS), amount=AMOUNTS)
    def cancel(self, who: str, of: str, amount: int) -> None:
        message = tx_pb2.MsgCancelUnbondingDelegation(
            delegator_address=make_text_addr(who),
            validator_address=make_operator_addr(of),
            amount=build_coin("udsc", amount),
            creation_height=self.chain.height,
        )
        self.attempt(message)

    @rule(who=st.sampled_from(PEOPLE), of=st.sampled_from(OPERATORS))
    def withdraw(self, who: str, of: str) -> None:
        self.attempt(build_withdraw(who, of))

    @rule(of=st.sampled_from(OPERATORS))
    def withdraw_commission(self, of: str) -> None:
        self.attempt(build_withdraw_commission(of))

    @rule(of=st.sampled_from(OPERATORS), amount=st.integers(0, DSC))
    def reward(self, of: str, amount: int) -> None:
        distribution: Any = self.chain.get_pallet("distribution")
        bob = make_addr("bob")
        if self.chain.get_balance("bob") >= amount:
            distribution.pay_operator(self.chain.ctx(), bob, make_addr(of), amount)

    @rule(num_blocks=st.integers(1, 12), absent=st.sampled_from(("", *OPERATORS)))
    def make_blocks(self, num_blocks: int, absent: str) -> None:
        for _ in range(num_blocks):
            self.chain.block_fields = {"votes": self.list_votes(absent), "misbehaviours": ()}
            self.chain.next_block()

    @rule(name=st.sampled_from(OPERATORS), age=st.integers(0, 5))
    def double_sign(self, name: str, age: int) -> None:
        key = hashlib.sha256(name.encode()).digest()
        found = Misbehaviour(
            compute_consensus_address(key),
            100,
            max(self.chain.height - age, 1),
            self.chain.block.time_ns,
        )
        self.chain.block_fields = {"votes": self.list_votes(), "misbehaviours": (found,)}
        self.chain.next_block()

    @rule(name=st.sampled_from(OPERATORS))
    def unjail(self, name: str) -> None:
        message = slashing_tx_pb2.MsgUnjail(validator_addr=make_operator_addr(name))
        self.attempt(message)

    @rule(days=st.sampled_from((1, 3, 22)))
    def wait(self, days: int) -> None:
        self.chain.block_fields = {"votes": (), "misbehaviours": ()}
        skip_time(self.chain, days * 24 * 3600)
        self.chain.next_block()

    @rule(who=st.sampled_from(PEOPLE), deposit=st.sampled_from((0, 3 * DSC, 10 * DSC)))
    def propose(self, who: str, deposit: int) -> None:
        update = tx_pb2.MsgUpdateParams(authority=AUTHORITY)
        update.params.unbonding_time.seconds = 21 * 24 * 3600
        update.params.max_entries = 7
        update.params.max_validators = 2
        message = build_proposal(update, deposit=deposit, proposer=make_text_addr(who))
        self.attempt(message)

    @rule(who=st.sampled_from(PEOPLE), number=st.integers(1, 3), option=st.integers(1, 4))
    def vote(self, who: str, number: int, option: int) -> None:
        self.attempt(build_vote(number, who, option))

    @rule(who=st.sampled_from(PEOPLE), number=st.integers(1, 3))
    def deposit(self, who: str, number: int) -> None:
        self.attempt(build_deposit(number, who, 4 * DSC))

    @invariant()
    def nothing_is_lost(self) -> None:
        """Invariants hold, and nobody holds more than there is."""
        self.chain.check_invariants()
        bank: Any = self.chain.get_pallet("bank")
        ctx = self.chain.ctx()
        accounts = [make_addr(name) for name in PEOPLE]
        accounts += [compute_module_address(name) for name in MODULE_PERMISSIONS]
        assert sum(bank.get_balance(ctx, addr) for addr in accounts) == bank.get_supply(ctx)

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*build_chain().runtime.pallets.values())


TestEconomyMachine = EconomyMachine.TestCase
TestEconomyMachine.settings = settings(max_examples=20, stateful_step_count=30)
