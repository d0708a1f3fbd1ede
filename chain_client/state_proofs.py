"""Check what a node says of its state against a block hash one trusts, with no node's help.

`state_getReadProof` of the Substrate door answers, for each key, the proof that a value stands in
the chain's own tree (RFC 6962 over the pallets' stores, a sparse Merkle tree in each), not nodes of
a Substrate trie. The root is `stateRoot` of the Substrate header, which is the app hash; the header
is bound by its BLAKE2b-256, the block hash.

A proof is about a store and a key as the pallets' READMEs give them under "State", since that is
what the tree holds. Layout, integers big endian: "DSP1", u16 and so many siblings from the top of
the store's tree, u8 0 or 1 and, for 1, hashes of key and value of the leaf there, root of the
store, u16 index of the store, u16 stores, u8 and so many siblings from the bottom of the app tree.

Source: node/store/proofs.py, of which this is a second implementation.
"""

from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import Any

from chain_client.address import decode_address
from chain_client.amounts import BASE_DENOM
from chain_client.errors import ProofInvalid

MAGIC = b"DSP1"
HASH_BYTES = 32
NOTHING = bytes(HASH_BYTES)
MAX_DEPTH = 256
BALANCES_PREFIX = b"\x02"
HASH_FIELDS = ("parentHash", "stateRoot", "extrinsicsRoot")


class _Fields:
    """Fixed-size fields from the front of a proof."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """Take so many bytes."""
        self._at += size
        if self._at > len(self._data):
            raise ProofInvalid("the proof is cut short")
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        """Take a big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def hashes(self, count: int) -> list[bytes]:
        """Take so many hashes."""
        if count > MAX_DEPTH:
            raise ProofInvalid(f"the proof has {count} siblings, at most {MAX_DEPTH}")
        return [self.take(HASH_BYTES) for _ in range(count)]

    def finish(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._data):
            raise ProofInvalid("the proof has bytes left over")


def verify_value(
    proof: bytes, app_hash: bytes, store: str, key: bytes, value: bytes | None
) -> None:
    """Check that `key` of a pallet's store has `value`, or none for None, under an app hash.

    Raises:
        ProofInvalid: the proof does not show that.
    """
    fields = _Fields(proof)
    if fields.take(len(MAGIC)) != MAGIC:
        raise ProofInvalid("these bytes are no proof of state")
    siblings = fields.hashes(fields.number(2))
    leaf = None
    has_leaf = fields.number(1)
    if has_leaf > 1:
        raise ProofInvalid("the proof has a leaf flag that is neither 0 nor 1")
    if has_leaf:
        leaf = fields.take(HASH_BYTES), fields.take(HASH_BYTES)
    store_root, index, num_stores = fields.take(HASH_BYTES), fields.number(2), fields.number(2)
    path = fields.hashes(fields.number(1))
    fields.finish()
    key_hash = sha256(key).digest()
    _check_leaf(leaf, key_hash, value)
    if _climb_store(siblings, leaf, key_hash) != store_root:
        raise ProofInvalid(f"the key's place does not lead to the root of store {store}")
    if _climb_app(_hash_store(store, store_root), index, num_stores, path) != app_hash:
        raise ProofInvalid(f"store {store} with that root is not under the app hash")


def _check_leaf(leaf: tuple[bytes, bytes] | None, key_hash: bytes, value: bytes | None) -> None:
    is_there = leaf is not None and leaf[0] == key_hash
    if value is None:
        if is_there:
            raise ProofInvalid("the key exists")
    elif leaf is None or not is_there:
        raise ProofInvalid("the proof shows that the key is absent")
    elif leaf[1] != sha256(value).digest():
        raise ProofInvalid("the proof is for another value")


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _climb_store(siblings: list[bytes], leaf: tuple[bytes, bytes] | None, key_hash: bytes) -> bytes:
    """Compute a store's root from the place of a key, whose bits say left or right."""
    bits = f"{int.from_bytes(key_hash, 'big'):0{MAX_DEPTH}b}"[: len(siblings)]
    node = NOTHING
    if leaf is not None:
        other = f"{int.from_bytes(leaf[0], 'big'):0{MAX_DEPTH}b}"[: len(siblings)]
        if other != bits:
            raise ProofInvalid("the leaf shown does not stand in the key's way")
        node = sha256(b"\x00" + leaf[0] + leaf[1]).digest()
    for bit, sibling in zip(reversed(bits), reversed(siblings), strict=True):
        node = _join(sibling, node) if bit == "1" else _join(node, sibling)
    return node


