"""Random transfers, coins made and burned, against a dict of balances."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.bank.v1beta1 import bank_pb2, tx_pb2
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from node.runtime.coins import build_coin
from node.runtime.errors import InsufficientFunds
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr
from tests.pallets.machine import SETTINGS, ChainMachine

DENOMS = ("aother", "udsc")
NAMES = st.sampled_from(["alice", "bob", "carol", "never-seen"])
AMOUNTS = st.one_of(st.integers(1, 60), st.integers(0, 400))
COINS = st.dictionaries(st.sampled_from(DENOMS), AMOUNTS, max_size=2)


def build_coins(coins: dict[str, int]) -> list[Any]:
    return [build_coin(denom, coins[denom]) for denom in sorted(coins)]


class BankMachine(ChainMachine):
    """Some accounts, two denominations."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Harness(*build_base_pallets())
        self.balances: dict[tuple[str, str], int] = {}
        for name in ("alice", "bob"):
            for denom in DENOMS:
                self.mint(name, denom, 300)

    def get(self, name: str, denom: str) -> int:
        return self.balances.get((name, denom), 0)

    def move(self, sender: str, recipient: str, coins: dict[str, int]) -> None:
        for denom, amount in coins.items():
            self.balances[sender, denom] = self.get(sender, denom) - amount
            self.balances[recipient, denom] = self.get(recipient, denom) + amount

    def can_send(self, sender: str, coins: dict[str, int]) -> bool:
        return (
            bool(coins)
            and min(coins.values()) > 0
            and all(self.get(sender, denom) >= amount for denom, amount in coins.items())
        )

    @rule(name=NAMES, denom=st.sampled_from(DENOMS), amount=AMOUNTS)
    def mint(self, name: str, denom: str, amount: int) -> None:
        self.chain.get_pallet("bank").mint(self.chain.ctx(), make_addr(name), amount, denom)
        self.balances[name, denom] = self.get(name, denom) + amount

    @rule(name=NAMES, denom=st.sampled_from(DENOMS), amount=AMOUNTS)
    def burn(self, name: str, denom: str, amount: int) -> None:
        arguments = (self.chain.ctx(), make_addr(name), amount, denom)
        if amount > self.get(name, denom):
            with pytest.raises(InsufficientFunds):
                self.chain.get_pallet("bank").burn(*arguments)
            return
        self.chain.get_pallet("bank").burn(*arguments)
        self.balances[name, denom] = self.get(name, denom) - amount

    @rule(sender=NAMES, recipient=NAMES, coins=COINS)
    def send(self, sender: str, recipient: str, coins: dict[str, int]) -> None:
        message = tx_pb2.MsgSend(
            from_address=make_text_addr(sender),
            to_address=make_text_addr(recipient),
            amount=build_coins(coins),
        )
        assert (self.attempt(message) is not None) == self.can_send(sender, coins)
        if self.can_send(sender, coins):
            self.move(sender, recipient, coins)

    @rule(
        sender=NAMES,
        outputs=st.lists(st.tuples(NAMES, AMOUNTS), max_size=4),
        extra=st.sampled_from([0, 0, 0, 1]),
    )
    def multi_send(self, sender: str, outputs: list[tuple[str, int]], extra: int) -> None:
        total = sum(amount for _, amount in outputs) + extra
        message = tx_pb2.MsgMultiSend(
            inputs=[
                bank_pb2.Input(address=make_text_addr(sender), coins=build_coins({"udsc": total}))
            ],
            outputs=[
                bank_pb2.Output(address=make_text_addr(name), coins=build_coins({"udsc": amount}))
                for name, amount in outputs
            ],
        )
        is_right = (
            not extra
            and all(amount > 0 for _, amount in outputs)
            and self.can_send(sender, {"udsc": total})
        )
        assert (self.attempt(message) is not None) == is_right
        if is_right:
            for name, amount in outputs:
                self.move(sender, name, {"udsc": amount})

    @invariant()
    def balances_are_the_model(self) -> None:
        bank, ctx = self.chain.get_pallet("bank"), self.chain.ctx()
        for (name, denom), amount in self.balances.items():
            assert bank.get_balance(ctx, make_addr(name), denom) == amount >= 0
        for denom in DENOMS:
            supply = sum(amount for key, amount in self.balances.items() if key[1] == denom)
            assert bank.get_supply(ctx, denom) == supply

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*build_base_pallets())


TestBank = BankMachine.TestCase
TestBank.settings = SETTINGS
