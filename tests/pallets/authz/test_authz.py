"""MsgGrant, MsgExec, MsgRevoke."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.authz.v1beta1 import authz_pb2, query_pb2, tx_pb2
from cosmos.bank.v1beta1 import authz_pb2 as bank_authz_pb2
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx_pb2

from node.pallets.authz.errors import (
    AuthorizationMissing,
    AuthorizationTypeUnknown,
    CallNotAllowed,
    ExpirationInvalid,
    GranteeIsGranter,
    SpendLimitExceeded,
)
from node.pallets.authz.pallet import AuthzPallet
from node.runtime.coins import build_coin
from node.runtime.errors import InsufficientFunds, InvalidRequest, UnknownRequest
from node.runtime.pallet import Pallet
from proto.descent.authz.v1 import authz_pb2 as own_pb2
from proto.packing import pack_any
from tests.pallets.harness import Harness, make_text_addr
from tests.pallets.staking.staking_chain import (
    build_create,
    build_delegate,
    build_undelegate,
    get_stake,
)
from tests.pallets.staking.staking_chain import build_pallets as build_staking

SERVICE = "/cosmos.authz.v1beta1.Query"
SEND = "/cosmos.bank.v1beta1.MsgSend"
DELEGATE = "/cosmos.staking.v1beta1.MsgDelegate"
SESSION = "/descent.authz.v1.SessionAuthorization"


def build_pallets() -> list[Pallet[Any]]:
    accounts, bank, staking = build_staking()
    return [accounts, bank, staking, AuthzPallet(bank)]


@pytest.fixture
def chain() -> Harness:
    harness = Harness(*build_pallets())
    harness.get_pallet("authz").set_dispatcher(harness.runtime)
    for name in ("alice", "bob", "key", "val"):
        harness.make_account(name, 10_000)
    harness.run(build_create("val", 1_000))
    return harness


def build_grant(authorization: Any, seconds: int = 0, grantee: str = "key") -> Any:
    message = tx_pb2.MsgGrant(granter=make_text_addr("alice"), grantee=make_text_addr(grantee))
    message.grant.authorization.CopyFrom(pack_any(authorization))
    if seconds:
        message.grant.expiration.seconds = seconds
    return message


def build_exec(*messages: Any, grantee: str = "key") -> Any:
    return tx_pb2.MsgExec(
        grantee=make_text_addr(grantee), msgs=[pack_any(message) for message in messages]
    )


def build_send(amount: int, to: str = "bob", sender: str = "alice") -> Any:
    return bank_tx_pb2.MsgSend(
        from_address=make_text_addr(sender),
        to_address=make_text_addr(to),
        amount=[build_coin("udsc", amount)],
    )


def build_session(limit: int, *calls: str) -> Any:
    return own_pb2.SessionAuthorization(allowed_calls=calls, spend_limit_udsc=limit)


def list_grants(chain: Harness) -> list[Any]:
    request = query_pb2.QueryGranteeGrantsRequest(grantee=make_text_addr("key"))
    return list(chain.query(f"{SERVICE}/GranteeGrants", request).grants)


def test_generic(chain: Harness) -> None:
    chain.run(build_grant(authz_pb2.GenericAuthorization(msg=SEND)))
    for _ in range(3):
        chain.run(build_exec(build_send(1_000)))
    assert (chain.get_balance("alice"), chain.get_balance("bob")) == (7_000, 13_000)
    chain.assert_noop(build_exec(build_delegate("alice", "val", 1)), AuthorizationMissing)
    chain.assert_noop(build_exec(build_send(8_000)), InsufficientFunds)
    chain.assert_noop(build_exec(build_send(1), grantee="bob"), AuthorizationMissing)
    assert chain.run(build_exec(build_send(1, sender="key"))).response.results == [b""]
    chain.assert_genesis_round_trips(*build_pallets())


def test_send(chain: Harness) -> None:
    authorization = bank_authz_pb2.SendAuthorization(
        spend_limit=[build_coin("udsc", 500)], allow_list=[make_text_addr("bob")]
    )
    chain.run(build_grant(authorization))
    chain.assert_noop(build_exec(build_send(1, to="key")), CallNotAllowed)
    chain.assert_noop(build_exec(build_send(501)), SpendLimitExceeded)
    chain.run(build_exec(build_send(300)))
    chain.assert_noop(build_exec(build_send(201)), SpendLimitExceeded)
    chain.run(build_exec(build_send(200)))
    assert list_grants(chain) == []
    chain.assert_noop(build_exec(build_send(1)), AuthorizationMissing)


def test_session(chain: Harness) -> None:
    """Several calls; what they take counts, whatever the call."""
    chain.run(build_grant(build_session(1_000, SEND, DELEGATE)))
    chain.run(build_exec(build_send(100), build_delegate("alice", "val", 600)))
    assert get_stake(chain, "val") == 1_600
    chain.assert_noop(build_exec(build_delegate("alice", "val", 301)), SpendLimitExceeded)
    chain.assert_noop(build_exec(build_undelegate("alice", "val", 1)), AuthorizationMissing)
    chain.run(build_exec(build_delegate("alice", "val", 300)))
    chain.assert_noop(build_exec(build_send(1)), SpendLimitExceeded)
    grants = list_grants(chain)
    session = own_pb2.SessionAuthorization.FromString(grants[0].authorization.value)
    assert session.spend_limit_udsc == 0
    chain.assert_genesis_round_trips(*build_pallets())


def test_all_or_nothing(chain: Harness) -> None:
    chain.run(build_grant(build_session(1_000, SEND)))
    chain.assert_noop(build_exec(build_send(600), build_send(600)), SpendLimitExceeded)


def test_expiry(chain: Harness) -> None:
    now = chain.block.time_seconds
    chain.assert_noop(build_grant(build_session(10, SEND), seconds=now), ExpirationInvalid)
    for too_late in (253_402_300_799, 2**63 - 1):
        message = build_grant(build_session(10, SEND), seconds=too_late)
        chain.assert_noop(message, ExpirationInvalid)
    chain.run(build_grant(build_session(10, SEND), seconds=now + 3))
    chain.assert_genesis_round_trips(*build_pallets())
    chain.next_block(2)
    chain.run(build_exec(build_send(1)))
    chain.next_block()
    assert list_grants(chain) == []
    chain.assert_noop(build_exec(build_send(1)), AuthorizationMissing)


def test_grant_again_replaces(chain: Harness) -> None:
    now = chain.block.time_seconds
    chain.run(build_grant(build_session(10, SEND), seconds=now + 3))
    chain.run(build_grant(build_session(20, SEND)))
    chain.next_block(5)
    chain.run(build_exec(build_send(15)))


def test_revoke(chain: Harness) -> None:
    chain.run(build_grant(build_session(10, SEND)))
    message = tx_pb2.MsgRevoke(
        granter=make_text_addr("alice"), grantee=make_text_addr("key"), msg_type_url=SESSION
    )
    chain.run(message)
    chain.assert_noop(build_exec(build_send(1)), AuthorizationMissing)
    chain.assert_noop(message, AuthorizationMissing)


def test_invalid_revoke_of_a_long_name(chain: Harness) -> None:
    message = tx_pb2.MsgRevoke(
        granter=make_text_addr("alice"), grantee=make_text_addr("key"), msg_type_url="/" * 9_000
    )
    chain.assert_noop(message, AuthorizationMissing)


def test_invalid_grants(chain: Harness) -> None:
    generic = authz_pb2.GenericAuthorization
    chain.assert_noop(build_grant(generic(msg=SEND), grantee="alice"), GranteeIsGranter)
    chain.assert_noop(build_grant(generic(msg="/no.such.Msg")), UnknownRequest)
    chain.assert_noop(build_grant(build_session(1)), InvalidRequest)
    chain.assert_noop(build_grant(build_session(1, SEND, SEND)), InvalidRequest)
    nested = "/cosmos.authz.v1beta1.MsgExec"
    chain.assert_noop(build_grant(generic(msg=nested)), CallNotAllowed)
    chain.assert_noop(build_grant(build_send(1)), AuthorizationTypeUnknown)
    chain.assert_noop(build_exec(build_exec(build_send(1))), CallNotAllowed)
    chain.assert_noop(build_exec(), InvalidRequest)
