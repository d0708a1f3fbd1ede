"""Typed queries, one generator each; shells give them the same names."""

from typing import Any

from cosmos.bank.v1beta1 import query_pb2 as bank_pb2
from cosmos.base.node.v1beta1 import query_pb2 as node_pb2
from cosmos.base.query.v1beta1.pagination_pb2 import PageRequest
from cosmos.base.tendermint.v1beta1 import query_pb2 as tendermint_pb2
from cosmos.staking.v1beta1 import query_pb2 as staking_pb2
from cosmos.tx.v1beta1 import service_pb2

from chain_client.amounts import BASE_DENOM
from chain_client.effects import Operation
from chain_client.errors import InvalidInput
from chain_client.tx import TxResult, parse_tx_response
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

PAGE_SIZE = 200

RUNS = "/descent.runs.v1.Query/"
ROUNDS = "/descent.rounds.v1.Query/"
WEIGHTS = "/descent.weights.v1.Query/"
LINEAGE = "/descent.lineage.v1.Query/"
TENDERMINT = "/cosmos.base.tendermint.v1beta1.Service/"
STAKING = "/cosmos.staking.v1beta1.Query/"


class ReadOperations:
    """Queries of the chain. Each raises `NotFound` when there is no such thing."""

    def query(
        self, method: str, request: Any, response_type: Any, *, height: int = 0
    ) -> Operation[Any]:
        """Ask one question; the core fills this in."""
        raise NotImplementedError

    def pages(
        self, method: str, request: Any, response_type: Any, items: str
    ) -> Operation[list[Any]]:
        """Read every page of a list; `items` is the repeated field of the answer."""
        found: list[Any] = []
        request.pagination.CopyFrom(PageRequest(limit=PAGE_SIZE))
        while True:
            response = yield from self.query(method, request, response_type)
            found.extend(getattr(response, items))
            next_key = response.pagination.next_key
            if not next_key or next_key == request.pagination.key:
                return found
            request.pagination.key = next_key

    def node_info(self) -> Operation[Any]:
        """Return `GetNodeInfoResponse`."""
        return self.query(
            TENDERMINT + "GetNodeInfo",
            tendermint_pb2.GetNodeInfoRequest(),
            tendermint_pb2.GetNodeInfoResponse,
        )

    def node_status(self) -> Operation[Any]:
        """Return the node's `StatusResponse`: height, app hash, oldest height kept.

        Its block time is absent while the node has the state and not yet the block.
        """
        return self.query(
            "/cosmos.base.node.v1beta1.Service/Status",
            node_pb2.StatusRequest(),
            node_pb2.StatusResponse,
        )

    def height(self) -> Operation[int]:
        """Return the newest height."""
        status = yield from self.node_status()
        return int(status.height)

    def block_time(self) -> Operation[float]:
        """Return the newest block's time, in seconds since 1970."""
        block = yield from self.get_block()
        found = block.sdk_block.header.time
        return float(found.seconds + found.nanos / 1e9)

    def get_block(self, height: int = 0) -> Operation[Any]:
        """Return `block_id`, `sdk_block` of a height, 0 for the newest."""
        if height == 0:
            return (
                yield from self.query(
                    TENDERMINT + "GetLatestBlock",
                    tendermint_pb2.GetLatestBlockRequest(),
                    tendermint_pb2.GetLatestBlockResponse,
                )
            )
        return (
            yield from self.query(
                TENDERMINT + "GetBlockByHeight",
                tendermint_pb2.GetBlockByHeightRequest(height=height),
                tendermint_pb2.GetBlockByHeightResponse,
            )
        )

    def get_tx(self, tx_hash: str) -> Operation[TxResult]:
        """Return a transaction a block holds, whether it succeeded or failed.

        Raises:
            NotFound: no block holds it.
        """
        response = yield from self.query(
            "/cosmos.tx.v1beta1.Service/GetTx",
            service_pb2.GetTxRequest(hash=tx_hash.upper()),
            service_pb2.GetTxResponse,
        )
        return parse_tx_response(response.tx_response, response.tx)

    def get_balance(self, address: str) -> Operation[int]:
        """Return the balance in udsc, 0 for an unknown account."""
        response = yield from self.query(
            "/cosmos.bank.v1beta1.Query/Balance",
            bank_pb2.QueryBalanceRequest(address=address, denom=BASE_DENOM),
            bank_pb2.QueryBalanceResponse,
        )
        return int(response.balance.amount or 0)

    def get_supply(self) -> Operation[int]:
        """Return the total supply in udsc."""
        response = yield from self.query(
            "/cosmos.bank.v1beta1.Query/SupplyOf",
            bank_pb2.QuerySupplyOfRequest(denom=BASE_DENOM),
            bank_pb2.QuerySupplyOfResponse,
        )
        return int(response.amount.amount or 0)

    def get_operators(self) -> Operation[list[Any]]:
        """Return every staking operator (`cosmos.staking.v1beta1.Validator`)."""
        return self.pages(
            STAKING + "Validators",
            staking_pb2.QueryValidatorsRequest(),
            staking_pb2.QueryValidatorsResponse,
            "validators",
        )

    def get_delegations(self, address: str) -> Operation[list[Any]]:
        """Return the delegations of an account (`DelegationResponse`)."""
        return self.pages(
            STAKING + "DelegatorDelegations",
            staking_pb2.QueryDelegatorDelegationsRequest(delegator_addr=address),
            staking_pb2.QueryDelegatorDelegationsResponse,
            "delegation_responses",
        )

    def get_unbondings(self, address: str) -> Operation[list[Any]]:
        """Return the unbonding delegations of an account (`UnbondingDelegation`)."""
        return self.pages(
            STAKING + "DelegatorUnbondingDelegations",
            staking_pb2.QueryDelegatorUnbondingDelegationsRequest(delegator_addr=address),
            staking_pb2.QueryDelegatorUnbondingDelegationsResponse,
            "unbonding_responses",
        )

    def get_run(self, run_id: int) -> Operation[runs_pb2.Run]:
        """Return a `runs.v1.Run`."""
        request = runs_pb2.QueryRunRequest(run_id=run_id)
        response: runs_pb2.QueryRunResponse = yield from self.query(
            RUNS + "Run", request, runs_pb2.QueryRunResponse
        )
        return response.run

    def get_runs(self) -> Operation[list[runs_pb2.Run]]:
        """Return every run, by id."""
        return self.pages(
            RUNS + "Runs", runs_pb2.QueryRunsRequest(), runs_pb2.QueryRunsResponse, "runs"
        )

    def get_spec(self, run_id: int) -> Operation[runs_pb2.RunSpec]:
        """Return the `runs.v1.RunSpec` of a run."""
        run = yield from self.get_run(run_id)
        spec: runs_pb2.RunSpec = runs_pb2.RunSpec.FromString(run.spec)
        return spec

    def get_participants(self, run_id: int) -> Operation[list[runs_pb2.Participant]]:
        """Return the `runs.v1.Participant`s of a run, by uid."""
        return self.pages(
            RUNS + "Participants",
            runs_pb2.QueryParticipantsRequest(run_id=run_id),
            runs_pb2.QueryParticipantsResponse,
            "participants",
        )

    def get_participant(
        self, run_id: int, *, uid: int | None = None, hotkey: str | None = None
    ) -> Operation[runs_pb2.Participant]:
        """Return one `runs.v1.Participant`, by uid or by hotkey."""
        request = runs_pb2.QueryParticipantRequest(run_id=run_id)
        if hotkey is not None:
            request.hotkey = hotkey
        elif uid is not None:
            request.uid = uid
        else:
            raise InvalidInput("name a participant by uid or by hotkey")
        response: runs_pb2.QueryParticipantResponse = yield from self.query(
            RUNS + "Participant", request, runs_pb2.QueryParticipantResponse
        )
        return response.participant

    def get_burn_price(self, run_id: int) -> Operation[int]:
        """Return what a seat in the run costs now, in udsc."""
        request = runs_pb2.QueryBurnPriceRequest(run_id=run_id)
        response = yield from self.query(
            RUNS + "BurnPrice", request, runs_pb2.QueryBurnPriceResponse
        )
        return int(response.price_udsc)

    def get_round(self, run_id: int, round_index: int) -> Operation[rounds_pb2.Round]:
        """Return a `rounds.v1.Round`."""
        request = rounds_pb2.QueryRoundRequest(run_id=run_id, round=round_index)
        response: rounds_pb2.QueryRoundResponse = yield from self.query(
            ROUNDS + "Round", request, rounds_pb2.QueryRoundResponse
        )
        return response.round

    def get_current_round(self, run_id: int) -> Operation[rounds_pb2.Round]:
        """Return the `rounds.v1.Round` in work."""
        request = rounds_pb2.QueryCurrentRoundRequest(run_id=run_id)
        response: rounds_pb2.QueryRoundResponse = yield from self.query(
            ROUNDS + "CurrentRound", request, rounds_pb2.QueryRoundResponse
        )
        return response.round

    def get_commitments(
        self, run_id: int, round_index: int
    ) -> Operation[list[rounds_pb2.Commitment]]:
        """Return the `rounds.v1.Commitment`s of a round, by uid."""
        request = rounds_pb2.QueryCommitmentsRequest(run_id=run_id, round=round_index)
        response = yield from self.query(
            ROUNDS + "Commitments", request, rounds_pb2.QueryCommitmentsResponse
        )
        return list(response.commitments)

    def get_attestations(
        self, run_id: int, round_index: int
    ) -> Operation[rounds_pb2.QueryAttestationsResponse]:
        """Return `QueryAttestationsResponse`: `availabilities` and state `attestations`."""
        request = rounds_pb2.QueryAttestationsRequest(run_id=run_id, round=round_index)
        return self.query(ROUNDS + "Attestations", request, rounds_pb2.QueryAttestationsResponse)

    def get_audit_targets(
        self, run_id: int, round_index: int
    ) -> Operation[list[rounds_pb2.AuditTarget]]:
        """Return the `rounds.v1.AuditTarget`s of a round; empty until the judge beacon is drawn."""
        request = rounds_pb2.QueryAuditTargetsRequest(run_id=run_id, round=round_index)
        response = yield from self.query(
            ROUNDS + "AuditTargets", request, rounds_pb2.QueryAuditTargetsResponse
        )
        return list(response.targets)

    def get_judgements(
        self, run_id: int, round_index: int
    ) -> Operation[weights_pb2.QueryJudgementsResponse]:
        """Return `QueryJudgementsResponse`: weight `commits` and revealed `judgements`."""
        request = weights_pb2.QueryJudgementsRequest(run_id=run_id, round=round_index)
        return self.query(WEIGHTS + "Judgements", request, weights_pb2.QueryJudgementsResponse)

    def get_epoch(
        self, run_id: int, round_index: int | None = None
    ) -> Operation[weights_pb2.Epoch]:
        """Return the `weights.v1.Epoch` that judged a round, the newest for None."""
        response: weights_pb2.QueryEpochResponse
        if round_index is None:
            latest = weights_pb2.QueryLatestEpochRequest(run_id=run_id)
            response = yield from self.query(
                WEIGHTS + "LatestEpoch", latest, weights_pb2.QueryEpochResponse
            )
        else:
            request = weights_pb2.QueryEpochRequest(run_id=run_id, round=round_index)
            response = yield from self.query(
                WEIGHTS + "Epoch", request, weights_pb2.QueryEpochResponse
            )
        return response.epoch

    def get_vestings(self, run_id: int, uid: int) -> Operation[list[weights_pb2.Vesting]]:
        """Return the `weights.v1.Vesting`s of a participant."""
        request = weights_pb2.QueryVestingsRequest(run_id=run_id, uid=uid)
        response = yield from self.query(
            WEIGHTS + "Vestings", request, weights_pb2.QueryVestingsResponse
        )
        return list(response.vestings)

    def get_checkpoint(
        self, run_id: int, round_index: int | None = None
    ) -> Operation[lineage_pb2.QueryCheckpointResponse]:
        """Return `lineage.v1.QueryCheckpointResponse`: `checkpoint`, and `judgement` once judged.

        Args:
            round_index: rounds applied, 0 the first checkpoint; None for the newest.
        """
        if round_index is None:
            latest = lineage_pb2.QueryLatestRequest(run_id=run_id)
            return self.query(LINEAGE + "Latest", latest, lineage_pb2.QueryCheckpointResponse)
        request = lineage_pb2.QueryCheckpointRequest(run_id=run_id, round=round_index)
        return self.query(LINEAGE + "Checkpoint", request, lineage_pb2.QueryCheckpointResponse)

    def get_checkpoints(self, run_id: int) -> Operation[list[lineage_pb2.Checkpoint]]:
        """Return every `lineage.v1.Checkpoint` of a run, by round."""
        return self.pages(
            LINEAGE + "Checkpoints",
            lineage_pb2.QueryCheckpointsRequest(run_id=run_id),
            lineage_pb2.QueryCheckpointsResponse,
            "checkpoints",
        )

    def get_checkpoint_by_root(self, root: bytes) -> Operation[lineage_pb2.QueryCheckpointResponse]:
        """Return `lineage.v1.QueryCheckpointResponse` of the checkpoint with this tensor root."""
        request = lineage_pb2.QueryByRootRequest(root=root)
        return self.query(LINEAGE + "ByRoot", request, lineage_pb2.QueryCheckpointResponse)
