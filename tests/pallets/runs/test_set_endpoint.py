"""MsgSetEndpoint."""

from __future__ import annotations

from typing import Any

import pytest

from node.pallets.runs.errors import InvalidEndpoint, ParticipantNotFound, RunNotFound
from node.pallets.runs.types import EndpointSet
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.create_run()
    chain.register(1, "alice")
    return chain


def build_set(name: str, endpoint: str, run_id: int = 1) -> Any:
    hotkey = make_text_addr(name)
    return runs_pb2.MsgSetEndpoint(hotkey=hotkey, run_id=run_id, endpoint=endpoint)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "miner.example.org:65535", "[2001:db8::1]:9"])
def test_set_endpoint(chain: TrainingChain, endpoint: str) -> None:
    result = chain.run(build_set("alice", endpoint))
    assert result.get_events(EndpointSet) == [EndpointSet(1, 0, endpoint)]
    assert chain.get_seat(1, 0).endpoint == endpoint


def test_invalid_endpoint(chain: TrainingChain) -> None:
    chain.assert_noop(build_set("alice", ""), InvalidEndpoint)
    chain.assert_noop(build_set("alice", "127.0.0.1:70000"), InvalidEndpoint, "1 to 65535")


def test_invalid_hotkey(chain: TrainingChain) -> None:
    chain.make_account("bob", 1)
    chain.assert_noop(build_set("bob", "127.0.0.1:1"), ParticipantNotFound)
    chain.assert_noop(build_set("alice", "127.0.0.1:1", 2), RunNotFound)
