"""MsgAttestState, and the settlement it makes."""

from __future__ import annotations

from typing import Any

import pytest

from node.pallets.rounds.errors import InvalidHash, WrongPhase
from node.pallets.rounds.types import RoundSettled, StateAttested
from node.pallets.runs.errors import InvalidRole
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import PARTICIPANT_UDSC, TrainingChain, hash_text

THETA_1 = hash_text("theta/1")


@pytest.fixture
def chain() -> TrainingChain:
    return build_settling()


def build_settling(stakes: tuple[int, ...] = (100, 100, 100), **membership: int) -> TrainingChain:
    chain = TrainingChain()
    chain.start_run(num_miners=3, stakes=stakes, **membership)
    for name in ("miner-0", "miner-2"):
        chain.commit(1, name)
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    for index in range(len(stakes)):
        chain.attest(1, f"validator-{index}", [0, 2])
    chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    return chain


def get_checkpoint(chain: TrainingChain, index: int) -> Any:
    request = lineage_pb2.QueryCheckpointRequest(run_id=1, round=index)
    return chain.query("/descent.lineage.v1.Query/Checkpoint", request).checkpoint


def test_attest_state__settles_at_two_thirds(chain: TrainingChain) -> None:
    result = chain.run(chain.build_state(1, "validator-0"))
    assert result.response.settled is False
    assert result.get_events(StateAttested) == [StateAttested(1, 0, 3, THETA_1)]
    chain.next_block()
    assert chain.get_round(1).phase == rounds_pb2.PHASE_SETTLING
    assert chain.attest_state(1, "validator-1") is True
    height = chain.height
    events = chain.next_block()
    assert [e for e in events if isinstance(e, RoundSettled)] == [
        RoundSettled(1, 0, THETA_1, 200, 300)
    ]
    settled = chain.get_round(1, 0)
    assert (settled.phase, settled.result_root) == (rounds_pb2.PHASE_JUDGING, THETA_1)
    assert settled.settled_height == height
    assert settled.judge_commit_deadline == height + 2
    assert settled.judge_reveal_deadline == height + 4
    assert chain.get_run(1).current_round == 1


def test_attest_state__next_round_starts_in_the_next_block(chain: TrainingChain) -> None:
    for name in ("validator-0", "validator-1"):
        chain.attest_state(1, name)
    height = chain.height
    chain.next_block(2)
    current = chain.get_round(1)
    assert (current.index, current.start_height) == (1, height + 1)
    assert current.base_root == THETA_1
    assert current.beacon == hash_text(f"beacon/{height + 1}")
    assert current.commit_deadline == height + 5


def test_attest_state__checkpoint(chain: TrainingChain) -> None:
    chain.attest_state(1, "validator-0")
    chain.attest_state(1, "validator-1")
    chain.attest_state(1, "validator-2", result_root=hash_text("wrong"))
    chain.next_block()
    entry = get_checkpoint(chain, 1)
    assert (entry.root, entry.spec_hash) == (THETA_1, chain.get_run(1).spec_hash)
    assert [(parent.run_id, parent.round) for parent in entry.parents] == [(1, 0)]
    assert list(entry.parent_roots) == [hash_text("theta/0")]
    assert entry.data_beacon == chain.get_round(1, 0).beacon
    assert (entry.first_sequence, entry.num_sequences) == (0, 3 * 64)
    assert [(c.uid, c.hotkey, c.weight_ppm) for c in entry.contributions] == [
        (0, make_text_addr("miner-0"), 500_000),
        (2, make_text_addr("miner-2"), 500_000),
    ]
    assert [a.uid for a in entry.attestations] == [3, 4]
    assert (entry.attested_stake_udsc, entry.total_stake_udsc) == (200, 300)
    assert entry.height == chain.height - 1
    assert entry.time_unix_ms == (chain.block.time_ns - chain.block_ns) // 10**6


def test_attest_state__disagreement_waits(chain: TrainingChain) -> None:
    chain.attest_state(1, "validator-0")
    chain.attest_state(1, "validator-1", result_root=hash_text("other"))
    chain.next_block(10)
    assert chain.get_round(1).phase == rounds_pb2.PHASE_SETTLING
    assert chain.attest_state(1, "validator-1") is True


def test_attest_state__silent_validator_unbonds() -> None:
    chain = build_settling((100, 100, 300))
    chain.attest_state(1, "validator-0")
    assert chain.attest_state(1, "validator-1") is False
    chain.next_block(10)
    assert chain.get_round(1).phase == rounds_pb2.PHASE_SETTLING
    chain.set_stake("validator-2", 100)
    chain.next_block()
    assert chain.get_round(1, 0).phase == rounds_pb2.PHASE_JUDGING


def test_attest_state__replaced_validator_does_not_count() -> None:
    chain = build_settling((100, 100, 100), immunity_rounds=0, max_participants=6, min_miners=3)
    chain.attest_state(1, "validator-0")
    chain.make_account("fresh", PARTICIPANT_UDSC)
    chain.set_stake("fresh", 50)
    message = chain.build_register(1, "fresh", role=runs_pb2.ROLE_VALIDATOR)
    assert chain.run(message).response.uid == 3
    assert chain.attest_state(1, "validator-1") is False
    assert chain.attest_state(1, "fresh") is False
    assert chain.attest_state(1, "validator-2") is True


def test_settles__by_itself_without_payloads() -> None:
    chain = TrainingChain()
    chain.start_run()
    current = chain.get_round(1)
    chain.next_block(current.attest_deadline - chain.height + 1)
    settled = chain.get_round(1, 0)
    assert settled.settled_height == current.attest_deadline
    assert settled.result_root == hash_text("theta/0")
    entry = get_checkpoint(chain, 1)
    assert (entry.num_sequences, len(entry.contributions), entry.attested_stake_udsc) == (0, 0, 0)


def test_settles__by_itself_with_only_unavailable_payloads() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.commit(1, "miner-0")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    for index in range(3):
        chain.attest(1, f"validator-{index}", [])
    chain.next_block(4)
    assert chain.get_round(1, 0).result_root == hash_text("theta/0")


def test_invalid_phase() -> None:
    chain = TrainingChain()
    chain.start_run()
    message = chain.build_state(1, "validator-0")
    chain.assert_noop(message, WrongPhase, "round 0 is training, not settling")


def test_invalid_message(chain: TrainingChain) -> None:
    short = chain.build_state(1, "validator-0", result_root=b"")
    chain.assert_noop(short, InvalidHash, "result_root has 0 bytes")
    chain.assert_noop(chain.build_state(1, "miner-0"), InvalidRole)
