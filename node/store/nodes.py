"""A node of the tree: the bytes that are stored, patched in place or unfolded to be rebuilt.

    present u16 | leaf u16 | made u16 | hashes of the made places | children in slot order

A *made* place has at least two leaves below and a hash of its own; the hash of any other follows
from the children. So the usual change, a new value of a key that is there, patches one child and
the at most four made hashes above it (`Node.patch`); the rest of the node is not looked at. What is
read for that is proved on the way: the old hashes above the child have to fold to the one the
parent names. Any other change unfolds the whole node.

Words: a *slot* is the place of a child, 0..15. Places are numbered 1 for the node itself, 2i and
2i + 1 for the two below i, 16 + slot for the children; `hashes[i]` is the hash at place i.
A *leaf* is (key hash, value hash).
"""

from hashlib import sha256
from struct import Struct

from node.store.errors import WHAT_TO_DO, StoreCorrupt
from node.store.proofs import EMPTY_HASH, HASH_SIZE

Leaf = tuple[bytes, bytes]  # key hash, value hash
Child = int | Leaf | None  # version of the node below, leaf, nothing

NUM_SLOTS = 16
HEAD_SIZE = 6  # bytes of the three masks
VERSION_SIZE = 8
LEAF_SIZE, INNER_SIZE = 2 * HASH_SIZE, VERSION_SIZE + HASH_SIZE  # bytes of an encoded child
_EMPTY_HASHES = [EMPTY_HASH] * (2 * NUM_SLOTS)
_EMPTY_CHILDREN: list[Child] = [None] * NUM_SLOTS
_NO_HASHES: list[bytes] = []
_NO_CHILDREN: list[Child] = []
_MASKS = Struct(">HHH")  # present, leaf, made
_INNER = range(NUM_SLOTS - 1, 0, -1)  # places of the hashes over children, lowest first
_PARENT_MARKS = [
    sum(1 << (NUM_SLOTS + slot >> shift) for shift in (1, 2, 3, 4)) for slot in range(NUM_SLOTS)
]
_SLOTS_BELOW = [0] + [
    (1 << (NUM_SLOTS >> i.bit_length() - 1)) - 1
    << i * (NUM_SLOTS >> i.bit_length() - 1) - NUM_SLOTS
    for i in range(1, 2 * NUM_SLOTS)
]  # by place: bits of the slots below it


_BELOW = [(1 << i) - 1 for i in range(2 * NUM_SLOTS)]


