"""Protobuf messages as documents for `output.emit`: bytes as hex, enums as lower-case words."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from chain_client.amounts import BASE_DENOM


def to_document(message: Any) -> dict[str, Any]:
    """Return every field by its proto name; absent sub-messages are None.

    A `Coin` of udsc becomes its amount; keys that hold one gain the suffix `_udsc`.
    """
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.name == "Coin":
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
        return to_document(value)
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    return value


def _amount(coin: Any) -> int | str:
    return int(coin.amount or 0) if coin.denom in (BASE_DENOM, "") else f"{coin.amount}{coin.denom}"