def _hash_store(name: str, root: bytes) -> bytes:
    raw = name.encode()
    if len(raw) > 127:
        raise ProofInvalid("no store has such a long name")
    return sha256(b"\x00" + bytes((len(raw),)) + raw + b"\x20" + sha256(root).digest()).digest()


def _climb_app(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Compute the RFC 6962 root from a leaf and its siblings, lowest first."""
    if index >= size:
        raise ProofInvalid("the store's index is out of range")
    node, last = leaf, size - 1
    left = list(path)
    while last:
        if index & 1 or index < last:
            if not left:
                raise ProofInvalid("the path to the app hash is too short")
            sibling = left.pop(0)
            node = _join(sibling, node) if index & 1 else _join(node, sibling)
        index, last = index >> 1, last >> 1
    if left:
        raise ProofInvalid("the path to the app hash is too long")
    return node


def compute_block_hash(header: Mapping[str, Any]) -> bytes:
    """Compute the hash of a Substrate header as JSON-RPC gives it.

    Raises:
        ProofInvalid: it is no header of this chain.
    """
    try:
        number = int(header["number"], 16)
        parts = [bytes.fromhex(header[name][2:]) for name in HASH_FIELDS]
        has_logs = bool(header["digest"]["logs"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProofInvalid(f"no Substrate header: {error}") from None
    if has_logs or any(len(part) != HASH_BYTES for part in parts) or not 0 <= number < 1 << 30:
        raise ProofInvalid("no Substrate header of this chain")
    encoded = parts[0] + _encode_compact(number) + parts[1] + parts[2] + b"\x00"
    return blake2b(encoded, digest_size=HASH_BYTES).digest()


def _encode_compact(number: int) -> bytes:
    for mode, bits in ((0, 6), (1, 14)):
        if number < 1 << bits:
            return (number << 2 | mode).to_bytes(mode + 1, "little")
    return (number << 2 | 2).to_bytes(4, "little")


def verify_read_proof(
    answer: Mapping[str, Any],
    header: Mapping[str, Any],
    block_hash: bytes,
    values: list[tuple[str, bytes, bytes | None]],
) -> None:
    """Check an answer of `state_getReadProof` for a block whose hash one trusts.

    Args:
        answer: result of the method.
        header: result of `chain_getHeader` for that block.
        block_hash: 32 bytes, from somewhere else than this node.
        values: (store, key, value or None) for each key asked for, in order.
    Raises:
        ProofInvalid: something of it does not hold.
    """
    if compute_block_hash(header) != block_hash:
        raise ProofInvalid("the header is not that of the block")
    try:
        at, proofs = answer["at"], [bytes.fromhex(text[2:]) for text in answer["proof"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ProofInvalid(f"no read proof: {error}") from None
    if at != "0x" + block_hash.hex() or len(proofs) != len(values):
        raise ProofInvalid("the answer is for another block or other keys")
    app_hash = bytes.fromhex(header["stateRoot"][2:])
    for proof, (store, key, value) in zip(proofs, values, strict=True):
        verify_value(proof, app_hash, store, key, value)


def describe_balance(
    address: str, amount: int, denom: str = BASE_DENOM
) -> tuple[str, bytes, bytes | None]:
    """Describe a balance as `verify_read_proof` takes it; a balance of zero is absent.

    Raises:
        InvalidInput: `address` is no account address.
    """
    raw = decode_address(address)
    key = BALANCES_PREFIX + bytes((len(raw),)) + raw + denom.encode()
    return "bank", key, str(amount).encode() if amount else None
