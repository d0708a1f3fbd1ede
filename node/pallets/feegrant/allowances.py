"""What each kind of allowance pays.

| type                  | pays                                                             |
|-----------------------|------------------------------------------------------------------|
| `BasicAllowance`      | fees up to a sum (none: any), until a time                       |
| `PeriodicAllowance`   | the same, and only so much in every period                       |
| `AllowedMsgAllowance` | what the allowance inside pays, for some messages only           |

Source: Cosmos SDK x/feegrant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosmos.feegrant.v1beta1 import feegrant_pb2
from google.protobuf.message import DecodeError

from node.pallets.feegrant.errors import (
    AllowanceExpired,
    AllowedMessagesMissing,
    DurationInvalid,
    FeeLimitExceeded,
    MessageNotAllowed,
)
from node.pallets.feegrant.types import MAX_ALLOWED_MESSAGES
from node.pallets.staking.types import build_timestamp
from node.runtime.coins import build_coin, parse_coins
from node.runtime.errors import InvalidRequest, ensure
from node.runtime.times import get_nanoseconds, is_valid_duration, is_valid_time
from proto.packing import pack_any

Coins = Sequence[tuple[str, int]]
CLASSES: dict[str, Any] = {
    "/" + message_class.DESCRIPTOR.full_name: message_class
    for message_class in (
        feegrant_pb2.BasicAllowance,
        feegrant_pb2.PeriodicAllowance,
        feegrant_pb2.AllowedMsgAllowance,
    )
}


def open_allowance(packed: Any) -> Any:
    """Decode an allowance.

    Raises: InvalidRequest.
    """
    allowance_class = CLASSES.get(packed.type_url)
    if allowance_class is None:
        raise InvalidRequest(f"unknown allowance type {packed.type_url}")
    try:
        return allowance_class.FromString(packed.value)
    except DecodeError as error:
        raise InvalidRequest(f"{packed.type_url} does not parse") from error


def find_basic(allowance: Any) -> Any:
    """Find the `BasicAllowance` that any allowance is built on."""
    if isinstance(allowance, feegrant_pb2.AllowedMsgAllowance):
        return find_basic(open_allowance(allowance.allowance))
    if isinstance(allowance, feegrant_pb2.PeriodicAllowance):
        return allowance.basic
    return allowance


def get_expiry_ns(allowance: Any) -> int:
    """Get when an allowance is over, 0 for never."""
    basic = find_basic(allowance)
    return int(get_nanoseconds(basic.expiration)) if basic.HasField("expiration") else 0


def check_allowance(allowance: Any, now_ns: int, depth: int = 0) -> None:
    """Check a new allowance; that of a period is set to begin now.

    Raises: InvalidRequest, InvalidCoins, AllowedMessagesMissing, AllowanceExpired,
        DurationInvalid.
    """
    if isinstance(allowance, feegrant_pb2.AllowedMsgAllowance):
        ensure(depth == 0, InvalidRequest, "allowances of messages do not nest")
        messages = allowance.allowed_messages
        ensure(len(messages) > 0, AllowedMessagesMissing)
        ensure(len(messages) <= MAX_ALLOWED_MESSAGES, InvalidRequest, "too many messages")
        inner = open_allowance(allowance.allowance)
        check_allowance(inner, now_ns, depth + 1)
        allowance.allowance.CopyFrom(pack_any(inner))
        return
    basic = find_basic(allowance)
    parse_coins(basic.spend_limit, allow_empty=True)
    if basic.HasField("expiration"):
        is_later = get_nanoseconds(basic.expiration) > now_ns
        ensure(is_later, AllowanceExpired, "expiration is in the past")
        ensure(is_valid_time(basic.expiration), InvalidRequest, "expiration is too late")
    if isinstance(allowance, feegrant_pb2.PeriodicAllowance):
        is_period = is_valid_duration(allowance.period)
        ensure(is_period, DurationInvalid, "period must be positive and at most 100 years")
        parse_coins(allowance.period_spend_limit)
        del allowance.period_can_spend[:]
        allowance.period_can_spend.extend(allowance.period_spend_limit)
        reset_ns = now_ns + get_nanoseconds(allowance.period)
        allowance.period_reset.CopyFrom(build_timestamp(reset_ns))


def use_allowance(allowance: Any, fee: Coins, type_urls: Sequence[str], now_ns: int) -> bool:
    """Take a fee off an allowance, in place; returns whether it is used up.

    Raises: AllowanceExpired, FeeLimitExceeded, MessageNotAllowed.
    """
    if isinstance(allowance, feegrant_pb2.AllowedMsgAllowance):
        allowed = list(allowance.allowed_messages)
        for type_url in type_urls:
            ensure(type_url in allowed, MessageNotAllowed, type_url)
        inner = open_allowance(allowance.allowance)
        is_used_up = use_allowance(inner, fee, type_urls, now_ns)
        allowance.allowance.CopyFrom(pack_any(inner))
        return is_used_up
    expires_ns = get_expiry_ns(allowance)
    ensure(expires_ns == 0 or expires_ns > now_ns, AllowanceExpired)
    basic = find_basic(allowance)
    if isinstance(allowance, feegrant_pb2.PeriodicAllowance):
        begin_period(allowance, now_ns)
        take_coins(allowance.period_can_spend, fee, "period limit")
        if basic.spend_limit:
            take_coins(basic.spend_limit, fee, "absolute limit")
            return not basic.spend_limit
        return False
    if not basic.spend_limit:
        return False
    take_coins(basic.spend_limit, fee, "basic allowance")
    return not basic.spend_limit


def begin_period(allowance: Any, now_ns: int) -> None:
    """Fill the sum of a period when a new one has begun, never above the whole sum."""
    reset_ns = get_nanoseconds(allowance.period_reset)
    if now_ns < reset_ns:
        return
    limits = dict(parse_coins(allowance.basic.spend_limit, allow_empty=True))
    coins = []
    for denom, amount in parse_coins(allowance.period_spend_limit):
        if limits:
            amount = min(amount, limits.get(denom, 0))
        if amount:
            coins.append(build_coin(denom, amount))
    del allowance.period_can_spend[:]
    allowance.period_can_spend.extend(coins)
    period_ns = get_nanoseconds(allowance.period)
    missed = (now_ns - reset_ns) // period_ns
    allowance.period_reset.CopyFrom(build_timestamp(reset_ns + (missed + 1) * period_ns))


def take_coins(limit: Any, fee: Coins, what: str) -> None:
    """Take a fee off a list of coins, in place.

    Raises: FeeLimitExceeded.
    """
    left = dict(parse_coins(limit, allow_empty=True))
    for denom, amount in fee:
        ensure(amount <= left.get(denom, 0), FeeLimitExceeded, what)
        left[denom] -= amount
    del limit[:]
    limit.extend(build_coin(denom, amount) for denom, amount in sorted(left.items()) if amount)
