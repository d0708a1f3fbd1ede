"""Feegrant: an account pays the fees of another.

A transaction names the granter; before its messages run, the fee is taken off the allowance the
granter gave the fee payer, and from the granter's coins. An allowance that is used up or over is
forgotten. With it a miner's hotkey needs no coins of its own.

Life cycle of an allowance: granted -> used -> used up | revoked | expired.
Invariants: every allowance is known by its granter, and queued if it expires.
Source: Cosmos SDK x/feegrant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosmos.feegrant.v1beta1 import feegrant_pb2, query_pb2, tx_pb2

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.accounts.types import AccountsCreate
from node.pallets.feegrant.allowances import (
    Coins,
    check_allowance,
    get_expiry_ns,
    open_allowance,
    use_allowance,
)
from node.pallets.feegrant.errors import FEEGRANT_ERRORS, AllowanceMissing
from node.pallets.feegrant.types import (
    MAX_EXPIRED_PER_BLOCK,
    AllowanceGranted,
    AllowanceRevoked,
    AllowanceUsed,
    FeegrantSchema,
)
from node.runtime.addresses import encode_account
from node.runtime.context import Context
from node.runtime.errors import (
    InvalidAddress,
    InvalidRequest,
    InvariantBroken,
    QueryNotFound,
    ensure,
)
from node.runtime.paging import paginate, paginate_keys
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.parsing import parse_account
from node.runtime.times import list_due
from proto.packing import pack_any

Key = tuple[bytes, bytes]
"""Grantee, granter."""


class FeegrantPallet(Pallet[FeegrantSchema]):
    """The feegrant pallet.

    Args:
        accounts: makes the account of a grantee, which may never have held a coin.
    """

    name = "feegrant"
    index = 26
    schema = FeegrantSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = FEEGRANT_ERRORS
    events = (AllowanceGranted, AllowanceRevoked, AllowanceUsed)

    def __init__(self, accounts: AccountsCreate) -> None:
        super().__init__()
        self._accounts = accounts

    # Capabilities

    def use_grant(
        self, ctx: Context, granter: bytes, grantee: bytes, fee: Coins, type_urls: Sequence[str]
    ) -> None:
        """Take a fee off an allowance; the caller moves the coins.

        Raises: AllowanceMissing, AllowanceExpired, FeeLimitExceeded, MessageNotAllowed.
        Emits: AllowanceUsed.
        """
        key = (grantee, granter)
        texts = encode_account(granter), encode_account(grantee)
        grant = self.storage.grants.get(ctx, key)
        if grant is None:
            raise AllowanceMissing(f"{texts[0]} does not allow to pay fees for {texts[1]}")
        allowance = open_allowance(grant.allowance)
        if use_allowance(allowance, fee, type_urls, ctx.block.time_ns):
            self._forget(ctx, key)
        else:
            grant.allowance.CopyFrom(pack_any(allowance))
            self.storage.grants.set(ctx, key, grant)
        ctx.emit(AllowanceUsed(*texts))

    # Calls

    @call(0, tx_pb2.MsgGrantAllowance, tx_pb2.MsgGrantAllowanceResponse, signer="granter")
    def grant_allowance(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Pay the fees of another account.

        Raises: InvalidAddress, InvalidRequest, InvalidCoins, AllowedMessagesMissing,
            AllowanceExpired, DurationInvalid.
        Emits: AllowanceGranted.
        """
        grantee = parse_account(msg.grantee, "grantee")
        ensure(grantee != origin, InvalidAddress, "cannot self-grant fee authorization")
        key = (grantee, origin)
        is_new = not self.storage.grants.has(ctx, key)
        ensure(is_new, InvalidRequest, "fee allowance already exists")
        allowance = open_allowance(msg.allowance)
        check_allowance(allowance, ctx.block.time_ns)
        self._accounts.ensure_account(ctx, grantee)
        grant = feegrant_pb2.Grant(
            granter=msg.granter, grantee=msg.grantee, allowance=pack_any(allowance)
        )
        self.storage.grants.set(ctx, key, grant)
        self.storage.grants_by_granter.add(ctx, (origin, grantee))
        expires_ns = get_expiry_ns(allowance)
        if expires_ns:
            self.storage.expiry_queue.add(ctx, (expires_ns, key))
        ctx.emit(AllowanceGranted(msg.granter, msg.grantee))

    @call(1, tx_pb2.MsgRevokeAllowance, tx_pb2.MsgRevokeAllowanceResponse, signer="granter")
    def revoke_allowance(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Take an allowance back.

        Raises: InvalidAddress, AllowanceMissing.
        Emits: AllowanceRevoked.
        """
        key = (parse_account(msg.grantee, "grantee"), origin)
        ensure(self.storage.grants.has(ctx, key), AllowanceMissing)
        self._forget(ctx, key)
        ctx.emit(AllowanceRevoked(msg.granter, msg.grantee))

    @call(2, tx_pb2.MsgPruneAllowances, tx_pb2.MsgPruneAllowancesResponse, signer="pruner")
    def prune_allowances(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Forget allowances that are over; the beginning of every block does the same."""
        self.process_expired(ctx)

    # Steps

    def _forget(self, ctx: Context, key: Key) -> None:
        grant = self.storage.grants.expect(ctx, key)
        self.storage.grants.delete(ctx, key)
        self.storage.grants_by_granter.remove(ctx, (key[1], key[0]))
        expires_ns = get_expiry_ns(open_allowance(grant.allowance))
        if expires_ns:
            self.storage.expiry_queue.remove(ctx, (expires_ns, key))

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_expired(ctx)

    def process_expired(self, ctx: Context) -> None:
        """Forget allowances that are over, a bounded number a block."""
        queue = self.storage.expiry_queue.iterate(ctx)
        for key in list_due(queue, ctx.block.time_ns, MAX_EXPIRED_PER_BLOCK):
            self._forget(ctx, key)

    # Queries

    @query("Allowance")
    def query_allowance(self, ctx: Context, request: Any) -> Any:
        """Answer what one account allows another."""
        key = (parse_query_addr(request.grantee), parse_query_addr(request.granter))
        grant = self.storage.grants.get(ctx, key)
        if grant is None:
            raise QueryNotFound("fee-grant not found")
        return query_pb2.QueryAllowanceResponse(allowance=grant)

    @query("Allowances")
    def query_allowances(self, ctx: Context, request: Any) -> Any:
        """Answer what an account is allowed."""
        scope = (parse_query_addr(request.grantee),)
        entries, page = paginate(ctx, self.storage.grants, request.pagination, scope)
        grants = [grant for _, grant in entries]
        return query_pb2.QueryAllowancesResponse(allowances=grants, pagination=page)

    @query("AllowancesByGranter")
    def query_allowances_by_granter(self, ctx: Context, request: Any) -> Any:
        """Answer what an account allows others."""
        scope = (parse_query_addr(request.granter),)
        keys, page = paginate_keys(ctx, self.storage.grants_by_granter, request.pagination, scope)
        grants = [self.storage.grants.expect(ctx, (who, granter)) for granter, who in keys]
        return query_pb2.QueryAllowancesByGranterResponse(allowances=grants, pagination=page)

    # Invariants

    @invariant
    def check_indexes(self, ctx: Context) -> None:
        """Every allowance is known by its granter, and queued if it expires."""
        grants = list(self.storage.grants.iterate(ctx))
        known = sorted((granter, grantee) for (grantee, granter), _ in grants)
        expiries = [(get_expiry_ns(open_allowance(g.allowance)), key) for key, g in grants]
        queued = sorted(entry for entry in expiries if entry[0])
        is_known = known == sorted(self.storage.grants_by_granter.iterate(ctx))
        if not is_known or queued != sorted(self.storage.expiry_queue.iterate(ctx)):
            raise InvariantBroken("feegrant: an index does not agree with the allowances")
