"""A miner that was down says which round went by without it, whenever it is back."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from chain_client.keys import Key
from miner.follower import RunFollower
from miner.miner import Miner
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2

UID, DEADLINE = 3, 50


class Chain:
    """A run in which uid 3 committed to the round 4 alone, and late to 2; looks at it are given."""

    def __init__(self, registered_height: int, *looks: tuple[int, int]) -> None:
        self._registered_height = registered_height
        self._looks = looks

    async def follow(self, _ask: Any, *, only_changes: bool) -> AsyncIterator[Any]:
        for index, phase in self._looks:
            current = await self.get_round(1, index)
            current.phase = phase
            yield SimpleNamespace(
                answers=[runs_pb2.Run(status=runs_pb2.RUN_STATUS_TRAINING), current]
            )
        yield SimpleNamespace(answers=[runs_pb2.Run(status=runs_pb2.RUN_STATUS_COMPLETED), None])

    async def get_round(self, _run_id: int, index: int) -> rounds_pb2.Round:
        return rounds_pb2.Round(run_id=1, index=index, commit_deadline=DEADLINE * index)

    async def get_participant(self, _run_id: int, *, uid: int) -> runs_pb2.Participant:
        return runs_pb2.Participant(uid=uid, registered_height=self._registered_height)

    async def get_commitments(self, _run_id: int, index: int) -> list[rounds_pb2.Commitment]:
        return [rounds_pb2.Commitment(uid=UID if index in (2, 4) else UID + 1, late=index == 2)]


@pytest.mark.parametrize(
    ("looks", "missed"),
    [
        ([(6, rounds_pb2.PHASE_ATTESTING), (7, rounds_pb2.PHASE_TRAINING)], [6]),
        ([(6, rounds_pb2.PHASE_TRAINING), (7, rounds_pb2.PHASE_TRAINING)], [5]),
        ([(5, rounds_pb2.PHASE_TRAINING)], []),
        ([(3, rounds_pb2.PHASE_TRAINING)], [2]),
        ([(0, rounds_pb2.PHASE_TRAINING)], []),
    ],
)
async def test_missed(
    looks: list[tuple[int, int]], missed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await list_missed(monkeypatch, 1, looks) == missed


async def test_missed__none_before_it_had_a_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [(6, rounds_pb2.PHASE_TRAINING)]
    assert await list_missed(monkeypatch, 5 * DEADLINE + 1, looks) == []


async def list_missed(
    monkeypatch: pytest.MonkeyPatch, registered_height: int, looks: list[tuple[int, int]]
) -> list[int]:
    """Run a miner that finds these rounds and does their work at once; the rounds it missed."""

    async def work(_miner: Miner, _round_info: rounds_pb2.Round) -> None:
        pass

    monkeypatch.setattr(Miner, "_work", work)
    follower = SimpleNamespace(
        client=Chain(registered_height, *looks), setup=SimpleNamespace(run_id=1)
    )
    with capture_logs() as logs:
        await Miner(cast(RunFollower, follower), Key("a", b"\x01" * 32), UID).run()
    return [line["round"] for line in logs if line["event"] == "deadline_missed"]
