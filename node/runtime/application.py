"""The ABCI 2.0 object every engine drives: state machine over an authenticated store.

Between calls the only memory is the committed store, the check state and the block staged by
`finalize_block`; `commit` persists. Nothing asynchronous starts here, and an exception that is not
a refusal leaves this object, so that the node stops.

Source: `reference/chain.md` sections 3.2 and 3.3; DESIGN 3.1 to 3.3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from cosmos.tx.v1beta1 import service_pb2
from google.protobuf.message import DecodeError
from tendermint.abci import types_pb2 as abci
from tendermint.crypto import keys_pb2
from tendermint.types import validator_pb2

from node.runtime.ante import AccountsAccess, AnteHandler, FeeGrants, FeeTransfer, Mode
from node.runtime.context import NANOS_PER_SECOND, BlockInfo, CommitVote, Context, Misbehaviour
from node.runtime.errors import ChainError, QueryError, QueryInvalid
from node.runtime.events import encode_event, join_events
from node.runtime.executor import TxExecutor, TxOutcome
from node.runtime.options import NodeOptions
from node.runtime.proposals import ProposalInvalid, ProposalRules, run_inherent, split_inherents
from node.runtime.runtime import Runtime, explain_genesis
from node.runtime.simulation import (
    SIMULATE_PATH,
    build_simulate_response,
    build_simulation,
    describe_failure,
    get_simulated_tx,
)
from node.runtime.state import Changes, KeyValueReader, Overlay, VersionReader
from node.runtime.storage import GenesisDataError
from node.runtime.substrate.ante import ExtrinsicAnte, ExtrinsicRules

APP_NAME = "descent"
APP_VERSION = "0.1.0"
APP_PROTOCOL = 1
STATE_PROOF_OP = "descent:state"
QUERY_CODES = {"NOT_FOUND": (22, "NotFound", "key not found")}
INVALID_QUERY_CODE = (18, "InvalidArgument", "invalid request")
UNKNOWN_QUERY_CODE = (6, "Unimplemented", "unknown request")
RESULT_EVENTS_TAG = b"\x3a"  # of `ExecTxResult.events`
PROPOSAL_ACCEPT = abci.ResponseProcessProposal.ACCEPT
PROPOSAL_REJECT = abci.ResponseProcessProposal.REJECT
EXTENSION_ACCEPT = abci.ResponseVerifyVoteExtension.ACCEPT
EXTENSION_REJECT = abci.ResponseVerifyVoteExtension.REJECT
VoteExtender = Callable[[Context, list[bytes]], bytes]


class StateStoreLike(KeyValueReader, Protocol):
    """What the application needs of the authenticated store."""

    @property
    def version(self) -> int: ...
    @property
    def oldest_version(self) -> int: ...
    @property
    def app_hash(self) -> bytes: ...
    def stage(self, version: int, changes: Changes) -> bytes: ...
    def commit(self, *, keep_recent: int | None = None) -> None: ...
    def prove(self, store: str, key: bytes, version: int | None = None) -> Any: ...


class ConsensusAccess(Protocol):
    """What the application needs of the consensus pallet."""

    def get_params(self, ctx: Context) -> Any: ...
    def set_params(self, ctx: Context, params: Any) -> None: ...
    def record_block(self, ctx: Context) -> None: ...
    def take_update(self, ctx: Context) -> Any | None: ...
    def get_last_block(self, ctx: Context) -> BlockInfo: ...


class HeightUnavailable(Exception):
    """State of that height is not there: not reached yet, or pruned."""


class Application:
    """One chain on one store.

    Args:
        runtime: the pallets.
        accounts, bank, consensus: capabilities of the pallets the transaction pipeline needs.
        store: opened for writing.
        options: node-local settings.
        extend: makes this node's vote extension from state and the block's transactions; None for
            a node that is no operator.
        fee_grants: lets accounts pay the fees of others.
        extrinsics: what a chain needs that takes Substrate's transactions too.
    """

    def __init__(
        self,
        runtime: Runtime,
        accounts: AccountsAccess,
        bank: FeeTransfer,
        consensus: ConsensusAccess,
        store: StateStoreLike,
        options: NodeOptions,
        extend: VoteExtender | None = None,
        fee_grants: FeeGrants | None = None,
        extrinsics: ExtrinsicRules | None = None,
    ) -> None:
        self.runtime = runtime
        self.store = store
        self._options = options
        self._consensus = consensus
        self._extend = extend
        price = options.min_gas_price
        ante = AnteHandler(runtime, accounts, bank, price, fee_grants)
        extrinsic_ante = table = None
        if extrinsics is not None:
            table, hashes = extrinsics.table, extrinsics.hashes
            extrinsic_ante = ExtrinsicAnte(runtime, accounts, bank, price, hashes)
        self._executor = TxExecutor(runtime, ante, options.max_tx_bytes, extrinsic_ante, table)
        self._rules = ProposalRules(runtime, self._executor)
        self._genesis: Overlay | None = None
        self._reset_check_state()

    def _get_base(self) -> KeyValueReader:
        return self.store if self._genesis is None else self._genesis

    def _reset_check_state(self) -> None:
        self._rules.forget()
        self._check_state = Overlay(self._get_base())
        ctx = Context(self._check_state, BlockInfo("", 0, 0))
        self.last_block = self._consensus.get_last_block(ctx)
        self._next_block = BlockInfo(
            self.last_block.chain_id,
            self.last_block.height + 1,
            self.last_block.time_ns,
            previous_app_hash=self.store.app_hash if self.store.version else b"",
        )
        is_started = bool(self.last_block.chain_id)
        self._max_gas = self._consensus.get_params(ctx).block.max_gas if is_started else -1

    def _make_block(self, request: Any, commit: Any) -> BlockInfo:
        """Describe the block after the last committed one, which `commit` decided."""
        app_hash = self.store.app_hash if self.store.version else b""
        block = make_block(self.last_block.chain_id, request, app_hash)
        return replace(block, votes=list_votes(commit), votes_round=commit.round)

    def _open_context(self, block: BlockInfo) -> Context:
        return Context(Overlay(self._get_base()), block)

    # Info and genesis

    def info(self, request: Any) -> Any:
        """Tell the engine which height and app hash were committed."""
        height = self.store.version
        return abci.ResponseInfo(
            data=APP_NAME,
            version=APP_VERSION,
            app_version=APP_PROTOCOL,
            last_block_height=height,
            last_block_app_hash=self.store.app_hash if height else b"",
        )

    def init_chain(self, request: Any) -> Any:
        """Take the genesis state; it is persisted with the first block. May be called again.

        Raises: GenesisDataError.
        """
        height = max(request.initial_height, 1) - 1
        block = BlockInfo(request.chain_id, height, get_time_ns(request.time))
        self._genesis = None
        state = Overlay(self.store)
        ctx = Context(state, block)
        self.runtime.import_genesis(ctx, parse_app_state(request.app_state_bytes))
        if request.HasField("consensus_params"):
            self._consensus.set_params(ctx, request.consensus_params)
        with explain_genesis():
            self._consensus.record_block(ctx)
            self.runtime.update_consensus_set(ctx)
            self.runtime.check_invariants(ctx)
        app_hash = self.store.stage(height + 1, self._name_every_store(state))
        self._genesis = state
        self._reset_check_state()
        return abci.ResponseInitChain(
            consensus_params=self._consensus.get_params(ctx),
            validators=build_updates(self.runtime.list_consensus_set(ctx)),
            app_hash=app_hash,
        )

    def _name_every_store(self, state: Overlay) -> dict[str, dict[bytes, bytes | None]]:
        changes: dict[str, dict[bytes, bytes | None]]
        changes = {name: {} for name in self.runtime.list_store_names()}
        changes.update(state.changes)
        return changes

    def export_genesis(self) -> dict[str, Any]:
        """Export the committed state by pallet."""
        return self.runtime.export_genesis(self._open_context(self.last_block))

    # Mempool

    def check_tx(self, request: Any) -> Any:
        """Check a transaction against the check state, where sequences already count up."""
        is_new = request.type == abci.NEW
        mode = Mode.CHECK if is_new else Mode.RECHECK
        tx = request.tx
        outcome = self._executor.run(self._check_state, self._next_block, tx, mode, self._max_gas)
        self._rules.note_checked(tx, outcome)
        return abci.ResponseCheckTx(**get_result_fields(outcome))

    # Proposals

    def prepare_proposal(self, request: Any) -> Any:
        """Put the pseudo transactions first, then what is valid and fits."""
        block = self._make_block(request, request.local_last_commit)
        limits = (request.max_tx_bytes, self._max_gas)
        txs = self._rules.build(self._get_base(), block, request.txs, limits)
        return abci.ResponsePrepareProposal(txs=txs)

    def process_proposal(self, request: Any) -> Any:
        """Reject a proposal that breaks a rule of `node/runtime/proposals.py`."""
        block = self._make_block(request, request.proposed_last_commit)
        try:
            self._rules.judge(self._get_base(), block, request.txs, self._max_gas)
        except ProposalInvalid:
            return abci.ResponseProcessProposal(status=PROPOSAL_REJECT)
        return abci.ResponseProcessProposal(status=PROPOSAL_ACCEPT)

    def extend_vote(self, request: Any) -> Any:
        """Make this node's vote extension for the block being voted on."""
        if self._extend is None:
            return abci.ResponseExtendVote()
        ctx = self._open_context(self._make_block(request, request.proposed_last_commit))
        return abci.ResponseExtendVote(vote_extension=self._extend(ctx, list(request.txs)))

    def verify_vote_extension(self, request: Any) -> Any:
        """Check another operator's vote extension; an empty one is fine."""
        block = BlockInfo(self.last_block.chain_id, request.height, self.last_block.time_ns)
        ctx = self._open_context(block)
        try:
            if request.vote_extension:
                for pallet in self.runtime.inherents.values():
                    pallet.check_extension(ctx, request.validator_address, request.vote_extension)
        except ChainError:
            return abci.ResponseVerifyVoteExtension(status=EXTENSION_REJECT)
        return abci.ResponseVerifyVoteExtension(status=EXTENSION_ACCEPT)

    # Blocks

    def finalize_block(self, request: Any) -> Any:
        """Execute a block and compute its app hash; nothing is persisted.

        Raises: any exception that is no refusal; the node must stop.
        """
        block = replace(
            self._make_block(request, request.decided_last_commit),
            previous_app_hash=self.store.app_hash,
            misbehaviours=list_misbehaviours(request.misbehavior),
        )
        state = Overlay(self._get_base())
        ctx = Context(state, block)
        inherents, txs = split_inherents(self.runtime, list(request.txs))
        results = [self._deliver_inherent(ctx, tx) for tx in inherents]
        self.runtime.begin_block(ctx)
        for tx in txs:
            outcome = self._executor.run(state, block, tx, Mode.DELIVER, self._max_gas)
            results.append(build_result(outcome))
        self.runtime.end_block(ctx)
        changes = self.runtime.update_consensus_set(ctx)
        return abci.ResponseFinalizeBlock(
            events=[abci.Event.FromString(encode_event(event)) for event in ctx.events],
            tx_results=results,
            validator_updates=build_updates(changes),
            consensus_param_updates=self._consensus.take_update(ctx),
            app_hash=self.store.stage(block.height, self._collect_changes(state)),
        )

    def _deliver_inherent(self, ctx: Context, tx: bytes) -> Any:
        try:
            run_inherent(self.runtime, ctx, tx)
        except ChainError as error:
            return abci.ExecTxResult(code=error.code, codespace=error.codespace, log=str(error))
        return abci.ExecTxResult()

    def _collect_changes(self, state: Overlay) -> dict[str, dict[bytes, bytes | None]]:
        if self._genesis is None:
            return state.changes
        merged = Overlay(self.store)
        merged.merge(self._genesis)
        merged.merge(state)
        return self._name_every_store(merged)

    def commit(self, request: Any = None) -> Any:
        """Persist the block that was finalized and forget the check state."""
        self.store.commit(keep_recent=self._options.keep_recent_blocks)
        self._genesis = None
        self._reset_check_state()
        keep = self._options.keep_recent_blocks
        retain_height = 0 if keep is None else max(self.last_block.height - keep + 1, 0)
        return abci.ResponseCommit(retain_height=retain_height)

    def restore_state(self, height: int, changes: Changes, app_hash: bytes) -> bool:
        """Take a whole state, where there is none yet, if it has the app hash the chain has.

        Returns: whether it has; nothing is kept otherwise.
        """
        if self.store.version or self.store.stage(height, changes) != app_hash:
            return False
        self.store.commit()
        self._genesis = None
        self._reset_check_state()
        return True

    # Queries

    def query(self, request: Any) -> Any:
        """Answer `/store/NAME/key`, `/app/version`, `/app/simulate` or a gRPC method path."""
        height = request.height or self.last_block.height
        try:
            if request.path == "/app/version":
                return abci.ResponseQuery(value=APP_VERSION.encode(), height=height)
            if not self.store.version and self._genesis is None:
                raise HeightUnavailable("there is no block yet")
            if request.path == "/app/simulate":
                return self._answer_simulation(request.data)
            if request.path == SIMULATE_PATH:
                return self._answer_simulate_method(request.data)
            if request.path.startswith(("/store/", "store/")):
                return self._answer_store(request, height)
            value = self.query_method(request.path, request.data, request.height)
            return abci.ResponseQuery(value=value, height=height)
        except QueryError as error:
            code, status, text = QUERY_CODES.get(error.status, INVALID_QUERY_CODE)
            if error.status == "UNIMPLEMENTED":
                code, status, text = UNKNOWN_QUERY_CODE
            log = f"rpc error: code = {status} desc = {error}: {text}"
            return abci.ResponseQuery(code=code, codespace="sdk", log=log, height=height)
        except HeightUnavailable as error:
            log = f"{error}: invalid request"
            return abci.ResponseQuery(code=18, codespace="sdk", log=log, height=height)

    def query_method(self, path: str, request: bytes, height: int = 0) -> bytes:
        """Answer `/package.Service/Method` at a height, 0 for the newest.

        Raises: QueryError, HeightUnavailable.
        """
        reader = open_reader(self.store if self._genesis is None else self._genesis, height)
        if height:
            ensure_height(self.store, height)
        block = self._consensus.get_last_block(Context(Overlay(reader), self.last_block))
        return self.runtime.query(reader, block, path, request)

    def simulate(self, tx: bytes) -> TxOutcome:
        """Run a transaction without fee, gas limit or signature check, and drop its writes."""
        state = Overlay(self._get_base())
        return self._executor.run(state, self._next_block, tx, Mode.SIMULATE)

    def _answer_simulation(self, tx: bytes) -> Any:
        outcome = self.simulate(tx)
        if outcome.code:
            return abci.ResponseQuery(
                code=outcome.code, codespace=outcome.codespace, log=outcome.log
            )
        return abci.ResponseQuery(
            value=build_simulation(outcome).SerializeToString(), height=self.last_block.height
        )

    def _answer_simulate_method(self, data: bytes) -> Any:
        try:
            request = service_pb2.SimulateRequest.FromString(data)
        except DecodeError as error:
            raise QueryInvalid(f"{SIMULATE_PATH}: request does not parse") from error
        outcome = self.simulate(get_simulated_tx(request))
        if outcome.code:
            code, _, text = UNKNOWN_QUERY_CODE
            log = f"rpc error: code = Unknown desc = {describe_failure(outcome)}: {text}"
            return abci.ResponseQuery(code=code, codespace="sdk", log=log)
        value = build_simulate_response(outcome).SerializeToString()
        return abci.ResponseQuery(value=value, height=self.last_block.height)

    def _answer_store(self, request: Any, height: int) -> Any:
        ensure_height(self.store, height)
        parts = request.path.strip("/").split("/")
        if len(parts) != 3 or parts[2] != "key" or parts[1] not in self.runtime.pallets:
            log = f"no such store path: {request.path}: unknown request"
            return abci.ResponseQuery(code=6, codespace="sdk", log=log, height=height)
        key = bytes(request.data)
        response = abci.ResponseQuery(key=key, height=height)
        response.value = self.store.get(parts[1], key, height) or b""
        if request.prove:
            proof = self.store.prove(parts[1], key, height)
            response.proof_ops.ops.add(type=STATE_PROOF_OP, key=key, data=proof.encode())
        return response


