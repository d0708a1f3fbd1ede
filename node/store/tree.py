"""The Jellyfish Merkle tree of one pallet store: nodes of 16 children, updated in sorted batches.

Source: Gao, Hu, Wu, "Jellyfish Merkle Tree" (Diem, 2021). Hash rules: `proofs.py`. Nodes and the
words for their parts: `nodes.py`.

A stored node covers four bits of the key hash. It is kept under (version that wrote it, store,
depth, path), so writing never overwrites: the nodes of a version are appended, and what they
replace is listed for pruning. Nodes near the root are kept in memory (`NodeCache`).

Shape is a function of the content alone: a leaf that becomes the only one below a node moves up.
A *label* is the node's database key without its version.
"""

from collections.abc import Callable
from hashlib import sha256

from node.store.errors import WHAT_TO_DO, StoreCorrupt
from node.store.nodes import (
    HEAD_SIZE,
    INNER_SIZE,
    LEAF_SIZE,
    NUM_SLOTS,
    VERSION_SIZE,
    Leaf,
    Node,
    find_offset,
)
from node.store.proofs import EMPTY_HASH, HASH_SIZE, TreeProof, hash_leaf
from node.store.tables import STORE_ID_SIZE

Change = tuple[bytes, bytes | None, bytes]  # key hash, value hash or None to delete, key
ReadNode = Callable[[int, bytes], bytes | None]  # (version, label) -> stored bytes

