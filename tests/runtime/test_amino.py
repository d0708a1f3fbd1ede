"""Transactions signed as Amino JSON: what is signed, and what is refused because it was not.

That CosmJS signs the same, message by message: `tests/doors/cosmjs/test_amino.py`.
"""

import json
from typing import Any

import pytest
from amino import amino_pb2
from cosmos.authz.v1beta1 import tx_pb2 as authz_pb2
from cosmos.bank.v1beta1 import tx_pb2 as bank_pb2
from cosmos.feegrant.v1beta1 import feegrant_pb2
from cosmos.feegrant.v1beta1 import tx_pb2 as feegrant_tx_pb2
from cosmos.staking.v1beta1 import authz_pb2 as stake_authz_pb2
from cosmos.tx.signing.v1beta1 import signing_pb2
from cosmos.tx.v1beta1 import tx_pb2
from google.protobuf import any_pb2

from node.runtime.amino import MAX_DEPTH, MAX_TX_BYTES
from node.runtime.coins import build_coin
from node.runtime.tx import NON_CRITICAL_BIT
from proto.descent.runs.v1 import runs_pb2
from proto.packing import pack_any
from tests.runtime.chain_driver import CHAIN_ID, ChainDriver, Key

AMINO = signing_pb2.SIGN_MODE_LEGACY_AMINO_JSON
ALICE, BOB = Key("alice"), Key("bob")


def build_send(amount: int) -> Any:
    coins = [build_coin("udsc", amount)]
    return bank_pb2.MsgSend(from_address=ALICE.text, to_address=BOB.text, amount=coins)


