"""MsgFundRun."""

from __future__ import annotations

import pytest

from node.pallets.runs.errors import InvalidAmount, RunNotFound, RunNotOpen
from node.pallets.runs.types import RunFunded
from node.runtime.errors import InsufficientFunds
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.create_run(bounty=10)
    chain.make_account("alice", 100)
    return chain


def test_fund_run(chain: TrainingChain) -> None:
    alice = make_text_addr("alice")
    result = chain.run(runs_pb2.MsgFundRun(funder=alice, run_id=1, amount_udsc=60))
    assert result.get_events(RunFunded) == [RunFunded(1, alice, 60, 70)]
    assert (chain.get_run(1).bounty_udsc, chain.get_balance("alice")) == (70, 40)


@pytest.mark.parametrize(
    ("run_id", "amount", "error"),
    [(1, 0, InvalidAmount), (2, 1, RunNotFound), (1, 101, InsufficientFunds)],
)
def test_invalid(chain: TrainingChain, run_id: int, amount: int, error: type) -> None:
    funder = make_text_addr("alice")
    message = runs_pb2.MsgFundRun(funder=funder, run_id=run_id, amount_udsc=amount)
    chain.assert_noop(message, error)


def test_invalid_run_is_over(chain: TrainingChain) -> None:
    chain.run(runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=1))
    message = runs_pb2.MsgFundRun(funder=make_text_addr("alice"), run_id=1, amount_udsc=1)
    chain.assert_noop(message, RunNotOpen)
