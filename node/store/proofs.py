"""Hash rules of the state, and proofs that one key has one value, or none, under an app hash.

Pure: needs hashlib only, so a client or an auditor can check a proof with the chain switched off.

Two trees, one in the other:

- **Pallet tree**, a binary sparse Merkle tree over sha256(key), first bit topmost. A subtree
  without a leaf hashes to 32 zero bytes, a subtree with one leaf hashes to that leaf, any other
  subtree is an inner node. So a leaf sits at the shallowest position that is its own.
  `leaf  = sha256(0x00 || sha256(key) || sha256(value))`, `inner = sha256(0x01 || left || right)`.
  In ICS-23 terms this is the published `SmtSpec`: leaf {hash SHA256, prehash_key SHA256,
  prehash_value SHA256, length NO_PREFIX, prefix 00}, inner {child_order 0 1, child_size 32, prefix
  length 1, empty_child 32 zero bytes}, max_depth 256, prehash_key_before_comparison.
- **App tree**, the RFC 6962 tree over the pallet stores sorted by name; its root is the app hash.
  `leaf  = sha256(0x00 || len(name) || name || 0x20 || sha256(store_root))`, lengths as varints,
  `inner = sha256(0x01 || left || right)`. In ICS-23 terms this is `TendermintSpec`, the same as
  the multistore of a Cosmos SDK chain. Without any store the root is sha256 of nothing.

An absence proof shows what stands where the key would be: nothing, or the leaf of another key.
An ICS-23 absence proof is made of the existence proofs of the two neighbours; every one of them is
a `TreeProof` of this module.

Errors: ProofError, its `step` names what failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_SIZE = 32  # bytes
EMPTY_HASH = bytes(HASH_SIZE)  # root of a subtree without leaves
DEPTH_MAX = 8 * HASH_SIZE  # bits of a key hash
_MAGIC = b"DSP1"  # first bytes of an encoded proof


class ProofError(Exception):
    """A proof does not show what it should; `step` is the first step that fails."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"proof fails at {step}: {reason}")
        self.step = step


def hash_leaf(key_hash: bytes, value_hash: bytes) -> bytes:
    """Hash a leaf of a pallet tree from the hashes of its key and value."""
    return sha256(b"\x00" + key_hash + value_hash).digest()


def hash_inner(left: bytes, right: bytes) -> bytes:
    """Hash two children, in either tree."""
    return sha256(b"\x01" + left + right).digest()


def encode_varint(value: int) -> bytes:
    """Encode an unsigned number, seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def hash_store(name: str, root: bytes) -> bytes:
    """Hash a leaf of the app tree: a pallet store's name and root."""
    raw = name.encode()
    body = encode_varint(len(raw)) + raw + b"\x20" + sha256(root).digest()
    return sha256(b"\x00" + body).digest()


def _split(size: int) -> int:
    """Return the largest power of two below `size` (RFC 6962), for size >= 2."""
    return 1 << ((size - 1).bit_length() - 1)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Compute the RFC 6962 root over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return hash_inner(merkle_root(leaves[:middle]), merkle_root(leaves[middle:]))


