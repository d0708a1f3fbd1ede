"""MsgRotateHotkey."""

from __future__ import annotations

from typing import Any

import pytest

from node.pallets.runs.errors import (
    HotkeyTaken,
    NotSeatOwner,
    ParticipantNotFound,
    RunNotFound,
)
from node.pallets.runs.types import HotkeyRotated
from node.runtime.errors import InvalidAddress
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.create_run()
    chain.register(1, "alice")
    chain.register(1, "bob")
    return chain


def build_rotate(coldkey: str, uid: int, hotkey: str, run_id: int = 1) -> Any:
    return runs_pb2.MsgRotateHotkey(
        coldkey=make_text_addr(coldkey), run_id=run_id, uid=uid, new_hotkey=hotkey
    )


def test_rotate_hotkey(chain: TrainingChain) -> None:
    before, hotkey = chain.get_seat(1, 0), make_text_addr("alice-hot")
    result = chain.run(build_rotate("alice", 0, hotkey))
    assert result.get_events(HotkeyRotated) == [HotkeyRotated(1, 0, hotkey)]
    before.hotkey = hotkey
    assert chain.get_seat(1, 0) == before
    old = runs_pb2.MsgSetEndpoint(hotkey=make_text_addr("alice"), run_id=1, endpoint="127.0.0.1:1")
    chain.assert_noop(old, ParticipantNotFound)
    chain.run(build_rotate("alice", 0, make_text_addr("alice")))
    chain.run(old)


def test_invalid_owner(chain: TrainingChain) -> None:
    chain.assert_noop(build_rotate("bob", 0, make_text_addr("bob-hot")), NotSeatOwner)


def test_invalid_hotkey(chain: TrainingChain) -> None:
    chain.assert_noop(build_rotate("alice", 0, make_text_addr("bob")), HotkeyTaken)
    chain.assert_noop(build_rotate("alice", 0, make_text_addr("alice")), HotkeyTaken)
    chain.assert_noop(build_rotate("alice", 0, "descent1nothing"), InvalidAddress)


def test_invalid_seat(chain: TrainingChain) -> None:
    chain.assert_noop(build_rotate("alice", 2, make_text_addr("x")), ParticipantNotFound)
    chain.assert_noop(build_rotate("alice", 0, make_text_addr("x"), 2), RunNotFound)
