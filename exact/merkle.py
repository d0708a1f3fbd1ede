"""RFC 6962 Merkle tree over SHA-256: root, inclusion path, verification.

Leaf hash = SHA-256(0x00 | leaf), node hash = SHA-256(0x01 | left | right); a tree of n leaves
splits at the largest power of two below n, so no leaf is ever repeated and the leaf count is part
of the proof. The root of no leaves is SHA-256 of the empty string.

Source: RFC 6962 section 2.1 (and RFC 9162 section 2.1.3 for the iterative verification).
"""

import hashlib
from collections.abc import Sequence

from exact.errors import InvalidProof

HASH_BYTES = 32
_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"


def compute_leaf_hash(*parts: bytes | memoryview) -> bytes:
    """Hash one leaf, given whole or in consecutive parts.

    Args:
        parts: the leaf's bytes, in order.

    Returns:
        32 bytes.
    """
    digest = hashlib.sha256(_LEAF_PREFIX)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _compute_node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


def compute_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Compute the tree root from leaf hashes.

    Folding level by level and carrying an odd last node up unchanged gives the RFC's tree, because
    the RFC splits at a power of two.

    Args:
        leaf_hashes: 32 bytes each, in leaf order; may be empty.

    Returns:
        32 bytes.
    """
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _fold(level)
    return level[0]


def _fold(level: list[bytes]) -> list[bytes]:
    pairs = [_compute_node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        pairs.append(level[-1])
    return pairs


def compute_path(leaf_hashes: Sequence[bytes], leaf_index: int) -> list[bytes]:
    """Compute the inclusion path of one leaf, nearest sibling first.

    Args:
        leaf_hashes: 32 bytes each, in leaf order.
        leaf_index: 0 <= leaf_index < len(leaf_hashes).

    Returns:
        At most ceil(log2 n) hashes of 32 bytes.

    Raises:
        InvalidProof: leaf_index is out of range.
    """
    if not 0 <= leaf_index < len(leaf_hashes):
        raise InvalidProof(f"leaf {leaf_index} of a tree of {len(leaf_hashes)}")
    path: list[bytes] = []
    level = list(leaf_hashes)
    index = leaf_index
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _fold(level)
        index //= 2
    return path


def verify_path(
    root: bytes, leaf_hash: bytes, leaf_index: int, num_leaves: int, path: Sequence[bytes]
) -> None:
    """Check that a leaf hash sits at an index of the tree with this root.

    Args:
        root: 32 bytes.
        leaf_hash: 32 bytes, from `compute_leaf_hash`.
        leaf_index: position of the leaf.
        num_leaves: leaf count of the whole tree.
        path: siblings, nearest first.

    Raises:
        InvalidProof: the index, the path's length or the resulting root is wrong.
    """
    if not 0 <= leaf_index < num_leaves:
        raise InvalidProof(f"leaf {leaf_index} of a tree of {num_leaves}")
    remaining = list(path)
    node, index, width = leaf_hash, leaf_index, num_leaves
    while width > 1:
        if index ^ 1 < width:
            if not remaining:
                raise InvalidProof("the path is too short")
            sibling = remaining.pop(0)
            if len(sibling) != HASH_BYTES:
                raise InvalidProof("a path node is not 32 bytes")
            left, right = (sibling, node) if index & 1 else (node, sibling)
            node = _compute_node_hash(left, right)
        index //= 2
        width = (width + 1) // 2
    if remaining:
        raise InvalidProof("the path is too long")
    if node != root:
        raise InvalidProof("the path leads to another root")
