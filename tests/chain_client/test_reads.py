"""Every typed query: the path asked, the request sent, the part of the answer returned."""

from typing import Any

import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_pb2
from cosmos.base.node.v1beta1 import query_pb2 as node_pb2
from cosmos.base.tendermint.v1beta1 import query_pb2 as tendermint_pb2

import proto  # noqa: F401
from chain_client.client import ChainClient
from chain_client.errors import InvalidInput, NotFound, QueryFailed
from chain_client.mock import MockClock, MockSyncTransport, MockTransport
from chain_client.reads import TENDERMINT
from chain_client.sync_client import SyncChainClient
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

RUN = runs_pb2.Run(id=1, spec=runs_pb2.RunSpec(name="a").SerializeToString())
ROUND = rounds_pb2.Round(run_id=1, index=4)
EPOCH = weights_pb2.Epoch(run_id=1, round=3)
CHECKPOINT = lineage_pb2.QueryCheckpointResponse(
    checkpoint=lineage_pb2.Checkpoint(run_id=1, round=3)
)
PARTICIPANT = runs_pb2.Participant(run_id=1, uid=2)

# method, arguments, path, fields of the request, answer of the node, result
READS: list[tuple[str, dict[str, Any], str, dict[str, Any], Any, Any]] = [
    ("get_run", {"run_id": 1}, "runs.v1.Query/Run", {"run_id": 1},
     runs_pb2.QueryRunResponse(run=RUN), RUN),
    ("get_spec", {"run_id": 1}, "runs.v1.Query/Run", {"run_id": 1},
     runs_pb2.QueryRunResponse(run=RUN), runs_pb2.RunSpec(name="a")),
    ("get_participant", {"run_id": 1, "uid": 0}, "runs.v1.Query/Participant",
     {"run_id": 1, "uid": 0},
     runs_pb2.QueryParticipantResponse(participant=PARTICIPANT), PARTICIPANT),
    ("get_participant", {"run_id": 1, "hotkey": "h"}, "runs.v1.Query/Participant",
     {"run_id": 1, "hotkey": "h"},
     runs_pb2.QueryParticipantResponse(participant=PARTICIPANT), PARTICIPANT),
    ("get_burn_price", {"run_id": 1}, "runs.v1.Query/BurnPrice", {"run_id": 1},
     runs_pb2.QueryBurnPriceResponse(price_udsc=5), 5),
    ("get_round", {"run_id": 1, "round_index": 4}, "rounds.v1.Query/Round",
     {"run_id": 1, "round": 4}, rounds_pb2.QueryRoundResponse(round=ROUND), ROUND),
    ("get_current_round", {"run_id": 1}, "rounds.v1.Query/CurrentRound", {"run_id": 1},
     rounds_pb2.QueryRoundResponse(round=ROUND), ROUND),
    ("get_commitments", {"run_id": 1, "round_index": 4}, "rounds.v1.Query/Commitments",
     {"run_id": 1, "round": 4},
     rounds_pb2.QueryCommitmentsResponse(commitments=[rounds_pb2.Commitment(uid=2)]),
     [rounds_pb2.Commitment(uid=2)]),
    ("get_attestations", {"run_id": 1, "round_index": 4}, "rounds.v1.Query/Attestations",
     {"run_id": 1, "round": 4}, rounds_pb2.QueryAttestationsResponse(),
     rounds_pb2.QueryAttestationsResponse()),
    ("get_audit_targets", {"run_id": 1, "round_index": 4}, "rounds.v1.Query/AuditTargets",
     {"run_id": 1, "round": 4},
     rounds_pb2.QueryAuditTargetsResponse(targets=[rounds_pb2.AuditTarget(uid=2)]),
     [rounds_pb2.AuditTarget(uid=2)]),
    ("get_judgements", {"run_id": 1, "round_index": 4}, "weights.v1.Query/Judgements",
     {"run_id": 1, "round": 4}, weights_pb2.QueryJudgementsResponse(),
     weights_pb2.QueryJudgementsResponse()),
    ("get_epoch", {"run_id": 1, "round_index": 3}, "weights.v1.Query/Epoch",
     {"run_id": 1, "round": 3}, weights_pb2.QueryEpochResponse(epoch=EPOCH), EPOCH),
    ("get_epoch", {"run_id": 1}, "weights.v1.Query/LatestEpoch", {"run_id": 1},
     weights_pb2.QueryEpochResponse(epoch=EPOCH), EPOCH),
    ("get_vestings", {"run_id": 1, "uid": 2}, "weights.v1.Query/Vestings",
     {"run_id": 1, "uid": 2},
     weights_pb2.QueryVestingsResponse(vestings=[weights_pb2.Vesting(uid=2)]),
     [weights_pb2.Vesting(uid=2)]),
    ("get_checkpoint", {"run_id": 1, "round_index": 0}, "lineage.v1.Query/Checkpoint",
     {"run_id": 1, "round": 0}, CHECKPOINT, CHECKPOINT),
    ("get_checkpoint", {"run_id": 1}, "lineage.v1.Query/Latest", {"run_id": 1},
     CHECKPOINT, CHECKPOINT),
    ("get_checkpoint_by_root", {"root": b"r"}, "lineage.v1.Query/ByRoot", {"root": b"r"},
     CHECKPOINT, CHECKPOINT),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "path", "sent", "response", "result"), READS)
