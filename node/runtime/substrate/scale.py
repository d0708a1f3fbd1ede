"""SCALE: Parity's compact binary encoding, as types that encode and decode strictly.

A `Type` turns a Python value into bytes and back. Some types only adapt another one to a value of
ours (an address as text, a protobuf message); `structure` is the type clients are told of.

Decoding takes untrusted bytes: lengths are checked against what is left before anything is
allocated, compact integers must be minimal, booleans 0 or 1, text UTF-8.

Source: https://docs.substrate.io/reference/scale-codec/, parity-scale-codec `src/codec.rs`.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import Any


class ScaleError(ValueError):
    """Bytes or a value do not fit a SCALE type."""


class Reader:
    """Bytes being decoded, and how far."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def take(self, size: int) -> bytes:
        """Read exactly `size` bytes.

        Raises: ScaleError.
        """
        if size > self.left:
            raise ScaleError(f"{size} bytes wanted, {self.left} left")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def finish(self) -> None:
        """Check that nothing is left.

        Raises: ScaleError.
        """
        if self.left:
            raise ScaleError(f"{self.left} bytes too many")


class Type:
    """A SCALE type."""

    @property
    def structure(self) -> Type:
        """The type clients are told of."""
        return self

    def encode(self, value: Any) -> bytes:
        """Encode a value.

        Raises: ScaleError.
        """
        raise NotImplementedError

    def decode(self, reader: Reader) -> Any:
        """Decode a value.

        Raises: ScaleError.
        """
        raise NotImplementedError

    def decode_all(self, data: bytes) -> Any:
        """Decode a value that fills `data`.

        Raises: ScaleError.
        """
        reader = Reader(data)
        value = self.decode(reader)
        reader.finish()
        return value


