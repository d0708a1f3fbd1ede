"""Protobuf messages as documents for `output.emit`: bytes as hex, enums as lower-case words.

Cosmos messages hold amounts and fractions as bare text; here both have what they are in their name
or their form: `tokens_udsc`, 0.05.
"""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from chain_client.amounts import BASE_DENOM
from cli.params import find_message_class, format_fraction

COSMOS_PREFIX = "cosmos."
AMOUNT_FIELDS = {"tokens", "bonded_tokens", "not_bonded_tokens", "balance", "initial_balance"}
"""Of Cosmos messages: whole udsc as text."""

SCALED_FIELDS = {
    *("rate", "max_rate", "max_change_rate", "fraction", "inflation", "annual_provisions"),
    *("delegator_shares", "shares", "shares_dst"),
}
"""Of Cosmos messages: numbers scaled by 10^18, as text or as bytes of text."""


def to_document(message: Any) -> dict[str, Any]:
    """Return every field by its proto name; absent sub-messages are None.

    A `Coin` of udsc becomes its amount; keys that hold one gain the suffix `_udsc`. Times and
    durations are text; what is packed in an `Any` is opened.
    """
    document: dict[str, Any] = {}
    is_cosmos = message.DESCRIPTOR.full_name.startswith(COSMOS_PREFIX)
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_cosmos and field.message_type is None and field.name in AMOUNT_FIELDS:
            document[f"{field.name}_udsc"] = int(value or 0)
        elif is_cosmos and field.message_type is None and field.name in SCALED_FIELDS:
            document[field.name] = format_fraction(int(value or 0))
        elif field.message_type is not None and field.message_type.name == "DecCoin":
            document[f"{field.name}_udsc"] = format_fraction(sum(int(c.amount) for c in value))
        elif field.message_type is not None and field.message_type.name == "Coin":
            document[f"{field.name}_udsc"] = (
                [_amount(coin) for coin in value] if _is_repeated(field) else _amount(value)
            )
        elif _is_repeated(field):
            document[field.name] = [_to_value(field, item) for item in value]
        elif field.message_type is not None and not message.HasField(field.name):
            document[field.name] = None
        else:
            document[field.name] = _to_value(field, value)
    return document


def enum_word(descriptor: Any, number: int) -> str:
    """Return `training` for `RUN_STATUS_TRAINING`, the number itself when it is unknown."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = "".join("_" + c if c.isupper() else c for c in descriptor.name).upper().strip("_")
    return str(value.name).removeprefix(prefix + "_").lower()


def _is_repeated(field: Any) -> bool:
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


def _to_value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name in (
            "google.protobuf.Timestamp",
            "google.protobuf.Duration",
        ):
            return value.ToJsonString()
        if field.message_type.full_name == "google.protobuf.Any":
            return _open_any(value)
        return to_document(value)
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    return value


def _open_any(packed: Any) -> dict[str, Any]:
    """Return what is packed, with its type; only the type where this program does not know it."""
    message_class = find_message_class(packed.type_url)
    if message_class is None:
        return {"type": packed.type_url}
    return {"type": packed.type_url, **to_document(message_class.FromString(packed.value))}


def _amount(coin: Any) -> int | str:
    return int(coin.amount or 0) if coin.denom in (BASE_DENOM, "") else f"{coin.amount}{coin.denom}"