async def test_read(
    name: str,
    arguments: dict[str, Any],
    path: str,
    sent: dict[str, Any],
    response: Any,
    result: Any,
) -> None:
    handlers = {f"/descent.{path}": lambda _: response}
    transport = MockTransport(handlers)
    assert await getattr(ChainClient(transport, clock=MockClock()), name)(**arguments) == result
    blocking = MockSyncTransport(handlers)
    assert getattr(SyncChainClient(blocking), name)(**arguments) == result
    for (call,) in (transport.calls, blocking.calls):
        assert call.request == type(call.request)(**sent)
        assert call.response_type is type(response)


def _participants(call: Any) -> Any:
    """Three pages of a participant each."""
    page = int(call.request.pagination.key or b"0")
    response = runs_pb2.QueryParticipantsResponse(participants=[runs_pb2.Participant(uid=page)])
    if page < 2:
        response.pagination.next_key = str(page + 1).encode()
    return response


async def test_pages() -> None:
    transport = MockTransport({"/descent.runs.v1.Query/Participants": _participants})
    found = await ChainClient(transport, clock=MockClock()).get_participants(1)
    assert [item.uid for item in found] == [0, 1, 2]


async def test_pages__a_node_that_repeats_itself() -> None:
    def again(_: Any) -> Any:
        response = runs_pb2.QueryRunsResponse(runs=[RUN])
        response.pagination.next_key = b"same"
        return response

    transport = MockTransport({"/descent.runs.v1.Query/Runs": again})
    assert len(await ChainClient(transport, clock=MockClock()).get_runs()) == 2


async def test_balance() -> None:
    response = bank_pb2.QueryBalanceResponse()
    response.balance.denom, response.balance.amount = "udsc", "12"
    transport = MockTransport({"/cosmos.bank.v1beta1.Query/Balance": lambda _: response})
    assert await ChainClient(transport, clock=MockClock()).get_balance("a") == 12


async def test_height() -> None:
    status = node_pb2.StatusResponse(height=12)
    transport = MockTransport({"/cosmos.base.node.v1beta1.Service/Status": lambda _: status})
    assert await ChainClient(transport, clock=MockClock()).height() == 12


async def test_block_time() -> None:
    """The block's: a node may have the state of a height before it has the block."""
    response = tendermint_pb2.GetLatestBlockResponse()
    response.sdk_block.header.time.FromMilliseconds(1500)
    transport = MockTransport({TENDERMINT + "GetLatestBlock": lambda _: response})
    assert await ChainClient(transport, clock=MockClock()).block_time() == 1.5


async def test_historic_query() -> None:
    transport = MockTransport({"/a.B/C": lambda _: RUN})
    client = ChainClient(transport, clock=MockClock())
    assert await client.query("/a.B/C", RUN, runs_pb2.Run, height=5) == RUN
    assert transport.calls[0].metadata == (("x-cosmos-block-height", "5"),)


async def test_invalid_not_found() -> None:
    def absent(_: Any) -> Any:
        raise NotFound("no run 7", status="NOT_FOUND")

    transport = MockTransport({"/descent.runs.v1.Query/Run": absent})
    with pytest.raises(NotFound, match="no run 7"):
        await ChainClient(transport, clock=MockClock()).get_run(7)


async def test_invalid_unknown_method() -> None:
    with pytest.raises(QueryFailed) as caught:
        await ChainClient(MockTransport({}), clock=MockClock()).get_run(7)
    assert caught.value.status == "UNIMPLEMENTED"


async def test_invalid_participant_unnamed() -> None:
    with pytest.raises(InvalidInput):
        await ChainClient(MockTransport({}), clock=MockClock()).get_participant(1)
