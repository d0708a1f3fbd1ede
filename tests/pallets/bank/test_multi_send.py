"""MsgMultiSend."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.bank.v1beta1 import bank_pb2, tx_pb2

from node.pallets.bank.errors import InputOutputMismatch, MultipleSenders, NoInputs, NoOutputs
from node.runtime.coins import build_coin
from node.runtime.errors import ChainError, InsufficientFunds, InvalidAddress
from tests.pallets.harness import Harness, build_base_pallets, make_text_addr


@pytest.fixture
def chain() -> Harness:
    harness = Harness(*build_base_pallets())
    harness.make_account("alice", 1_000)
    return harness


def build_input(name: str, amount: int) -> Any:
    return bank_pb2.Input(address=make_text_addr(name), coins=[build_coin("udsc", amount)])


def build_output(name: str, amount: int) -> Any:
    return bank_pb2.Output(address=make_text_addr(name), coins=[build_coin("udsc", amount)])


def build_multi_send(inputs: list[Any], outputs: list[Any]) -> Any:
    return tx_pb2.MsgMultiSend(inputs=inputs, outputs=outputs)


def test_multi_send(chain: Harness) -> None:
    outputs = [build_output("bob", 300), build_output("carol", 200)]
    chain.run(build_multi_send([build_input("alice", 500)], outputs))
    balances = [chain.get_balance(name) for name in ("alice", "bob", "carol")]
    assert balances == [500, 300, 200]


@pytest.mark.parametrize(
    ("inputs", "outputs", "error"),
    [
        ([("alice", 5), ("bob", 5)], [("carol", 10)], MultipleSenders),
        ([("alice", 5)], [], NoOutputs),
        ([("alice", 5)], [("bob", 4)], InputOutputMismatch),
        ([("alice", 5)], [("bob", 4), ("carol", 2)], InputOutputMismatch),
        ([("alice", 1_001)], [("bob", 1_000), ("carol", 1)], InsufficientFunds),
        ([("alice", 1_001)], [("alice", 1_000), ("alice", 1)], InsufficientFunds),
    ],
)
def test_invalid(
    chain: Harness,
    inputs: list[tuple[str, int]],
    outputs: list[tuple[str, int]],
    error: type[ChainError],
) -> None:
    message = build_multi_send(
        [build_input(*entry) for entry in inputs], [build_output(*entry) for entry in outputs]
    )
    chain.assert_noop(message, error)


def test_invalid_no_inputs(chain: Harness) -> None:
    # Without an input there is no signer, so the runtime refuses before the pallet is asked.
    message = build_multi_send([], [build_output("bob", 1)])
    chain.assert_noop(message, InvalidAddress)
    with pytest.raises(NoInputs):
        chain.get_pallet("bank").multi_send(chain.ctx(), b"", message)
