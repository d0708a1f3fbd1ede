"""What a participant tells of its own seat."""

from typing import Any

import pytest

from miner import own_seat
from miner.metrics import REGISTRY
from miner.own_seat import OwnSeat
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2 as w


def read(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


@pytest.fixture
def seat() -> OwnSeat:
    client: Any = None
    return OwnSeat(client, 1, 5, "descent1x")


def make_epoch(index: int, emission_udsc: int, reason: int) -> w.Epoch:
    entry = w.EpochEntry(uid=5, emission_udsc=emission_udsc, reason=reason)
    return w.Epoch(run_id=1, round=index, entries=[w.EpochEntry(uid=4), entry])


def test_member(seat: OwnSeat) -> None:
    seat.note_member(runs_pb2.Participant(uid=5, incentive_u16=65_535, total_paid_udsc=9))
    assert read("descent_participant_incentive") == 1
    assert read("descent_participant_paid_udsc") == 9
    assert read("descent_participant_is_suspect") == 0


def test_epochs(seat: OwnSeat) -> None:
    name = "descent_participant_rounds_unpaid"
    seat.note_epoch(make_epoch(3, 0, w.REASON_CODE_LATE))
    assert read(name) == 1
    assert read("descent_participant_reason", reason="late") == 1
    seat.note_epoch(make_epoch(3, 0, w.REASON_CODE_LATE))
    assert read(name) == 1
    seat.note_epoch(make_epoch(5, 0, w.REASON_CODE_LATE))
    assert read(name) == 3
    seat.note_epoch(make_epoch(6, 10, w.REASON_CODE_OK))
    assert read(name) == 0
    assert read("descent_participant_reason", reason="late") is None
    assert read("descent_participant_reason", reason="ok") == 1


def test_unready_without_a_chain(seat: OwnSeat, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seat.explain_unready() == "the chain was not reached yet"
    monkeypatch.setattr(own_seat.time, "monotonic", lambda: 1_000.0)
    seat._seen_s = 990.0
    assert seat.explain_unready() == ""
    seat._seen_s = 900.0
    assert seat.explain_unready() == "the chain was not reached for 100 s"