CACHED_DEPTH_MAX = 3  # nodes this deep and above are kept in memory: at most 4369 a store
CACHED_NODES_MAX = 3 * 4369
_HIGH_NIBBLE = [bytes([byte & 0xF0]) for byte in range(256)]


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
    """Newest nodes near the roots, by label, over the database's bytes."""

    def __init__(self, read: ReadNode) -> None:
        self._read = read
        self._nodes: dict[bytes, tuple[int, Node]] = {}

    def load(self, version: int, label: bytes, node_hash: bytes) -> Node:
        """Return the node that `version` wrote at `label`.

        Raises:
            StoreCorrupt: it is missing or does not claim to hash to `node_hash`.
        """
        cached = self._nodes.get(label)
        if cached is not None and cached[0] == version:
            return cached[1]
        data = self._read(version, label)
        if data is None:
            raise StoreCorrupt(
                f"tree node {label.hex()} of version {version} is missing: {WHAT_TO_DO}"
            )
        node = Node(data, is_proved=False)
        if len(data) < HEAD_SIZE or node.get_hash() != node_hash:
            raise StoreCorrupt(
                f"tree node {label.hex()} of version {version} does not have its hash: {WHAT_TO_DO}"
            )
        if label[STORE_ID_SIZE] <= CACHED_DEPTH_MAX:
            node.unfold()  # proved once here, it stays so while it is patched in memory
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
        self._version_bytes = version.to_bytes(VERSION_SIZE, "big")
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
            changed = self._change_node(old, root_version, 0, label, changes)
        if changed is None:
            return root_version, root
        return self._version, changed.get_hash()

    def _keep_live(self, changes: list[Change]) -> list[Change]:
        """Drop deletions: there is nothing to delete here."""
        self.skipped.update(change[2] for change in changes if change[1] is None)
        return [change for change in changes if change[1] is not None]

    def _build_node(self, depth: int, changes: list[Change]) -> Node | None:
        if not changes:
            return None
        label = make_label(self._store_id, depth, changes[0][0])
        return self._change_node(Node.make_empty(), None, depth, label, changes)

    def _build_child(self, depth: int, changes: list[Change]) -> Node | Leaf | None:
        """Make what stands at `depth` for values that are alone there."""
        if len(changes) == 1:
            key_hash, value_hash, _ = changes[0]
            assert value_hash is not None
            return key_hash, value_hash
        return self._build_node(depth, changes)

    def _change_node(
        self, old: Node, old_version: int | None, depth: int, label: bytes, changes: list[Change]
    ) -> Node | None:
        """Apply changes below a node; return the new node, or None where nothing changed.

        The new node is recorded unless it became empty or, below the root, a single leaf.
        old_version is None for a node that is not stored yet.
        """
        groups = _group_by_slot(changes, depth)
        if len(groups) == 1 and old_version is not None and old.is_split:
            patched = self._patch_node(old, old_version, depth, label, *groups[0])
            if patched is not old:
                return patched
        old.unfold()
        belows: list[tuple[int, Node | Leaf | None]] = []
        for slot, group in groups:
            child = old.children[slot]
            if child is None:
                live = self._keep_live(group)
                if live:
                    belows.append((slot, self._build_child(depth + 1, live)))
            elif type(child) is tuple:
                below = self._change_leaf(child, depth + 1, group)
                if below != child:
                    belows.append((slot, below))
            else:
                node_hash = old.hashes[NUM_SLOTS + slot]
                changed = self._change_below(child, node_hash, depth + 1, group)  # type: ignore[arg-type]
                if changed is not None:
                    belows.append((slot, changed))
        return self._replace_children(old, old_version, depth, label, belows)

    def _change_below(
        self, version: int, node_hash: bytes, depth: int, changes: list[Change]
    ) -> Node | None:
        """Load the node at `depth` that a parent names, and apply changes to it."""
        label = make_label(self._store_id, depth, changes[0][0])
        loaded = self._cache.load(version, label, node_hash)
        return self._change_node(loaded, version, depth, label, changes)

    def _patch_node(
        self,
        old: Node,
        old_version: int,
        depth: int,
        label: bytes,
        slot: int,
        changes: list[Change],
    ) -> Node | None:
        """Apply changes below one child by patching bytes; `old` itself where that cannot be done.

        What was read unproved is proved by `fold`, after it was used to find the way down: a
        damaged node is noticed before anything is kept.
        """
        masks = old.get_masks()
        if not masks[0] >> slot & 1:
            return old
        at = find_offset(slot, *masks)
        if masks[1] >> slot & 1:
            key_hash = changes[0][0]
            middle, end = at + HASH_SIZE, at + LEAF_SIZE
            value_hash = changes[0][1]
            if len(changes) > 1 or value_hash is None or old.data[at:middle] != key_hash:
                return old
            if value_hash == old.data[middle:end]:
                self.skipped.add(changes[0][2])
                return None
            self.replaced.append(changes[0][2])
            piece = key_hash + value_hash
            before = sha256(b"\x00" + old.data[at:end]).digest()
            after = sha256(b"\x00" + piece).digest()
        else:
            middle, end = at + VERSION_SIZE, at + INNER_SIZE
            before = old.data[middle:end]
            version = int.from_bytes(old.data[at:middle], "big")
            below = self._change_below(version, before, depth + 1, changes)
            if below is None:
                return None
            if not below.is_split:
                old.unfold()
                return self._replace_children(old, old_version, depth, label, [(slot, below)])
            after = below.get_hash()
            piece = self._version_bytes + after
        node = old.patch(at, piece, old.fold(slot, masks, before, after))
        self._record(node, old_version, depth, label)
        return node

    def _replace_children(
        self,
        old: Node,
        old_version: int | None,
        depth: int,
        label: bytes,
        belows: list[tuple[int, Node | Leaf | None]],
    ) -> Node | None:
        """Make and record the node with new children; None where there are none."""
        if not belows:
            return None
        node = old.copy()
        for slot, below in belows:
            self._set_child(node, slot, below)
        node.rehash([slot for slot, _ in belows])
        node.seal()
        self._record(node, old_version, depth, label)
        return node

    def _set_child(self, node: Node, slot: int, below: Node | Leaf | None) -> None:
        bit = 1 << NUM_SLOTS + slot
        node.single &= ~bit
        if isinstance(below, Node):
            if below.is_split:
                node.children[slot] = self._version
                node.hashes[NUM_SLOTS + slot] = below.get_hash()
                return
            below = below.get_only_leaf()
        if below is None:
            node.children[slot] = None
            node.hashes[NUM_SLOTS + slot] = EMPTY_HASH
            return
        node.children[slot] = below
        node.hashes[NUM_SLOTS + slot] = hash_leaf(*below)
        node.single |= bit

    def _record(self, node: Node, old_version: int | None, depth: int, label: bytes) -> None:
        if old_version is not None:
            self.stale_nodes.append((old_version, label))
        if depth and not node.is_split:
            return
        if len(node.data) == HEAD_SIZE:
            return
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
        node.unfold()
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
