"""Parameters of pallets as people read and change them.

A pallet's `Query/Params` is asked for what is, its `MsgUpdateParams` proposes what shall be. On the
wire fractions come as integers scaled by 10^18, as text or as bytes; here they are decimal text.
"""

from importlib import import_module
from typing import Any

from chain_client.amounts import parse_amount
from chain_client.errors import InvalidInput

# pallet -> module of its queries, module of its messages
PACKAGES: dict[str, tuple[str, str]] = {
    **{
        pallet: (f"cosmos.{name}.query_pb2", f"cosmos.{name}.tx_pb2")
        for pallet, name in {
            "accounts": "auth.v1beta1",
            "bank": "bank.v1beta1",
            "consensus": "consensus.v1",
            "distribution": "distribution.v1beta1",
            "gov": "gov.v1",
            "slashing": "slashing.v1beta1",
            "staking": "staking.v1beta1",
        }.items()
    },
    **{
        pallet: (f"proto.descent.{pallet}.v1.{pallet}_pb2",) * 2
        for pallet in ("mint", "runs", "weights")
    },
}
SCALED_TEXT = {("staking", "min_commission_rate"), ("distribution", "community_tax")}
DECIMALS = 18
OTHER_MODULES = (
    "cosmos.auth.v1beta1.auth_pb2",
    "cosmos.authz.v1beta1.authz_pb2",
    "cosmos.bank.v1beta1.authz_pb2",
    "cosmos.crypto.ed25519.keys_pb2",
    "cosmos.crypto.secp256k1.keys_pb2",
    "cosmos.evidence.v1beta1.evidence_pb2",
    "cosmos.feegrant.v1beta1.feegrant_pb2",
    "cosmos.upgrade.v1beta1.tx_pb2",
    "proto.descent.authz.v1.authz_pb2",
)


async def fetch_params(client: Any, pallet: str) -> Any:
    """Return the parameters' message.

    Raises:
        InvalidInput: no such pallet.
    """
    if pallet not in PACKAGES:
        raise InvalidInput(f"{pallet!r} has no parameters: one of {', '.join(sorted(PACKAGES))}")
    module = import_module(PACKAGES[pallet][0])
    path = f"/{module.DESCRIPTOR.package}.Query/Params"
    request = module.QueryParamsRequest()
    return (await client.query(path, request, module.QueryParamsResponse)).params


def make_update(pallet: str, authority: str, params: Any) -> Any:
    """Return the `MsgUpdateParams` of a pallet."""
    module = import_module(PACKAGES[pallet][1])
    if pallet == "consensus":
        parts = {name: getattr(params, name) for name in ("block", "evidence", "validator")}
        return module.MsgUpdateParams(authority=authority, **parts)
    return module.MsgUpdateParams(authority=authority, params=params)


def find_message_class(type_url: str) -> Any | None:
    """Return the class of a message in a proposal or grant, None when it is not known here."""
    from google.protobuf import descriptor_pool, message_factory

    for module in (*(tx for _, tx in PACKAGES.values()), *OTHER_MODULES):
        import_module(module)
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(type_url.removeprefix("/"))
    except KeyError:
        return None
    return message_factory.GetMessageClass(found)


def read_params(pallet: str, params: Any) -> dict[str, Any]:
    """Return parameters as a document."""
    return {
        field.name: _read(pallet, field, getattr(params, field.name))
        for field in params.DESCRIPTOR.fields
    }


def set_param(pallet: str, params: Any, name: str, text: str) -> None:
    """Set one parameter from what a person typed: 60s, 0.5, 10DSC, true, 100.

    Raises:
        InvalidInput: no such parameter, or not a value of it.
    """
    from google.protobuf import json_format

    field = params.DESCRIPTOR.fields_by_name.get(name.split(".")[0])
    if field is not None and "." in name and _is_group(field):
        part, _, rest = name.partition(".")
        set_param(pallet, getattr(params, part), rest, text)
        return
    if field is None or "." in name or _is_group(field):
        names = ", ".join(f.name for f in params.DESCRIPTOR.fields)
        raise InvalidInput(f"{pallet} has no parameter {name!r}: one of {names}")
    if field.message_type is not None and field.message_type.name == "Coin":
        params.ClearField(name)
        getattr(params, name).add(denom="udsc", amount=str(parse_amount(text)))
        return
    if field.type == field.TYPE_BYTES:
        setattr(params, name, _scale(text).encode())
        return
    value: Any = _scale(text) if (pallet, name) in SCALED_TEXT else text
    if field.type == field.TYPE_BOOL:
        if text not in ("true", "false"):
            raise InvalidInput(f"{name}: {text!r} is neither true nor false")
        value = text == "true"
    params.ClearField(name)
    try:
        json_format.ParseDict({name: value}, params)
    except json_format.ParseError as error:
        raise InvalidInput(f"{name}: {text!r} is not a value of it: {error}") from None


def format_fraction(scaled: int) -> str:
    """Return a fraction scaled by 10^18 as decimal text without trailing zeros."""
    whole, rest = divmod(scaled, 10**DECIMALS)
    decimals = f"{rest:0{DECIMALS}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def parse_fraction(text: str) -> int:
    """Return a fraction such as 0.05 or 5% scaled by 10^18.

    Raises:
        InvalidInput: not a decimal number.
    """
    from decimal import Decimal, InvalidOperation

    try:
        number = Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        scaled = number.scaleb(DECIMALS)
    except InvalidOperation:
        raise InvalidInput(f"{text!r} is not a fraction: 0.05 or 5%") from None
    if not scaled.is_finite() or scaled != int(scaled) or scaled < 0:
        raise InvalidInput(f"{text!r} is not a fraction with at most {DECIMALS} decimals")
    return int(scaled)


def _is_group(field: Any) -> bool:
    """Whether a field holds parameters of its own: not a coin, duration or time."""
    kind = field.message_type
    is_one = kind is not None and field.label != field.LABEL_REPEATED
    return is_one and kind.name not in ("Coin", "Duration", "Timestamp")


def _scale(text: str) -> str:
    return str(parse_fraction(text))


def _read(pallet: str, field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.name == "Coin":
        return [int(coin.amount) for coin in value]
    if field.message_type is not None and field.label != field.LABEL_REPEATED:
        return read_params(pallet, value) if _is_group(field) else value.ToJsonString()
    if field.label == field.LABEL_REPEATED:
        return [str(item).strip() for item in value]
    if isinstance(value, bytes):
        return format_fraction(int(value or b"0"))
    if (pallet, field.name) in SCALED_TEXT:
        return format_fraction(int(value or "0"))
    return value
