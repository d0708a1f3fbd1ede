"""Beacon: one random 32-byte value a block, which nobody could know when the block before was made.

Every operator registers the outermost value of a SHA-256 hash onion. With each vote it reveals the
next value inwards; the proposer of the following block puts the signed extensions of those votes
first in the block, and the block's value is sha256 over the previous value and all reveals. An
operator can withhold but not choose, and a vote that withholds counts as a missed one. Before an
onion is used up the operator registers the next one in a reveal.

A proposer can neither forge an extension, because each carries the node's signature, nor leave out
those of a third of the power; what it leaves out is not held against anybody. (That of a late vote
may be none of ours: nobody but the proposer has looked at it yet.)

States of an anchor: current -> (reveal) -> current -> ... -> last value -> next anchor -> current.
Invariants: every anchor is 32 bytes; `next_anchor` is empty or 32 bytes.
Source: DESIGN 4.6.
"""

from __future__ import annotations

import hashlib
from typing import Any

from google.protobuf.message import DecodeError

from node.pallets.beacon.errors import (
    AnchorMalformed,
    AnchorUnknown,
    BeaconAlreadyDrawn,
    ExtensionForged,
    ExtensionsMiscounted,
    ExtensionsMissing,
    NodeExists,
    PreimageWrong,
    RevealMalformed,
    RevealNotOwn,
    TooMuchLeftOut,
)
from node.pallets.beacon.types import (
    BEACON_TAG,
    EXTENSION_BYTES_MAX,
    KEPT_VALUES_BLOCKS,
    MAX_PENDING_DEPTH,
    BeaconDrawn,
    ConsensusKeys,
    NodeListener,
    NodeRegistered,
    RevealWithheld,
)
from node.runtime.addresses import encode_account
from node.runtime.codecs import ADDRESS, U64, ProtoCodec
from node.runtime.context import CommitVote, Context
from node.runtime.errors import ChainError, InvariantBroken, QueryNotFound, ensure
from node.runtime.extensions import is_signed, make_extension_sign_bytes
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.storage import KeySet, Map, Schema
from proto.descent.beacon.v1 import beacon_pb2

DOMAIN = b"descent/beacon"
HASH_BYTES = 32