def encode_compact(value: int) -> bytes:
    """Encode a compact integer, 0 <= value < 2^536.

    Raises: ScaleError.
    """
    if value < 0:
        raise ScaleError(f"{value} is negative")
    if value < 1 << 6:
        return bytes((value << 2,))
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    raw = value.to_bytes((value.bit_length() + 7) // 8, "little")
    if len(raw) > 67:
        raise ScaleError("compact integer of more than 536 bits")
    return bytes((len(raw) - 4 << 2 | 3,)) + raw


def decode_compact(reader: Reader) -> int:
    """Decode a compact integer; a longer form than needed is refused.

    Raises: ScaleError.
    """
    first = reader.take(1)[0]
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        value = int.from_bytes(reader.take((first >> 2) + 4), "little")
        is_minimal = value >= 1 << 30 and value.bit_length() > 8 * ((first >> 2) + 3)
    else:
        size = 1 << mode
        value = int.from_bytes(bytes((first,)) + reader.take(size - 1), "little") >> 2
        is_minimal = value >= 1 << (6 if mode == 1 else 14)
    if not is_minimal:
        raise ScaleError("compact integer is not minimal")
    return value


def decode_length(reader: Reader, item_bytes: int = 1) -> int:
    """Decode the length of a sequence whose items take `item_bytes` or more each.

    Raises: ScaleError.
    """
    length = decode_compact(reader)
    if length * max(item_bytes, 1) > reader.left:
        raise ScaleError(f"{length} items announced, {reader.left} bytes left")
    return length


class Uint(Type):
    """Integer of fixed width, little endian."""

    def __init__(self, bits: int, signed: bool = False) -> None:
        self.bits = bits
        self.signed = signed
        self.name = f"{'i' if signed else 'u'}{bits}"

    def encode(self, value: Any) -> bytes:
        try:
            return int(value).to_bytes(self.bits // 8, "little", signed=self.signed)
        except (OverflowError, TypeError, ValueError) as error:
            raise ScaleError(f"{value!r} is no {self.name}") from error

    def decode(self, reader: Reader) -> int:
        return int.from_bytes(reader.take(self.bits // 8), "little", signed=self.signed)


class Bool(Type):
    """True or false."""

    name = "bool"

    def encode(self, value: Any) -> bytes:
        return b"\x01" if value else b"\x00"

    def decode(self, reader: Reader) -> bool:
        byte = reader.take(1)[0]
        if byte > 1:
            raise ScaleError(f"{byte} is no boolean")
        return byte == 1


class Text(Type):
    """UTF-8 text."""

    name = "str"

    def encode(self, value: Any) -> bytes:
        raw = str(value).encode()
        return encode_compact(len(raw)) + raw

    def decode(self, reader: Reader) -> str:
        raw = reader.take(decode_length(reader))
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ScaleError("text is not UTF-8") from error


class Compact(Type):
    """Compact form of an unsigned integer, or of the unit type."""

    def __init__(self, inner: Uint | TupleType) -> None:
        self.inner = inner

    def encode(self, value: Any) -> bytes:
        return encode_compact(value) if isinstance(self.inner, Uint) else b""

    def decode(self, reader: Reader) -> Any:
        if not isinstance(self.inner, Uint):
            return ()
        value = decode_compact(reader)
        if value >> self.inner.bits:
            raise ScaleError(f"compact integer does not fit {self.inner.name}")
        return value


class Sequence(Type):
    """Any number of items."""

    def __init__(self, item: Type) -> None:
        self.item = item

    def encode(self, value: Any) -> bytes:
        items = [self.item.encode(item) for item in value]
        return encode_compact(len(items)) + b"".join(items)

    def decode(self, reader: Reader) -> list[Any]:
        return [self.item.decode(reader) for _ in range(decode_length(reader))]


class Bytes(Type):
    """Bytes of any length: a sequence of u8."""

    def __init__(self) -> None:
        self._structure = Sequence(U8)

    @property
    def structure(self) -> Type:
        return self._structure

    def encode(self, value: Any) -> bytes:
        return encode_compact(len(value)) + bytes(value)

    def decode(self, reader: Reader) -> bytes:
        return reader.take(decode_length(reader))


class Array(Type):
    """Exactly `length` items."""

    def __init__(self, item: Type, length: int) -> None:
        self.item = item
        self.length = length

    def encode(self, value: Any) -> bytes:
        if len(value) != self.length:
            raise ScaleError(f"{len(value)} items, not {self.length}")
        return b"".join(self.item.encode(item) for item in value)

    def decode(self, reader: Reader) -> list[Any]:
        return [self.item.decode(reader) for _ in range(self.length)]


class FixedBytes(Type):
    """Exactly `length` bytes."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._structure = Array(U8, length)

    @property
    def structure(self) -> Type:
        return self._structure

    def encode(self, value: Any) -> bytes:
        if len(value) != self.length:
            raise ScaleError(f"{len(value)} bytes, not {self.length}")
        return bytes(value)

    def decode(self, reader: Reader) -> bytes:
        return reader.take(self.length)


class TupleType(Type):
    """Several values; of none, the unit type."""

    def __init__(self, *items: Type) -> None:
        self.items = items

    def encode(self, value: Any) -> bytes:
        pairs = zip(self.items, value, strict=True)
        return b"".join(item.encode(part) for item, part in pairs)

    def decode(self, reader: Reader) -> tuple[Any, ...]:
        return tuple(item.decode(reader) for item in self.items)


@dataclass(frozen=True)
class Field:
    """A field of a composite or of a variant; no name in tuple-like ones."""

    name: str
    type: Type
    type_name: str = ""
    doc: str = ""


class Composite(Type):
    """A struct. Values are dicts, or the bare value where the only field has no name."""

    def __init__(
        self,
        path: SequenceOf[str],
        fields: SequenceOf[Field],
        params: SequenceOf[tuple[str, Type]] = (),
        doc: str = "",
    ) -> None:
        self.path = tuple(path)
        self.fields = tuple(fields)
        self.params = tuple(params)
        self.doc = doc

    @property
    def is_wrapper(self) -> bool:
        """Whether there is one field, without a name."""
        return len(self.fields) == 1 and not self.fields[0].name

    def encode(self, value: Any) -> bytes:
        if self.is_wrapper:
            return self.fields[0].type.encode(value)
        return b"".join(item.type.encode(value[item.name]) for item in self.fields)

    def decode(self, reader: Reader) -> Any:
        if self.is_wrapper:
            return self.fields[0].type.decode(reader)
        return {item.name: item.type.decode(reader) for item in self.fields}


@dataclass(frozen=True)
class Case:
    """A case of a variant."""

    name: str
    index: int
    fields: tuple[Field, ...] = ()
    doc: str = ""


@dataclass
class Variant(Type):
    """An enum. Values are (case name, dict of fields, or tuple where they have no names).

    `cases` may be filled in after construction, so that a type can contain itself.
    """

    path: tuple[str, ...]
    cases: list[Case] = field(default_factory=list)
    params: tuple[tuple[str, Type], ...] = ()
    doc: str = ""

    def get_case(self, name: str) -> Case:
        """Get a case by name.

        Raises: ScaleError.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise ScaleError(f"{'::'.join(self.path)} has no case {name}")

    def encode(self, value: Any) -> bytes:
        name, values = value if isinstance(value, tuple) else (value, ())
        case = self.get_case(name)
        parts = [bytes((case.index,))]
        for position, item in enumerate(case.fields):
            parts.append(item.type.encode(values[item.name if item.name else position]))
        return b"".join(parts)

    def decode(self, reader: Reader) -> Any:
        index = reader.take(1)[0]
        for case in self.cases:
            if case.index == index:
                values = [item.type.decode(reader) for item in case.fields]
                if case.fields and case.fields[0].name:
                    names = [item.name for item in case.fields]
                    return case.name, dict(zip(names, values, strict=True))
                return case.name, tuple(values)
        raise ScaleError(f"{'::'.join(self.path)} has no case {index}")


class Option(Type):
    """A value or None."""

    def __init__(self, inner: Type) -> None:
        self.inner = inner
        cases = [Case("None", 0), Case("Some", 1, (Field("", inner),))]
        self._structure = Variant(("Option",), cases, (("T", inner),))

    @property
    def structure(self) -> Type:
        return self._structure

    def encode(self, value: Any) -> bytes:
        return b"\x00" if value is None else b"\x01" + self.inner.encode(value)

    def decode(self, reader: Reader) -> Any:
        byte = reader.take(1)[0]
        if byte > 1:
            raise ScaleError(f"{byte} is no option")
        return self.inner.decode(reader) if byte else None


U8, U16, U32, U64, U128 = (Uint(bits) for bits in (8, 16, 32, 64, 128))
I32, I64 = Uint(32, signed=True), Uint(64, signed=True)
BOOL = Bool()
TEXT = Text()
BYTES = Bytes()
UNIT = TupleType()
HASH = Composite(("primitive_types", "H256"), [Field("", FixedBytes(32), "[u8; 32]")])
