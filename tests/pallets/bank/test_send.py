"""MsgSend."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.bank.v1beta1 import query_pb2, tx_pb2

from node.pallets.bank.pallet import BankPallet
from node.pallets.bank.types import CoinReceived, CoinSpent, Transferred
from node.runtime.addresses import compute_module_address, encode_account
from node.runtime.coins import build_coin
from node.runtime.errors import InsufficientFunds, InvalidAddress, InvalidCoins, Unauthorized
from tests.pallets.harness import Harness, build_base_pallets, make_text_addr


@pytest.fixture
def chain() -> Harness:
    harness = Harness(*build_base_pallets())
    harness.make_account("alice", 1_000)
    return harness


def build_send(sender: str, recipient: str, *coins: Any) -> Any:
    return tx_pb2.MsgSend(from_address=sender, to_address=recipient, amount=coins)


def test_send(chain: Harness) -> None:
    alice, bob = make_text_addr("alice"), make_text_addr("bob")
    result = chain.run(build_send(alice, bob, build_coin("udsc", 400)))
    assert (chain.get_balance("alice"), chain.get_balance("bob")) == (600, 400)
    assert result.get_events(CoinSpent) == [CoinSpent(alice, "400udsc")]
    assert result.get_events(CoinReceived) == [CoinReceived(bob, "400udsc")]
    assert result.get_events(Transferred) == [Transferred(bob, alice, "400udsc")]


def test_send__to_self(chain: Harness) -> None:
    alice = make_text_addr("alice")
    chain.run(build_send(alice, alice, build_coin("udsc", 1_000)))
    assert chain.get_balance("alice") == 1_000


def test_send__whole_balance_leaves_no_entry(chain: Harness) -> None:
    alice, bob = make_text_addr("alice"), make_text_addr("bob")
    chain.run(build_send(alice, bob, build_coin("udsc", 1_000)))
    answer = chain.query(
        "/cosmos.bank.v1beta1.Query/AllBalances", query_pb2.QueryAllBalancesRequest(address=alice)
    )
    assert list(answer.balances) == []


def test_invalid_insufficient_funds(chain: Harness) -> None:
    alice, bob = make_text_addr("alice"), make_text_addr("bob")
    error = chain.assert_noop(build_send(alice, bob, build_coin("udsc", 1_001)), InsufficientFunds)
    assert str(error) == "spendable balance 1000udsc is smaller than 1001udsc: insufficient funds"
    assert (error.codespace, error.code) == ("sdk", 5)


def test_invalid_second_coin_rolls_back_the_first(chain: Harness) -> None:
    alice, bob = make_text_addr("alice"), make_text_addr("bob")
    coins = (build_coin("udsc", 1), build_coin("uother", 1))
    chain.assert_noop(build_send(alice, bob, *coins), InsufficientFunds)


@pytest.mark.parametrize(
    "coins",
    [
        (),
        (build_coin("udsc", 0),),
        (build_coin("udsc", -1),),
        (build_coin("u", 1),),
        (build_coin("udsc", 1), build_coin("udsc", 1)),
        (build_coin("uother", 1), build_coin("udsc", 1)),
        (build_coin("udsc", 2**256),),
    ],
)
def test_invalid_coins(chain: Harness, coins: tuple[Any, ...]) -> None:
    chain.assert_noop(
        build_send(make_text_addr("alice"), make_text_addr("bob"), *coins), InvalidCoins
    )


@pytest.mark.parametrize("recipient", ["", "descent1xyz", "cosmos1qqqsyqcyq5rqwzqf"])
def test_invalid_recipient(chain: Harness, recipient: str) -> None:
    message = build_send(make_text_addr("alice"), recipient, build_coin("udsc", 1))
    chain.assert_noop(message, InvalidAddress)


def test_invalid_module_account_as_recipient(chain: Harness) -> None:
    recipient = encode_account(compute_module_address("fee_collector"))
    message = build_send(make_text_addr("alice"), recipient, build_coin("udsc", 1))
    chain.assert_noop(message, Unauthorized, match="not allowed to receive funds")


def test_genesis_round_trips(chain: Harness) -> None:
    chain.run(build_send(make_text_addr("alice"), make_text_addr("bob"), build_coin("udsc", 1)))
    chain.assert_genesis_round_trips(*build_base_pallets())


def test_queries_that_exist_are_answered() -> None:
    names = {
        service.full_name
        for service in Harness(*build_base_pallets()).runtime.list_query_services()
    }
    assert names == {"cosmos.auth.v1beta1.Query", "cosmos.bank.v1beta1.Query"}
    assert BankPallet.name == "bank"