class BeaconSchema(Schema):
    """Storage of the beacon."""

    anchors: Map[bytes, Any] = Map(0x01, "anchors", ADDRESS, ProtoCodec(beacon_pb2.Anchor))
    values: Map[int, Any] = Map(0x02, "values", U64, ProtoCodec(beacon_pb2.BeaconValue))
    withheld: KeySet[bytes] = KeySet(0x03, "withheld", ADDRESS)


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
        ExtensionForged,
        ExtensionsMiscounted,
        ExtensionsMissing,
        NodeExists,
        PreimageWrong,
        RevealMalformed,
        RevealNotOwn,
        TooMuchLeftOut,
    )
    events = (BeaconDrawn, NodeRegistered, RevealWithheld)

    def __init__(self) -> None:
        super().__init__()
        self._keys: ConsensusKeys | None = None
        self._listeners: list[NodeListener] = []

    def set_keys(self, keys: ConsensusKeys) -> None:
        """Take what tells whose key is whose; staking needs this pallet first."""
        self._keys = keys

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

    def has_withheld(self, ctx: Context, consensus_addr: bytes) -> bool:
        """Tell whether a node's vote for the block before came without its reveal."""
        return self.storage.withheld.has(ctx, consensus_addr)

    def is_heard(self, ctx: Context, operator_addr: bytes) -> bool:
        """Tell whether a reveal of an operator's node would be taken."""
        assert self._keys is not None
        is_operator = self._keys.get_operator(ctx, operator_addr) is not None
        return is_operator and self.has_node(ctx, operator_addr)

    # Pseudo transaction and vote extensions

    def build_inherent(self, ctx: Context) -> bytes:
        """Put the signed extensions of the votes in, but what no block takes."""
        entries = []
        for vote, node in self._list_voters(ctx):
            entry = beacon_pb2.SignedExtension()
            if node is not None and is_takeable(ctx, vote, node[1]):
                entry.extension, entry.signature = vote.extension, vote.extension_signature
            entries.append(entry)
        if not any(entry.signature for entry in entries):
            return b""
        block_reveals = beacon_pb2.BlockReveals(extensions=entries)
        data: bytes = block_reveals.SerializeToString(deterministic=True)
        return data

    def check_no_inherent(self, ctx: Context) -> None:
        """Check that no node voted that has a reveal to give.

        Raises: ExtensionsMissing.
        """
        is_empty = all(node is None for _, node in self._list_voters(ctx))
        ensure(is_empty, ExtensionsMissing)

    def process_inherent(self, ctx: Context, data: bytes) -> None:
        """Take the reveals of a block, draw its value, and note who withheld.

        Raises: RevealMalformed, BeaconAlreadyDrawn, ExtensionsMiscounted, ExtensionForged,
            TooMuchLeftOut.
        Emits: BeaconDrawn, RevealWithheld.
        """
        try:
            entries = beacon_pb2.BlockReveals.FromString(data).extensions
        except DecodeError as error:
            raise RevealMalformed() from error
        ensure(not self.storage.values.has(ctx, ctx.height), BeaconAlreadyDrawn)
        voters = self._list_voters(ctx)
        ensure(len(entries) == len(voters), ExtensionsMiscounted)
        covered, opened = 0, []
        for entry, (vote, node) in zip(entries, voters, strict=True):
            if node is None or not entry.signature:
                ensure(entry.ByteSize() == 0, ExtensionForged)
                covered += vote.power if node is None else 0
                continue
            operator, key = node
            ensure(is_extension_signed(ctx, key, entry.extension, entry.signature), ExtensionForged)
            covered += vote.power
            reveal = self._take_reveal(ctx, operator, entry.extension)
            if reveal is None:
                self.storage.withheld.add(ctx, vote.consensus_addr)
                ctx.emit(RevealWithheld(encode_account(operator)))
            else:
                opened.append((operator, reveal.preimage))
        total = sum(vote.power for vote in ctx.block.votes)
        ensure(3 * covered > 2 * total, TooMuchLeftOut)
        self._draw(ctx, sorted(opened, key=lambda pair: encode_account(pair[0])))

    def _list_voters(self, ctx: Context) -> list[tuple[CommitVote, tuple[bytes, bytes] | None]]:
        """List the votes for the block before, with operator and key of who has to reveal."""
        assert self._keys is not None
        voters = []
        for vote in ctx.block.votes:
            if not vote.is_for_block:
                continue
            node = self._keys.get_node_key(ctx, vote.consensus_addr)
            if node is not None and not self.has_node(ctx, node[0]):
                node = None
            voters.append((vote, node))
        return voters

    def _take_reveal(self, ctx: Context, operator: bytes, extension: bytes) -> Any:
        """Move an operator's onion on; returns its reveal, None where there is none."""
        try:
            reveal = parse_reveal(extension)
            anchor = self._open_reveal(ctx, operator, reveal, depth=1)
        except ChainError:
            return None
        if hash_once(reveal.preimage) != anchor.current:
            anchor.next_anchor = b""
        anchor.current = reveal.preimage
        anchor.revealed_height = ctx.height
        if reveal.next_anchor and not anchor.next_anchor:
            anchor.next_anchor = reveal.next_anchor
        self.storage.anchors.set(ctx, operator, anchor)
        return reveal

    def check_extension(self, ctx: Context, consensus_addr: bytes, extension: bytes) -> None:
        """Check another node's reveal, which may be one ahead of committed state.

        Raises: RevealMalformed, RevealNotOwn, AnchorUnknown, PreimageWrong.
        """
        assert self._keys is not None
        node = self._keys.get_node_key(ctx, consensus_addr)
        if node is None:
            raise RevealNotOwn("its key is no operator's")
        self._open_reveal(ctx, node[0], parse_reveal(extension), depth=MAX_PENDING_DEPTH)

    def _open_reveal(self, ctx: Context, operator: bytes, reveal: Any, depth: int) -> Any:
        """Check a reveal against the operator's anchor, at most `depth` hashes away; returns that.

        Raises: RevealNotOwn, AnchorUnknown, PreimageWrong.
        """
        ensure(reveal.operator_addr == encode_account(operator), RevealNotOwn)
        anchor = self.storage.anchors.get(ctx, operator)
        if anchor is None:
            raise AnchorUnknown(reveal.operator_addr)
        value = reveal.preimage
        for _ in range(depth):
            value = hash_once(value)
            if value in (anchor.current, anchor.next_anchor):
                return anchor
        raise PreimageWrong(reveal.operator_addr)

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_missing_reveals(ctx)
        self.process_old_values(ctx)

    def end_block(self, ctx: Context) -> None:
        self.process_withheld(ctx)

    def process_withheld(self, ctx: Context) -> None:
        """Forget who withheld; slashing has booked it."""
        self.storage.withheld.clear(ctx)

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


def is_extension_signed(ctx: Context, key: bytes, extension: bytes, signature: bytes) -> bool:
    """Tell whether a node signed an extension of its vote for the block before."""
    block = ctx.block
    message = make_extension_sign_bytes(
        block.chain_id, block.height - 1, block.votes_round, extension
    )
    return is_signed(key, message, signature)


def is_takeable(ctx: Context, vote: CommitVote, key: bytes) -> bool:
    """Tell whether a block takes the extension of a vote, as its proposer got it."""
    if len(vote.extension) > EXTENSION_BYTES_MAX:
        return False
    return is_extension_signed(ctx, key, vote.extension, vote.extension_signature)


def parse_reveal(data: bytes) -> Any:
    """Parse a vote extension.

    Raises: RevealMalformed.
    """
    ensure(len(data) <= EXTENSION_BYTES_MAX, RevealMalformed)
    try:
        reveal = beacon_pb2.Reveal.FromString(data)
    except DecodeError as error:
        raise RevealMalformed() from error
    ensure(is_well_formed(reveal), RevealMalformed)
    return reveal
