"""Lineage: entries, the keys a light client proves, queries, the graph over runs."""

from __future__ import annotations

from typing import Any

import pytest

from node.runtime.errors import InvariantBroken, QueryInvalid, QueryNotFound
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.training_chain import TrainingChain, build_spec, hash_text

QUERY = "/descent.lineage.v1.Query/"


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.start_run()
    return chain


def get_entry(chain: TrainingChain, index: int, run_id: int = 1) -> Any:
    request = lineage_pb2.QueryCheckpointRequest(run_id=run_id, round=index)
    return chain.query(f"{QUERY}Checkpoint", request)


def test_checkpoint_0__at_the_start_of_the_run(chain: TrainingChain) -> None:
    entry = get_entry(chain, 0).checkpoint
    assert entry.root == hash_text("theta/0")
    assert entry.height == chain.get_run(1).started_height
    assert (len(entry.parents), entry.data_beacon, entry.num_sequences) == (0, b"", 0)
    assert entry.dataset_root == hash_text("dataset")


def test_keys__are_what_a_light_client_asks_for(chain: TrainingChain) -> None:
    chain.play_round(1)
    key = b"\x01" + (1).to_bytes(8, "big") + (1).to_bytes(4, "big")
    raw = chain.state.get("lineage", key)
    checkpoint = get_entry(chain, 1).checkpoint
    assert raw == checkpoint.SerializeToString(deterministic=True)
    names = ("validator-0", "validator-1", "validator-2")
    chain.judge(1, {name: chain.build_judgement(1, name, {0: 1}) for name in names})
    raw = chain.state.get("lineage", b"\x02" + key[1:])
    judgement = get_entry(chain, 1).judgement
    assert raw == judgement.SerializeToString(deterministic=True)
    assert get_entry(chain, 1).checkpoint == checkpoint


def test_queries(chain: TrainingChain) -> None:
    chain.play_round(1)
    chain.play_round(1, miners=[])
    latest = chain.query(f"{QUERY}Latest", lineage_pb2.QueryLatestRequest(run_id=1)).checkpoint
    assert latest.round == 2
    every = lineage_pb2.QueryCheckpointsRequest(run_id=1)
    found = chain.query(f"{QUERY}Checkpoints", every).checkpoints
    assert [entry.round for entry in found] == [0, 1, 2]
    by_root = lineage_pb2.QueryByRootRequest(root=latest.root)
    assert chain.query(f"{QUERY}ByRoot", by_root).checkpoint.round == 1


def test_queries__nothing_there(chain: TrainingChain) -> None:
    with pytest.raises(QueryNotFound, match="run 1 has no checkpoint 5"):
        get_entry(chain, 5)
    with pytest.raises(QueryNotFound, match="run 9 has no checkpoint"):
        chain.query(f"{QUERY}Latest", lineage_pb2.QueryLatestRequest(run_id=9))
    with pytest.raises(QueryNotFound, match="no checkpoint has root"):
        chain.query(f"{QUERY}ByRoot", lineage_pb2.QueryByRootRequest(root=bytes(32)))
    with pytest.raises(QueryInvalid, match="the root has 3 bytes"):
        chain.query(f"{QUERY}ByRoot", lineage_pb2.QueryByRootRequest(root=b"abc"))


def test_graph__run_from_another_run(chain: TrainingChain) -> None:
    root = chain.play_round(1).result_root
    spec = build_spec()
    spec.parent.CopyFrom(runs_pb2.ParentCheckpoint(run_id=1, round=1, root=root))
    spec.initial_root = root
    second = chain.create_run(spec)
    for index in range(2):
        chain.run(chain.build_register(second, f"miner-{index}"))
        role = runs_pb2.ROLE_VALIDATOR
        chain.run(chain.build_register(second, f"validator-{index}", role=role))
    chain.next_block()
    entry = get_entry(chain, 0, second).checkpoint
    assert [(parent.run_id, parent.round) for parent in entry.parents] == [(1, 1)]
    assert list(entry.parent_roots) == [root]


def test_entries__are_written_once(chain: TrainingChain) -> None:
    lineage = chain.get_pallet("lineage")
    with pytest.raises(InvariantBroken, match="recorded already"):
        lineage.record_checkpoint(chain.ctx(), get_entry(chain, 0).checkpoint)
    chain.play_round(1)
    judgement = lineage_pb2.CheckpointJudgement(run_id=1, round=1)
    lineage.record_judgement(chain.ctx(), judgement)
    with pytest.raises(InvariantBroken, match="judged already"):
        lineage.record_judgement(chain.ctx(), judgement)
