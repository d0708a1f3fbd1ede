"""Authz: an account lets another make some calls for it, for some time and so much money.

A miner's session key can commit and serve for its account without being able to empty it. The
grantee signs a `MsgExec` around the calls; each runs as if its granter had signed it, if a grant
covers it, and a spend limit counts what really left the account.

Life cycle of a grant: granted -> replaced by a new one | used up | revoked | expired (forgotten).
Invariants: every grant is known by its grantee, and queued if it expires.
Source: Cosmos SDK x/authz; DESIGN 3.1.
"""

from __future__ import annotations

from typing import Any

from cosmos.authz.v1beta1 import authz_pb2, query_pb2, tx_pb2
from google.protobuf.message import DecodeError

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.authz.authorizations import (
    AUTHZ_PREFIX,
    SEND_URL,
    SESSION_URL,
    check_authorization,
    open_authorization,
    spend_send,
    spend_session,
)
from node.pallets.authz.errors import (
    AUTHZ_ERRORS,
    AuthorizationExpired,
    AuthorizationMissing,
    CallNotAllowed,
    ExpirationInvalid,
    GranteeIsGranter,
    SignersTooMany,
)
from node.pallets.authz.types import (
    MAX_CALLS,
    MAX_EXPIRED_PER_BLOCK,
    MAX_URL_CHARS,
    AuthorizationGranted,
    AuthorizationRevoked,
    AuthzSchema,
    Dispatcher,
)
from node.pallets.bank.types import BalancesRead
from node.runtime.addresses import encode_account
from node.runtime.context import Context
from node.runtime.errors import (
    InvalidRequest,
    InvariantBroken,
    ensure,
    refuse,
)
from node.runtime.paging import paginate, paginate_keys
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.parsing import parse_account
from node.runtime.times import get_nanoseconds, is_valid_time, list_due
from proto.packing import pack_any

Key = tuple[bytes, bytes, str]


