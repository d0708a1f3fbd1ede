"""Schema and events of feegrant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cosmos.feegrant.v1beta1 import feegrant_pb2

from node.runtime.codecs import ADDRESS, U64, ProtoCodec, pair
from node.runtime.events import Address, Event
from node.runtime.storage import KeySet, Map, Schema

MAX_EXPIRED_PER_BLOCK = 100
MAX_ALLOWED_MESSAGES = 64


class FeegrantSchema(Schema):
    """Storage of feegrant: a grant by grantee, who uses it, and granter, who pays."""

    grants: Map[tuple[bytes, bytes], Any] = Map(
        0x00, "grants", pair(ADDRESS, ADDRESS), ProtoCodec(feegrant_pb2.Grant)
    )
    expiry_queue = KeySet(0x01, "expiry_queue", pair(U64, pair(ADDRESS, ADDRESS)))
    grants_by_granter = KeySet(0x02, "grants_by_granter", pair(ADDRESS, ADDRESS))


@dataclass(frozen=True)
class AllowanceGranted(Event):
    """An account pays the fees of another from now on."""

    abci_type: ClassVar[str] = "set_feegrant"
    granter: Address
    grantee: Address


@dataclass(frozen=True)
class AllowanceRevoked(Event):
    """An allowance was taken back."""

    abci_type: ClassVar[str] = "revoke_feegrant"
    granter: Address
    grantee: Address


@dataclass(frozen=True)
class AllowanceUsed(Event):
    """A fee was paid from an allowance."""

    abci_type: ClassVar[str] = "use_feegrant"
    granter: Address
    grantee: Address
