"""Proof that a transaction is in a block: RFC 6962 over the SHA-256 of each transaction.

The root is the header's `data_hash`. Source: CometBFT v0.39 types/tx.go, crypto/merkle.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any


def hash_leaf(data: bytes) -> bytes:
    """Hash a leaf with prefix 0x00."""
    return hashlib.sha256(b"\x00" + data).digest()


def hash_inner(left: bytes, right: bytes) -> bytes:
    """Hash an inner node with prefix 0x01."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """Compute the root over leaf hashes; the empty tree is the hash of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hash_inner(compute_root(leaves[:split]), compute_root(leaves[split:]))


def compute_aunts(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Compute the siblings on the way from leaf `index` to the root, lowest first."""
    if len(leaves) <= 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*compute_aunts(leaves[:split], index), compute_root(leaves[split:])]
    return [*compute_aunts(leaves[split:], index - split), compute_root(leaves[:split])]


def build_tx_proof(txs: Sequence[bytes], index: int) -> dict[str, Any]:
    """Build the `proof` member of a `tx` answer."""
    leaves = [hash_leaf(hashlib.sha256(tx).digest()) for tx in txs]
    return {
        "root_hash": compute_root(leaves).hex().upper(),
        "data": base64.b64encode(txs[index]).decode(),
        "proof": {
            "total": str(len(txs)),
            "index": str(index),
            "leaf_hash": base64.b64encode(leaves[index]).decode(),
            "aunts": [base64.b64encode(aunt).decode() for aunt in compute_aunts(leaves, index)],
        },
    }
