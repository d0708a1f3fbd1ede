"""What the node tells of a run between two rounds."""

from typing import Any

from node.monitor.collector import Family, read_run
from node.runtime.errors import QueryNotFound
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2


class SettledChain:
    """Round 4 is settled, and the next block starts round 5."""

    def query_method(self, path: str, request: bytes, _height: int) -> bytes:
        settled = rounds_pb2.Round(run_id=1, index=4, phase=rounds_pb2.PHASE_JUDGING)
        if path.endswith("/CurrentRound"):
            return rounds_pb2.QueryRoundResponse(round=settled).SerializeToString()
        if path.endswith("/Round"):
            index = rounds_pb2.QueryRoundRequest.FromString(request).round
            if index < 5:
                found = rounds_pb2.Round(run_id=1, index=index, accepted=[1, 2])
                return rounds_pb2.QueryRoundResponse(round=found).SerializeToString()
        raise QueryNotFound(path)


def test_between_two_rounds() -> None:
    """The newest round is told of, so that no graph has a hole after each settlement."""
    run = runs_pb2.Run(id=1, status=runs_pb2.RUN_STATUS_TRAINING, current_round=5)
    chain: Any = SettledChain()
    found = Family()
    read_run(chain, run, found)
    names = {metric.name for metric in found.list_metrics()}
    assert {
        "descent_run_phase",
        "descent_run_accepted_payloads",
        "descent_run_commitments",
    } <= names
