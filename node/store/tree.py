"""The Jellyfish Merkle tree of one pallet store: nodes of 16 children, updated in sorted batches.

Source: Gao, Hu, Wu, "Jellyfish Merkle Tree" (Diem, 2021). Hash rules: `proofs.py`.

A stored node covers four bits of the key hash. It is kept under (version that wrote it, store,
depth, path), so writing never overwrites: the nodes of a version are appended, and what they
replace is listed for pruning. A node lists its children only; the 15 hashes between the children
and the node's own are made again when it is read, which proves on the way that the bytes are the
ones the parent names. Nodes near the root are kept decoded (`NodeCache`).

Shape is a function of the content alone: a leaf that becomes the only one below a node moves up.

Words: a *slot* is the place of a child, 0..15. `hashes[1]` is a node's own hash, `hashes[2i]` and
`hashes[2i + 1]` are the two below `hashes[i]`, children are `hashes[16 + slot]`.
A *leaf* is (key hash, value hash). A *label* is the node's database key without its version.
"""

from collections.abc import Callable
from hashlib import sha256

from node.store.errors import WHAT_TO_DO, StoreCorrupt
from node.store.proofs import EMPTY_HASH, HASH_SIZE, TreeProof, hash_leaf

Leaf = tuple[bytes, bytes]  # key hash, value hash
Child = int | Leaf | None  # version of the node below, leaf, nothing
Change = tuple[bytes, bytes | None, bytes]  # key hash, value hash or None to delete, key
ReadNode = Callable[[int, bytes], bytes | None]  # (version, label) -> stored bytes

NUM_SLOTS = 16
CACHED_DEPTH_MAX = 3  # nodes this deep and above are kept decoded: at most 4369 a store
CACHED_NODES_MAX = 3 * 4369
_EMPTY_HASHES = [EMPTY_HASH] * (2 * NUM_SLOTS)
_EMPTY_CHILDREN: list[Child] = [None] * NUM_SLOTS
_HIGH_NIBBLE = [bytes([byte & 0xF0]) for byte in range(256)]
_VERSION_SIZE = 8
_LEAF_SIZE, _INNER_SIZE = 2 * HASH_SIZE, _VERSION_SIZE + HASH_SIZE  # bytes of an encoded child
_INNER = range(NUM_SLOTS - 1, 0, -1)  # places of the hashes over children, lowest first
_PARENT_MARKS = [
    sum(1 << (NUM_SLOTS + slot >> shift) for shift in (1, 2, 3, 4)) for slot in range(NUM_SLOTS)
]


