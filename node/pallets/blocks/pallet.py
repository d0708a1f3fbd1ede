"""Blocks: the hash by which Substrate clients know each block.

An extrinsic is bound to the genesis hash and, unless it is valid for ever, to the hash of the
block its era began with. Both must be known to every node in consensus, so they are state. The
header of a block is known only once the block is executed (its state root is the app hash after
it), hence its hash is written at the beginning of the next block.

Invariants: none beyond what `node.runtime.substrate.headers` says of a header.
Source: `reference/chain.md` section 5.2.
"""

from __future__ import annotations

from node.runtime.codecs import HASH, U64
from node.runtime.context import Context
from node.runtime.pallet import Pallet
from node.runtime.storage import Item, Map, Schema
from node.runtime.substrate.headers import ZERO_HASH, Header, build_genesis_header

KEPT_HASHES_BLOCKS = 2**12
"""4 096 hashes stay in state: the longest era that can be used."""


class BlocksSchema(Schema):
    """Storage of blocks."""

    hashes = Map(0x00, "hashes", U64, HASH)
    engine_hash = Item(0x01, "engine_hash", HASH)


class BlocksPallet(Pallet[BlocksSchema]):
    """The blocks pallet."""

    name = "blocks"
    index = 20
    schema = BlocksSchema

    # Capabilities

    def get_block_hash(self, ctx: Context, number: int) -> bytes | None:
        """Get the hash of a past block; None for one too old, or to come."""
        found = self.storage.hashes.get(ctx, number)
        if found is None and number == ctx.height - 1 and number > 0:
            # Not written yet where a transaction is checked before its block begins.
            header = self.build_header(ctx, number, ctx.block.previous_app_hash)
            return header.compute_hash()
        return found

    def build_header(self, ctx: Context, number: int, app_hash: bytes) -> Header:
        """Build the header of the last block executed in this state.

        Args:
            app_hash: after that block.
        """
        hashes = self.storage.hashes
        parent_hash = hashes.get(ctx, number - 1) or hashes.get(ctx, 0) or ZERO_HASH
        engine_hash = self.storage.engine_hash.get_or(ctx, ZERO_HASH)
        return Header(parent_hash, number, app_hash or ZERO_HASH, engine_hash)

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_last_block(ctx)
        self.storage.engine_hash.set(ctx, ctx.block.block_hash or ZERO_HASH)

    def process_last_block(self, ctx: Context) -> None:
        """Write the hash of the block before and forget the oldest one; genesis stays."""
        number = ctx.height - 1
        if number > 0 and self.storage.engine_hash.get(ctx) is not None:
            header = self.build_header(ctx, number, ctx.block.previous_app_hash)
            self.storage.hashes.set(ctx, number, header.compute_hash())
        if number > KEPT_HASHES_BLOCKS:
            self.storage.hashes.delete(ctx, number - KEPT_HASHES_BLOCKS)

    # Genesis

    def process_genesis(self, ctx: Context) -> None:
        if not self.storage.hashes.has(ctx, 0):
            header = build_genesis_header(ctx.block.chain_id, ctx.block.time_ns)
            self.storage.hashes.set(ctx, 0, header.compute_hash())
