"""Fee grants and session grants through the whole pipeline; the session key has no coins."""

from __future__ import annotations

from cosmos.authz.v1beta1 import tx_pb2 as authz_tx_pb2
from cosmos.feegrant.v1beta1 import feegrant_pb2
from cosmos.feegrant.v1beta1 import tx_pb2 as feegrant_tx_pb2

from node.runtime.coins import build_coin
from proto.descent.authz.v1 import authz_pb2
from proto.packing import pack_any
from tests.runtime.chain_driver import ChainDriver, Key
from tests.runtime.test_transactions import build_send

ALICE, BOB, KEY = Key("alice"), Key("bob"), Key("session")
SEND = "/cosmos.bank.v1beta1.MsgSend"


def test_session_key_without_coins(driver: ChainDriver) -> None:
    """The key signs, alice pays fees up to her allowance and coins up to the session's limit."""
    allow = feegrant_tx_pb2.MsgGrantAllowance(
        granter=ALICE.text,
        grantee=KEY.text,
        allowance=pack_any(feegrant_pb2.BasicAllowance(spend_limit=[build_coin("udsc", 1_000)])),
    )
    session = authz_pb2.SessionAuthorization(allowed_calls=[SEND], spend_limit_udsc=700)
    grant = authz_tx_pb2.MsgGrant(granter=ALICE.text, grantee=KEY.text)
    grant.grant.authorization.CopyFrom(pack_any(session))
    assert driver.deliver(driver.sign(ALICE, allow, grant, gas=400_000)).code == 0

    def execute(amount: int, fee: int) -> bytes:
        message = authz_tx_pb2.MsgExec(
            grantee=KEY.text, msgs=[pack_any(build_send(ALICE, BOB, amount))]
        )
        return driver.sign(KEY, message, fee=fee, gas=400_000, granter=ALICE.text)

    before = driver.get_balance(ALICE)
    result = driver.deliver(execute(500, 400))
    assert result.code == 0, result.log
    assert driver.get_balance(ALICE) == before - 900
    assert driver.get_balance(BOB) == 5_500
    # Over the session's limit: nothing is sent, the fee is paid all the same.
    result = driver.deliver(execute(300, 500))
    assert (result.code, result.codespace) == (101, "authz")
    assert driver.get_balance(ALICE) == before - 1_400
    # Over the allowance: refused before anything is paid.
    result = driver.check(execute(1, 200))
    assert (result.code, result.codespace) == (2, "feegrant")
    assert driver.get_balance(ALICE) == before - 1_400


def test_invalid_without_allowance(driver: ChainDriver) -> None:
    tx = driver.sign(BOB, build_send(BOB, ALICE, 1), fee=10, granter=ALICE.text)
    result = driver.check(tx)
    assert (result.code, result.codespace) == (5, "feegrant")
    assert result.log == f"{ALICE.text} does not allow to pay fees for {BOB.text}: no allowance"