def sign(driver: ChainDriver, message: Any, shown: dict[str, Any], **options: Any) -> bytes:
    """Sign a document that says `shown` of the message, and send the message."""
    account = driver.get_account(ALICE)
    document = {
        "account_number": str(account.account_number),
        "chain_id": CHAIN_ID,
        "fee": {"amount": [{"amount": "500", "denom": "udsc"}], "gas": "200000"},
        "memo": "",
        "msgs": [shown],
        "sequence": str(account.sequence),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    signature = ALICE.sign(text.encode())
    options = {"fee": 500, "sign_mode": AMINO, "signature": signature, **options}
    return driver.sign(ALICE, message, **options)


def show_send(amount: str) -> dict[str, Any]:
    coins = [{"amount": amount, "denom": "udsc"}]
    value = {"amount": coins, "from_address": ALICE.text, "to_address": BOB.text}
    return {"type": "cosmos-sdk/MsgSend", "value": value}


def test_send(driver: ChainDriver) -> None:
    before = driver.get_balance(BOB)
    tx = sign(driver, build_send(5), show_send("5"))
    assert driver.check(tx).code == 0
    result = driver.deliver(tx)
    assert (result.code, result.log) == (0, "")
    assert driver.get_balance(BOB) == before + 5
    assert driver.deliver(tx).code == 32  # not a second time


def test_a_message_without_an_amino_name(driver: ChainDriver) -> None:
    """It goes by its type URL; the refusal is the pallet's, so the signature stood."""
    message = runs_pb2.MsgHaltRun(owner=ALICE.text, run_id=99)
    value = {"owner": ALICE.text, "run_id": "99"}
    shown = {"type": "/descent.runs.v1.MsgHaltRun", "value": value}
    result = driver.deliver(sign(driver, message, shown))
    assert (result.codespace, result.code != 0) == ("runs", True)
    assert driver.get_account(ALICE).sequence == 1


def test_times_and_packed_messages(driver: ChainDriver) -> None:
    allowance = feegrant_pb2.PeriodicAllowance()
    allowance.basic.expiration.FromJsonString("2040-01-02T03:04:05.1Z")
    allowance.period.seconds, allowance.period.nanos = 60, 5
    allowance.period_reset.FromJsonString("2030-01-01T00:00:00Z")
    message = feegrant_tx_pb2.MsgGrantAllowance(
        granter=ALICE.text, grantee=BOB.text, allowance=pack_any(allowance)
    )
    value = {
        "basic": {"expiration": "2040-01-02T03:04:05.1Z", "spend_limit": []},
        "period": "60000000005",
        "period_can_spend": [],
        "period_reset": "2030-01-01T00:00:00Z",
        "period_spend_limit": [],
    }
    shown = {
        "type": "cosmos-sdk/MsgGrantAllowance",
        "value": {
            "allowance": {"type": "cosmos-sdk/PeriodicAllowance", "value": value},
            "grantee": BOB.text,
            "granter": ALICE.text,
        },
    }
    result = driver.deliver(sign(driver, message, shown))
    assert "signature" not in result.log
    assert driver.get_account(ALICE).sequence == 1


@pytest.mark.parametrize(
    "options",
    [{"memo": "other"}, {"fee": 501}, {"gas": 200_001}, {"timeout_height": 99}, {"sequence": 1}],
)
def test_invalid__something_else_was_signed(driver: ChainDriver, options: dict[str, Any]) -> None:
    before = driver.get_balance(ALICE)
    result = driver.deliver(sign(driver, build_send(5), show_send("5"), **options))
    assert result.code == (32 if "sequence" in options else 4)
    assert driver.get_balance(ALICE) == before


def test_invalid__another_amount(driver: ChainDriver) -> None:
    result = driver.deliver(sign(driver, build_send(6), show_send("5")))
    assert result.code == 4
    assert "signature verification failed" in result.log


def test_invalid__a_deadline_is_not_signed(driver: ChainDriver) -> None:
    tx = sign(driver, build_send(5), show_send("5"), timeout_seconds=2**31)
    result = driver.deliver(tx)
    assert result.code == 4
    assert "SIGN_MODE_LEGACY_AMINO_JSON does not cover timeout_timestamp" in result.log


def test_invalid__a_field_nobody_knows_is_not_signed(driver: ChainDriver) -> None:
    """The body may have one that is not critical; it could be put there by anybody."""
    raw = tx_pb2.TxRaw.FromString(sign(driver, build_send(5), show_send("5")))
    tag = NON_CRITICAL_BIT << 3
    raw.body_bytes += bytes([tag & 0x7F | 0x80, tag >> 7, 1])
    result = driver.deliver(raw.SerializeToString())
    assert result.code == 4
    assert "does not cover unknown fields of the body" in result.log


def grant(authorization: Any) -> Any:
    message = authz_pb2.MsgGrant(granter=ALICE.text, grantee=BOB.text)
    message.grant.authorization.CopyFrom(authorization)
    return message


def nest(depth: int) -> Any:
    message = build_send(1)
    for _ in range(depth):
        message = authz_pb2.MsgExec(grantee=ALICE.text, msgs=[pack_any(message)])
    return message


STAKE = stake_authz_pb2.StakeAuthorization(authorization_type=1)
STAKE.allow_list.address.append(BOB.text)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (grant(pack_any(STAKE)), "what is packed as '/cosmos.staking.v1beta1.StakeAuthorization'"),
        (grant(any_pb2.Any(type_url="/nobody.Knows")), "what is packed as '/nobody.Knows'"),
        (authz_pb2.MsgGrant(granter=ALICE.text, grantee=BOB.text), "MsgGrant without grant"),
        (nest(MAX_DEPTH), f"messages nested deeper than {MAX_DEPTH}"),
        (
            bank_pb2.MsgSend(from_address=ALICE.text, to_address="x" * MAX_TX_BYTES),
            f"transactions over {MAX_TX_BYTES} bytes",
        ),
        (
            authz_pb2.MsgExec(
                grantee=ALICE.text,
                msgs=[any_pb2.Any(type_url="/cosmos.bank.v1beta1.MsgSend", value=b"\x92\x01\x00")],
            ),
            "what is packed as '/cosmos.bank.v1beta1.MsgSend'",
        ),
    ],
    ids=["one-of-several", "unknown-type", "missing", "deep", "large", "unknown-field"],
)
def test_invalid__no_words_for_it(driver: ChainDriver, message: Any, words: str) -> None:
    result = driver.deliver(sign(driver, message, {}, gas=2_000_000))
    assert result.code == 4, result.log
    assert words in result.log
    assert driver.get_account(ALICE).sequence == 0


def test_invalid__another_sign_mode(driver: ChainDriver) -> None:
    tx = sign(driver, build_send(5), show_send("5"), sign_mode=signing_pb2.SIGN_MODE_TEXTUAL)
    assert "only SIGN_MODE_DIRECT and SIGN_MODE_LEGACY_AMINO_JSON" in driver.deliver(tx).log


def test_no_two_messages_share_a_name(driver: ChainDriver) -> None:
    """Or a signature over one would stand for the other."""
    calls = driver.chain.runtime.calls.values()
    names = [
        spec.message_class.DESCRIPTOR.GetOptions().Extensions[amino_pb2.name] for spec in calls
    ]
    named = [name for name in names if name]
    assert len(named) > 30
    assert sorted(set(named)) == sorted(named)
