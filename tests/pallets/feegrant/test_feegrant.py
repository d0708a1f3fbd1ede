"""Fee allowances: granted, used, used up, revoked, over."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.feegrant.v1beta1 import feegrant_pb2, query_pb2, tx_pb2

from node.pallets.feegrant.errors import (
    AllowanceExpired,
    AllowanceMissing,
    AllowedMessagesMissing,
    DurationInvalid,
    FeeLimitExceeded,
    MessageNotAllowed,
)
from node.pallets.feegrant.pallet import FeegrantPallet
from node.runtime.coins import build_coin
from node.runtime.errors import ChainError, InvalidAddress, InvalidRequest
from node.runtime.pallet import Pallet
from proto.packing import pack_any
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr

SERVICE = "/cosmos.feegrant.v1beta1.Query"
SEND = "/cosmos.bank.v1beta1.MsgSend"


def build_pallets() -> list[Pallet[Any]]:
    accounts, bank = build_base_pallets()
    return [accounts, bank, FeegrantPallet(accounts)]


@pytest.fixture
def chain() -> Harness:
    harness = Harness(*build_pallets())
    harness.make_account("payer", 10_000)
    return harness


def build_grant(allowance: Any, grantee: str = "key") -> Any:
    return tx_pb2.MsgGrantAllowance(
        granter=make_text_addr("payer"),
        grantee=make_text_addr(grantee),
        allowance=pack_any(allowance),
    )


def build_basic(limit: int = 0, seconds: int = 0) -> Any:
    coins = [build_coin("udsc", limit)] if limit else []
    basic = feegrant_pb2.BasicAllowance(spend_limit=coins)
    if seconds:
        basic.expiration.seconds = seconds
    return basic


def build_periodic(limit: int, period_limit: int, period: int) -> Any:
    allowance = feegrant_pb2.PeriodicAllowance(
        basic=build_basic(limit), period_spend_limit=[build_coin("udsc", period_limit)]
    )
    allowance.period.seconds = period
    return allowance


def use(chain: Harness, fee: int, *type_urls: str) -> None:
    """Use the allowance as the ante does."""
    ctx = chain.ctx()
    with ctx.snapshot():
        chain.get_pallet("feegrant").use_grant(
            ctx, make_addr("payer"), make_addr("key"), [("udsc", fee)], type_urls or (SEND,)
        )
    chain.check_invariants()


def count_grants(chain: Harness) -> int:
    request = query_pb2.QueryAllowancesByGranterRequest(granter=make_text_addr("payer"))
    return len(chain.query(f"{SERVICE}/AllowancesByGranter", request).allowances)


def test_basic(chain: Harness) -> None:
    chain.run(build_grant(build_basic(100)))
    use(chain, 60)
    with pytest.raises(FeeLimitExceeded):
        use(chain, 41)
    chain.assert_genesis_round_trips(*build_pallets())
    use(chain, 40)
    assert count_grants(chain) == 0
    with pytest.raises(AllowanceMissing, match="does not allow to pay fees for"):
        use(chain, 1)


def test_basic__without_limit(chain: Harness) -> None:
    chain.run(build_grant(build_basic()))
    for _ in range(3):
        use(chain, 10**9)
    assert count_grants(chain) == 1


def test_expiry(chain: Harness) -> None:
    now = chain.block.time_seconds
    chain.run(build_grant(build_basic(100, now + 2)))
    use(chain, 1)
    chain.assert_genesis_round_trips(*build_pallets())
    chain.next_block(3)
    assert count_grants(chain) == 0


def test_periodic(chain: Harness) -> None:
    chain.run(build_grant(build_periodic(100, 40, 10)))
    use(chain, 40)
    with pytest.raises(FeeLimitExceeded, match="period limit"):
        use(chain, 1)
    chain.next_block(10)
    use(chain, 40)
    chain.next_block(25)
    with pytest.raises(FeeLimitExceeded, match="period limit"):
        use(chain, 21)
    use(chain, 20)
    assert count_grants(chain) == 0


def test_allowed_messages(chain: Harness) -> None:
    allowance = feegrant_pb2.AllowedMsgAllowance(
        allowance=pack_any(build_basic(100)), allowed_messages=[SEND]
    )
    chain.run(build_grant(allowance))
    with pytest.raises(MessageNotAllowed):
        use(chain, 1, SEND, "/other.Msg")
    use(chain, 99, SEND, SEND)
    with pytest.raises(FeeLimitExceeded):
        use(chain, 2)


def test_revoke(chain: Harness) -> None:
    chain.run(build_grant(build_basic(100)))
    message = tx_pb2.MsgRevokeAllowance(
        granter=make_text_addr("payer"), grantee=make_text_addr("key")
    )
    chain.run(message)
    chain.assert_noop(message, AllowanceMissing)
    request = query_pb2.QueryAllowancesRequest(grantee=make_text_addr("key"))
    assert not chain.query(f"{SERVICE}/Allowances", request).allowances


@pytest.mark.parametrize(
    ("allowance", "error"),
    [
        (build_basic(5, 1), AllowanceExpired),
        (build_basic(5, 253_402_300_799), InvalidRequest),
        (build_periodic(10, 5, 0), DurationInvalid),
        (build_periodic(10, 5, 2**60), DurationInvalid),
        (
            feegrant_pb2.AllowedMsgAllowance(allowance=pack_any(build_basic(5))),
            AllowedMessagesMissing,
        ),
        (feegrant_pb2.Grant(), InvalidRequest),
    ],
)
def test_invalid_grants(chain: Harness, allowance: Any, error: type[ChainError]) -> None:
    chain.assert_noop(build_grant(allowance), error)


def test_invalid_twice_or_to_oneself(chain: Harness) -> None:
    chain.run(build_grant(build_basic(5)))
    chain.assert_noop(build_grant(build_basic(5)), InvalidRequest)
    chain.assert_noop(build_grant(build_basic(5), grantee="payer"), InvalidAddress)