class Node:
    """Sixteen children and the 31 hashes over them. Not changed any more once it is shared."""

    __slots__ = ("children", "data", "hashes", "single")

    def __init__(
        self, hashes: list[bytes], children: list[Child], single: int, data: bytes = b""
    ) -> None:
        self.hashes = hashes
        self.children = children
        self.single = single  # bit i: below hashes[i] is exactly one leaf
        self.data = data  # encoded before the changes under way; empty for a new node

    def copy(self) -> "Node":
        """Copy, so that the copy can be changed."""
        return Node(self.hashes[:], self.children[:], self.single, self.data)

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

    def encode(self) -> bytes:
        """Encode the children: two u16 masks (present, leaf), then each child in slot order."""
        present = leaf = 0
        parts = [b""]
        for slot, child in enumerate(self.children):
            if child is None:
                continue
            present |= 1 << slot
            if type(child) is tuple:
                leaf |= 1 << slot
                parts += child
            else:
                parts.append(child.to_bytes(_VERSION_SIZE, "big"))  # type: ignore[union-attr]
                parts.append(self.hashes[NUM_SLOTS + slot])
        parts[0] = (present << 16 | leaf).to_bytes(4, "big")
        return b"".join(parts)

    def encode_change(self, slots: list[int]) -> bytes:
        """Encode a copy of which the children in `slots` changed; give the same as `encode`.

        One child that stays a leaf, or stays an inner node, is the usual case, and is patched.
        """
        slot = slots[0]
        child = self.children[slot]
        masks = int.from_bytes(self.data[:4], "big")
        if len(slots) == 1 and child is not None and masks >> 16 + slot & 1:
            is_leaf = type(child) is tuple
            if is_leaf == bool(masks >> slot & 1):
                below = (1 << slot) - 1
                num_leaves = (masks & below).bit_count()
                num_inner = (masks >> 16 & below).bit_count() - num_leaves
                at = 4 + num_leaves * _LEAF_SIZE + num_inner * _INNER_SIZE
                if type(child) is tuple:
                    piece = child[0] + child[1]
                else:
                    version = child.to_bytes(_VERSION_SIZE, "big")  # type: ignore[union-attr]
                    piece = version + self.hashes[NUM_SLOTS + slot]
                return self.data[:at] + piece + self.data[at + len(piece) :]
        return self.encode()

    @staticmethod
    def decode(data: bytes) -> "Node":
        """Decode `encode`'s bytes and recompute the hashes."""
        masks = int.from_bytes(data[:4], "big")
        present, leaf = masks >> 16, masks & 0xFFFF
        node = Node(_EMPTY_HASHES[:], _EMPTY_CHILDREN[:], leaf << NUM_SLOTS, data)
        hashes, children = node.hashes, node.children
        at = 4
        slots = []
        for slot in range(NUM_SLOTS):
            if not present >> slot & 1:
                continue
            slots.append(slot)
            if leaf >> slot & 1:
                middle, end = at + HASH_SIZE, at + 2 * HASH_SIZE
                children[slot] = (data[at:middle], data[middle:end])
                hashes[NUM_SLOTS + slot] = sha256(b"\x00" + data[at:end]).digest()
            else:
                middle, end = at + _VERSION_SIZE, at + _VERSION_SIZE + HASH_SIZE
                children[slot] = int.from_bytes(data[at:middle], "big")
                hashes[NUM_SLOTS + slot] = data[middle:end]
            at = end
        if at != len(data):
            raise StoreCorrupt(f"a tree node has the wrong size: {WHAT_TO_DO}")
        node.rehash(slots)
        return node


def make_label(store_id: bytes, depth: int, key_hash: bytes) -> bytes:
    """Name the node at `depth` nibbles on the way of `key_hash`, whatever its version."""
    at = depth >> 1
    head = store_id + bytes((depth,)) + key_hash[:at]
    return head + _HIGH_NIBBLE[key_hash[at]] if depth & 1 else head


def get_slot(key_hash: bytes, depth: int) -> int:
    """Return nibble number `depth` of a key hash."""
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


class NodeCache:
    """Newest decoded nodes near the roots, by label, over the database's bytes."""

    def __init__(self, read: ReadNode) -> None:
        self._read = read
        self._nodes: dict[bytes, tuple[int, Node]] = {}

    def load(self, version: int, label: bytes, node_hash: bytes) -> Node:
        """Return the node that `version` wrote at `label`.

        Raises:
            StoreCorrupt: it is missing or does not hash to `node_hash`.
        """
        cached = self._nodes.get(label)
        if cached is not None and cached[0] == version:
            return cached[1]
        data = self._read(version, label)
        if data is None:
            raise StoreCorrupt(
                f"tree node {label.hex()} of version {version} is missing: {WHAT_TO_DO}"
            )
        node = Node.decode(data)
        if node.hashes[1] != node_hash:
            raise StoreCorrupt(
                f"tree node {label.hex()} of version {version} does not have its hash: {WHAT_TO_DO}"
            )
        return node

    def keep(self, version: int, nodes: dict[bytes, Node]) -> None:
        """Remember the nodes near the root that `version` wrote."""
        if len(self._nodes) + len(nodes) > CACHED_NODES_MAX:
            self._nodes.clear()
        for label, node in nodes.items():
            self._nodes[label] = (version, node)


