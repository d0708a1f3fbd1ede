"""What CosmJS signs as Amino JSON, message by message, is what the chain says was signed."""

from typing import Any

import pytest

from node.chain import build_chain
from node.runtime.amino import build_sign_bytes
from node.runtime.errors import Unauthorized
from node.runtime.signatures import is_valid_signature
from node.runtime.tx import DecodedTx, decode_tx
from tests.runtime.chain_driver import CHAIN_ID, Key
from tests.support.cosmjs import run_script

# isort: split
from cosmos.tx.v1beta1 import tx_pb2

NUMBER, SEQUENCE = 7, 5
OPERATOR = "descentvaloper1zvx6thryrgu5du8sz8xr49wzqp30gjs3ug5tsn"
SECRET = b"\x11" * 32
KEY = Key("wallet", SECRET)
NAMES = (
    *("send", "multiSend", "delegate", "undelegate", "redelegate", "cancel"),
    *("createOperator", "editOperator", "withdraw", "setAddress"),
    *("fundPool", "propose", "vote", "voteWeighted", "deposit"),
)
RUNTIME = build_chain().runtime


def get_class(type_url: str) -> Any:
    return RUNTIME.get_call(type_url).message_class


@pytest.fixture(scope="module")
def signed() -> dict[str, bytes]:
    """Transactions by name, as CosmJS made them."""
    found = run_script("amino_signatures.mjs", SECRET.hex(), CHAIN_ID, str(NUMBER), OPERATOR)
    return {name: bytes.fromhex(raw) for name, raw in found.items()}


def is_signed(tx: DecodedTx, number: int = NUMBER, sequence: int = SEQUENCE) -> bool:
    try:
        document = build_sign_bytes(tx, CHAIN_ID, number, sequence, get_class)
    except Unauthorized:
        return False
    return is_valid_signature(KEY.public, tx.signatures[0], document)


@pytest.mark.parametrize("name", NAMES)
def test_every_message(signed: dict[str, bytes], name: str) -> None:
    tx = decode_tx(signed[name], get_class)
    assert is_signed(tx)
    assert not is_signed(tx, number=NUMBER + 1)
    assert not is_signed(tx, sequence=SEQUENCE + 1)


@pytest.mark.parametrize("name", NAMES)
def test_changed_after_signing(signed: dict[str, bytes], name: str) -> None:
    """Whatever a field of the message is changed to, the signature no longer stands."""
    raw = tx_pb2.TxRaw.FromString(signed[name])
    body = tx_pb2.TxBody.FromString(raw.body_bytes)
    packed = body.messages[0]
    message = get_class(packed.type_url).FromString(packed.value)
    for field, _ in message.ListFields():
        changed = type(message).FromString(packed.value)
        changed.ClearField(field.name)
        body.messages[0].value = changed.SerializeToString()
        raw.body_bytes = body.SerializeToString()
        tx = decode_tx(raw.SerializeToString(), get_class)
        assert not is_signed(tx), field.name


def test_all_were_signed(signed: dict[str, bytes]) -> None:
    assert sorted(signed) == sorted(NAMES)