def get_time_ns(timestamp: Any) -> int:
    """Get nanoseconds since 1970 of a protobuf timestamp."""
    return int(timestamp.seconds) * NANOS_PER_SECOND + int(timestamp.nanos)


def make_block(chain_id: str, request: Any, previous_app_hash: bytes = b"") -> BlockInfo:
    """Make the block description of a request that carries height, time and proposer."""
    return BlockInfo(
        chain_id=chain_id,
        height=request.height,
        time_ns=get_time_ns(request.time),
        proposer_addr=request.proposer_address,
        previous_app_hash=previous_app_hash,
        block_hash=bytes(getattr(request, "hash", b"")),
    )


def list_votes(commit: Any) -> tuple[CommitVote, ...]:
    """List the votes of a `CommitInfo`, or of an `ExtendedCommitInfo`, which has extensions.

    One for nothing counts as a vote.
    """
    return tuple(
        CommitVote(
            vote.validator.address,
            vote.validator.power,
            vote.block_id_flag != validator_pb2.BLOCK_ID_FLAG_ABSENT,
            vote.block_id_flag == validator_pb2.BLOCK_ID_FLAG_COMMIT,
            getattr(vote, "vote_extension", b""),
            getattr(vote, "extension_signature", b""),
        )
        for vote in commit.votes
    )


