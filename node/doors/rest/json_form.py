"""Messages as JSON and back, in the form that clients of the SDK's REST expect.

Names as in the `.proto`; 64-bit integers as strings; enums by name; bytes in base64; times in
RFC 3339, durations in seconds with an `s`; fixed-point numbers with a point; `Any` with `@type` and
the fields of what it holds. Every field is there: unset messages and bytes are null (messages are
empty where the descriptor says that Go has no null for them); unset members of a oneof are not.

    FormError      the JSON is not this message

Source: gogoproto jsonpb with EmitDefaults and OrigName, as Cosmos SDK v0.53 server/api sets it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Any

from gogoproto import gogo_pb2
from google.protobuf import descriptor_pool, json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

import proto  # noqa: F401  (puts gogoproto on the path)
from node.doors.rest.decimals import (
    DecimalError,
    format_decimal,
    get_custom_type,
    is_decimal,
    is_integer,
    parse_decimal,
)

Json = Any
MAX_DEPTH = 100
"""Messages within messages, those in `Any` counted: beyond, an `Any` is shown as its bytes."""
TIME_ZERO = "0001-01-01T00:00:00Z"
ANY, TIMESTAMP, DURATION = (f"google.protobuf.{name}" for name in ("Any", "Timestamp", "Duration"))

_TEXT_INTEGERS = {
    Field.TYPE_INT64,
    Field.TYPE_UINT64,
    Field.TYPE_SINT64,
    Field.TYPE_FIXED64,
    Field.TYPE_SFIXED64,
}
_PLAIN = {
    Field.TYPE_INT32,
    Field.TYPE_UINT32,
    Field.TYPE_SINT32,
    Field.TYPE_FIXED32,
    Field.TYPE_SFIXED32,
    Field.TYPE_BOOL,
}
Formatter = Callable[[Any, int], Json]


class FormError(ValueError):
    """The JSON is not this message; the text says where."""


# Messages to JSON


def format_message(message: Any, depth: int = 0) -> Json:
    """Format a message; `depth` counts the messages around it."""
    name = message.DESCRIPTOR.full_name
    if name == ANY:
        return format_any(message, depth)
    if name in (TIMESTAMP, DURATION):
        return format_time(message)
    built: dict[str, Json] = {}
    for field, format_value in plan_message(message.DESCRIPTOR):
        if field.message_type is None or is_repeated(field):
            if field.containing_oneof is None or message.HasField(field.name):
                built[field.name] = format_value(getattr(message, field.name), depth + 1)
        elif message.HasField(field.name):
            built[field.name] = format_value(getattr(message, field.name), depth + 1)
        elif field.containing_oneof is None:
            built[field.name] = format_unset(field, depth + 1)
    return built


def is_repeated(field: Any) -> bool:
    """Tell whether a field descriptor is of a list or a map."""
    return bool(field.label == Field.LABEL_REPEATED)


@cache
def plan_message(descriptor: Any) -> list[tuple[Any, Formatter]]:
    """Plan how to format a message: its fields, each with a function of value and depth."""
    return [(field, plan_field(field)) for field in descriptor.fields]


def plan_field(field: Any) -> Formatter:
    """Plan how to format the value of a field."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        item = plan_value(field.message_type.fields_by_name["value"])
        return lambda value, depth: {
            format_key(key): item(value[key], depth) for key in sorted(value)
        }
    one = plan_value(field)
    if is_repeated(field):
        return lambda value, depth: [one(item, depth) for item in value]
    return one


def plan_value(field: Any) -> Formatter:
    """Plan how to format one value of a field's type."""
    kind = field.type
    if kind == Field.TYPE_MESSAGE:
        return format_message
    if is_decimal(field):
        return lambda value, depth: format_decimal(read_text(value))
    if is_integer(field):
        return lambda value, depth: read_text(value) or "0"
    if kind in _PLAIN:
        return lambda value, depth: value
    if kind in _TEXT_INTEGERS:
        return lambda value, depth: str(value)
    if kind == Field.TYPE_BYTES:
        return format_bytes if is_repeated(field) else lambda v, depth: format_bytes(v) or None
    if kind == Field.TYPE_ENUM:
        names = {number: item.name for number, item in field.enum_type.values_by_number.items()}
        return lambda value, depth: names.get(value, value)
    return lambda value, depth: value if isinstance(value, str) else str(value)


def format_bytes(value: bytes, depth: int = 0) -> str:
    """Format bytes in base64."""
    return base64.b64encode(value).decode()


