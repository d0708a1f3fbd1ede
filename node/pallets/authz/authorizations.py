"""What each kind of authorization allows.

| type                                        | allows                                            |
|---------------------------------------------|---------------------------------------------------|
| `cosmos.authz.v1beta1.GenericAuthorization` | one call, as often as wanted                      |
| `cosmos.bank.v1beta1.SendAuthorization`     | MsgSend up to a sum, perhaps to some accounts only |
| `descent.authz.v1.SessionAuthorization`     | several calls, taking so much from the account    |
"""

from __future__ import annotations

from typing import Any

from cosmos.authz.v1beta1 import authz_pb2
from cosmos.bank.v1beta1 import authz_pb2 as bank_authz_pb2
from google.protobuf.message import DecodeError

from node.pallets.authz.errors import (
    AuthorizationTypeUnknown,
    CallNotAllowed,
    SpendLimitExceeded,
)
from node.pallets.authz.types import MAX_CALLS, Dispatcher
from node.runtime.coins import build_coin, format_coins, parse_coins
from node.runtime.errors import InvalidRequest, ensure
from proto.descent.authz.v1 import authz_pb2 as own_pb2

GENERIC_URL = "/cosmos.authz.v1beta1.GenericAuthorization"
SEND_URL = "/cosmos.bank.v1beta1.SendAuthorization"
SESSION_URL = "/descent.authz.v1.SessionAuthorization"
CLASSES: dict[str, Any] = {
    GENERIC_URL: authz_pb2.GenericAuthorization,
    SEND_URL: bank_authz_pb2.SendAuthorization,
    SESSION_URL: own_pb2.SessionAuthorization,
}
MSG_SEND_URL = "/cosmos.bank.v1beta1.MsgSend"
AUTHZ_PREFIX = "/cosmos.authz.v1beta1."


def open_authorization(packed: Any) -> Any:
    """Decode an authorization.

    Raises: AuthorizationTypeUnknown, InvalidRequest.
    """
    authorization_class = CLASSES.get(packed.type_url)
    if authorization_class is None:
        raise AuthorizationTypeUnknown(packed.type_url)
    try:
        return authorization_class.FromString(packed.value)
    except DecodeError as error:
        raise InvalidRequest(f"{packed.type_url} does not parse") from error


def check_authorization(authorization: Any, url: str, dispatcher: Dispatcher) -> str:
    """Check a new authorization; returns the type URL its grant is kept under.

    Raises: UnknownRequest, CallNotAllowed, InvalidCoins, InvalidRequest.
    """
    if url == SEND_URL:
        parse_coins(authorization.spend_limit)
        return MSG_SEND_URL
    is_generic = url == GENERIC_URL
    calls = [authorization.msg] if is_generic else list(authorization.allowed_calls)
    ensure(0 < len(calls) <= MAX_CALLS, InvalidRequest, f"1 to {MAX_CALLS} calls")
    ensure(len(calls) == len(set(calls)), InvalidRequest, "a call is named twice")
    for type_url in calls:
        ensure(not type_url.startswith(AUTHZ_PREFIX), CallNotAllowed, type_url)
        dispatcher.get_call(type_url)
    return calls[0] if is_generic else SESSION_URL


def spend_send(authorization: Any, message: Any) -> Any | None:
    """Take a MsgSend off its authorization; returns what is left, None if nothing is.

    Raises: SpendLimitExceeded, CallNotAllowed.
    """
    allowed = list(authorization.allow_list)
    ensure(not allowed or message.to_address in allowed, CallNotAllowed, message.to_address)
    left = dict(parse_coins(authorization.spend_limit))
    for denom, amount in parse_coins(message.amount):
        text = f"{amount}{denom}, allowed are {format_coins(sorted(left.items()))}"
        ensure(amount <= left.get(denom, 0), SpendLimitExceeded, text)
        left[denom] -= amount
    coins = [build_coin(denom, amount) for denom, amount in sorted(left.items()) if amount]
    if not coins:
        return None
    return bank_authz_pb2.SendAuthorization(spend_limit=coins, allow_list=allowed)


def spend_session(authorization: Any, spent_udsc: int) -> Any:
    """Take what a call took from the account off its authorization.

    Raises: SpendLimitExceeded.
    """
    limit = authorization.spend_limit_udsc
    text = f"{spent_udsc}udsc, allowed are {limit}udsc"
    ensure(spent_udsc <= limit, SpendLimitExceeded, text)
    return own_pb2.SessionAuthorization(
        allowed_calls=authorization.allowed_calls, spend_limit_udsc=limit - max(spent_udsc, 0)
    )
