"""Transaction bytes against cosmpy, and the small parsers."""

from decimal import Decimal

import pytest
from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData
from cosmos.tx.v1beta1.tx_pb2 import SignDoc, Tx, TxRaw
from cosmpy.aerial.tx import SigningCfg, Transaction, TxFee
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.keypairs import PrivateKey, PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.utils.ss58 import ss58_decode

from chain_client import tx as txs
from chain_client.address import (
    ACCOUNT_ID_TAG,
    account_address,
    decode_address,
    decode_ss58,
    encode_address,
    encode_ss58,
    operator_address,
)
from chain_client.amounts import format_dsc, parse_amount
from chain_client.errors import InvalidInput, TxRefused
from proto.descent.runs.v1 import runs_pb2
from tests.chain_client.fake_chain import ALICE, BOB, CHAIN_ID, transfer


def build(memo: str = "", fee_udsc: int = 2500) -> txs.SignedTx:
    return txs.build_tx(
        ALICE,
        [transfer(ALICE)],
        chain_id=CHAIN_ID,
        account_number=7,
        sequence=3,
        gas_limit=100_000,
        fee_udsc=fee_udsc,
        memo=memo,
    )


@pytest.mark.parametrize("memo", ["", "hello"])
def test_same_bytes_as_cosmpy(memo: str) -> None:
    wallet = LocalWallet(PrivateKey(ALICE.secret), prefix="descent")
    theirs = Transaction().add_message(transfer(ALICE))
    theirs.seal(SigningCfg.direct(wallet.public_key(), 3), TxFee("2500udsc", 100_000), memo=memo)
    theirs.sign(wallet.signer(), CHAIN_ID, 7)
    theirs.complete()
    mine = Tx.FromString(build(memo).raw)
    assert mine.body == theirs.tx.body
    assert mine.auth_info == theirs.tx.auth_info
    raw = TxRaw.FromString(build(memo).raw)
    document = SignDoc(
        body_bytes=raw.body_bytes,
        auth_info_bytes=raw.auth_info_bytes,
        chain_id=CHAIN_ID,
        account_number=7,
    )
    assert PublicKey(ALICE.public_key).verify(document.SerializeToString(), raw.signatures[0])


def test_signing_is_deterministic() -> None:
    assert build().tx_hash == build().tx_hash != build("x").tx_hash


def test_no_fee_has_no_coin() -> None:
    assert not Tx.FromString(build(fee_udsc=0).raw).auth_info.fee.amount


def test_fee_rounds_up() -> None:
    assert txs.compute_fee(100_001, Decimal("0.025")) == 2501
    assert txs.compute_gas_limit(70_001) == 105_002


@pytest.mark.parametrize(
    ("text", "price"),
    [("0.025udsc", "0.025"), ("1uatom,0.5udsc", "0.5"), ("", "0"), ("3uatom", "0")],
)
def test_gas_price(text: str, price: str) -> None:
    assert txs.parse_gas_price(text) == Decimal(price)


def test_response() -> None:
    data = TxMsgData()
    data.msg_responses.add(
        type_url="/descent.runs.v1.MsgCreateRunResponse",
        value=runs_pb2.MsgCreateRunResponse(run_id=9).SerializeToString(),
    )
    result = txs.TxResult(tx_hash="ab", height=1, data=data.SerializeToString())
    assert result.response(runs_pb2.MsgCreateRunResponse).run_id == 9
    with pytest.raises(TxRefused, match="no answer to message 1"):
        result.response(runs_pb2.MsgCreateRunResponse, 1)


def test_refusal__code_found_in_the_text() -> None:
    error = txs.refusal("spendable balance 1 is smaller than 2: insufficient funds")
    assert (error.codespace, error.code) == ("sdk", 5)
    assert txs.refusal("weird").codespace == "client"


@given(st.integers(min_value=0, max_value=2**100))
def test_amounts_round_trip(amount: int) -> None:
    assert parse_amount(f"{amount}udsc") == amount
    assert parse_amount(format_dsc(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("5DSC", 5_000_000), ("0.25DSC", 250_000), ("7 udsc", 7), ("0DSC", 0)]
)
def test_amounts(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text", ["", "5", "-5DSC", "5dsc", "0.5udsc", "0.0000001DSC", "1e6udsc", "DSC", "5DSC6", "nan"]
)
def test_invalid_amount(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_amount(text)


@settings(max_examples=50)
@given(st.binary(min_size=20, max_size=20))
def test_addresses_round_trip(raw: bytes) -> None:
    address = encode_address(raw)
    assert decode_address(address) == raw
    assert account_address(operator_address(address)) == address


@settings(max_examples=50)
@given(st.binary(min_size=20, max_size=20) | st.binary(min_size=32, max_size=32))
def test_both_spellings(raw: bytes) -> None:
    address = encode_address(raw)
    spelled = encode_ss58(address)
    assert decode_ss58(spelled) == address
    assert ss58_decode(spelled, 42) == (raw if len(raw) == 32 else raw + ACCOUNT_ID_TAG).hex()
    with pytest.raises(InvalidInput):
        decode_ss58(spelled[:-1] + ("1" if spelled[-1] != "1" else "2"))


@pytest.mark.parametrize(
    "text", ["", "faucet", "0", "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"]
)
def test_invalid_ss58(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_ss58(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "faucet",
        ALICE.address[:-1],
        ALICE.address[:-1] + ("q" if ALICE.address[-1] != "q" else "p"),
        encode_address(b"\0" * 20, "cosmos"),
        encode_address(b"\0" * 21),
        operator_address(BOB.address),
    ],
)
def test_invalid_address(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_address(text)
