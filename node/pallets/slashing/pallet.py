"""Slashing: operators answer for their consensus nodes with their stake.

The engine says with each block who voted for the one before, and who was caught signing two blocks
of one height. A vote without the beacon's reveal is a missed one. A node that misses more than it
may of the last `signed_blocks_window` blocks costs its operator a little stake and jails it for a
while; then it can unjail itself. Double signing costs more and tombstones the consensus key: it
never decides a block again. A jailed operator has no weight as a scoring validator either. Faults
in training are none of this pallet's business.

Life cycle of a key: unknown -> voting -> jailed -> unjailed -> voting, or tombstoned for ever.
Invariants: the counter of missed blocks is the number of blocks recorded as missed.
Source: Cosmos SDK x/slashing and x/evidence; `reference/chain.md` sections 3.7 and 4.3.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cosmos.evidence.v1beta1 import evidence_pb2
from cosmos.evidence.v1beta1 import query_pb2 as evidence_query_pb2
from cosmos.slashing.v1beta1 import query_pb2, slashing_pb2, tx_pb2
from google.protobuf import timestamp_pb2

from node.pallets.slashing.errors import (
    SLASHING_ERRORS,
    JailedOperatorUnknown,
    NotJailed,
    SelfDelegationMissing,
    SelfDelegationTooLow,
    StillJailed,
)
from node.pallets.slashing.types import (
    FOREVER_SECONDS,
    UPDATE_DELAY_BLOCKS,
    BlockMissed,
    EvidenceAge,
    OperatorSlashed,
    OperatorUnjailed,
    RevealsRead,
    SlashingParams,
    SlashingSchema,
)
from node.pallets.staking.types import OperatorsSlash, build_timestamp
from node.runtime.addresses import (
    CONSENSUS_PREFIX,
    AddressError,
    decode_address,
    encode_consensus,
    encode_operator,
)
from node.runtime.coins import BASE_DENOM
from node.runtime.context import CommitVote, Context, Misbehaviour
from node.runtime.errors import (
    InvariantBroken,
    QueryInvalid,
    QueryNotFound,
    ensure,
    refuse,
)
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.times import get_nanoseconds
from proto.packing import pack_any

SERVICE = query_pb2.DESCRIPTOR.services_by_name["Query"]
EVIDENCE_SERVICE = evidence_query_pb2.DESCRIPTOR.services_by_name["Query"]


class SlashingPallet(Pallet[SlashingSchema]):
    """The slashing pallet.

    Args:
        staking: slashes and jails.
        consensus: how old evidence may be.
        reveals: who voted without giving the beacon its reveal.
    """

    name = "slashing"
    index = 22
    schema = SlashingSchema
    query_services = (SERVICE, EVIDENCE_SERVICE)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)
    errors = SLASHING_ERRORS
    events = (OperatorSlashed, BlockMissed, OperatorUnjailed)

    def __init__(
        self, staking: OperatorsSlash, consensus: EvidenceAge, reveals: RevealsRead
    ) -> None:
        super().__init__()
        self._reveals = reveals
        self._staking = staking
        self._consensus = consensus

    def get_params(self, ctx: Context) -> SlashingParams:
        """Get the parameters."""
        params: SlashingParams = self.storage.params.expect(ctx)
        return params

    # Calls

    @call(0, tx_pb2.MsgUnjail, tx_pb2.MsgUnjailResponse, signer="validator_addr")
    def unjail(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Come back from jail when the time is over.

        Raises: JailedOperatorUnknown, SelfDelegationMissing, SelfDelegationTooLow, NotJailed,
            StillJailed.
        Emits: OperatorUnjailed.
        """
        operator = self._staking.get_operator(ctx, origin)
        if operator is None:
            refuse(JailedOperatorUnknown)
        own_tokens = self._staking.get_own_tokens(ctx, origin)
        ensure(self._staking.get_shares(ctx, origin, origin) > 0, SelfDelegationMissing)
        ensure(own_tokens >= int(operator.min_self_delegation), SelfDelegationTooLow)
        ensure(operator.jailed, NotJailed)
        consensus_addr = self._staking.get_consensus_addr(operator)
        info = self.storage.signing_infos.get(ctx, consensus_addr)
        if info is not None:
            ensure(not info.tombstoned, StillJailed, "tombstoned")
            is_over = get_nanoseconds(info.jailed_until) <= ctx.block.time_ns
            ensure(is_over, StillJailed, f"until {info.jailed_until.ToJsonString()}")
            info.start_height = ctx.height
            self.storage.signing_infos.set(ctx, consensus_addr, info)
        self._staking.set_jailed(ctx, origin, False)
        ctx.emit(OperatorUnjailed(encode_operator(origin)))

    # Told by staking

    def on_shares_change(
        self, ctx: Context, delegator: bytes, operator_addr: bytes, before: int, after: int
    ) -> None:
        """Nothing: who delegates does not matter here."""

    def on_operator_created(
        self, ctx: Context, operator_addr: bytes, consensus_addr: bytes
    ) -> None:
        """Jail an operator that comes back with a key that is tombstoned or still jailed."""
        info = self.storage.signing_infos.get(ctx, consensus_addr)
        if info is not None and get_nanoseconds(info.jailed_until) > ctx.block.time_ns:
            self._staking.set_jailed(ctx, operator_addr, True)

    def on_operator_removed(self, ctx: Context, operator_addr: bytes) -> None:
        """Nothing: what its key did stays known."""

    def on_params_change(self, ctx: Context, before: Any, after: Any) -> None:
        """Forget who missed what when the window has another length."""
        if before.signed_blocks_window == after.signed_blocks_window:
            return
        self.storage.missed_blocks.clear(ctx)
        for addr, info in list(self.storage.signing_infos.iterate(ctx)):
            info.missed_blocks_counter = 0
            info.start_height = ctx.height
            self.storage.signing_infos.set(ctx, addr, info)

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_votes(ctx)
        self.process_misbehaviours(ctx)

    def process_votes(self, ctx: Context) -> None:
        """Book who voted for the block before; slash and jail who was away too long.

        Emits: BlockMissed, OperatorSlashed, CoinSpent, CoinsBurned.
        """
        params = self.get_params(ctx)
        for vote in ctx.block.votes:
            self._process_vote(ctx, params, vote)

    def _process_vote(self, ctx: Context, params: SlashingParams, vote: CommitVote) -> None:
        addr = vote.consensus_addr
        text = encode_consensus(addr)
        info = self.storage.signing_infos.get(ctx, addr)
        if info is None:
            info = slashing_pb2.ValidatorSigningInfo(address=text, start_height=ctx.height)
            info.jailed_until.seconds = 0
            self.storage.signing_infos.set(ctx, addr, info)
        key = (addr, ctx.height % params.signed_blocks_window)
        was_missed = self.storage.missed_blocks.has(ctx, key)
        if vote.has_signed and not self._reveals.has_withheld(ctx, addr):
            if was_missed:
                self.storage.missed_blocks.remove(ctx, key)
                info.missed_blocks_counter -= 1
                self.storage.signing_infos.set(ctx, addr, info)
            return
        if not was_missed:
            self.storage.missed_blocks.add(ctx, key)
            info.missed_blocks_counter += 1
            self.storage.signing_infos.set(ctx, addr, info)
        ctx.emit(BlockMissed(text, info.missed_blocks_counter, ctx.height - 1))
        is_counted = ctx.height > info.start_height + params.signed_blocks_window
        if is_counted and info.missed_blocks_counter > params.max_missed_blocks:
            self._process_downtime(ctx, params, vote, info)

    def _process_downtime(
        self, ctx: Context, params: SlashingParams, vote: CommitVote, info: Any
    ) -> None:
        operator_addr = self._staking.get_operator_by_key(ctx, vote.consensus_addr)
        operator = None
        if operator_addr is not None:
            operator = self._staking.get_operator(ctx, operator_addr)
        if operator_addr is None or operator is None or operator.jailed:
            return
        height = ctx.height - UPDATE_DELAY_BLOCKS - 1
        fraction = params.slash_fraction_downtime
        burned = self._staking.slash(ctx, operator_addr, height, vote.power, fraction)
        self._staking.set_jailed(ctx, operator_addr, True)
        jailed_ns = ctx.block.time_ns + params.downtime_jail_seconds * 10**9
        info.jailed_until.CopyFrom(build_timestamp(jailed_ns))
        info.missed_blocks_counter = 0
        self.storage.missed_blocks.clear(ctx, (vote.consensus_addr,))
        self.storage.signing_infos.set(ctx, vote.consensus_addr, info)
        self._note_slash(ctx, vote.consensus_addr, vote.power, "missing_signature", burned)

    def process_misbehaviours(self, ctx: Context) -> None:
        """Slash and tombstone who signed two blocks of one height.

        Emits: OperatorSlashed, CoinSpent, CoinsBurned.
        """
        for found in ctx.block.misbehaviours:
            if not self._is_too_old(ctx, found):
                self._process_misbehaviour(ctx, found)

    def _is_too_old(self, ctx: Context, found: Misbehaviour) -> bool:
        limits = self._consensus.get_params(ctx).evidence
        age_blocks = ctx.height - found.height
        age_ns = ctx.block.time_ns - found.time_ns
        max_age_ns = get_nanoseconds(limits.max_age_duration)
        return bool(age_blocks > limits.max_age_num_blocks and age_ns > max_age_ns)

    def _process_misbehaviour(self, ctx: Context, found: Misbehaviour) -> None:
        addr = found.consensus_addr
        operator_addr = self._staking.get_operator_by_key(ctx, addr)
        info = self.storage.signing_infos.get(ctx, addr)
        if operator_addr is None or (info is not None and info.tombstoned):
            return
        text = encode_consensus(addr)
        entry = evidence_pb2.Equivocation(
            height=found.height, power=found.power, consensus_address=text
        )
        entry.time.CopyFrom(build_timestamp(found.time_ns))
        digest = hashlib.sha256(entry.SerializeToString(deterministic=True)).digest()
        self.storage.evidence.set(ctx, digest, entry)
        height = found.height - UPDATE_DELAY_BLOCKS
        fraction = self.get_params(ctx).slash_fraction_double_sign
        burned = self._staking.slash(ctx, operator_addr, height, found.power, fraction)
        self._staking.set_jailed(ctx, operator_addr, True)
        if info is None:
            info = slashing_pb2.ValidatorSigningInfo(address=text, start_height=ctx.height)
        info.tombstoned = True
        info.jailed_until.CopyFrom(timestamp_pb2.Timestamp(seconds=FOREVER_SECONDS))
        self.storage.signing_infos.set(ctx, addr, info)
        self._note_slash(ctx, addr, found.power, "double_sign", burned)

    def _note_slash(self, ctx: Context, addr: bytes, power: int, reason: str, burned: int) -> None:
        text = encode_consensus(addr)
        ctx.emit(OperatorSlashed(text, power, reason, text, f"{burned}{BASE_DENOM}"))

    # Queries

    @query("Params", SERVICE.full_name)
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        return query_pb2.QueryParamsResponse(params=self.get_params(ctx).to_message())

    @query("SigningInfo", SERVICE.full_name)
    def query_signing_info(self, ctx: Context, request: Any) -> Any:
        """Answer what is known of one consensus key."""
        if not request.cons_address:
            raise QueryInvalid("invalid request")
        try:
            addr = decode_address(request.cons_address, CONSENSUS_PREFIX)
        except AddressError as error:
            raise QueryInvalid(f"invalid consensus address: {error}") from error
        info = self.storage.signing_infos.get(ctx, addr)
        if info is None:
            raise QueryNotFound(f"SigningInfo not found for validator {request.cons_address}")
        return query_pb2.QuerySigningInfoResponse(val_signing_info=self._complete(ctx, info))

    @query("SigningInfos", SERVICE.full_name)
    def query_signing_infos(self, ctx: Context, request: Any) -> Any:
        """Answer what is known of every consensus key."""
        entries, page = paginate(ctx, self.storage.signing_infos, request.pagination)
        infos = [self._complete(ctx, info) for _, info in entries]
        return query_pb2.QuerySigningInfosResponse(info=infos, pagination=page)

    def _complete(self, ctx: Context, info: Any) -> Any:
        info.index_offset = max(ctx.height - info.start_height, 0)
        return info

    @query("Evidence", EVIDENCE_SERVICE.full_name)
    def query_evidence(self, ctx: Context, request: Any) -> Any:
        """Answer one piece of evidence."""
        try:
            digest = bytes.fromhex(request.hash) if request.hash else request.evidence_hash
        except ValueError as error:
            raise QueryInvalid(f"invalid evidence hash: {error}") from error
        entry = self.storage.evidence.get(ctx, digest) if len(digest) == 32 else None
        if entry is None:
            raise QueryNotFound(f"evidence {digest.hex()} not found")
        return evidence_query_pb2.QueryEvidenceResponse(evidence=pack_any(entry))

    @query("AllEvidence", EVIDENCE_SERVICE.full_name)
    def query_all_evidence(self, ctx: Context, request: Any) -> Any:
        """Answer all evidence."""
        entries, page = paginate(ctx, self.storage.evidence, request.pagination)
        packed = [pack_any(entry) for _, entry in entries]
        return evidence_query_pb2.QueryAllEvidenceResponse(evidence=packed, pagination=page)

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, SlashingParams())

    @invariant
    def check_missed(self, ctx: Context) -> None:
        """The counter of missed blocks is the number of blocks recorded as missed."""
        for addr, info in self.storage.signing_infos.iterate(ctx):
            num_missed = sum(1 for _ in self.storage.missed_blocks.iterate(ctx, (addr,)))
            if num_missed != info.missed_blocks_counter:
                raise InvariantBroken(f"slashing: missed blocks of {info.address} do not add up")
