"""Queries of rounds, kept details, genesis."""

from __future__ import annotations

import pytest

from node.pallets.rounds import pallet as rounds_pallet
from node.runtime.errors import QueryNotFound
from proto.descent.rounds.v1 import rounds_pb2
from tests.pallets.training_chain import TrainingChain

QUERY = "/descent.rounds.v1.Query/"


def test_current_round__is_the_last_one_between_rounds() -> None:
    chain = TrainingChain()
    chain.create_run()
    with pytest.raises(QueryNotFound, match="run 1 has not started"):
        chain.get_round(1)
    run_id = chain.start_run()
    settled = chain.play_round(run_id)
    assert chain.get_round(run_id) == settled
    with pytest.raises(QueryNotFound, match="run 2 has no round 7"):
        chain.get_round(run_id, 7)


def test_audit_targets() -> None:
    chain = TrainingChain()
    run_id = chain.start_run()
    chain.commit(run_id, "miner-0")
    chain.commit(run_id, "miner-2")
    request = rounds_pb2.QueryAuditTargetsRequest(run_id=run_id, round=0)
    with pytest.raises(QueryNotFound, match="no judge beacon yet; it is drawn at height 6"):
        chain.query(f"{QUERY}AuditTargets", request)
    chain.advance_to_phase(run_id, rounds_pb2.PHASE_ATTESTING)
    chain.commit(run_id, "miner-1")
    chain.next_block()
    targets = chain.query(f"{QUERY}AuditTargets", request).targets
    assert [target.uid for target in targets] == [0, 2]
    for target in targets:
        assert target.interval in (0, 1)
        assert 1 <= target.step <= 4
        assert len(target.auditors) == 2
        assert set(target.auditors) <= {3, 4, 5}
    chain.set_stake("validator-0", 0)
    chain.register(run_id, "late-validator", stake=5)
    chain.next_block(2)
    assert chain.query(f"{QUERY}AuditTargets", request).targets == targets


def test_details__are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_pallet, "DETAIL_ROUNDS", 2)
    chain = TrainingChain()
    run_id = chain.start_run(num_rounds=4)
    for _ in range(3):
        chain.play_round(run_id)
    chain.next_block(2)
    kept = []
    for index in range(3):
        request = rounds_pb2.QueryCommitmentsRequest(run_id=run_id, round=index)
        kept.append(len(chain.query(f"{QUERY}Commitments", request).commitments))
    assert kept == [0, 0, 3]
    assert chain.get_round(run_id, 0).num_commitments == 3


def test_genesis_round_trips() -> None:
    chain = TrainingChain()
    run_id = chain.start_run()
    chain.play_round(run_id, miners=["miner-0"])
    chain.advance_to_phase(run_id, rounds_pb2.PHASE_TRAINING)
    chain.commit(run_id, "miner-1")
    chain.advance_to_phase(run_id, rounds_pb2.PHASE_ATTESTING)
    chain.attest(run_id, "validator-0", [0, 1])
    chain.assert_genesis_round_trips(*TrainingChain().build_pallets())
