"""Change one child of an encoded tree node in place: the fast twin of decode, change, encode.

Most nodes a block touches have one changed child, and most such changes replace a leaf by a leaf
or an inner node by an inner node. Then the shape stays, and of the 15 hashes over the children
four at most are others. They are made from the stored hashes beside the way to the root, and the
old ones are made again from the same, which proves that the bytes used are those the parent names.

The format is that of `tree.Node.encode`; `tests/store/test_patch.py` holds the twins together.
"""

from struct import Struct

from node.store.errors import WHAT_TO_DO, StoreCorrupt
from node.store.proofs import EMPTY_HASH, HASH_SIZE
from node.store.sha import short_sha256

NUM_SLOTS = 16
VERSION_SIZE = 8
LEAF_SIZE, INNER_SIZE = 2 * HASH_SIZE, VERSION_SIZE + HASH_SIZE  # bytes of an encoded child
MASKS = Struct(">HHH")  # present, leaf, inner
HEAD_SIZE = MASKS.size

_BELOW = [(1 << i) - 1 for i in range(NUM_SLOTS + 1)]


def _list_slots_under() -> list[int]:
    """List, for each place of a hash, the slots below it as bits."""
    masks = [0] * NUM_SLOTS + [1 << slot for slot in range(NUM_SLOTS)]
    for i in range(NUM_SLOTS - 1, 0, -1):
        masks[i] = masks[2 * i] | masks[2 * i + 1]
    return masks


_SLOTS_UNDER = _list_slots_under()


def locate_child(present: int, leaf: int, inner: int, slot: int) -> int:
    """Return where a child's bytes begin."""
    below = _BELOW[slot]
    num_leaves = (leaf & below).bit_count()
    num_inner = (present & below).bit_count() - num_leaves
    start = HEAD_SIZE + HASH_SIZE * inner.bit_count()
    return start + num_leaves * LEAF_SIZE + num_inner * INNER_SIZE


def get_hash(data: bytes, present: int, leaf: int, inner: int, i: int) -> bytes:
    """Return the hash at place `i`, 2..31, of an encoded node."""
    if i < NUM_SLOTS:
        if inner >> i & 1:
            at = HEAD_SIZE + HASH_SIZE * (inner & _BELOW[i]).bit_count()
            return data[at : at + HASH_SIZE]
    elif present >> (i & 15) & 1 and not leaf >> (i & 15) & 1:
        at = locate_child(present, leaf, inner, i & 15) + VERSION_SIZE
        return data[at : at + HASH_SIZE]
    under = present & _SLOTS_UNDER[i]
    if not under:
        return EMPTY_HASH
    at = locate_child(present, leaf, inner, under.bit_length() - 1)
    return short_sha256(b"\x00" + data[at : at + LEAF_SIZE]).digest()  # type: ignore[no-any-return]


def replace_child(
    data: bytes, node_hash: bytes, slot: int, old_hash: bytes, new_hash: bytes, piece: bytes
) -> tuple[bytes, bytes]:
    """Replace a child by one of the same kind, leaf or inner node.

    Args:
        data: encoded node, whose hash should be `node_hash`.
        old_hash, new_hash: of the child, before and after.
        piece: the encoded child.

    Returns:
        Hash and bytes of the changed node.

    Raises:
        StoreCorrupt: the node does not have its hash.
    """
    present, leaf, inner = MASKS.unpack_from(data)
    fresh = bytearray(data)
    at = locate_child(present, leaf, inner, slot)
    fresh[at : at + len(piece)] = piece
    is_single = leaf >> slot & 1
    i = NUM_SLOTS + slot
    while i > 1:
        beside = get_hash(data, present, leaf, inner, i ^ 1)
        if is_single and beside is EMPTY_HASH:  # the leaf stands for the hash above it too
            i >>= 1
            continue
        is_single = 0
        if i & 1:
            head = b"\x01" + beside
            old_hash = short_sha256(head + old_hash).digest()
            new_hash = short_sha256(head + new_hash).digest()
        else:
            old_hash = short_sha256(b"\x01" + old_hash + beside).digest()
            new_hash = short_sha256(b"\x01" + new_hash + beside).digest()
        i >>= 1
        if inner >> i & 1:
            at = HEAD_SIZE + HASH_SIZE * (inner & _BELOW[i]).bit_count()
            fresh[at : at + HASH_SIZE] = new_hash
        elif i > 1:
            raise StoreCorrupt(f"a tree node lists the wrong hashes: {WHAT_TO_DO}")
    if old_hash != node_hash:
        raise StoreCorrupt(f"a tree node does not have its hash: {WHAT_TO_DO}")
    return new_hash, bytes(fresh)
