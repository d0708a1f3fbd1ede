"""SCALE types of protobuf messages, made from their descriptors.

| protobuf                                    | SCALE                                           |
|---------------------------------------------|-------------------------------------------------|
| message                                     | composite, fields by number                     |
| field with presence, member of a `oneof`    | `Option`                                        |
| `repeated`, map                             | vector; of pairs, sorted by key                 |
| integers, `bool`, `bytes`                   | integers of the same width, `bool`, `Vec<u8>`   |
| enum                                        | variant of the same numbers                     |
| `string`                                    | text                                            |
| `string` marked `cosmos.AddressString`      | `AccountId32`                                   |
| `string` marked `cosmos.Int`                | `u128`                                          |

Marks are the option `cosmos_proto.scalar` of the field.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cosmos_proto import cosmos_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from node.runtime.substrate.accounts import AddressText
from node.runtime.substrate.scale import (
    BOOL,
    BYTES,
    I32,
    I64,
    TEXT,
    U32,
    U64,
    U128,
    Case,
    Composite,
    Field,
    Option,
    Reader,
    ScaleError,
    Sequence,
    TupleType,
    Type,
    Variant,
)

ADDRESS_MARK, OPERATOR_MARK, AMOUNT_MARK = (
    "cosmos.AddressString",
    "cosmos.ValidatorAddressString",
    "cosmos.Int",
)
PRIMITIVES: dict[int, Type] = {
    FieldDescriptor.TYPE_BOOL: BOOL,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_INT32: I32,
    FieldDescriptor.TYPE_SINT32: I32,
    FieldDescriptor.TYPE_SFIXED32: I32,
    FieldDescriptor.TYPE_INT64: I64,
    FieldDescriptor.TYPE_SINT64: I64,
    FieldDescriptor.TYPE_SFIXED64: I64,
    FieldDescriptor.TYPE_UINT32: U32,
    FieldDescriptor.TYPE_FIXED32: U32,
    FieldDescriptor.TYPE_UINT64: U64,
    FieldDescriptor.TYPE_FIXED64: U64,
}


class AmountText(Type):
    """A non-negative integer that a message holds as decimal text."""

    @property
    def structure(self) -> Type:
        return U128

    def encode(self, value: str) -> bytes:
        if value and not (value.isascii() and value.isdigit()):
            raise ScaleError(f"{value!r} is no amount")
        return U128.encode(int(value or "0"))

    def decode(self, reader: Reader) -> str:
        return str(U128.decode(reader))


class EnumNumber(Type):
    """A protobuf enum; the value is its number."""

    def __init__(self, descriptor: EnumDescriptor) -> None:
        self._numbers = {value.number: value.name for value in descriptor.values}
        if not all(0 <= number < 256 for number in self._numbers):
            raise ScaleError(f"{descriptor.full_name} has numbers outside 0..255")
        cases = [Case(name, number) for number, name in sorted(self._numbers.items())]
        self._structure = Variant(tuple(descriptor.full_name.split(".")), cases)

    @property
    def structure(self) -> Type:
        return self._structure

    def encode(self, value: int) -> bytes:
        if value not in self._numbers:
            raise ScaleError(f"{value} is no {'.'.join(self._structure.path)}")
        return bytes((value,))

    def decode(self, reader: Reader) -> int:
        number = reader.take(1)[0]
        if number not in self._numbers:
            raise ScaleError(f"{number} is no {'.'.join(self._structure.path)}")
        return number


class MapEntries(Type):
    """A protobuf map of plain values, as sorted pairs."""

    def __init__(self, key: Type, value: Type) -> None:
        self._structure = Sequence(TupleType(key, value))

    @property
    def structure(self) -> Type:
        return self._structure

    def encode(self, value: Any) -> bytes:
        return self._structure.encode(sorted(value.items()))

    def decode(self, reader: Reader) -> dict[Any, Any]:
        return dict(self._structure.decode(reader))


class MessageType(Type):
    """A protobuf message; the value is the message. `without` names fields left out,
    as are deprecated ones.
    """

    def __init__(self, descriptor: Descriptor, without: tuple[str, ...] = ()) -> None:
        self._class = GetMessageClass(descriptor)
        self.fields: list[tuple[FieldDescriptor, Type]] = [
            (item, build_field_type(item))
            for item in sorted(descriptor.fields, key=lambda item: item.number)
            if item.name not in without and not item.GetOptions().deprecated
        ]
        self._structure = Composite(
            descriptor.full_name.split("."),
            [Field(item.name, made) for item, made in self.fields],
        )

    @property
    def structure(self) -> Composite:
        return self._structure

    def encode(self, value: Any) -> bytes:
        parts = []
        for item, made in self.fields:
            is_absent = isinstance(made, Option) and not value.HasField(item.name)
            parts.append(made.encode(None if is_absent else getattr(value, item.name)))
        return b"".join(parts)

    def decode(self, reader: Reader) -> Any:
        message = self._class()
        for item, made in self.fields:
            self._put(message, item, made.decode(reader))
        return message

    def _put(self, message: Any, item: FieldDescriptor, value: Any) -> None:
        if isinstance(value, dict):
            getattr(message, item.name).update(value)
        elif isinstance(value, list):
            getattr(message, item.name).extend(value)
        elif value is not None:
            oneof = item.containing_oneof
            if oneof is not None and message.WhichOneof(oneof.name):
                raise ScaleError(f"more than one of {oneof.full_name}")
            if item.message_type is None:
                setattr(message, item.name, value)
            else:
                part = getattr(message, item.name)
                part.SetInParent()
                part.MergeFrom(value)


@cache
def build_message_type(descriptor: Descriptor) -> MessageType:
    """Build the type of a message.

    Raises: ScaleError, for a message that contains itself or a float.
    """
    return MessageType(descriptor)


@cache
def build_enum_type(descriptor: EnumDescriptor) -> EnumNumber:
    """Build the type of an enum."""
    return EnumNumber(descriptor)


def get_mark(item: FieldDescriptor) -> str:
    """Get what a text field says it holds."""
    mark: str = item.GetOptions().Extensions[cosmos_pb2.scalar]
    return mark


def build_value_type(item: FieldDescriptor) -> Type:
    """Build the type of one value of a field."""
    if item.type == FieldDescriptor.TYPE_MESSAGE:
        return build_message_type(item.message_type)
    if item.type == FieldDescriptor.TYPE_ENUM:
        return build_enum_type(item.enum_type)
    if item.type == FieldDescriptor.TYPE_STRING:
        mark = get_mark(item)
        if mark in (ADDRESS_MARK, OPERATOR_MARK):
            return AddressText(is_operator=mark == OPERATOR_MARK)
        return AmountText() if mark == AMOUNT_MARK else TEXT
    if item.type not in PRIMITIVES:
        raise ScaleError(f"{item.full_name} has a type SCALE has not")
    return PRIMITIVES[item.type]


def build_field_type(item: FieldDescriptor) -> Type:
    """Build the type of a field as the table above says."""
    if item.label == FieldDescriptor.LABEL_REPEATED:
        if item.message_type is not None and item.message_type.GetOptions().map_entry:
            names = item.message_type.fields_by_name
            return MapEntries(build_value_type(names["key"]), build_value_type(names["value"]))
        return Sequence(build_value_type(item))
    made = build_value_type(item)
    return Option(made) if item.has_presence else made
