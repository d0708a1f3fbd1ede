"""MsgCommitWeights."""

from __future__ import annotations

import pytest

from node.pallets.runs.errors import InvalidRole, ParticipantNotFound
from node.pallets.weights.errors import CommitDeadlinePassed, InvalidCommitment, NotJudging
from node.pallets.weights.types import WeightsCommitted
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain, hash_text


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.start_run()
    chain.play_round(1)
    return chain


def build_commit(
    name: str = "validator-0", round_index: int = 0, commitment: bytes = hash_text("hidden")
) -> weights_pb2.MsgCommitWeights:
    return weights_pb2.MsgCommitWeights(
        hotkey=make_text_addr(name), run_id=1, round=round_index, commitment=commitment
    )


def test_commit_weights(chain: TrainingChain) -> None:
    result = chain.run(build_commit())
    assert result.get_events(WeightsCommitted) == [WeightsCommitted(1, 0, 3)]
    again = hash_text("changed")
    chain.run(build_commit(commitment=again))
    request = weights_pb2.QueryJudgementsRequest(run_id=1, round=0)
    [commit] = chain.query("/descent.weights.v1.Query/Judgements", request).commits
    assert (commit.uid, commit.commitment, commit.height) == (3, again, chain.height)


def test_commit_weights__until_the_deadline(chain: TrainingChain) -> None:
    deadline = chain.get_round(1, 0).judge_commit_deadline
    chain.next_block(deadline - chain.height)
    chain.run(build_commit())
    chain.next_block()
    message = build_commit("validator-1")
    chain.assert_noop(message, CommitDeadlinePassed, f"round 0 was {deadline}")


def test_invalid_round(chain: TrainingChain) -> None:
    chain.assert_noop(build_commit(round_index=1), NotJudging, "round 1 of run 1")
    chain.next_block(5)
    chain.assert_noop(build_commit(), NotJudging, "round 0 of run 1")


def test_invalid_commitment(chain: TrainingChain) -> None:
    chain.assert_noop(build_commit(commitment=b"x"), InvalidCommitment, "1 bytes")


def test_invalid_sender(chain: TrainingChain) -> None:
    chain.assert_noop(build_commit("miner-0"), InvalidRole)
    chain.assert_noop(build_commit("stranger"), ParticipantNotFound)
