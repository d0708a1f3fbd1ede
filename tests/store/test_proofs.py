"""Proofs: every step that can fail is named, and no other bytes pass."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.store.errors import StoreUnknown
from node.store.proofs import (
    Proof,
    ProofError,
    TreeProof,
    hash_store,
    merkle_path,
    merkle_root,
)
from node.store.state import StateStore

KEY, VALUE, ABSENT = b"balance/3", b"30", b"balance/none"


@pytest.fixture
def store(tmp_path: Path):
    with StateStore.open(tmp_path) as opened:
        balances = {b"balance/%d" % i: b"%d" % (10 * i) for i in range(40)}
        opened.stage(1, {"bank": balances, "runs": {}, "accounts": {b"a": b"1"}})
        opened.commit()
        yield opened


def test_existence(store: StateStore) -> None:
    store.prove("bank", KEY).verify(store.app_hash, "bank", KEY, VALUE)


def test_absence(store: StateStore) -> None:
    proof = store.prove("bank", ABSENT)
    proof.verify(store.app_hash, "bank", ABSENT, None)


def test_absence__empty_store(store: StateStore) -> None:
    store.prove("runs", KEY).verify(store.app_hash, "runs", KEY, None)


def test_absence__store_with_one_key(store: StateStore) -> None:
    store.prove("accounts", b"b").verify(store.app_hash, "accounts", b"b", None)
    store.prove("accounts", b"a").verify(store.app_hash, "accounts", b"a", b"1")


def test_invalid_store_unknown(store: StateStore) -> None:
    with pytest.raises(StoreUnknown, match="no store 'gov' at version 1"):
        store.prove("gov", KEY)


def expect_failure(step: str, proof: Proof, *args) -> None:
    with pytest.raises(ProofError) as caught:
        proof.verify(*args)
    assert caught.value.step == step


def test_invalid_steps_are_named(store: StateStore) -> None:
    proof, root = store.prove("bank", KEY), store.app_hash
    expect_failure("value", proof, root, "bank", KEY, b"31")
    expect_failure("absence", proof, root, "bank", KEY, None)
    expect_failure("key", proof, root, "bank", ABSENT, b"1")
    expect_failure("app hash", proof, bytes(32), "bank", KEY, VALUE)
    expect_failure("app hash", proof, root, "runs", KEY, VALUE)
    expect_failure("tree leaf", store.prove("bank", KEY), root, "bank", b"balance/4", None)
    siblings = proof.tree.siblings
    shorter = replace(proof, tree=replace(proof.tree, siblings=siblings[:-1]))
    expect_failure("store root", shorter, root, "bank", KEY, VALUE)
    empty = replace(proof, tree=TreeProof(siblings, None))
    expect_failure("store root", empty, root, "bank", KEY, None)
    deep = replace(proof, tree=replace(proof.tree, siblings=siblings[:1] * 257))
    expect_failure("tree depth", deep, root, "bank", KEY, VALUE)
    expect_failure("app path", replace(proof, index=3), root, "bank", KEY, VALUE)
    expect_failure("app path", replace(proof, path=()), root, "bank", KEY, VALUE)
    longer = replace(proof, path=proof.path * 2)
    expect_failure("app path", longer, root, "bank", KEY, VALUE)


def test_invalid_every_flipped_byte_fails(store: StateStore) -> None:
    for key, value in ((KEY, VALUE), (ABSENT, None)):
        encoded = store.prove("bank", key).encode()
        for at in range(len(encoded)):
            bad = bytearray(encoded)
            bad[at] ^= 1
            with pytest.raises(ProofError):
                Proof.decode(bytes(bad)).verify(store.app_hash, "bank", key, value)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: d[1:]]
)
def test_invalid_encoding(store: StateStore, damage) -> None:
    with pytest.raises(ProofError, match="encoding"):
        Proof.decode(damage(store.prove("bank", KEY).encode()))


def test_app_tree_is_rfc_6962() -> None:
    """Roots of the seven- and eight-leaf trees of RFC 6962's reference test vectors."""
    from hashlib import sha256

    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    inputs.append("606162636465666768696a6b6c6d6e6f")
    leaves = [sha256(b"\0" + bytes.fromhex(raw)).digest() for raw in inputs]
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert merkle_root(leaves[:size]).hex() == root
    for size in range(1, 9):
        for index in range(size):
            proof = Proof(TreeProof((), None), bytes(32), index, size, ())
            path = merkle_path([hash_store("x", bytes(32))] * size, index)
            app_hash = merkle_root([hash_store("x", bytes(32))] * size)
            replace(proof, path=path).verify(app_hash, "x", b"k", None)


def test_proofs_need_no_lmdb() -> None:
    code = "import sys; import node.store.proofs; assert 'lmdb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