def merkle_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Collect the siblings of leaf `index` in the RFC 6962 tree, lowest first."""
    if len(leaves) == 1:
        return ()
    middle = _split(len(leaves))
    if index < middle:
        return (*merkle_path(leaves[:middle], index), merkle_root(leaves[middle:]))
    return (*merkle_path(leaves[middle:], index - middle), merkle_root(leaves[:middle]))


def _fold_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    if size == 1:
        if path:
            raise ProofError("app path", "too many siblings")
        return leaf
    if not path:
        raise ProofError("app path", "too few siblings")
    middle = _split(size)
    if index < middle:
        return hash_inner(_fold_path(leaf, index, middle, path[:-1]), path[-1])
    return hash_inner(path[-1], _fold_path(leaf, index - middle, size - middle, path[:-1]))


@dataclass(frozen=True, slots=True)
class TreeProof:
    """What stands at the place of a key hash in a pallet tree.

    siblings: hashes beside the way down, topmost first; as many as the place is deep, in bits.
    leaf: (key hash, value hash) of the leaf found there, or None where the place is empty.
    """

    siblings: tuple[bytes, ...]
    leaf: tuple[bytes, bytes] | None

    def compute_root(self, key_hash: bytes) -> bytes:
        """Compute the root that this proof belongs to, for the place of `key_hash`.

        Raises:
            ProofError: too deep, or the leaf belongs to another place.
        """
        depth = len(self.siblings)
        if depth > DEPTH_MAX:
            raise ProofError("tree depth", f"{depth} siblings, at most {DEPTH_MAX}")
        way = int.from_bytes(key_hash, "big") >> (DEPTH_MAX - depth)
        node = EMPTY_HASH
        if self.leaf is not None:
            if int.from_bytes(self.leaf[0], "big") >> (DEPTH_MAX - depth) != way:
                raise ProofError("tree leaf", "the leaf shown does not stand in the key's way")
            node = hash_leaf(*self.leaf)
        for sibling in reversed(self.siblings):
            node = hash_inner(sibling, node) if way & 1 else hash_inner(node, sibling)
            way >>= 1
        return node


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof of one key's value, or of its absence, under the app hash of one version.

    tree: the way from the store's root to the key's place.
    store_root: root of the pallet store.
    index, num_stores: place of the store among all stores sorted by name.
    path: siblings in the app tree, lowest first.
    """

    tree: TreeProof
    store_root: bytes
    index: int
    num_stores: int
    path: tuple[bytes, ...]

    def verify(self, app_hash: bytes, store: str, key: bytes, value: bytes | None) -> None:
        """Check that `key` of `store` is `value`, or absent where value is None, under `app_hash`.

        Raises:
            ProofError: with the step that fails: tree depth, tree leaf, key, value, absence,
                store root, app path or app hash.
        """
        key_hash = sha256(key).digest()
        leaf = self.tree.leaf
        if value is None:
            if leaf is not None and leaf[0] == key_hash:
                raise ProofError("absence", "the key exists")
        elif leaf is None or leaf[0] != key_hash:
            raise ProofError("key", "the proof shows that the key is absent")
        elif leaf[1] != sha256(value).digest():
            raise ProofError("value", "the proof is for another value of the key")
        if self.tree.compute_root(key_hash) != self.store_root:
            raise ProofError("store root", f"the way up does not end at the root of store {store}")
        if not 0 <= self.index < self.num_stores:
            raise ProofError("app path", "store index out of range")
        leaf_hash = hash_store(store, self.store_root)
        if _fold_path(leaf_hash, self.index, self.num_stores, self.path) != app_hash:
            raise ProofError("app hash", f"store {store} with this root is not under the app hash")

    def encode(self) -> bytes:
        """Encode canonically: every proof has exactly one encoding.

        Layout, integers big endian: "DSP1", u16 number of tree siblings, siblings, u8 leaf present
        (0 or 1), key hash and value hash if present, store root, u16 index, u16 number of stores,
        u8 number of app siblings, siblings.
        """
        tree = self.tree
        return b"".join(
            (
                _MAGIC,
                len(tree.siblings).to_bytes(2, "big"),
                *tree.siblings,
                b"\x00" if tree.leaf is None else b"\x01" + tree.leaf[0] + tree.leaf[1],
                self.store_root,
                self.index.to_bytes(2, "big"),
                self.num_stores.to_bytes(2, "big"),
                len(self.path).to_bytes(1, "big"),
                *self.path,
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Proof":
        """Decode `encode`'s bytes.

        Raises:
            ProofError: at step "encoding", for bytes that `encode` never makes.
        """
        reader = _Reader(data)
        if reader.take(len(_MAGIC)) != _MAGIC:
            raise ProofError("encoding", "not a state proof")
        siblings = reader.take_hashes(reader.take_int(2))
        has_leaf = reader.take_int(1)
        if has_leaf > 1:
            raise ProofError("encoding", "leaf flag is neither 0 nor 1")
        leaf = (reader.take(HASH_SIZE), reader.take(HASH_SIZE)) if has_leaf else None
        store_root = reader.take(HASH_SIZE)
        index, num_stores = reader.take_int(2), reader.take_int(2)
        path = reader.take_hashes(reader.take_int(1))
        reader.finish()
        return Proof(TreeProof(siblings, leaf), store_root, index, num_stores, path)


class _Reader:
    """Read fixed-size fields from the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        field = self._data[self._at : self._at + size]
        if len(field) != size:
            raise ProofError("encoding", "cut short")
        self._at += size
        return field

    def take_int(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take_hashes(self, count: int) -> tuple[bytes, ...]:
        if count > DEPTH_MAX:
            raise ProofError("encoding", f"{count} siblings, at most {DEPTH_MAX}")
        return tuple(self.take(HASH_SIZE) for _ in range(count))

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ProofError("encoding", "bytes left over")
