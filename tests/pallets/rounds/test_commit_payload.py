"""MsgCommitPayload."""

from __future__ import annotations

from typing import Any

import pytest

from node.pallets.rounds.errors import (
    AlreadyCommitted,
    EndpointMissing,
    InvalidHash,
    InvalidPayloadSize,
    NoOpenRound,
    RoundClosed,
    WrongOptimiserRoot,
    WrongRound,
)
from node.pallets.rounds.types import PayloadCommitted
from node.pallets.runs.errors import InvalidRole, ParticipantNotFound, RunNotFound
from proto.descent.rounds.v1 import rounds_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain, hash_text


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    assert chain.start_run() == 1
    return chain


def get_commitments(chain: TrainingChain, index: int = 0) -> list[Any]:
    request = rounds_pb2.QueryCommitmentsRequest(run_id=1, round=index)
    return list(chain.query("/descent.rounds.v1.Query/Commitments", request).commitments)


def test_commit_payload(chain: TrainingChain) -> None:
    message = chain.build_commit(1, "miner-1")
    result = chain.run(message)
    assert result.response.late is False
    payload_hash = hash_text("payload/miner-1/0")
    assert result.get_events(PayloadCommitted) == [
        PayloadCommitted(1, 0, 1, payload_hash, 1_000, False)
    ]
    [commitment] = get_commitments(chain)
    assert (commitment.uid, commitment.hotkey) == (1, make_text_addr("miner-1"))
    assert (commitment.payload_hash, commitment.height) == (payload_hash, chain.height)
    assert chain.get_round(1).num_commitments == 1


def test_commit_payload__again_before_the_deadline_replaces(chain: TrainingChain) -> None:
    chain.commit(1, "miner-0")
    chain.commit(1, "miner-0", payload_size=7)
    assert [entry.payload_size for entry in get_commitments(chain)] == [7]
    assert chain.get_round(1).num_commitments == 1


def test_commit_payload__at_the_deadline_counts(chain: TrainingChain) -> None:
    deadline = chain.get_round(1).commit_deadline
    chain.next_block(deadline - chain.height)
    assert chain.commit(1, "miner-0") is False
    chain.next_block()
    assert chain.commit(1, "miner-1") is True


def test_commit_payload__late_is_recorded_and_does_not_count(chain: TrainingChain) -> None:
    chain.commit(1, "miner-0")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    assert chain.commit(1, "miner-1") is True
    for name in ("validator-0", "validator-1", "validator-2"):
        chain.attest(1, name, [0, 1])
    current = chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    assert list(current.accepted) == [0]
    assert [entry.late for entry in get_commitments(chain)] == [False, True]
    assert chain.get_seat(1, 1).optimiser_root == b""


def test_commit_payload__goes_on_from_the_accepted_optimiser(chain: TrainingChain) -> None:
    chain.play_round(1, miners=["miner-0"])
    chain.advance_to_phase(1, rounds_pb2.PHASE_TRAINING)
    carried = hash_text("optimiser/miner-0/0")
    assert chain.get_seat(1, 0).optimiser_root == carried
    fresh = chain.build_commit(1, "miner-0", optimiser_root_in=b"")
    chain.assert_noop(fresh, WrongOptimiserRoot, f"expected {carried.hex()}, got empty")
    stale = chain.build_commit(1, "miner-1", optimiser_root_in=carried)
    chain.assert_noop(stale, WrongOptimiserRoot, r"expected empty \(fresh optimiser\), got")
    chain.commit(1, "miner-0")


def test_commit_payload__reset_optimiser_excludes_what_builds_on_it(chain: TrainingChain) -> None:
    chain.play_round(1)
    chain.advance_to_phase(1, rounds_pb2.PHASE_TRAINING)
    chain.commit(1, "miner-0")
    chain.commit(1, "miner-1")
    chain.get_pallet("runs").set_carried_optimiser(chain.ctx(), 1, 0, b"")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    for name in ("validator-0", "validator-1", "validator-2"):
        chain.attest(1, name, [0, 1])
    assert list(chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING).accepted) == [1]
    assert chain.get_seat(1, 0).optimiser_root == b""


def test_invalid_closed(chain: TrainingChain) -> None:
    chain.commit(1, "miner-0")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    for name in ("validator-0", "validator-1"):
        chain.attest(1, name, [0])
    chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    message = chain.build_commit(1, "miner-1")
    chain.assert_noop(message, RoundClosed, "round 0 is settling, the next is 1")


def test_invalid_second_after_the_deadline(chain: TrainingChain) -> None:
    chain.commit(1, "miner-0")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    chain.next_block()
    chain.assert_noop(chain.build_commit(1, "miner-0"), AlreadyCommitted, "the deadline was")


def test_invalid_round(chain: TrainingChain) -> None:
    message = chain.build_commit(1, "miner-0", round=1)
    chain.assert_noop(message, WrongRound, "round 1 of run 1, round 0 is in work")


def test_invalid_no_round(chain: TrainingChain) -> None:
    chain.create_run()
    chain.register(2, "early")
    message = chain.build_commit(1, "miner-0", hotkey=make_text_addr("early"))
    message.run_id = 2
    chain.assert_noop(message, NoOpenRound, "run 2")
    message.run_id = 3
    chain.assert_noop(message, RunNotFound)


def test_invalid_sender(chain: TrainingChain) -> None:
    chain.assert_noop(chain.build_commit(1, "validator-0"), InvalidRole, "is a validator")
    message = chain.build_commit(1, "miner-0", hotkey=make_text_addr("stranger"))
    chain.assert_noop(message, ParticipantNotFound)


@pytest.mark.parametrize(
    "field", ["payload_hash", "trace_root", "optimiser_root_out", "optimiser_root_in"]
)
def test_invalid_hash(chain: TrainingChain, field: str) -> None:
    message = chain.build_commit(1, "miner-0", **{field: b"short"})
    chain.assert_noop(message, InvalidHash, f"{field} has 5 bytes, not 32")


@pytest.mark.parametrize("size", [0, 4 * 11_264 + 2**16 + 1])
def test_invalid_size(chain: TrainingChain, size: int) -> None:
    message = chain.build_commit(1, "miner-0", payload_size=size)
    chain.assert_noop(message, InvalidPayloadSize, "the bounds are 1..110592")


def test_invalid_without_endpoint(chain: TrainingChain) -> None:
    chain.register(1, "hidden", endpoint="")
    chain.assert_noop(chain.build_commit(1, "hidden"), EndpointMissing, "uid 6")