class AuthzPallet(Pallet[AuthzSchema]):
    """The authz pallet.

    Args:
        bank: tells what a call took from an account.
    """

    name = "authz"
    index = 25
    schema = AuthzSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = AUTHZ_ERRORS
    events = (AuthorizationGranted, AuthorizationRevoked)

    def __init__(self, bank: BalancesRead) -> None:
        super().__init__()
        self._bank = bank
        self._dispatcher: Dispatcher | None = None

    def set_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Take what runs the calls."""
        self._dispatcher = dispatcher

    def _get_dispatcher(self) -> Dispatcher:
        if self._dispatcher is None:
            raise RuntimeError("authz: no dispatcher")
        return self._dispatcher

    # Calls

    @call(0, tx_pb2.MsgGrant, tx_pb2.MsgGrantResponse, signer="granter")
    def grant(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Let another account make calls; a grant for the same calls is replaced.

        Raises: InvalidAddress, GranteeIsGranter, ExpirationInvalid, AuthorizationTypeUnknown,
            UnknownRequest, CallNotAllowed, InvalidCoins, InvalidRequest.
        Emits: AuthorizationGranted.
        """
        grantee = parse_account(msg.grantee, "grantee")
        ensure(grantee != origin, GranteeIsGranter)
        authorization = open_authorization(msg.grant.authorization)
        url = msg.grant.authorization.type_url
        type_url = check_authorization(authorization, url, self._get_dispatcher())
        if msg.grant.HasField("expiration"):
            expiration = msg.grant.expiration
            is_later = get_nanoseconds(expiration) > ctx.block.time_ns
            ensure(is_later and is_valid_time(expiration), ExpirationInvalid)
        key = (origin, grantee, type_url)
        self._forget(ctx, key)
        self._write(ctx, key, msg.grant)
        ctx.emit(AuthorizationGranted(type_url, msg.granter, msg.grantee))

    @call(1, tx_pb2.MsgExec, tx_pb2.MsgExecResponse, signer="grantee")
    def execute(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Make calls for those that granted them.

        Raises: InvalidRequest, UnknownRequest, InvalidAddress, SignersTooMany, CallNotAllowed,
            AuthorizationMissing, AuthorizationExpired, SpendLimitExceeded, and what the calls
            raise.
        Emits: AuthorizationRevoked, and what the calls emit.
        """
        ensure(0 < len(msg.msgs) <= MAX_CALLS, InvalidRequest, f"1 to {MAX_CALLS} messages")
        results = [self._execute_one(ctx, origin, packed) for packed in msg.msgs]
        return tx_pb2.MsgExecResponse(results=results)

    @call(2, tx_pb2.MsgRevoke, tx_pb2.MsgRevokeResponse, signer="granter")
    def revoke(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Take a grant back.

        Raises: InvalidAddress, AuthorizationMissing.
        Emits: AuthorizationRevoked.
        """
        ensure(len(msg.msg_type_url) <= MAX_URL_CHARS, AuthorizationMissing)
        key = (origin, parse_account(msg.grantee, "grantee"), msg.msg_type_url)
        ensure(self.storage.grants.has(ctx, key), AuthorizationMissing, msg.msg_type_url)
        self._forget(ctx, key)
        ctx.emit(AuthorizationRevoked(msg.msg_type_url, msg.granter, msg.grantee))

    # Steps

    def _execute_one(self, ctx: Context, grantee: bytes, packed: Any) -> bytes:
        dispatcher = self._get_dispatcher()
        type_url = packed.type_url
        ensure(not type_url.startswith(AUTHZ_PREFIX), CallNotAllowed, type_url)
        try:
            message = dispatcher.get_call(type_url).message_class.FromString(packed.value)
        except DecodeError as error:
            raise InvalidRequest(f"{type_url} does not parse") from error
        signers = dispatcher.get_signers(type_url, message)
        ensure(len(signers) == 1, SignersTooMany, type_url)
        granter = signers[0]
        if granter == grantee:
            response = dispatcher.dispatch(ctx, type_url, message)
        else:
            response = self._execute_granted(ctx, granter, grantee, type_url, message)
        data: bytes = response.SerializeToString(deterministic=True)
        return data

    def _execute_granted(
        self, ctx: Context, granter: bytes, grantee: bytes, type_url: str, message: Any
    ) -> Any:
        key, found = self._find_grant(ctx, granter, grantee, type_url)
        if found.HasField("expiration"):
            is_valid = get_nanoseconds(found.expiration) > ctx.block.time_ns
            ensure(is_valid, AuthorizationExpired)
        authorization = open_authorization(found.authorization)
        before = self._bank.get_balance(ctx, granter)
        response = self._get_dispatcher().dispatch(ctx, type_url, message)
        spent = before - self._bank.get_balance(ctx, granter)
        url = found.authorization.type_url
        left: Any | None = authorization
        if url == SEND_URL:
            left = spend_send(authorization, message)
        elif url == SESSION_URL:
            left = spend_session(authorization, spent)
        if left is None:
            self._forget(ctx, key)
            texts = encode_account(granter), encode_account(grantee)
            ctx.emit(AuthorizationRevoked(type_url, *texts))
        elif left != authorization:
            found.authorization.CopyFrom(pack_any(left))
            self._write(ctx, key, found)
        return response

    def _find_grant(
        self, ctx: Context, granter: bytes, grantee: bytes, type_url: str
    ) -> tuple[Key, Any]:
        """Find the grant that covers a call: one for it alone, else the session's."""
        key = (granter, grantee, type_url)
        found = self.storage.grants.get(ctx, key)
        if found is not None:
            return key, found
        key = (granter, grantee, SESSION_URL)
        found = self.storage.grants.get(ctx, key)
        if found is None:
            refuse(AuthorizationMissing, type_url)
        allowed = open_authorization(found.authorization).allowed_calls
        ensure(type_url in allowed, AuthorizationMissing, type_url)
        return key, found

    def _write(self, ctx: Context, key: Key, grant: Any) -> None:
        granter, grantee, type_url = key
        self.storage.grants.set(ctx, key, grant)
        self.storage.grants_by_grantee.add(ctx, (grantee, granter, type_url))
        if grant.HasField("expiration"):
            self.storage.expiry_queue.add(ctx, (get_nanoseconds(grant.expiration), key))

    def _forget(self, ctx: Context, key: Key) -> None:
        grant = self.storage.grants.get(ctx, key)
        if grant is None:
            return
        granter, grantee, type_url = key
        self.storage.grants.delete(ctx, key)
        self.storage.grants_by_grantee.remove(ctx, (grantee, granter, type_url))
        if grant.HasField("expiration"):
            self.storage.expiry_queue.remove(ctx, (get_nanoseconds(grant.expiration), key))

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_expired(ctx)

    def process_expired(self, ctx: Context) -> None:
        """Forget grants whose time is over, a bounded number a block."""
        queue = self.storage.expiry_queue.iterate(ctx)
        for key in list_due(queue, ctx.block.time_ns, MAX_EXPIRED_PER_BLOCK):
            self._forget(ctx, key)

    # Queries

    @query("Grants")
    def query_grants(self, ctx: Context, request: Any) -> Any:
        """Answer what one account granted another."""
        scope = (parse_query_addr(request.granter), parse_query_addr(request.grantee))
        wanted = request.msg_type_url
        entries, page = paginate(
            ctx,
            self.storage.grants,
            request.pagination,
            scope,
            keep=lambda key, _: wanted in ("", key[2]),
        )
        return query_pb2.QueryGrantsResponse(
            grants=[grant for _, grant in entries], pagination=page
        )

    @query("GranterGrants")
    def query_granter_grants(self, ctx: Context, request: Any) -> Any:
        """Answer what an account granted."""
        scope = (parse_query_addr(request.granter),)
        entries, page = paginate(ctx, self.storage.grants, request.pagination, scope)
        grants = [build_entry(key, grant) for key, grant in entries]
        return query_pb2.QueryGranterGrantsResponse(grants=grants, pagination=page)

    @query("GranteeGrants")
    def query_grantee_grants(self, ctx: Context, request: Any) -> Any:
        """Answer what an account was granted."""
        scope = (parse_query_addr(request.grantee),)
        keys, page = paginate_keys(ctx, self.storage.grants_by_grantee, request.pagination, scope)
        found = [(granter, grantee, url) for grantee, granter, url in keys]
        grants = [build_entry(key, self.storage.grants.expect(ctx, key)) for key in found]
        return query_pb2.QueryGranteeGrantsResponse(grants=grants, pagination=page)

    # Invariants

    @invariant
    def check_indexes(self, ctx: Context) -> None:
        """Every grant is known by its grantee, and queued if it expires."""
        grants = list(self.storage.grants.iterate(ctx))
        known = sorted((key[1], key[0], key[2]) for key, _ in grants)
        queued = sorted(
            (get_nanoseconds(grant.expiration), key)
            for key, grant in grants
            if grant.HasField("expiration")
        )
        is_known = known == sorted(self.storage.grants_by_grantee.iterate(ctx))
        if not is_known or queued != sorted(self.storage.expiry_queue.iterate(ctx)):
            raise InvariantBroken("authz: an index does not agree with the grants")


def build_entry(key: Key, grant: Any) -> Any:
    """Build a grant with its parties, for answers."""
    entry = authz_pb2.GrantAuthorization(
        granter=encode_account(key[0]),
        grantee=encode_account(key[1]),
        authorization=grant.authorization,
    )
    if grant.HasField("expiration"):
        entry.expiration.CopyFrom(grant.expiration)
    return entry
