"""Texts of a path or a query string into fields of a request message.

Names are those of the `.proto` or their camel-case form, with points into messages
(`pagination.limit`). A name that the message does not have is passed over, as grpc-gateway does: a
cache-buster must not break a call. Source: grpc-gateway v1 runtime/query.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field

from node.doors.rest.decimals import DecimalError, is_decimal, parse_decimal
from node.doors.rest.json_form import FormError, decode_base64, is_repeated

MAX_DEPTH = 8
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_BOUNDS = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class ParameterError(ValueError):
    """A parameter whose text does not fit its field; the text names both."""


def find_field(descriptor: Any, name: str) -> Any:
    """Find a field by either form of its name, None if there is none."""
    return descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)


def set_parameter(message: Any, name: str, texts: Sequence[str]) -> None:
    """Set a field from the texts given for it; lists take all, other fields the first.

    Args:
        name: of the field, with points into messages.
        texts: at least one.
    Raises:
        ParameterError: a text that does not fit.
    """
    *parents, last = name.split(".")
    if len(parents) > MAX_DEPTH:
        return
    for part in parents:
        field = find_field(message.DESCRIPTOR, part)
        if field is None or field.message_type is None or is_repeated(field):
            return
        message = getattr(message, field.name)
    field = find_field(message.DESCRIPTOR, last)
    if field is None:
        return
    if field.message_type is not None:
        raise ParameterError(f"{name}: a message cannot be given in a query string")
    if is_repeated(field):
        getattr(message, field.name).extend(parse_text(field, name, text) for text in texts)
    else:
        setattr(message, field.name, parse_text(field, name, texts[0]))


def parse_text(field: Any, name: str, text: str) -> Any:
    """Parse the text of one value.

    Raises:
        ParameterError: it does not fit the field's type.
    """
    try:
        return _parse_text(field, text)
    except (FormError, DecimalError, ValueError) as error:
        raise ParameterError(f"type mismatch, parameter: {name}, error: {error}") from None


def _parse_text(field: Any, text: str) -> Any:
    if is_decimal(field):
        text = parse_decimal(text)
        return text.encode() if field.type == Field.TYPE_BYTES else text
    if field.type == Field.TYPE_BYTES:
        return decode_base64(text)
    if field.type == Field.TYPE_STRING:
        return text
    if field.type == Field.TYPE_BOOL:
        if text not in _TRUE | _FALSE:
            raise ValueError(f"{text[:40]!r} is neither true nor false")
        return text in _TRUE
    if field.type == Field.TYPE_ENUM:
        return parse_enum(field.enum_type, text)
    return parse_integer(text, *_BOUNDS[field.cpp_type])


def parse_enum(enum: Any, text: str) -> int:
    """Parse the name or the number of an enum value.

    Raises:
        ValueError: it has none such.
    """
    value = enum.values_by_name.get(text)
    if value is not None:
        return int(value.number)
    number = parse_integer(text, *_BOUNDS[Field.CPPTYPE_INT32])
    if number not in enum.values_by_number:
        raise ValueError(f"{number} is no value of {enum.full_name}")
    return number


def parse_integer(text: str, low: int, high: int) -> int:
    """Parse a whole number within bounds.

    Raises:
        ValueError: it is none, or out of them.
    """
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{number} is not between {low} and {high}")
    return number
