"""Beacon: one random 32-byte value a block, which nobody could know when the block before was made.

Every operator registers the outermost value of a SHA-256 hash onion. With each vote it reveals the
next value inwards; the proposer of the following block puts the reveals first in the block, and the
block's value is sha256 over the previous value and all of them. An operator can withhold but not
choose. Before an onion is used up the operator registers the next one in a reveal.

States of an anchor: current -> (reveal) -> current -> ... -> last value -> next anchor -> current.
Invariants: every anchor is 32 bytes; `next_anchor` is empty or 32 bytes.
Source: DESIGN 4.6.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

from google.protobuf.message import DecodeError

from node.pallets.beacon.errors import (
    AnchorMalformed,
    AnchorUnknown,
    BeaconAlreadyDrawn,
    NodeExists,
    PreimageWrong,
    RevealMalformed,
    RevealsUnsorted,
)
from node.pallets.beacon.types import (
    BEACON_TAG,
    KEPT_VALUES_BLOCKS,
    MAX_PENDING_DEPTH,
    BeaconDrawn,
    NodeListener,
    NodeRegistered,
)
from node.runtime.addresses import AddressError, decode_account, encode_account
from node.runtime.codecs import ADDRESS, U64, ProtoCodec
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, QueryNotFound, ensure
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.storage import Map, Schema
from proto.descent.beacon.v1 import beacon_pb2

DOMAIN = b"descent/beacon"
HASH_BYTES = 32


class BeaconSchema(Schema):
    """Storage of the beacon."""

    anchors: Map[bytes, Any] = Map(0x01, "anchors", ADDRESS, ProtoCodec(beacon_pb2.Anchor))
    values: Map[int, Any] = Map(0x02, "values", U64, ProtoCodec(beacon_pb2.BeaconValue))


def compute_beacon(previous: bytes, height: int, reveals: list[tuple[bytes, bytes]]) -> bytes:
    """Compute the value of a block.

    Args:
        previous: value of the block before, 32 bytes.
        reveals: (operator address, preimage) in block order.
    """
    digest = hashlib.sha256(DOMAIN + previous + height.to_bytes(8, "big"))
    for operator, preimage in reveals:
        digest.update(bytes((len(operator),)) + operator + preimage)
    return digest.digest()


class BeaconPallet(Pallet[BeaconSchema]):
    """The beacon pallet."""

    name = "beacon"
    index = 15
    schema = BeaconSchema
    inherent_tag = BEACON_TAG
    query_services = (beacon_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = (
        AnchorMalformed,
        AnchorUnknown,
        BeaconAlreadyDrawn,
        NodeExists,
        PreimageWrong,
        RevealMalformed,
        RevealsUnsorted,
    )
    events = (BeaconDrawn, NodeRegistered)

    def __init__(self) -> None:
        super().__init__()
        self._listeners: list[NodeListener] = []

    def add_listener(self, listener: NodeListener) -> None:
        """Tell `listener` of every node that is registered."""
        self._listeners.append(listener)

    # Calls

    @call(
        0,
        beacon_pb2.MsgRegisterNode,
        beacon_pb2.MsgRegisterNodeResponse,
        signer="operator_addr",
    )
    def register_node(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Register an operator's node; with a bond it decides blocks two blocks later.

        An onion is never replaced: who could choose another one could choose what it reveals.

        Raises: AnchorMalformed, NodeExists.
        Emits: NodeRegistered.
        """
        ensure(len(msg.anchor) == HASH_BYTES, AnchorMalformed)
        ensure(not self.has_node(ctx, origin), NodeExists)
        self.register_anchor(ctx, origin, msg.anchor)
        for listener in self._listeners:
            listener.note_node(ctx, origin)
        ctx.emit(NodeRegistered(encode_account(origin)))

    # Capabilities

    def get_value(self, ctx: Context, height: int) -> bytes:
        """Get the value of a block not after this one; asking for another is a bug."""
        value: bytes = self.storage.values.expect(ctx, height).value
        return value

    def get_anchor(self, ctx: Context, operator: bytes) -> Any:
        """Get the `Anchor` of an operator, or None."""
        return self.storage.anchors.get(ctx, operator)

    def has_node(self, ctx: Context, operator_addr: bytes) -> bool:
        """Tell whether an operator's node is known here."""
        return self.storage.anchors.has(ctx, operator_addr)

    def register_anchor(self, ctx: Context, operator: bytes, anchor: bytes) -> None:
        """Register an operator's first onion."""
        entry = beacon_pb2.Anchor(operator_addr=encode_account(operator), current=anchor)
        self.storage.anchors.set(ctx, operator, entry)

    # Pseudo transaction and vote extensions

    def build_inherent(self, ctx: Context, extensions: list[bytes]) -> bytes:
        """Collect the valid reveals, ascending by operator address text."""
        reveals: dict[str, Any] = {}
        for extension in extensions:
            try:
                reveal = parse_reveal(extension)
                self._open_reveal(ctx, reveal, depth=1)
            except (AnchorUnknown, PreimageWrong, RevealMalformed):
                continue
            reveals[reveal.operator_addr] = reveal
        if not reveals:
            return b""
        ordered = [reveals[text] for text in sorted(reveals)]
        data: bytes = beacon_pb2.BlockReveals(reveals=ordered).SerializeToString(deterministic=True)
        return data

    def process_inherent(self, ctx: Context, data: bytes) -> None:
        """Take the reveals of a block and draw its value.

        Raises: RevealMalformed, RevealsUnsorted, AnchorUnknown, PreimageWrong, BeaconAlreadyDrawn.
        Emits: BeaconDrawn.
        """
        try:
            block_reveals = beacon_pb2.BlockReveals.FromString(data)
        except DecodeError as error:
            raise RevealMalformed() from error
        texts = [reveal.operator_addr for reveal in block_reveals.reveals]
        ensure(all(low < high for low, high in pairwise(texts)), RevealsUnsorted)
        ensure(not self.storage.values.has(ctx, ctx.height), BeaconAlreadyDrawn)
        opened = []
        for reveal in block_reveals.reveals:
            ensure(is_well_formed(reveal), RevealMalformed)
            operator, anchor = self._open_reveal(ctx, reveal, depth=1)
            if hash_once(reveal.preimage) != anchor.current:
                anchor.next_anchor = b""
            anchor.current = reveal.preimage
            anchor.revealed_height = ctx.height
            if reveal.next_anchor and not anchor.next_anchor:
                anchor.next_anchor = reveal.next_anchor
            self.storage.anchors.set(ctx, operator, anchor)
            opened.append((operator, reveal.preimage))
        self._draw(ctx, opened)

    def check_extension(self, ctx: Context, extension: bytes) -> None:
        """Check another operator's reveal, which may be one ahead of committed state.

        Raises: RevealMalformed, AnchorUnknown, PreimageWrong.
        """
        self._open_reveal(ctx, parse_reveal(extension), depth=MAX_PENDING_DEPTH)

    def _open_reveal(self, ctx: Context, reveal: Any, depth: int) -> tuple[bytes, Any]:
        """Check a reveal against its anchor, at most `depth` hashes away.

        Raises: RevealMalformed, AnchorUnknown, PreimageWrong.
        """
        try:
            operator = decode_account(reveal.operator_addr)
        except AddressError as error:
            raise RevealMalformed(str(error)) from error
        anchor = self.storage.anchors.get(ctx, operator)
        if anchor is None:
            raise AnchorUnknown(reveal.operator_addr)
        value = reveal.preimage
        for _ in range(depth):
            value = hash_once(value)
            if value in (anchor.current, anchor.next_anchor):
                return operator, anchor
        raise PreimageWrong(reveal.operator_addr)

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_missing_reveals(ctx)
        self.process_old_values(ctx)

    def process_missing_reveals(self, ctx: Context) -> None:
        """Draw the value of a block that carries no reveals.

        Emits: BeaconDrawn.
        """
        if not self.storage.values.has(ctx, ctx.height):
            self._draw(ctx, [])

    def process_old_values(self, ctx: Context) -> None:
        """Forget the value that is too old to be kept."""
        if ctx.height > KEPT_VALUES_BLOCKS:
            self.storage.values.delete(ctx, ctx.height - KEPT_VALUES_BLOCKS)

    def _draw(self, ctx: Context, reveals: list[tuple[bytes, bytes]]) -> None:
        before = self.storage.values.get(ctx, ctx.height - 1)
        previous = before.value if before is not None else hash_once(ctx.block.chain_id.encode())
        value = compute_beacon(previous, ctx.height, reveals)
        entry = beacon_pb2.BeaconValue(height=ctx.height, value=value, num_reveals=len(reveals))
        self.storage.values.set(ctx, ctx.height, entry)
        ctx.emit(BeaconDrawn(value, len(reveals)))

    # Queries

    @query("Beacon")
    def query_beacon(self, ctx: Context, request: Any) -> Any:
        """Answer the value of a height, 0 for the newest."""
        height = request.height or ctx.height
        entry = self.storage.values.get(ctx, height)
        if entry is None:
            raise QueryNotFound(f"beacon value of height {height} not found")
        return beacon_pb2.QueryBeaconResponse(beacon=entry)

    @query("Anchors")
    def query_anchors(self, ctx: Context, request: Any) -> Any:
        """Answer the anchors of all operators."""
        anchors = [anchor for _, anchor in self.storage.anchors.iterate(ctx)]
        return beacon_pb2.QueryAnchorsResponse(anchors=anchors)

    # Invariants

    @invariant
    def check_anchors(self, ctx: Context) -> None:
        """Anchors are 32 bytes."""
        for operator, anchor in self.storage.anchors.iterate(ctx):
            is_next_ok = len(anchor.next_anchor) in (0, HASH_BYTES)
            if len(anchor.current) != HASH_BYTES or not is_next_ok:
                raise InvariantBroken(f"beacon: anchor of {encode_account(operator)} is malformed")


def hash_once(value: bytes) -> bytes:
    """Compute the value that hides `value`."""
    return hashlib.sha256(value).digest()


def is_well_formed(reveal: Any) -> bool:
    """Tell whether the byte strings of a reveal have the right length."""
    return len(reveal.preimage) == HASH_BYTES and len(reveal.next_anchor) in (0, HASH_BYTES)


def parse_reveal(data: bytes) -> Any:
    """Parse a vote extension.

    Raises: RevealMalformed.
    """
    try:
        reveal = beacon_pb2.Reveal.FromString(data)
    except DecodeError as error:
        raise RevealMalformed() from error
    ensure(is_well_formed(reveal), RevealMalformed)
    return reveal
