"""The client's check of state proofs against the store that makes them."""

import dataclasses
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_client.errors import ProofInvalid
from chain_client.state_proofs import (
    compute_block_hash,
    describe_balance,
    verify_read_proof,
    verify_value,
)
from node.chain import build_chain
from node.runtime.addresses import encode_account
from node.runtime.substrate.headers import Header
from node.store.state import StateStore

STORES = ("accounts", "bank", "beacon", "gov", "runs")
NUM_KEYS = 40


def get_key(number: int) -> bytes:
    return b"key %d" % number


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateStore]:
    made = StateStore.open(tmp_path_factory.mktemp("proofs"))
    changes = {
        name: {get_key(number): b"%d" % number for number in range(size)}
        for name, size in zip(STORES, (0, NUM_KEYS, 1, 2, 3), strict=True)
    }
    made.stage(1, changes)
    made.commit()
    yield made
    made.close()


@settings(max_examples=60)
@given(number=st.integers(0, 2 * NUM_KEYS), at=st.integers(0, 4000), byte=st.integers(1, 255))
def test_same_as_the_store(store: StateStore, number: int, at: int, byte: int) -> None:
    key = get_key(number)
    value = b"%d" % number if number < NUM_KEYS else None
    proof, app_hash = store.prove("bank", key).encode(), store.app_hash
    verify_value(proof, app_hash, "bank", key, value)
    for wrong in (b"other", None if value else b"there"):
        with pytest.raises(ProofInvalid):
            verify_value(proof, app_hash, "bank", key, wrong)
    at %= len(proof)
    spoilt = proof[:at] + bytes((proof[at] ^ byte,)) + proof[at + 1 :]
    for bad in (spoilt, proof[:at], proof + b"\0"):
        with pytest.raises(ProofInvalid):
            verify_value(bad, app_hash, "bank", key, value)
    with pytest.raises(ProofInvalid):
        verify_value(proof, app_hash, "gov", key, value)


@pytest.mark.parametrize("name", STORES)
def test_every_place_among_stores(store: StateStore, name: str) -> None:
    proof = store.prove(name, b"absent").encode()
    verify_value(proof, store.app_hash, name, b"absent", None)


def show(header: Header) -> dict[str, Any]:
    fields = {
        "parentHash": header.parent_hash,
        "stateRoot": header.state_root,
        "extrinsicsRoot": header.extrinsics_root,
    }
    shown: dict[str, Any] = {name: "0x" + value.hex() for name, value in fields.items()}
    return {**shown, "number": hex(header.number), "digest": {"logs": []}}


@pytest.mark.parametrize("number", [0, 63, 64, 2**14 - 1, 2**14, 2**30 - 1])
def test_block_hash(number: int) -> None:
    random = Random(number)
    header = Header(random.randbytes(32), number, random.randbytes(32), random.randbytes(32))
    assert compute_block_hash(show(header)) == header.compute_hash()
    with pytest.raises(ProofInvalid):
        compute_block_hash({**show(header), "stateRoot": "0x12"})


def test_whole_answer(store: StateStore) -> None:
    proofs = ["0x" + store.prove("bank", get_key(n)).encode().hex() for n in range(2)]
    header = Header(b"\x01" * 32, 1, store.app_hash, b"\x02" * 32)
    block_hash = header.compute_hash()
    answer = {"at": "0x" + block_hash.hex(), "proof": proofs}
    values: list[Any] = [("bank", get_key(n), b"%d" % n) for n in range(2)]
    verify_read_proof(answer, show(header), block_hash, values)
    other = dataclasses.replace(header, number=2)
    for wrong in (
        ({**answer, "at": "0x"}, header, values),
        (answer, other, values),
        (answer, header, values[:1]),
        (answer, header, values[::-1]),
        ({}, header, values),
    ):
        with pytest.raises(ProofInvalid):
            verify_read_proof(wrong[0], show(wrong[1]), block_hash, wrong[2])


def test_balance_is_where_the_bank_keeps_it() -> None:
    balances = build_chain().bank.storage.balances
    for addr in (b"\x07" * 20, b"\x08" * 32):
        store, key, value = describe_balance(encode_account(addr), 5)
        assert (store, value) == ("bank", b"5")
        assert key == balances.encode_key((addr, "udsc"))
    assert describe_balance(encode_account(addr), 0)[2] is None
