"""Extrinsics in consensus: signatures, eras, one sequence over both formats, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cosmos.bank.v1beta1 import tx_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from tendermint.abci import types_pb2 as abci

from node.pallets.blocks.pallet import KEPT_HASHES_BLOCKS
from node.runtime.addresses import (
    ACCOUNT_ID_TAG,
    decode_account,
    encode_account,
    encode_bech32,
    normalise_address,
)
from node.runtime.coins import build_coin
from node.runtime.context import Context
from node.runtime.errors import OutOfGas, TxDecodeFailed
from node.runtime.state import Overlay
from node.runtime.substrate.accounts import compute_account_id
from node.runtime.substrate.calls import BALANCES, MAX_BATCH_CALLS, UTILITY
from node.runtime.substrate.extrinsic import Era, compute_fee, decode_extrinsic
from node.runtime.substrate.headers import build_genesis_header
from node.runtime.substrate.scale import encode_compact
from node.runtime.substrate.signatures import (
    ECDSA,
    ED25519,
    HALF_ORDER,
    SR25519,
    is_signed_by,
)
from tests.runtime.chain_driver import CHAIN_ID, GENESIS_SECONDS, ChainDriver, Key
from tests.support.extrinsics import (
    Signer,
    build_batch,
    build_extrinsic,
    build_transfer,
    encode_era,
)

FUNDED_UDSC = 1_000_000
BOB = b"\x0b" * 32
UNAUTHORIZED, FUNDS, NO_ACCOUNT, TIMEOUT, SEQUENCE = 4, 5, 9, 30, 32


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[ChainDriver]:
    made = ChainDriver(tmp_path / "state", {"faucet": 10**9})
    made.make_block()
    yield made
    made.close()


def get_hash(driver: ChainDriver, number: int) -> bytes:
    block = driver.app._next_block
    found = driver.chain.blocks.get_block_hash(Context(Overlay(driver.store), block), number)
    assert found is not None
    return found


def read_account(driver: ChainDriver, addr: bytes) -> tuple[int, int]:
    """Read (sequence, balance)."""
    ctx = Context(Overlay(driver.store), driver.app.last_block)
    account = driver.chain.accounts.get_account(ctx, addr)
    return (account.sequence if account else 0), driver.chain.bank.get_balance(ctx, addr)


def fund(driver: ChainDriver, addr: bytes, amount: int = FUNDED_UDSC) -> None:
    faucet = Key("faucet")
    coins = [build_coin("udsc", amount)]
    message = tx_pb2.MsgSend(
        from_address=faucet.text, to_address=encode_account(addr), amount=coins
    )
    assert driver.deliver(driver.sign(faucet, message)).code == 0


def make(driver: ChainDriver, signer: Signer, call: bytes | None = None, **options: Any) -> bytes:
    options.setdefault("nonce", read_account(driver, signer.addr)[0])
    options.setdefault("genesis_hash", get_hash(driver, 0))
    return build_extrinsic(signer, call or build_transfer(BOB, 100), **options)


@pytest.mark.parametrize("kind", [SR25519, ED25519, ECDSA])
def test_transfer(driver: ChainDriver, kind: int) -> None:
    signer = Signer(kind)
    fund(driver, signer.addr)
    tx = make(driver, signer, tip=5)
    assert driver.check(tx).code == 0
    result = driver.make_block().tx_results[-1]
    assert result.code == 0, result.log
    fee = compute_fee(result.gas_used) + 5
    assert 5 < fee < decode_extrinsic(tx, driver.chain.call_table).fee_udsc // 2
    assert get_fee(result) == f"{fee}udsc"
    assert read_account(driver, signer.addr) == (1, FUNDED_UDSC - fee - 100)
    assert read_account(driver, BOB) == (0, 100)
    assert {"tx", "transfer"} <= {event.type for event in result.events}
    assert driver.deliver(tx).code == SEQUENCE
    assert read_account(driver, signer.addr)[0] == 1


def get_fee(result: Any) -> str:
    """Get what a transaction says it paid; it says so once."""
    pairs = [(item.key, item.value) for event in result.events for item in event.attributes]
    (fee,) = [value for key, value in pairs if key == "fee"]
    return str(fee)


def test_fee_is_of_the_gas_used(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    free = FUNDED_UDSC
    for call, code in (
        (build_transfer(BOB, 10**12), FUNDS),
        (build_batch([build_transfer(BOB, 1)] * 100), 0),
    ):
        result = driver.deliver(make(driver, signer, call))
        assert result.code == code
        free -= compute_fee(result.gas_used) + (0 if code else 100)
        assert read_account(driver, signer.addr)[1] == free


def test_fee_of_all_the_gas__out_of_gas(
    driver: ChainDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    used = [driver.deliver(make(driver, signer)).gas_used for _ in range(2)][1]
    monkeypatch.setattr("node.runtime.substrate.extrinsic.GAS_PER_CALL", used - 3_000)
    monkeypatch.setattr("node.runtime.substrate.extrinsic.GAS_PER_BYTE", 0)
    free = read_account(driver, signer.addr)[1]
    tx = make(driver, signer, tip=3)
    result = driver.deliver(tx)
    assert result.code == OutOfGas.code
    paid = decode_extrinsic(tx, driver.chain.call_table).fee_udsc + 3
    assert get_fee(result) == f"{paid}udsc"
    assert read_account(driver, signer.addr)[1] == free - paid


def test_one_sequence_over_both_formats(driver: ChainDriver) -> None:
    signer = Signer(ECDSA)
    fund(driver, signer.addr)
    key = signer.cosmos
    coins = [build_coin("udsc", 1)]
    message = tx_pb2.MsgSend(from_address=key.text, to_address=encode_account(BOB), amount=coins)
    assert driver.deliver(make(driver, signer)).code == 0
    assert driver.get_account(key).HasField("pub_key")
    assert driver.deliver(driver.sign(key, message)).code == 0
    assert driver.deliver(make(driver, signer)).code == 0
    assert driver.deliver(driver.sign(key, message, sequence=2)).code == SEQUENCE
    assert read_account(driver, signer.addr)[0] == 3


def test_mortal_era(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    birth = driver.height
    options = {"era": encode_era(4, birth), "birth_hash": get_hash(driver, birth)}
    first = make(driver, signer, **options)
    assert driver.check(first).code == 0
    late = make(driver, signer, nonce=1, **options)
    assert driver.make_block().tx_results[-1].code == 0
    while driver.height < birth + 3:
        driver.make_block()
    assert driver.deliver(late).code == TIMEOUT  # the block its era would begin with is this one
    assert driver.deliver(late).code == UNAUTHORIZED  # that era began with another block


def test_era_older_than_what_is_kept(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    period = 2 * KEPT_HASHES_BLOCKS
    era = (12 | 100 << 4).to_bytes(2, "little")  # phase 200 of 8 192: a block to come
    tx = make(driver, signer, era=era, birth_hash=b"\x01" * 32)
    assert decode_extrinsic(tx, driver.chain.call_table).era == Era(period, 200)
    assert driver.check(tx).code == TIMEOUT


@pytest.mark.parametrize("kind", [SR25519, ED25519, ECDSA])
@pytest.mark.parametrize(
    "wrong", [{"genesis_hash": b"\x01" * 32}, {"spec_version": 7}, {"birth_hash": b"\x02" * 32}]
)
def test_invalid_payload(driver: ChainDriver, kind: int, wrong: dict[str, Any]) -> None:
    signer = Signer(kind)
    fund(driver, signer.addr)
    before = read_account(driver, signer.addr)
    tx = make(driver, signer, **wrong)
    assert driver.check(tx).code == UNAUTHORIZED
    assert driver.deliver(tx).code == UNAUTHORIZED
    assert read_account(driver, signer.addr) == before


def test_invalid_signer(driver: ChainDriver) -> None:
    signer, other = Signer(SR25519), Signer(ED25519)
    fund(driver, signer.addr)
    tx = make(driver, signer)
    stolen = tx.replace(compute_account_id(signer.addr), compute_account_id(other.addr))
    fund(driver, other.addr)
    assert driver.check(stolen).code == UNAUTHORIZED
    for kind in (SR25519, ED25519):
        assert not is_signed_by(kind, signer.cosmos.addr, b"\x01" * 64, b"message")


def test_invalid_nonce_and_funds(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    assert driver.check(make(driver, signer)).code == NO_ACCOUNT
    fund(driver, signer.addr, 500)
    assert driver.check(make(driver, signer)).code == FUNDS
    fund(driver, signer.addr)
    answer = driver.check(make(driver, signer, nonce=3))
    assert (answer.code, answer.log) == (
        SEQUENCE,
        "account sequence mismatch, expected 0, got 3: incorrect account sequence",
    )


def test_invalid_other_spelling_of_the_same(driver: ChainDriver) -> None:
    signer = Signer(ECDSA)
    fund(driver, signer.addr)
    tx = make(driver, signer)
    at = tx.index(signer.addr)
    for form in (b"\x03", b"\x04"):
        assert driver.check(tx[: at - 1] + form + tx[at:]).code == TxDecodeFailed.code
    at += 32 + 1 + 32
    order = 2 * HALF_ORDER + 1
    high = (order - int.from_bytes(tx[at : at + 32], "big")).to_bytes(32, "big")
    twin = tx[:at] + high + bytes((tx[at + 32] ^ 1,)) + tx[at + 33 :]
    assert driver.check(twin).code == UNAUTHORIZED
    assert driver.check(tx).code == 0


def test_batch_is_all_or_none(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    calls = [build_transfer(BOB, 1), build_batch([build_transfer(BOB, 2)])]
    assert driver.deliver(make(driver, signer, build_batch(calls))).code == 0
    assert read_account(driver, BOB)[1] == 3
    calls.append(build_transfer(BOB, 10**12))
    assert driver.deliver(make(driver, signer, build_batch(calls))).code == FUNDS
    assert read_account(driver, BOB)[1] == 3
    assert read_account(driver, signer.addr)[0] == 2


def nest(depth: int) -> bytes:
    call = build_transfer(BOB, 1)
    for _ in range(depth):
        call = build_batch([call])
    return call


@pytest.mark.parametrize(
    "call",
    [
        bytes((200, 0)),
        bytes((BALANCES, 9)),
        bytes((0, 0)),
        build_transfer(BOB, 1)[:-1],
        build_transfer(BOB, 1) + b"\x00",
        bytes((BALANCES, 3, 1)) + BOB + b"\x04",
        bytes((BALANCES, 3, 0)) + BOB + b"\x01\x00",
        bytes((UTILITY, 2)) + bytes.fromhex("0300000040"),
        nest(40),
        build_batch([build_transfer(BOB, 1)] * (MAX_BATCH_CALLS + 1)),
    ],
    ids=range(10),
)
def test_invalid_call(driver: ChainDriver, call: bytes) -> None:
    tx = make(driver, Signer(SR25519), call)
    assert driver.check(tx).code == TxDecodeFailed.code


def test_invalid_signer_of_a_message(driver: ChainDriver) -> None:
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    coin = encode_compact(1) + encode_compact(4) + b"udsc" + (5).to_bytes(16, "little")
    entry = encode_compact(1) + BOB + coin
    tx = make(driver, signer, bytes((12, 1)) + entry + entry)
    answer = driver.check(tx)
    assert answer.code == UNAUTHORIZED
    assert "must be signed by others" in answer.log


@settings(max_examples=300)
@given(data=st.data())
def test_mutated(mutated_driver: tuple[ChainDriver, bytes], data: st.DataObject) -> None:
    driver, tx = mutated_driver
    at = data.draw(st.integers(1, len(tx) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != tx[at]))
    answer = driver.app.check_tx(
        abci.RequestCheckTx(tx=tx[:at] + bytes((byte,)) + tx[at + 1 :], type=abci.NEW)
    )
    assert answer.code != 0


@pytest.fixture(scope="module")
def mutated_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChainDriver, bytes]]:
    driver = ChainDriver(tmp_path_factory.mktemp("mutated"), {"faucet": 10**9})
    driver.make_block()
    signer = Signer(SR25519)
    fund(driver, signer.addr)
    yield driver, make(driver, signer)
    driver.close()


def test_block_hashes(driver: ChainDriver) -> None:
    genesis = build_genesis_header(CHAIN_ID, GENESIS_SECONDS * 10**9)
    assert get_hash(driver, 0) == genesis.compute_hash()
    for _ in range(3):
        driver.make_block()
    last = driver.height
    early = get_hash(driver, last)  # before the next block writes it
    driver.make_block()
    assert get_hash(driver, last) == early
    ctx = Context(Overlay(driver.store), driver.app.last_block)
    header = driver.chain.blocks.build_header(ctx, last + 1, driver.app_hashes[last + 1])
    assert header.parent_hash == early
    assert header.compute_hash() == get_hash(driver, last + 1)
    assert driver.chain.blocks.get_block_hash(ctx, last + 9) is None


@given(st.binary(min_size=20, max_size=20))
def test_accounts_of_20_bytes_are_reversible(addr: bytes) -> None:
    account_id = compute_account_id(addr)
    assert account_id == addr + ACCOUNT_ID_TAG
    assert normalise_address(account_id) == addr
    assert decode_account(encode_bech32("descent", account_id)) == addr
    assert decode_account(encode_account(addr)) == addr


@given(st.binary(min_size=32, max_size=32))
def test_accounts_of_32_bytes_are_themselves(addr: bytes) -> None:
    assert compute_account_id(addr) == normalise_address(addr) == addr
