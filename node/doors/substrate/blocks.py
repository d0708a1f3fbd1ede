"""Headers, hashes and extrinsics of blocks, as Substrate clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from node.chain import Chain
from node.doors.node_view import NodeView
from node.doors.substrate.entries import StateAt
from node.doors.substrate.events import EventBook
from node.doors.substrate.metadata import Metadata
from node.doors.substrate.rpc import ClientError, InvalidParams, format_hex, parse_hex
from node.engine.hashing import get_time_ns
from node.pallets.blocks.pallet import KEPT_HASHES_BLOCKS
from node.runtime.substrate.calls import COSMOS, INHERENT, TIMESTAMP, TIMESTAMP_SET, TRANSACT
from node.runtime.substrate.extrinsic import encode_bare, is_extrinsic
from node.runtime.substrate.headers import HASH_BYTES, ZERO_HASH, Header, build_genesis_header
from node.runtime.substrate.scale import BYTES, encode_compact
from node.store.errors import VersionUnavailable

NANOS_PER_MILLI = 1_000_000
MAX_INDEXED_BLOCKS = 2**16
"""Blocks whose hash is remembered: the newest, and those asked for by number."""


class Blocks:
    """Blocks of a node by number and by hash.

    Args:
        view: the node's home, read-only.
        chain, metadata: what the state means.
    """

    def __init__(self, view: NodeView, chain: Chain, metadata: Metadata) -> None:
        self.view = view
        self.book = EventBook(view, chain, metadata)
        self._hashes = chain.blocks.storage.hashes
        self._engine_hash = chain.blocks.storage.engine_hash
        self._inherents = chain.runtime.inherents
        self._hash_of: dict[int, bytes] = {}
        self._height_of: dict[bytes, int] = {}
        self._indexed = 0  # blocks up to here are in both tables, as far as they are kept

    # Heights and hashes

    def get_height(self) -> int:
        """Get the height of the newest block."""
        return self.view.get_heights()[1]

    def get_hash(self, height: int) -> bytes | None:
        """Get the hash of a block, None if it is not known."""
        if height < 0 or height > self.get_height():
            return None
        if height not in self._hash_of:
            found = self._find_hash(height)
            if found is None:
                return None
            self._remember(height, found)
        return self._hash_of[height]

    def _find_hash(self, height: int) -> bytes | None:
        newest = self.get_height()
        if height < newest:
            with self.view.open_state(newest) as state:
                found: bytes | None = state.get(self._hashes.store, self._hashes.encode_key(height))
            if found is not None:
                return found
        header = self.build_header(height)
        return None if header is None else header.compute_hash()

    def _remember(self, height: int, block_hash: bytes) -> None:
        self._hash_of[height] = block_hash
        self._height_of[block_hash] = height
        if len(self._hash_of) > MAX_INDEXED_BLOCKS + KEPT_HASHES_BLOCKS:
            oldest = next(iter(self._hash_of))
            self._height_of.pop(self._hash_of.pop(oldest), None)

    def find_height(self, block_hash: bytes) -> int | None:
        """Find the height of a block by its hash, None if it is not known."""
        if block_hash not in self._height_of:
            self._index()
        return self._height_of.get(block_hash)

    def _index(self) -> None:
        """Bring the tables up to the newest block, reading 4 096 hashes from each state opened."""
        newest = self.get_height()
        oldest_state, _ = self.view.get_state_heights()
        low = max(self._indexed, oldest_state, newest - MAX_INDEXED_BLOCKS, 0)
        self.get_hash(0)
        top = newest
        while top > low:
            with self.view.open_state(top) as state:
                start = self._hashes.encode_key(max(top - KEPT_HASHES_BLOCKS, low))
                for key, found in state.iterate(self._hashes.store, self._hashes.prefix, start):
                    self._remember(self._hashes.decode_key(key), found)
            self.get_hash(top)
            top -= KEPT_HASHES_BLOCKS
        self._indexed = newest

    def resolve(self, at: Any = None) -> int:
        """Get the height of a block given by its hash as hex, None for the newest.

        Raises:
            InvalidParams: not the hex of 32 bytes.
            ClientError: no such block.
        """
        if at is None:
            return self.get_height()
        block_hash = parse_hex(at, "block hash")
        if len(block_hash) != HASH_BYTES:
            raise InvalidParams("block hash: expected 32 bytes")
        height = self.find_height(block_hash)
        if height is None:
            raise ClientError(
                "", f"Client error: UnknownBlock: Header was not found in the database: {at}"
            )
        return height

    # Headers

    def build_header(self, height: int) -> Header | None:
        """Build the header of a block; None where its state is not kept."""
        if height == 0:
            return self._build_genesis()
        try:
            with self.view.open_state(height) as state:
                parent = state.get(self._hashes.store, self._hashes.encode_key(height - 1))
                parent = parent or self.get_hash(0) or ZERO_HASH
                engine_hash = state.get(self._engine_hash.store, self._engine_hash.prefix)
                return Header(parent, height, state.app_hash, engine_hash or ZERO_HASH)
        except VersionUnavailable:
            return None

    def _build_genesis(self) -> Header:
        return build_genesis_header(self.view.chain_id, self.view.genesis_time_ns)

    def build_header_json(self, height: int) -> dict[str, Any] | None:
        """Build a header as JSON-RPC gives it."""
        header = self.build_header(height)
        if header is None:
            return None
        return {
            "parentHash": format_hex(header.parent_hash),
            "number": hex(header.number),
            "stateRoot": format_hex(header.state_root),
            "extrinsicsRoot": format_hex(header.extrinsics_root),
            "digest": {"logs": []},
        }

    # Extrinsics

    def list_extrinsics(self, height: int) -> list[bytes]:
        """List the extrinsics of a block: the time first, then one a transaction."""
        block = self.view.load_block(height) if height else None
        if block is None:
            return []
        millis = get_time_ns(block.header.time) // NANOS_PER_MILLI
        moment = bytes((TIMESTAMP, TIMESTAMP_SET)) + encode_compact(millis)
        return [encode_bare(moment), *(self._show(bytes(tx)) for tx in block.data.txs)]

    def _show(self, tx: bytes) -> bytes:
        if is_extrinsic(tx):
            return tx[1:]
        if tx[:1] and tx[0] in self._inherents:
            return encode_bare(bytes((COSMOS, INHERENT, tx[0])) + BYTES.encode(tx[1:]))
        return encode_bare(bytes((COSMOS, TRANSACT)) + BYTES.encode(tx))

    # State

    @contextmanager
    def open_state(self, height: int) -> Iterator[StateAt]:
        """Open the state after a block.

        Raises:
            ClientError: it is not kept.
        """
        try:
            view = self.view.open_state(height)
        except VersionUnavailable:
            shown = format_hex(self.get_hash(height) or b"")
            raise ClientError(
                "", f"Client error: State already discarded for block {shown}"
            ) from None
        with view:
            yield StateAt(height, view, self.book.encode_block)
