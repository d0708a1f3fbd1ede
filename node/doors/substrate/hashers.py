"""Hashes of storage keys; those that carry the key after the hash are reversible.

Source: frame-support `src/hash.rs`; `reference/chain.md` section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import xxhash

from node.runtime.substrate.scale import Type


def twox_128(data: bytes) -> bytes:
    """Hash with two seeds of XXH64."""
    return b"".join(xxhash.xxh64(data, seed=n).intdigest().to_bytes(8, "little") for n in range(2))


@dataclass(frozen=True)
class Hasher:
    """A hasher that puts the key after its hash. `code` is its number in metadata."""

    name: str
    code: int
    hash_bytes: int

    def apply(self, data: bytes) -> bytes:
        """Make the key part of an encoded key."""
        if self.name == "Twox64Concat":
            return xxhash.xxh64(data, seed=0).intdigest().to_bytes(8, "little") + data
        if self.name == "Blake2_128Concat":
            return blake2b(data, digest_size=16).digest() + data
        return data


BLAKE2_128_CONCAT = Hasher("Blake2_128Concat", 2, 16)
TWOX_64_CONCAT = Hasher("Twox64Concat", 5, 8)
IDENTITY = Hasher("Identity", 6, 0)


@dataclass(frozen=True)
class KeyPart:
    """One component of a storage key."""

    hasher: Hasher
    type: Type