def read_text(value: str | bytes) -> str:
    """Read the text of a number, which some fields hold as bytes."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def format_key(key: Any) -> str:
    """Format the key of a map entry."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def format_unset(field: Any, depth: int) -> Json:
    """Format a message that is not set: null, or its zero where Go holds it by value."""
    options = field.GetOptions()
    if options.Extensions[gogo_pb2.nullable] or not options.HasExtension(gogo_pb2.nullable):
        return None
    name = field.message_type.full_name
    if name == TIMESTAMP:
        return TIME_ZERO
    if name == DURATION:
        return "0s"
    return (
        None if depth > MAX_DEPTH else format_message(GetMessageClass(field.message_type)(), depth)
    )


def format_time(message: Any) -> str:
    """Format a timestamp or a duration; one out of range as Go's zero."""
    try:
        text: str = message.ToJsonString()
    except ValueError:
        return TIME_ZERO if message.DESCRIPTOR.full_name == TIMESTAMP else "0s"
    return text


def format_any(message: Any, depth: int) -> Json:
    """Format an `Any` by its type; one of a type nobody knows, or that does not parse, by bytes."""
    url = message.type_url
    raw = {"@type": url, "value": base64.b64encode(message.value).decode()}
    inner_class = find_class(url)
    if inner_class is None:
        return None if not url and not message.value else raw
    if depth > MAX_DEPTH:
        return raw
    try:
        inner = inner_class.FromString(message.value)
    except DecodeError:
        return raw
    built = format_message(inner, depth + 1)
    if isinstance(built, dict) and inner_class is not AnyMessage:
        return {"@type": url, **built}
    return {"@type": url, "value": built}


def find_class(url: str) -> Any:
    """Find the message class a type URL names; None for one that no loaded descriptor has."""
    name = url.rpartition("/")[2]
    try:
        return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
    except KeyError:
        return None


# JSON to messages


def parse_message(document: Json, message_class: Any) -> Any:
    """Parse a JSON value into a message.

    Raises:
        FormError: unknown fields, values of other types, numbers out of range, too deep.
    """
    if not isinstance(document, dict):
        raise FormError("expected a JSON object")
    prepared = prepare(document, message_class.DESCRIPTOR, 0)
    try:
        return json_format.ParseDict(prepared, message_class(), max_recursion_depth=MAX_DEPTH)
    except json_format.ParseError as error:
        raise FormError(str(error)) from None
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        # ParseDict lets these through for some values of the wrong shape within `Any`.
        raise FormError(f"{type(error).__name__}: {error}") from None


def prepare(document: Json, descriptor: Any, depth: int) -> Json:
    """Turn numbers with a point into what the wire has; the rest stays.

    Raises:
        FormError: not such a number, no object where one belongs, an unknown type in an
            `Any`, or too deep.
    """
    if depth > MAX_DEPTH:
        raise FormError(f"messages nested deeper than {MAX_DEPTH}")
    if not isinstance(document, dict):
        if document is not None and not descriptor.full_name.startswith("google.protobuf."):
            raise FormError(f"expected an object of {descriptor.full_name}")
        return document
    if descriptor.full_name == ANY:
        inner_class = find_class(str(document.get("@type", "")))
        if inner_class is None:
            raise FormError(f"unknown type {str(document.get('@type'))[:80]!r}")
        return prepare(document, inner_class.DESCRIPTOR, depth + 1)
    built = {}
    for key, value in document.items():
        field = descriptor.fields_by_name.get(key) or descriptor.fields_by_camelcase_name.get(key)
        built[key] = value if field is None else prepare_value(value, field, depth + 1)
    return built


def prepare_value(value: Json, field: Any, depth: int) -> Json:
    """Prepare the value of a field; raises FormError as `prepare`."""
    if isinstance(value, list) and is_repeated(field):
        return [prepare_value(item, field, depth) for item in value]
    if field.message_type is not None:
        is_map = field.message_type.GetOptions().map_entry
        return value if is_map else prepare(value, field.message_type, depth)
    if not isinstance(value, str) or not get_custom_type(field):
        return value
    text = value
    if is_decimal(field):
        try:
            text = parse_decimal(value)
        except DecimalError as error:
            raise FormError(f"{field.name}: {error}") from None
    if field.type == Field.TYPE_BYTES and (is_decimal(field) or is_integer(field)):
        return base64.b64encode(text.encode()).decode()
    return text


def decode_base64(text: str) -> bytes:
    """Decode base64 with padding, of either alphabet.

    Raises:
        FormError: it is none.
    """
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise FormError(f"{text[:40]!r} is not base64") from None
