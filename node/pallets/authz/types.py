"""Schema and events of authz, and the capabilities it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.authz.v1beta1 import authz_pb2

from node.runtime.codecs import ADDRESS, TEXT, U64, ProtoCodec, pair, triple
from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.storage import KeySet, Map, Schema

MAX_EXPIRED_PER_BLOCK = 100
MAX_URL_CHARS = 100
MAX_CALLS = 64
"""Calls of one session authorization, and of one MsgExec."""


class AuthzSchema(Schema):
    """Storage of authz: a grant by granter, grantee and type URL.

    That of a session authorization is under its own type URL, others under that of their call.
    """

    grants: Map[tuple[bytes, bytes, str], Any] = Map(
        0x01, "grants", triple(ADDRESS, ADDRESS, TEXT), ProtoCodec(authz_pb2.Grant)
    )
    grants_by_grantee = KeySet(0x02, "grants_by_grantee", triple(ADDRESS, ADDRESS, TEXT))
    expiry_queue = KeySet(0x03, "expiry_queue", pair(U64, triple(ADDRESS, ADDRESS, TEXT)))


@dataclass(frozen=True)
class AuthorizationGranted(Event):
    """An account let another make calls for it."""

    abci_type: ClassVar[str] = "cosmos.authz.v1beta1.EventGrant"
    msg_type_url: str
    granter: Address
    grantee: Address


@dataclass(frozen=True)
class AuthorizationRevoked(Event):
    """An authorization was taken back, used up, or is over."""

    abci_type: ClassVar[str] = "cosmos.authz.v1beta1.EventRevoke"
    msg_type_url: str
    granter: Address
    grantee: Address


class Dispatcher(Protocol):
    """Runs messages by type URL."""

    def get_call(self, type_url: str) -> Any: ...

    def get_signers(self, type_url: str, message: Any) -> list[bytes]: ...

    def dispatch(self, ctx: Context, type_url: str, message: Any) -> Any: ...