class TreeUpdate:
    """One version's batch of changes to one store's tree. Nothing is stored here, only collected.

    nodes: (label, encoded node) written by this version.
    top_nodes: those of them worth caching, decoded.
    stale_nodes: (version, label) of the nodes they replace.
    replaced: keys that had another value before and now have a new one or none.
    skipped: keys for which nothing changes.
    """

    def __init__(self, store_id: bytes, version: int, cache: NodeCache) -> None:
        self._store_id = store_id
        self._version = version
        self._cache = cache
        self.nodes: list[tuple[bytes, bytes]] = []
        self.top_nodes: dict[bytes, Node] = {}
        self.stale_nodes: list[tuple[int, bytes]] = []
        self.replaced: list[bytes] = []
        self.skipped: set[bytes] = set()

    def apply(self, root_version: int, root: bytes, changes: list[Change]) -> tuple[int, bytes]:
        """Apply changes, sorted by key hash and without duplicates, to the tree with `root`.

        Args:
            root_version: version that wrote the root node; unused where root is EMPTY_HASH.

        Returns:
            Version that wrote the root node, and the root.
        """
        label = make_label(self._store_id, 0, b"")
        if root == EMPTY_HASH:
            changed = self._build_node(0, self._keep_live(changes))
        else:
            old = self._cache.load(root_version, label, root)
            changed = self._change_node(old, root_version, 0, changes)
        if changed is None:
            return root_version, root
        return self._version, changed.hashes[1]

    def _keep_live(self, changes: list[Change]) -> list[Change]:
        """Drop deletions: there is nothing to delete here."""
        self.skipped.update(change[2] for change in changes if change[1] is None)
        return [change for change in changes if change[1] is not None]

    def _build_node(self, depth: int, changes: list[Change]) -> Node | None:
        if not changes:
            return None
        empty = Node(_EMPTY_HASHES[:], _EMPTY_CHILDREN[:], 0)
        return self._change_node(empty, None, depth, changes)

    def _build_child(self, depth: int, changes: list[Change]) -> Node | Leaf | None:
        """Make what stands at `depth` for values that are alone there."""
        if len(changes) == 1:
            key_hash, value_hash, _ = changes[0]
            assert value_hash is not None
            return key_hash, value_hash
        return self._build_node(depth, changes)

    def _change_node(
        self, old: Node, old_version: int | None, depth: int, changes: list[Change]
    ) -> Node | None:
        """Apply changes below a node; return the new node, or None where nothing changed.

        The new node is recorded unless it became empty or, below the root, a single leaf.
        old_version is None for a node that is not stored yet.
        """
        node: Node | None = None
        slots = []
        for slot, group in _group_by_slot(changes, depth):
            child = old.children[slot]
            below: Node | Leaf | None
            if child is None:
                live = self._keep_live(group)
                if not live:
                    continue
                below = self._build_child(depth + 1, live)
            elif type(child) is tuple:
                below = self._change_leaf(child, depth + 1, group)
                if below == child:
                    continue
            else:
                label = make_label(self._store_id, depth + 1, group[0][0])
                loaded = self._cache.load(child, label, old.hashes[NUM_SLOTS + slot])  # type: ignore[arg-type]
                below = self._change_node(loaded, child, depth + 1, group)  # type: ignore[arg-type]
                if below is None:
                    continue
            if node is None:
                node = old.copy()
            slots.append(slot)
            self._set_child(node, slot, below)
        if node is None:
            return None
        node.rehash(slots)
        self._record(node, old_version, depth, changes[0][0], slots)
        return node

    def _set_child(self, node: Node, slot: int, below: Node | Leaf | None) -> None:
        bit = 1 << NUM_SLOTS + slot
        node.single &= ~bit
        if type(below) is Node:
            if below.hashes[1] is not EMPTY_HASH and not below.single >> 1 & 1:
                node.children[slot] = self._version
                node.hashes[NUM_SLOTS + slot] = below.hashes[1]
                return
            below = below.get_only_leaf()
        if below is None:
            node.children[slot] = None
            node.hashes[NUM_SLOTS + slot] = EMPTY_HASH
            return
        node.children[slot] = below  # type: ignore[assignment]
        node.hashes[NUM_SLOTS + slot] = hash_leaf(*below)  # type: ignore[misc]
        node.single |= bit

    def _record(
        self, node: Node, old_version: int | None, depth: int, key_hash: bytes, slots: list[int]
    ) -> None:
        label = make_label(self._store_id, depth, key_hash)
        if old_version is not None:
            self.stale_nodes.append((old_version, label))
        if node.hashes[1] is EMPTY_HASH or (depth and node.single >> 1 & 1):
            return
        node.data = node.encode_change(slots)
        self.nodes.append((label, node.data))
        if depth <= CACHED_DEPTH_MAX:
            self.top_nodes[label] = node

    def _change_leaf(self, leaf: Leaf, depth: int, changes: list[Change]) -> Node | Leaf | None:
        """Apply changes where one leaf stands; `depth` is that of a node that would replace it."""
        live: list[Change] = []
        is_kept = True
        for change in changes:
            key_hash, value_hash, key = change
            if key_hash == leaf[0]:
                if value_hash == leaf[1]:
                    self.skipped.add(key)
                    continue
                self.replaced.append(key)
                is_kept = False
            elif value_hash is None:
                self.skipped.add(key)
            if value_hash is not None:
                live.append(change)
        if is_kept:
            live.append((leaf[0], leaf[1], b""))
            live.sort()
        return self._build_child(depth, live) if live else None


