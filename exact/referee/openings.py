"""Merkle openings at every level of a trace.

    trace root      over the interval-state roots of a round        exact.state.compute_trace_root
    steps root      over the state roots of an interval's steps     the same function
    step root       over the output roots of a step's operations    the same function
    output root     over an operation's outputs                     exact.state.compute_state_root
    leaf            4 KiB of one tensor                             exact.state.LeafOpening

Only the first is committed; the others are made when somebody asks, because they can be recomputed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exact import merkle
from exact.errors import InvalidProof
from exact.state import (
    LEAF_BYTES,
    LeafOpening,
    canonicalise,
    compute_leaf_hashes,
    get_layout,
    get_leaf_index,
    verify_leaf,
)

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
_DTYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


@dataclass(frozen=True)
class RootOpening:
    """One root of a list of roots, with its Merkle path.

    Attributes:
        index: position in the list.
        num_roots: length of the list.
        root: 32 bytes.
        path: siblings, nearest first, 32 bytes each.
    """

    index: int
    num_roots: int
    root: bytes
    path: tuple[bytes, ...]


def open_root(roots: Sequence[bytes], index: int) -> RootOpening:
    """Open one of the roots under `compute_trace_root`.

    Raises:
        InvalidProof: index is out of range.
    """
    hashes = [merkle.compute_leaf_hash(root) for root in roots]
    path = merkle.compute_path(hashes, index)
    return RootOpening(index, len(roots), roots[index], tuple(path))


def verify_root(tree_root: bytes, num_roots: int, opening: RootOpening) -> bytes:
    """Check an opening against the root over the list.

    Args:
        tree_root: over the list.
        num_roots: length of the list: intervals + 1, steps + 1, or operations.
        opening: of one root.

    Returns:
        The opened root.

    Raises:
        InvalidProof: another length, not 32 bytes, or the path leads elsewhere.
    """
    if opening.num_roots != num_roots:
        raise InvalidProof(f"a list of {opening.num_roots} roots, not of {num_roots}")
    if len(opening.root) != merkle.HASH_BYTES:
        raise InvalidProof("the opened root is not 32 bytes")
    leaf_hash = merkle.compute_leaf_hash(opening.root)
    merkle.verify_path(tree_root, leaf_hash, opening.index, opening.num_roots, opening.path)
    return opening.root


def list_leaves(layout: Layout, name: str, positions: np.ndarray) -> list[int]:
    """List the leaves that hold some elements of a tensor, ascending.

    Args:
        layout: of everything under the root.
        name: the tensor.
        positions: in C order, ascending.
    """
    first = get_leaf_index(layout, name, 0)
    per_leaf = LEAF_BYTES // _DTYPES[layout[name][0]].itemsize
    return [first + int(piece) for piece in np.unique(np.asarray(positions) // per_leaf)]


def open_elements(
    tensors: Mapping[str, np.ndarray], name: str, positions: np.ndarray
) -> tuple[LeafOpening, ...]:
    """Open the leaves that hold some elements of a tensor.

    Args:
        tensors: everything under the root.
        name: the tensor.
        positions: in C order, ascending.

    Raises:
        InvalidState: a tensor breaks the canonical form.
    """
    if not len(positions):
        return ()
    layout = get_layout(tensors)
    hashes = compute_leaf_hashes(tensors)
    first = get_leaf_index(layout, name, 0)
    data = canonicalise(name, tensors[name]).tobytes()
    openings = []
    for index in list_leaves(layout, name, positions):
        start = (index - first) * LEAF_BYTES
        leaf = b"D" + data[start : start + LEAF_BYTES]
        path = tuple(merkle.compute_path(hashes, index))
        openings.append(LeafOpening(index, len(hashes), leaf, path))
    return tuple(openings)


def read_elements(
    root: bytes,
    layout: Layout,
    name: str,
    positions: np.ndarray,
    openings: Sequence[LeafOpening],
) -> np.ndarray:
    """Check openings against a root and read elements from them.

    Args:
        root: over everything in the layout.
        layout: name -> (dtype name, shape) of everything under the root.
        name: the tensor.
        positions: in C order, ascending.
        openings: of exactly the leaves that hold them, ascending.

    Returns:
        The values at the positions.

    Raises:
        InvalidProof: a leaf is missing, of another place or size, or does not lead to the root.
    """
    dtype = _DTYPES[layout[name][0]]
    if not len(positions):
        return np.zeros(0, dtype)
    wanted = list_leaves(layout, name, positions)
    num_leaves = sum(1 + -(-_count_bytes(layout[n]) // LEAF_BYTES) for n in layout)
    if [(o.leaf_index, o.num_leaves) for o in openings] != [(i, num_leaves) for i in wanted]:
        raise InvalidProof(f"the leaves {wanted} of {num_leaves} are needed for {name}")
    first = get_leaf_index(layout, name, 0)
    per_leaf = LEAF_BYTES // dtype.itemsize
    positions = np.asarray(positions)
    values = np.zeros(len(positions), dtype)
    for opening in openings:
        verify_leaf(root, opening)
        piece = opening.leaf_index - first
        size = min(LEAF_BYTES, _count_bytes(layout[name]) - piece * LEAF_BYTES)
        if opening.leaf[:1] != b"D" or len(opening.leaf) != 1 + size:
            raise InvalidProof(f"leaf {opening.leaf_index} is not {size} bytes of data")
        is_here = positions // per_leaf == piece
        data = np.frombuffer(opening.leaf, dtype, offset=1)
        values[is_here] = data[positions[is_here] % per_leaf]
    return values


def _count_bytes(entry: tuple[str, tuple[int, ...]]) -> int:
    dtype_name, shape = entry
    return int(np.prod(shape, dtype=np.int64)) * _DTYPES[dtype_name].itemsize
