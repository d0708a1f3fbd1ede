"""Patched nodes against decoded, changed and encoded ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.errors import StoreCorrupt
from node.store.patch import replace_child
from node.store.proofs import EMPTY_HASH, hash_leaf
from node.store.tree import Child, Node

HASHES = st.binary(min_size=32, max_size=32)
LEAVES = st.tuples(HASHES, HASHES)
VERSIONS = st.integers(1, 2**40)


def make_node(children: list[Child | None], below: list[bytes]) -> Node:
    node = Node([EMPTY_HASH] * 32, list(children), 0)
    for slot, child in enumerate(children):
        if type(child) is tuple:
            node.hashes[16 + slot] = hash_leaf(*child)
            node.single |= 1 << 16 + slot
        elif child is not None:
            node.hashes[16 + slot] = below[slot]
    node.rehash([slot for slot, child in enumerate(children) if child is not None])
    return node


def encode_child(child: Child, node_hash: bytes) -> bytes:
    if type(child) is tuple:
        return child[0] + child[1]
    assert type(child) is int
    return child.to_bytes(8, "big") + node_hash


@settings(max_examples=300, deadline=None)
@given(
    children=st.lists(st.none() | LEAVES | VERSIONS, min_size=16, max_size=16),
    below=st.lists(HASHES, min_size=17, max_size=17),
    number=st.integers(0, 15),
    value=HASHES,
)
def test_same_as_decode_change_encode(
    children: list[Child], below: list[bytes], number: int, value: bytes
) -> None:
    present = [slot for slot, child in enumerate(children) if child is not None]
    if len(present) < 2 and not any(type(child) is int for child in children):
        return
    slot = present[number % len(present)]
    old = make_node(children, below)
    child = children[slot]
    fresh: Child = (child[0], value) if type(child) is tuple else 2**41
    changed = [*children[:slot], fresh, *children[slot + 1 :]]
    wanted = make_node(changed, [*below[:slot], value, *below[slot + 1 :]])
    piece = encode_child(fresh, wanted.hashes[16 + slot])
    data = old.encode()
    place = 16 + slot
    found = replace_child(data, old.hashes[1], slot, old.hashes[place], wanted.hashes[place], piece)
    assert found == (wanted.hashes[1], wanted.encode())
    decoded = Node.decode(found[1])
    assert (decoded.hashes, decoded.single) == (wanted.hashes, wanted.single)
    with pytest.raises(StoreCorrupt):
        replace_child(data, value, slot, old.hashes[place], wanted.hashes[place], piece)


@settings(max_examples=100, deadline=None)
@given(
    children=st.lists(st.none() | LEAVES | VERSIONS, min_size=16, max_size=16),
    place=st.integers(0, 10**6),
    bit=st.integers(0, 7),
)
def test_damage_is_found(children: list[Child], place: int, bit: int) -> None:
    """Versions of children are not hashed: a wrong one leads to a node that is not there."""
    node = make_node(children, [bytes([slot]) * 32 for slot in range(16)])
    data = bytearray(node.encode())
    data[place % len(data)] ^= 1 << bit
    try:
        found = Node.decode(bytes(data))
    except StoreCorrupt:
        return
    if found.hashes[1] == node.hashes[1]:
        assert found.children != node.children
        assert [type(child) for child in found.children] == [type(child) for child in children]