def list_misbehaviours(found: Any) -> tuple[Misbehaviour, ...]:
    """List the `Misbehavior`s of a block."""
    return tuple(
        Misbehaviour(
            item.validator.address, item.validator.power, item.height, get_time_ns(item.time)
        )
        for item in found
    )


def build_updates(powers: dict[bytes, int]) -> list[Any]:
    """Build the `ValidatorUpdate`s of changed powers by ed25519 key."""
    return [
        abci.ValidatorUpdate(pub_key=keys_pb2.PublicKey(ed25519=key), power=power)
        for key, power in powers.items()
    ]


def parse_app_state(data: bytes) -> dict[str, Any]:
    """Get the pallet sections of a genesis `app_state`.

    Raises: GenesisDataError.
    """
    try:
        state = json.loads(data or b"{}")
    except ValueError as error:
        raise GenesisDataError(f"app_state is not JSON: {error}") from error
    sections = state.get("pallets", {})
    if not isinstance(sections, dict):
        raise GenesisDataError("app_state.pallets is not an object")
    return sections


def open_reader(base: KeyValueReader, height: int) -> KeyValueReader:
    """Open committed state at a height, 0 for the newest."""
    return VersionReader(base, height) if height else base


def ensure_height(store: StateStoreLike, height: int) -> None:
    """Check that state of a height is kept.

    Raises: HeightUnavailable.
    """
    if not max(store.oldest_version, 1) <= height <= store.version:
        raise HeightUnavailable(
            f"failed to load state at height {height}; kept are {store.oldest_version} to "
            f"{store.version} (latest height: {store.version})"
        )


def get_result_fields(outcome: TxOutcome) -> dict[str, Any]:
    """Get the fields `ExecTxResult` and `ResponseCheckTx` share."""
    return {
        "code": outcome.code,
        "codespace": outcome.codespace,
        "log": outcome.log,
        "data": outcome.data,
        "gas_wanted": outcome.gas_wanted,
        "gas_used": outcome.gas_used,
    }


def build_result(outcome: TxOutcome) -> Any:
    """Build the `ExecTxResult` of a transaction."""
    result = abci.ExecTxResult(**get_result_fields(outcome))
    result.MergeFromString(join_events(RESULT_EVENTS_TAG, outcome.events))
    return result
