"""The Substrate header of a block: made from what the chain committed, never stored.

    parentHash      hash of the header before; zero for block 0
    number          height
    stateRoot       app hash after the block; for block 0 a digest of chain id and genesis time
    extrinsicsRoot  the engine's block hash, which binds transactions, time and proposer; zero for 0
    digest          no logs

The hash is the BLAKE2b-256 of the SCALE encoding, as clients compute it themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from node.runtime.substrate.scale import encode_compact

HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)


@dataclass(frozen=True)
class Header:
    """A synthetic header; hashes are 32 bytes."""

    parent_hash: bytes
    number: int
    state_root: bytes
    extrinsics_root: bytes

    def encode(self) -> bytes:
        """Encode as SCALE."""
        number = encode_compact(self.number)
        no_logs = encode_compact(0)
        return self.parent_hash + number + self.state_root + self.extrinsics_root + no_logs

    def compute_hash(self) -> bytes:
        """Compute the block hash clients know."""
        return hash_blake2(self.encode())


def hash_blake2(data: bytes) -> bytes:
    """Compute the BLAKE2b-256 of bytes."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def build_genesis_header(chain_id: str, time_ns: int) -> Header:
    """Build the header of block 0."""
    state_root = hash_blake2(f"descent/genesis|{chain_id}|{time_ns}".encode())
    return Header(ZERO_HASH, 0, state_root, ZERO_HASH)
