"""How a run goes from pending to completed, queries, and genesis."""

from __future__ import annotations

import pytest

from node.runtime.errors import QueryInvalid, QueryNotFound
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain

QUERY = "/descent.runs.v1.Query/"


def test_run_starts__with_enough_miners_and_staked_validators() -> None:
    chain = TrainingChain()
    run_id = chain.create_run()
    chain.register(run_id, "miner-0")
    chain.register(run_id, "validator-0", stake=1)
    chain.register(run_id, "validator-1", stake=1)
    chain.next_block(3)
    assert chain.get_run(run_id).status == runs_pb2.RUN_STATUS_PENDING
    chain.register(run_id, "miner-1")
    chain.set_stake("validator-0", 0)
    chain.next_block(3)
    assert chain.get_run(run_id).status == runs_pb2.RUN_STATUS_PENDING
    chain.set_stake("validator-0", 9)
    height = chain.height
    chain.next_block()
    run = chain.get_run(run_id)
    assert (run.status, run.started_height) == (runs_pb2.RUN_STATUS_TRAINING, height)
    assert chain.get_round(run_id).start_height == height


def test_run_verifies__after_its_last_round() -> None:
    chain = TrainingChain()
    run_id = chain.start_run(num_rounds=2)
    chain.play_round(run_id)
    assert chain.get_run(run_id).status == runs_pb2.RUN_STATUS_TRAINING
    chain.play_round(run_id)
    run = chain.get_run(run_id)
    assert (run.status, run.current_round) == (runs_pb2.RUN_STATUS_VERIFYING, 2)


def test_queries() -> None:
    chain = TrainingChain()
    for _ in range(3):
        chain.create_run()
    chain.register(2, "alice")
    assert [run.id for run in chain.query(f"{QUERY}Runs", runs_pb2.QueryRunsRequest()).runs] == [
        1,
        2,
        3,
    ]
    by_hotkey = runs_pb2.QueryParticipantRequest(run_id=2, hotkey=make_text_addr("alice"))
    assert chain.query(f"{QUERY}Participant", by_hotkey).participant == chain.get_seat(2, 0)
    request = runs_pb2.QueryParticipantsRequest(run_id=2)
    assert len(chain.query(f"{QUERY}Participants", request).participants) == 1
    params = chain.query(f"{QUERY}Params", runs_pb2.QueryParamsRequest()).params
    assert params.max_spec_bytes == 4_096


def test_queries__nothing_there() -> None:
    chain = TrainingChain()
    with pytest.raises(QueryNotFound, match="run 1"):
        chain.get_run(1)
    chain.create_run()
    with pytest.raises(QueryNotFound, match="run 1 has no participant with uid 0"):
        chain.get_seat(1, 0)
    bad = runs_pb2.QueryParticipantRequest(run_id=1, hotkey="nobody")
    with pytest.raises(QueryInvalid):
        chain.query(f"{QUERY}Participant", bad)


def test_genesis_round_trips() -> None:
    chain = TrainingChain()
    run_id = chain.start_run(bounty=70)
    chain.play_round(run_id)
    chain.advance_to_phase(run_id, 1)
    chain.commit(run_id, "miner-0")
    chain.create_run()
    chain.assert_genesis_round_trips(*TrainingChain().build_pallets())
