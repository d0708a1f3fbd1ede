"""The pipeline of a transaction: codes and texts clients parse, and what it costs to fail where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx
from cosmos.base.abci.v1beta1 import abci_pb2 as cosmos_abci
from cosmos.tx.v1beta1 import service_pb2, tx_pb2
from tendermint.abci import types_pb2 as abci

from node.runtime.ante import GasPrice
from node.runtime.coins import build_coin
from node.runtime.options import NodeOptions
from node.runtime.signatures import CURVE_ORDER
from tests.runtime.chain_driver import ChainDriver, Key

ALICE, BOB, CAROL = Key("alice"), Key("bob"), Key("carol")


def build_send(sender: Key, recipient: Key, amount: int) -> Any:
    coins = [build_coin("udsc", amount)]
    return bank_tx.MsgSend(from_address=sender.text, to_address=recipient.text, amount=coins)


def get_attributes(result: Any, event_type: str) -> list[dict[str, str]]:
    return [
        {attribute.key: attribute.value for attribute in event.attributes}
        for event in result.events
        if event.type == event_type
    ]


def test_send(driver: ChainDriver) -> None:
    result = driver.deliver(driver.sign(ALICE, build_send(ALICE, CAROL, 1_000), fee=500))
    assert (result.code, result.log, result.codespace) == (0, "", "")
    assert result.gas_wanted == 200_000
    assert 30_000 < result.gas_used < 120_000
    assert driver.get_balance(ALICE) == 10_000_000 - 1_500
    assert driver.get_balance(CAROL) == 1_000
    assert driver.get_account(ALICE).sequence == 1
    assert get_attributes(result, "message") == [
        {
            "action": "/cosmos.bank.v1beta1.MsgSend",
            "sender": ALICE.text,
            "module": "bank",
            "msg_index": "0",
        }
    ]
    transfers = get_attributes(result, "transfer")
    assert [transfer["amount"] for transfer in transfers] == ["500udsc", "1000udsc"]
    assert "msg_index" not in transfers[0]
    assert transfers[1]["msg_index"] == "0"
    assert get_attributes(result, "tx")[0] == {"fee": "500udsc", "fee_payer": ALICE.text}
    data = cosmos_abci.TxMsgData.FromString(result.data)
    assert data.msg_responses[0].type_url == "/cosmos.bank.v1beta1.MsgSendResponse"


def test_send__several_queued_by_one_account(driver: ChainDriver) -> None:
    for sequence in range(3):
        tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), sequence=sequence)
        assert driver.check(tx).code == 0
    response = driver.make_block()
    assert [result.code for result in response.tx_results] == [0, 0, 0, 0]
    assert driver.get_balance(BOB) == 5_003


def test_invalid_message_still_pays_and_uses_the_sequence(driver: ChainDriver) -> None:
    tx = driver.sign(BOB, build_send(BOB, CAROL, 6_000), fee=100)
    assert driver.check(tx).code == 0
    result = driver.deliver(tx)
    assert (result.code, result.codespace) == (5, "sdk")
    assert result.log == (
        "failed to execute message; message index: 0: "
        "spendable balance 4900udsc is smaller than 6000udsc: insufficient funds"
    )
    assert driver.get_balance(BOB) == 4_900
    assert driver.get_account(BOB).sequence == 1
    assert get_attributes(result, "message") == []


def test_invalid_second_message_rolls_back_the_first(driver: ChainDriver) -> None:
    messages = (build_send(BOB, CAROL, 10), build_send(BOB, CAROL, 10_000))
    result = driver.deliver(driver.sign(BOB, *messages))
    assert result.code == 5
    assert "message index: 1" in result.log
    assert driver.get_balance(BOB) == 5_000
    assert driver.get_balance(CAROL) == 0


def test_invalid_sequence(driver: ChainDriver) -> None:
    result = driver.check(driver.sign(ALICE, build_send(ALICE, BOB, 1), sequence=7))
    assert (result.code, result.codespace) == (32, "sdk")
    assert result.log == "account sequence mismatch, expected 0, got 7: incorrect account sequence"


@pytest.mark.parametrize(
    "options",
    [
        {"chain_id": "other-1"},
        {"account_number": 99},
        {"signature": b"\x01" * 64},
        {"signature": b"\x01" * 63},
        {"signature": b"\x01" * 300},
    ],
)
def test_invalid_signature(driver: ChainDriver, options: dict[str, Any]) -> None:
    before = driver.get_balance(ALICE)
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), fee=10, **options)
    result = driver.deliver(tx)
    number = driver.get_account(ALICE).account_number
    assert (result.code, result.codespace) == (4, "sdk")
    assert result.log == (
        f"signature verification failed; please verify account number ({number}), sequence (0) "
        "and chain-id (descent-test-1): unauthorized"
    )
    assert driver.get_balance(ALICE) == before
    assert driver.get_account(ALICE).sequence == 0


def test_invalid_signature__high_s(driver: ChainDriver) -> None:
    tx = tx_pb2.TxRaw.FromString(driver.sign(ALICE, build_send(ALICE, BOB, 1)))
    signature = tx.signatures[0]
    high_s = CURVE_ORDER - int.from_bytes(signature[32:], "big")
    tx.signatures[0] = signature[:32] + high_s.to_bytes(32, "big")
    assert driver.check(tx.SerializeToString()).code == 4


def test_invalid_key_of_another_account(driver: ChainDriver) -> None:
    number = driver.get_account(ALICE).account_number
    tx = driver.sign(BOB, build_send(ALICE, BOB, 1), account_number=number)
    result = driver.check(tx)
    assert (result.code, result.codespace) == (8, "sdk")
    assert "pubKey does not match signer address" in result.log


def test_invalid_unknown_sender(driver: ChainDriver) -> None:
    tx = driver.sign(CAROL, build_send(CAROL, BOB, 1), account_number=0, sequence=0)
    result = driver.check(tx)
    assert (result.code, result.log) == (
        9,
        f"fee payer address: {CAROL.text} does not exist: unknown address",
    )


def test_invalid_fee_above_balance(driver: ChainDriver) -> None:
    result = driver.check(driver.sign(BOB, build_send(BOB, ALICE, 1), fee=5_001))
    assert result.code == 5
    assert result.log == "spendable balance 5000udsc is smaller than 5001udsc: insufficient funds"


def test_invalid_fee_below_minimum(tmp_path: Path) -> None:
    options = NodeOptions(min_gas_price=GasPrice(5_000))
    driver = ChainDriver(tmp_path, {"alice": 10_000_000}, options)
    driver.make_block()
    result = driver.check(driver.sign(ALICE, build_send(ALICE, BOB, 1), fee=999))
    assert (result.code, result.log) == (
        13,
        "insufficient fees; got: 999udsc required: 1000udsc: insufficient fee",
    )
    assert driver.check(driver.sign(ALICE, build_send(ALICE, BOB, 1), fee=1_000)).code == 0
    low = driver.sign(ALICE, build_send(ALICE, BOB, 1), fee=1)
    assert driver.deliver(low).code == 0, "the minimum is node-local, not consensus"
    driver.close()


@pytest.mark.parametrize("gas", [0, 5_000, 30_000])
def test_invalid_out_of_gas(driver: ChainDriver, gas: int) -> None:
    result = driver.deliver(driver.sign(ALICE, build_send(ALICE, BOB, 1), gas=gas, fee=10))
    assert (result.code, result.codespace) == (11, "sdk")
    pattern = rf"out of gas in location: .+; gasWanted: {gas}, gasUsed: \d+: out of gas"
    assert re.fullmatch(pattern, result.log)
    assert driver.get_balance(BOB) == 5_000


def test_invalid_memo(driver: ChainDriver) -> None:
    result = driver.check(driver.sign(ALICE, build_send(ALICE, BOB, 1), memo="m" * 300))
    assert (result.code, result.log) == (
        12,
        "maximum number of characters is 256 but received 300 characters: memo too large",
    )


def test_invalid_timeout_height(driver: ChainDriver) -> None:
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), timeout_height=2)
    assert driver.check(tx).code == 0
    driver.make_block([])
    result = driver.check(tx)
    assert (result.code, result.log) == (
        30,
        "block height: 3, timeout height: 2: tx timeout height",
    )


def test_invalid_no_messages(driver: ChainDriver) -> None:
    result = driver.check(driver.sign(ALICE))
    assert (result.code, result.log) == (
        18,
        "must contain at least one message: invalid request",
    )


def test_invalid_unknown_message(driver: ChainDriver) -> None:
    message = bank_tx.MsgSetSendEnabled(authority=ALICE.text)
    result = driver.check(driver.sign(ALICE, message))
    assert result.code == 6
    assert "no message handler found for /cosmos.bank.v1beta1.MsgSetSendEnabled" in result.log


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x01\x02", b"\xff" * 40, b"\x0a\x05hello"])
def test_invalid_bytes(driver: ChainDriver, raw: bytes) -> None:
    result = driver.check(raw)
    assert (result.code, result.codespace) in ((2, "sdk"), (18, "sdk"))


def append_field(data: bytes, number: int) -> bytes:
    """Append a one-byte varint field."""
    tag = number << 3
    out = bytearray()
    while tag > 0x7F:
        out.append(tag & 0x7F | 0x80)
        tag >>= 7
    out.append(tag)
    return data + bytes(out) + b"\x01"


def resign(key: Key, driver: ChainDriver, body_bytes: bytes, auth_bytes: bytes) -> bytes:
    doc = tx_pb2.SignDoc(
        body_bytes=body_bytes,
        auth_info_bytes=auth_bytes,
        chain_id="descent-test-1",
        account_number=driver.get_account(key).account_number,
    )
    signature = key.sign(doc.SerializeToString())
    raw = tx_pb2.TxRaw(body_bytes=body_bytes, auth_info_bytes=auth_bytes, signatures=[signature])
    data: bytes = raw.SerializeToString()
    return data


def test_unknown_fields(driver: ChainDriver) -> None:
    tx = tx_pb2.TxRaw.FromString(driver.sign(ALICE, build_send(ALICE, BOB, 1)))
    body, auth = tx.body_bytes, tx.auth_info_bytes
    non_critical = resign(ALICE, driver, append_field(body, 1024 + 5), auth)
    assert driver.check(non_critical).code == 0
    assert driver.check(resign(ALICE, driver, append_field(body, 500), auth)).code == 2
    assert driver.check(resign(ALICE, driver, body, append_field(auth, 1024 + 5))).code == 2
    assert driver.check(append_field(tx.SerializeToString(), 9)).code == 2


def test_simulate(driver: ChainDriver) -> None:
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), gas=0, signature=b"\x01")
    response = driver.query("/app/simulate", data=tx)
    simulated = cosmos_abci.SimulationResponse.FromString(response.value).gas_info.gas_used
    assert driver.get_balance(BOB) == 5_000
    result = driver.deliver(driver.sign(ALICE, build_send(ALICE, BOB, 1), fee=500))
    assert result.code == 0
    # Covers storing the key and paying a fee, though the simulated one carries none.
    assert result.gas_used * 0.9 < simulated * 1.3
    assert simulated < result.gas_used * 1.3


def test_simulate__refused(driver: ChainDriver) -> None:
    tx = driver.sign(BOB, build_send(BOB, ALICE, 10**9), gas=0)
    response = driver.query("/app/simulate", data=tx)
    assert response.code == 5
    assert "insufficient funds" in response.log


def test_simulate__by_its_method(driver: ChainDriver) -> None:
    """As wallets ask that know the CometBFT RPC only."""
    path = "/cosmos.tx.v1beta1.Service/Simulate"
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), gas=0, signature=b"\x01")
    asked = service_pb2.SimulateRequest(tx=tx_pb2.Tx.FromString(tx))
    response = driver.query(path, data=asked.SerializeToString())
    found = service_pb2.SimulateResponse.FromString(response.value)
    assert found.gas_info.gas_used > 0
    assert found.result.events
    tx = driver.sign(BOB, build_send(BOB, ALICE, 10**9), gas=0)
    refused = driver.query(path, data=service_pb2.SimulateRequest(tx_bytes=tx).SerializeToString())
    assert (refused.codespace, refused.code) == ("sdk", 6)
    assert refused.log.startswith("rpc error: code = Unknown desc = ")
    assert "insufficient funds" in refused.log
    for data in (b"", b"\xff"):
        assert driver.query(path, data=data).code == 18


def test_recheck_after_commit(driver: ChainDriver) -> None:
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1))
    assert driver.deliver(tx).code == 0
    recheck = driver.app.check_tx(abci.RequestCheckTx(tx=tx, type=abci.RECHECK))
    assert recheck.code == 32


@pytest.mark.parametrize(("seconds", "code"), [(-(2**62), 30), (5, 30), (2**62, 0)])
def test_strange_timeouts(driver: ChainDriver, seconds: int, code: int) -> None:
    """Times out of protobuf's range are compared like any other; they stop no node."""
    tx = driver.sign(ALICE, build_send(ALICE, BOB, 1), timeout_seconds=seconds)
    assert driver.check(tx).code == code


def test_invalid_no_signer(driver: ChainDriver) -> None:
    """A multi-send without inputs names nobody: refused where it arrives and in a block."""
    tx = driver.sign(ALICE, bank_tx.MsgMultiSend(), account_number=0, sequence=0)
    for result in (driver.check(tx), driver.deliver(tx)):
        assert (result.codespace, result.code) == ("sdk", 7)
        assert "no message names a signer" in result.log
