"""RFC 6962 tree: published vectors, every proof of small trees, tampering."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact import merkle
from exact.errors import InvalidProof

# Source: certificate-transparency test data (the eight leaves of the RFC 6962 reference tests).
REFERENCE_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def compute_root_as_written(leaves: list[bytes]) -> bytes:
    """The RFC's recursive definition, for comparison."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = compute_root_as_written(leaves[:split]), compute_root_as_written(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_reference_roots() -> None:
    hashes = [merkle.compute_leaf_hash(leaf) for leaf in REFERENCE_LEAVES]
    for count, root in REFERENCE_ROOTS.items():
        assert merkle.compute_root(hashes[:count]).hex() == root


@pytest.mark.parametrize("count", range(18))
def test_every_proof(count: int) -> None:
    leaves = [bytes([i]) * i for i in range(count)]
    hashes = [merkle.compute_leaf_hash(leaf) for leaf in leaves]
    root = merkle.compute_root(hashes)
    assert root == compute_root_as_written(leaves)
    for index in range(count):
        path = merkle.compute_path(hashes, index)
        merkle.verify_path(root, hashes[index], index, count, path)
        with pytest.raises(InvalidProof):
            merkle.verify_path(root, hashes[index], index, count, [*path, root])


@settings(max_examples=60)
@given(count=st.integers(2, 40), data=st.data())
def test_invalid_tampering(count: int, data: st.DataObject) -> None:
    hashes = [merkle.compute_leaf_hash(bytes([i])) for i in range(count)]
    root = merkle.compute_root(hashes)
    index = data.draw(st.integers(0, count - 1))
    path = merkle.compute_path(hashes, index)
    position = data.draw(st.integers(0, len(path) - 1))
    flipped = [*path]
    flipped[position] = bytes([flipped[position][0] ^ 1]) + flipped[position][1:]
    other = data.draw(st.integers(0, count - 1).filter(lambda i: i != index))
    for arguments in (
        (root, hashes[index], index, count, flipped),
        (root, hashes[index], index, count, path[:-1]),
        (root, hashes[other], index, count, path),
        (root, hashes[index], other, count, path),
        (hashes[0], hashes[index], index, count, path),
    ):
        with pytest.raises(InvalidProof):
            merkle.verify_path(*arguments)


def test_invalid_index() -> None:
    hashes = [merkle.compute_leaf_hash(b"a")]
    with pytest.raises(InvalidProof):
        merkle.compute_path(hashes, 1)
    with pytest.raises(InvalidProof):
        merkle.verify_path(hashes[0], hashes[0], 1, 1, [])
