"""MsgAttestAvailability, and the accepted set it makes."""

from __future__ import annotations

import pytest

from node.pallets.rounds.errors import InvalidBitmap, WrongPhase, WrongRound
from node.pallets.rounds.types import (
    AcceptedSetFixed,
    AttestDeadlineExtended,
    AvailabilityAttested,
    JudgeBeaconDrawn,
)
from node.pallets.runs.errors import InvalidRole
from proto.descent.rounds.v1 import rounds_pb2
from tests.pallets.training_chain import TrainingChain, hash_text


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.start_run(num_miners=3, stakes=(100, 100, 100))
    for name in ("miner-0", "miner-1", "miner-2"):
        chain.commit(1, name)
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    return chain


def test_attest_availability(chain: TrainingChain) -> None:
    result = chain.run(chain.build_availability(1, "validator-0", [0, 2]))
    assert result.get_events(AvailabilityAttested) == [AvailabilityAttested(1, 0, 3, b"\x05")]
    chain.attest(1, "validator-0", [1])
    request = rounds_pb2.QueryAttestationsRequest(run_id=1, round=0)
    [entry] = chain.query("/descent.rounds.v1.Query/Attestations", request).availabilities
    assert (entry.uid, entry.bitmap, entry.height) == (3, b"\x02", chain.height)


def test_accepted__two_thirds_of_stake(chain: TrainingChain) -> None:
    chain.attest(1, "validator-0", [0, 1, 2])
    chain.attest(1, "validator-1", [0, 1])
    chain.attest(1, "validator-2", [0, 7])
    deadline = chain.get_round(1).attest_deadline
    events = chain.next_block(deadline - chain.height + 1)
    assert [e for e in events if isinstance(e, AcceptedSetFixed)] == [
        AcceptedSetFixed(1, 0, (0, 1))
    ]
    current = chain.get_round(1)
    assert current.phase == rounds_pb2.PHASE_SETTLING
    roots = [chain.get_seat(1, uid).optimiser_root for uid in range(3)]
    assert roots == [hash_text("optimiser/miner-0/0"), hash_text("optimiser/miner-1/0"), b""]


def test_accepted__stake_counts_not_heads(chain: TrainingChain) -> None:
    chain.set_stake("validator-2", 400)
    chain.attest(1, "validator-0", [0])
    chain.attest(1, "validator-1", [0])
    chain.attest(1, "validator-2", [1])
    assert list(chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING).accepted) == [1]


def test_accepted__best_by_incentive() -> None:
    chain = TrainingChain()
    chain.start_run(num_miners=4, max_accepted=2)
    runs = chain.get_pallet("runs")
    for uid, incentive in enumerate((5, 9, 0, 5)):
        runs.record_epoch(
            chain.ctx(), 1, uid, earned_udsc=0, incentive_u16=incentive, dividends_u16=0
        )
        chain.commit(1, f"miner-{uid}")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    for name in ("validator-0", "validator-1", "validator-2"):
        chain.attest(1, name, [0, 1, 2, 3])
    assert list(chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING).accepted) == [0, 1]


def test_waits__for_validators(chain: TrainingChain) -> None:
    chain.attest(1, "validator-0", [0, 1, 2])
    deadline = chain.get_round(1).attest_deadline
    events = chain.next_block(deadline - chain.height + 1)
    assert [e for e in events if isinstance(e, AttestDeadlineExtended)] == [
        AttestDeadlineExtended(1, 0, deadline + 3, 100, 300)
    ]
    chain.next_block(20)
    assert chain.get_round(1).phase == rounds_pb2.PHASE_ATTESTING
    chain.attest(1, "validator-1", [0])
    chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    assert list(chain.get_round(1).accepted) == [0]


def test_waits__without_any_stake(chain: TrainingChain) -> None:
    for name in ("validator-0", "validator-1", "validator-2"):
        chain.attest(1, name, [0])
        chain.set_stake(name, 0)
    chain.next_block(20)
    assert chain.get_round(1).phase == rounds_pb2.PHASE_ATTESTING


def test_judge_beacon__is_drawn_after_the_deadline() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.commit(1, "miner-0")
    deadline = chain.get_round(1).commit_deadline
    chain.next_block(deadline - chain.height + 1)
    assert chain.get_round(1).judge_beacon == b""
    events = chain.next_block()
    beacon = hash_text(f"beacon/{deadline + 1}")
    assert [e for e in events if isinstance(e, JudgeBeaconDrawn)] == [
        JudgeBeaconDrawn(1, 0, beacon)
    ]
    assert chain.get_round(1).judge_beacon == beacon


def test_invalid_bitmap(chain: TrainingChain) -> None:
    message = chain.build_availability(1, "validator-0", [8])
    chain.assert_noop(message, InvalidBitmap, "2 bytes, at most 1")
    chain.attest(1, "validator-0", [])


def test_invalid_phase(chain: TrainingChain) -> None:
    message = chain.build_availability(1, "validator-0", [0])
    chain.attest(1, "validator-0", [0])
    chain.attest(1, "validator-1", [0])
    chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    chain.assert_noop(message, WrongPhase, "round 0 is settling, not attesting")


def test_invalid_sender(chain: TrainingChain) -> None:
    chain.assert_noop(chain.build_availability(1, "miner-0", [0]), InvalidRole, "is a miner")
    message = chain.build_availability(1, "validator-0", [0], round=5)
    chain.assert_noop(message, WrongRound)