def _group_by_slot(changes: list[Change], depth: int) -> list[tuple[int, list[Change]]]:
    """Split sorted changes by nibble `depth` of the key hash."""
    if len(changes) == 1:
        return [(get_slot(changes[0][0], depth), changes)]
    at, groups, start = depth >> 1, [], 0
    slots = [c[0][at] & 15 for c in changes] if depth & 1 else [c[0][at] >> 4 for c in changes]
    current = slots[0]
    for i, slot in enumerate(slots):
        if slot != current:
            groups.append((current, changes[start:i]))
            current, start = slot, i
    groups.append((current, changes[start:]))
    return groups


def prove_place(
    load: Callable[[int, bytes, bytes], Node],
    store_id: bytes,
    root_version: int,
    root: bytes,
    key_hash: bytes,
) -> TreeProof:
    """Collect the proof of what stands at `key_hash` in the tree with `root`."""
    siblings: list[bytes] = []
    if root == EMPTY_HASH:
        return TreeProof((), None)
    version, node_hash, depth = root_version, root, 0
    while True:
        node = load(version, make_label(store_id, depth, key_hash), node_hash)
        slot = get_slot(key_hash, depth)
        i = 1
        for shift in (3, 2, 1, 0):
            if node.hashes[i] is EMPTY_HASH or node.single >> i & 1:
                break
            i = i + i + (slot >> shift & 1)
            siblings.append(node.hashes[i ^ 1])
        if node.hashes[i] is EMPTY_HASH:
            return TreeProof(tuple(siblings), None)
        if node.single >> i & 1:
            return TreeProof(tuple(siblings), _get_leaf_below(node, i))
        child = node.children[slot]
        assert type(child) is int
        version, node_hash, depth = child, node.hashes[i], depth + 1


def _get_leaf_below(node: Node, i: int) -> Leaf:
    """Return the only leaf below `hashes[i]`."""
    while i < NUM_SLOTS:
        i = i + i if node.hashes[i + i] is not EMPTY_HASH else i + i + 1
    leaf = node.children[i - NUM_SLOTS]
    assert type(leaf) is tuple
    return leaf
