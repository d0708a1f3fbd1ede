"""MsgHaltRun."""

from __future__ import annotations

import pytest

from node.pallets.runs.errors import NotRunOwner, RunNotFound, RunNotOpen
from node.pallets.runs.types import BountyReturned, RunStatusChanged
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import OWNER_UDSC, TrainingChain


@pytest.fixture
def chain() -> TrainingChain:
    return TrainingChain()


def test_halt_run(chain: TrainingChain) -> None:
    owner = make_text_addr("owner")
    run_id = chain.create_run(bounty=700)
    result = chain.run(runs_pb2.MsgHaltRun(owner=owner, run_id=run_id))
    assert result.get_events(RunStatusChanged) == [RunStatusChanged(run_id, "halted")]
    assert result.get_events(BountyReturned) == [BountyReturned(run_id, owner, 700)]
    run = chain.get_run(run_id)
    assert (run.status, run.bounty_udsc) == (runs_pb2.RUN_STATUS_HALTED, 0)
    assert chain.get_balance("owner") == OWNER_UDSC


def test_halt_run__in_the_middle_of_a_round(chain: TrainingChain) -> None:
    run_id = chain.start_run(bounty=700)
    chain.commit(run_id, "miner-0")
    message = chain.build_commit(run_id, "miner-1")
    chain.run(runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=run_id))
    chain.assert_noop(message, RunNotOpen, "run 1 is halted")
    chain.next_block(30)
    assert chain.get_round(run_id).phase == rounds_pb2.PHASE_TRAINING


def test_invalid_owner(chain: TrainingChain) -> None:
    run_id = chain.create_run()
    chain.make_account("alice", 1)
    message = runs_pb2.MsgHaltRun(owner=make_text_addr("alice"), run_id=run_id)
    chain.assert_noop(message, NotRunOwner, make_text_addr("owner"))


def test_invalid_run(chain: TrainingChain) -> None:
    message = runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=1)
    chain.assert_noop(message, RunNotFound)
    chain.create_run()
    chain.run(message)
    chain.assert_noop(message, RunNotOpen)