class Node:
    """Sixteen children and the hashes over them. Not changed any more once it is shared.

    data: the stored bytes; empty while the node is being changed.
    is_split: whether the bytes have at least two leaves below, and so a hash of their own.
    is_proved: whether the bytes are known to hash to what the parent names.
    hashes, children, single: of an unfolded node; bit i of `single`: below place i is one leaf.
    """

    __slots__ = ("children", "data", "hashes", "is_proved", "is_split", "single")

    def __init__(self, data: bytes, *, is_proved: bool) -> None:
        self.data = data
        self.is_split = len(data) > HEAD_SIZE and data[5] & 2 > 0
        self.is_proved = is_proved
        self.hashes = _NO_HASHES
        self.children = _NO_CHILDREN
        self.single = 0

    @staticmethod
    def make_empty() -> "Node":
        """Make a node without children, to be filled."""
        node = Node(b"", is_proved=True)
        node.hashes, node.children = _EMPTY_HASHES[:], _EMPTY_CHILDREN[:]
        return node

    def copy(self) -> "Node":
        """Copy an unfolded node, so that the copy can be changed."""
        node = Node(b"", is_proved=True)
        node.hashes, node.children, node.single = self.hashes[:], self.children[:], self.single
        return node

    def get_hash(self) -> bytes:
        """Return the hash the parent has to name."""
        if self.is_split:
            return self.data[HEAD_SIZE : HEAD_SIZE + HASH_SIZE]
        self.unfold()
        return self.hashes[1]

    def rehash(self, slots: list[int]) -> None:
        """Recompute every hash above the children in `slots`."""
        if len(slots) == 1:
            parents = []
            i = NUM_SLOTS + slots[0] >> 1
            while i:
                parents.append(i)
                i >>= 1
        else:
            marks = 0  # bit i: hashes[i] has to be made again
            for slot in slots:
                marks |= _PARENT_MARKS[slot]
            parents = [i for i in _INNER if marks >> i & 1]
        hashes, single = self.hashes, self.single
        for i in parents:  # lowest first: a parent comes after its children
            left, right = hashes[i + i], hashes[i + i + 1]
            if right is EMPTY_HASH:
                if left is EMPTY_HASH:
                    hashes[i] = EMPTY_HASH
                    single &= ~(1 << i)
                    continue
                if single >> (i + i) & 1:
                    hashes[i] = left
                    single |= 1 << i
                    continue
            elif left is EMPTY_HASH and single >> (i + i + 1) & 1:
                hashes[i] = right
                single |= 1 << i
                continue
            single &= ~(1 << i)
            hashes[i] = sha256(b"\x01" + left + right).digest()
        self.single = single

    def get_only_leaf(self) -> Leaf | None:
        """Return the leaf of a node that holds one leaf and nothing else."""
        if not self.single >> 1 & 1:
            return None
        return next(child for child in self.children if type(child) is tuple)

    def seal(self) -> None:
        """Encode a node that was changed; it is not changed any more."""
        self.data = data = self.encode()
        self.is_split = len(data) > HEAD_SIZE and data[5] & 2 > 0

    def encode(self) -> bytes:
        """Encode an unfolded node."""
        present = leaf = made = 0
        hashes, single = self.hashes, self.single
        parts = [b""]
        for i in range(1, NUM_SLOTS):
            if hashes[i] is not EMPTY_HASH and not single >> i & 1:
                made |= 1 << i
                parts.append(hashes[i])
        for slot, child in enumerate(self.children):
            if child is None:
                continue
            present |= 1 << slot
            if type(child) is tuple:
                leaf |= 1 << slot
                parts += child
            else:
                parts.append(child.to_bytes(VERSION_SIZE, "big"))  # type: ignore[union-attr]
                parts.append(hashes[NUM_SLOTS + slot])
        parts[0] = _MASKS.pack(present, leaf, made)
        return b"".join(parts)

    def unfold(self) -> None:
        """Decode the bytes; recompute every hash where they are not proved yet.

        Raises:
            StoreCorrupt: the bytes do not fit together.
        """
        if self.hashes:
            return
        data = self.data
        present, leaf, made = _MASKS.unpack_from(data)
        hashes, children = _EMPTY_HASHES[:], _EMPTY_CHILDREN[:]
        at = HEAD_SIZE + HASH_SIZE * made.bit_count()
        slots = []
        for slot in range(NUM_SLOTS):
            if not present >> slot & 1:
                continue
            slots.append(slot)
            is_leaf = leaf >> slot & 1
            middle = at + (HASH_SIZE if is_leaf else VERSION_SIZE)
            end = middle + HASH_SIZE
            if is_leaf:
                children[slot] = (data[at:middle], data[middle:end])
                hashes[NUM_SLOTS + slot] = sha256(b"\x00" + data[at:end]).digest()
            else:
                children[slot] = int.from_bytes(data[at:middle], "big")
                hashes[NUM_SLOTS + slot] = data[middle:end]
            at = end
        self.hashes, self.children, self.single = hashes, children, leaf << NUM_SLOTS
        if self.is_proved:
            self._take_made_hashes(made)
            return
        self.rehash(slots)
        if at != len(data) or self.encode() != data:
            raise StoreCorrupt(f"a tree node does not fit together: {WHAT_TO_DO}")
        self.is_proved = True

    def _take_made_hashes(self, made: int) -> None:
        """Fill the hashes over the children from the bytes."""
        at = HEAD_SIZE + HASH_SIZE * made.bit_count()
        hashes = self.hashes
        for i in _INNER:
            if made >> i & 1:
                hashes[i] = self.data[at - HASH_SIZE : at]
                at -= HASH_SIZE
                continue
            for child in (i + i, i + i + 1):
                if hashes[child] is not EMPTY_HASH:
                    hashes[i] = hashes[child]
                    self.single |= 1 << i

    def get_masks(self) -> tuple[int, int, int]:
        """Get the masks present, leaf and made from the bytes."""
        return _MASKS.unpack_from(self.data)

    def fold(
        self, slot: int, masks: tuple[int, int, int], before: bytes, after: bytes
    ) -> list[tuple[int, bytes]]:
        """Compute the made hashes above a child whose hash was `before` and becomes `after`.

        Returns: offset in the bytes and new hash of each.

        Raises:
            StoreCorrupt: the bytes are not proved, and the old hashes do not fold.
        """
        data, is_proved = self.data, self.is_proved
        present, leaf, made = masks
        found = []
        i = NUM_SLOTS + slot
        while i > 1:
            parent = i >> 1
            if made >> parent & 1:
                sibling = i ^ 1
                if made >> sibling & 1:
                    at = HEAD_SIZE + HASH_SIZE * (made & _BELOW[sibling]).bit_count()
                    side = data[at : at + HASH_SIZE]
                elif below := present & _SLOTS_BELOW[sibling]:
                    only = below.bit_length() - 1
                    at = find_offset(only, present, leaf, made)
                    if leaf >> only & 1:
                        side = sha256(b"\x00" + data[at : at + LEAF_SIZE]).digest()
                    else:
                        side = data[at + VERSION_SIZE : at + INNER_SIZE]
                else:
                    side = EMPTY_HASH
                at = HEAD_SIZE + HASH_SIZE * (made & _BELOW[parent]).bit_count()
                head, tail = (b"\x01" + side, b"") if i & 1 else (b"\x01", side)
                if not is_proved:
                    before = sha256(head + before + tail).digest()
                    if before != data[at : at + HASH_SIZE]:
                        raise StoreCorrupt(f"a tree node does not have its hash: {WHAT_TO_DO}")
                after = sha256(head + after + tail).digest()
                found.append((at, after))
            i = parent
        return found

    def patch(self, at: int, piece: bytes, hashes: list[tuple[int, bytes]]) -> "Node":
        """Copy the node with one child replaced by `piece`, and the hashes `fold` gave."""
        data = bytearray(self.data)
        data[at : at + len(piece)] = piece
        for place, node_hash in hashes:
            data[place : place + HASH_SIZE] = node_hash
        return Node(bytes(data), is_proved=self.is_proved)


def find_offset(slot: int, present: int, leaf: int, made: int) -> int:
    """Find where the child in a slot begins in the bytes of a node with these masks."""
    below = _BELOW[slot]
    num_below, num_leaves = (present & below).bit_count(), (leaf & below).bit_count()
    at = HEAD_SIZE + HASH_SIZE * made.bit_count()
    return at + num_below * INNER_SIZE + num_leaves * (LEAF_SIZE - INNER_SIZE)
