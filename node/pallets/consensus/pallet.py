"""Consensus: what the chain keeps about its engine.

Holds the consensus parameters the engine was started with, the chain id, and height and time of
the last block, so that a query at any height knows the time it speaks of. Governance may change
limits of blocks and evidence; the engine is told with the block.

Source: Cosmos SDK x/consensus; `reference/chain.md` sections 3.3 and 4.2.
"""

from __future__ import annotations

import json
from typing import Any

from cosmos.consensus.v1 import query_pb2, tx_pb2
from cosmos.params.v1beta1 import query_pb2 as params_query_pb2
from tendermint.types import params_pb2

from node.runtime.codecs import TEXT, U8, U64, ProtoCodec
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import InvalidRequest, QueryNotFound, ensure
from node.runtime.pallet import Pallet, ParamsUpdated, call, ensure_authority, query
from node.runtime.storage import Item, Schema
from node.runtime.times import is_valid_duration

CONSENSUS_SERVICE = query_pb2.DESCRIPTOR.services_by_name["Query"]
PARAMS_SERVICE = params_query_pb2.DESCRIPTOR.services_by_name["Query"]
DEFAULT_BLOCK_BYTES = 4 * 2**20
MIN_BLOCK_BYTES = 2**16
MAX_BLOCK_BYTES = 100 * 2**20
MIN_BLOCK_GAS = 10**6
DEFAULT_EVIDENCE_BLOCKS = 100_000
DEFAULT_EVIDENCE_SECONDS = 48 * 3600
DEFAULT_EVIDENCE_BYTES = 2**20


class ConsensusSchema(Schema):
    """Storage of consensus."""

    params: Item[Any] = Item(0x00, "params", ProtoCodec(params_pb2.ConsensusParams))
    chain_id = Item(0x01, "chain_id", TEXT)
    last_height = Item(0x02, "last_height", U64)
    last_time_ns = Item(0x03, "last_time_ns", U64)
    has_update: Item[int] = Item(0x04, "has_update", U8)


def build_default_params() -> Any:
    """Build the parameters a chain starts with unless genesis says otherwise."""
    params = params_pb2.ConsensusParams()
    params.block.max_bytes = DEFAULT_BLOCK_BYTES
    params.block.max_gas = -1
    params.evidence.max_age_num_blocks = DEFAULT_EVIDENCE_BLOCKS
    params.evidence.max_age_duration.seconds = DEFAULT_EVIDENCE_SECONDS
    params.evidence.max_bytes = DEFAULT_EVIDENCE_BYTES
    params.validator.pub_key_types.append("ed25519")
    params.version.app = 1
    params.abci.vote_extensions_enable_height = 1
    return params


class ConsensusPallet(Pallet[ConsensusSchema]):
    """The consensus pallet."""

    name = "consensus"
    index = 10
    schema = ConsensusSchema
    query_services = (CONSENSUS_SERVICE, PARAMS_SERVICE)
    events = (ParamsUpdated,)

    def get_params(self, ctx: Context) -> Any:
        """Get the `tendermint.types.ConsensusParams`."""
        return self.storage.params.expect(ctx)

    def set_params(self, ctx: Context, params: Any) -> None:
        """Write the parameters the engine runs with.

        Fields this chain does not know are dropped: newer engines send some, others do not, and
        the state must be the same under all.
        """
        known = params_pb2.ConsensusParams()
        known.CopyFrom(params)
        known.DiscardUnknownFields()
        self.storage.params.set(ctx, known)

    def take_update(self, ctx: Context) -> Any | None:
        """Take the parameters if this block changed them; the engine uses them from the next on."""
        if self.storage.has_update.get(ctx) is None:
            return None
        self.storage.has_update.delete(ctx)
        return self.get_params(ctx)

    @call(0, tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse, signer="authority")
    def update_engine_params(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Change limits of blocks and of evidence; governance only.

        Raises: InvalidAuthority, InvalidRequest.
        Emits: ParamsUpdated.
        """
        ensure_authority(origin)
        for name in ("block", "evidence", "validator"):
            ensure(msg.HasField(name), InvalidRequest, f"{name} parameters are missing")
        params = self.get_params(ctx)
        check_limits(params, msg)
        params.block.CopyFrom(msg.block)
        params.evidence.CopyFrom(msg.evidence)
        self.storage.params.set(ctx, params)
        self.storage.has_update.set(ctx, 1)
        ctx.emit(ParamsUpdated(self.name))

    def record_block(self, ctx: Context) -> None:
        """Remember the block of the context as the last one."""
        if self.storage.chain_id.get(ctx) != ctx.block.chain_id:
            self.storage.chain_id.set(ctx, ctx.block.chain_id)
        self.storage.last_height.set(ctx, ctx.height)
        self.storage.last_time_ns.set(ctx, ctx.block.time_ns)

    def get_last_block(self, ctx: Context) -> BlockInfo:
        """Get chain id, height and time of the last block; empty before genesis."""
        return BlockInfo(
            chain_id=self.storage.chain_id.get_or(ctx, ""),
            height=self.storage.last_height.get_or(ctx, 0),
            time_ns=self.storage.last_time_ns.get_or(ctx, 0),
        )

    def begin_block(self, ctx: Context) -> None:
        self.record_block(ctx)

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, build_default_params())

    @query("Params", CONSENSUS_SERVICE.full_name)
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the consensus parameters."""
        return query_pb2.QueryParamsResponse(params=self.get_params(ctx))

    @query("Params", PARAMS_SERVICE.full_name)
    def query_subspace(self, ctx: Context, request: Any) -> Any:
        """Answer `baseapp` `BlockParams` as JSON, which older clients ask for the gas limit."""
        if (request.subspace, request.key) != ("baseapp", "BlockParams"):
            raise QueryNotFound(f"parameter {request.subspace}/{request.key} not found")
        block = self.get_params(ctx).block
        value = json.dumps({"max_bytes": str(block.max_bytes), "max_gas": str(block.max_gas)})
        response = params_query_pb2.QueryParamsResponse()
        response.param.subspace = request.subspace
        response.param.key = request.key
        response.param.value = value
        return response


def check_limits(params: Any, msg: Any) -> None:
    """Check new limits; key types and vote extensions stay as they are.

    Raises: InvalidRequest.
    """
    block, evidence = msg.block, msg.evidence
    is_size_ok = MIN_BLOCK_BYTES <= block.max_bytes <= MAX_BLOCK_BYTES
    ensure(is_size_ok, InvalidRequest, f"block.max_bytes = {block.max_bytes} is out of bounds")
    is_gas_ok = block.max_gas == -1 or block.max_gas >= MIN_BLOCK_GAS
    ensure(is_gas_ok, InvalidRequest, f"block.max_gas = {block.max_gas} is out of bounds")
    has_age = evidence.max_age_num_blocks > 0 and is_valid_duration(evidence.max_age_duration)
    ensure(has_age, InvalidRequest, "the age of evidence must be positive")
    is_evidence_ok = 0 < evidence.max_bytes <= block.max_bytes
    ensure(is_evidence_ok, InvalidRequest, "evidence.max_bytes is out of bounds")
    ensure(msg.validator == params.validator, InvalidRequest, "key types cannot be changed")
    is_same = not msg.HasField("abci") or msg.abci == params.abci
    ensure(is_same, InvalidRequest, "vote extensions cannot be changed")
