"""Codecs of storage keys and values.

A key codec preserves order: bytes compare as the decoded values do. Composite keys concatenate the
"part" form of every component but the last, so a prefix of a composite key is a byte prefix too.
JSON forms are what genesis files hold.
"""

from __future__ import annotations

import base64
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf import json_format

from node.runtime.addresses import decode_account, encode_account

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
ADDRESS_MAX_BYTES = 255
LENGTH_BYTES = [bytes((length,)) for length in range(ADDRESS_MAX_BYTES + 1)]


class CodecError(ValueError):
    """Stored or imported bytes do not decode: corruption, or a genesis file with a bad value."""


class KeyCodec(Protocol[T]):
    """Order-preserving key encoding; `*_part` is the self-delimiting form used inside a tuple."""

    def encode(self, value: T) -> bytes: ...
    def encode_part(self, value: T) -> bytes: ...
    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[T, int]: ...
    def to_json(self, value: T) -> Any: ...
    def from_json(self, obj: Any) -> T: ...


class ValueCodec(Protocol[T]):
    """Deterministic value encoding."""

    def encode(self, value: T) -> bytes: ...
    def decode(self, data: bytes) -> T: ...
    def to_json(self, value: T) -> Any: ...
    def from_json(self, obj: Any) -> T: ...


class UintCodec:
    """Unsigned big-endian integer of fixed width; works as key and as value."""

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, value: int) -> bytes:
        return value.to_bytes(self.width, "big")

    encode_part = encode

    def decode(self, data: bytes) -> int:
        if len(data) != self.width:
            raise CodecError(f"expected {self.width} bytes, got {len(data)}")
        return int.from_bytes(data, "big")

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[int, int]:
        end = offset + self.width
        return self.decode(data[offset:end]), end

    def to_json(self, value: int) -> str:
        return str(value)

    def from_json(self, obj: Any) -> int:
        value = int(obj)
        if value < 0 or value >> (8 * self.width):
            raise CodecError(f"{value} is not an unsigned integer of {8 * self.width} bits")
        return value


class FixedBytesCodec:
    """Exactly `width` bytes, such as a SHA-256 hash; lower-case hex in JSON."""

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.width:
            raise CodecError(f"expected {self.width} bytes, got {len(value)}")
        return value

    encode_part = encode
    decode = encode

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[bytes, int]:
        end = offset + self.width
        return self.encode(data[offset:end]), end

    def to_json(self, value: bytes) -> str:
        return value.hex()

    def from_json(self, obj: Any) -> bytes:
        return self.encode(bytes.fromhex(obj))


class BytesCodec:
    """Bytes of any length. Inside a tuple 0x00 is escaped as 0x00 0xff and 0x00 0x00 ends it."""

    def encode(self, value: bytes) -> bytes:
        return value

    decode = encode

    def encode_part(self, value: bytes) -> bytes:
        return value.replace(b"\x00", b"\x00\xff") + b"\x00\x00"

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[bytes, int]:
        if is_last:
            return data[offset:], len(data)
        end = data.find(b"\x00\x00", offset)
        if end < 0:
            raise CodecError("key part without terminator")
        return data[offset:end].replace(b"\x00\xff", b"\x00"), end + 2

    def to_json(self, value: bytes) -> str:
        return base64.b64encode(value).decode()

    def from_json(self, obj: Any) -> bytes:
        return base64.b64decode(obj, validate=True)


class TextCodec:
    """UTF-8 text; as `BytesCodec`, but text in JSON."""

    def __init__(self) -> None:
        self._bytes = BytesCodec()

    def encode(self, value: str) -> bytes:
        return value.encode()

    def decode(self, data: bytes) -> str:
        return data.decode()

    def encode_part(self, value: str) -> bytes:
        return self._bytes.encode_part(value.encode())

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[str, int]:
        raw, end = self._bytes.decode_part(data, offset, is_last)
        return raw.decode(), end

    def to_json(self, value: str) -> str:
        return value

    def from_json(self, obj: Any) -> str:
        if not isinstance(obj, str):
            raise CodecError(f"expected text, got {obj!r}")
        return obj


class AddressCodec:
    """Account address bytes behind one length byte (Cosmos key layout); bech32 in JSON."""

    def encode(self, value: bytes) -> bytes:
        if not 0 < len(value) <= ADDRESS_MAX_BYTES:
            raise CodecError(f"address of {len(value)} bytes")
        return LENGTH_BYTES[len(value)] + value

    encode_part = encode

    def decode(self, data: bytes) -> bytes:
        return self.decode_part(data, 0, True)[0]

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[bytes, int]:
        end = offset + 1 + data[offset]
        if len(data) < end:
            raise CodecError("truncated address")
        return data[offset + 1 : end], end

    def to_json(self, value: bytes) -> str:
        return encode_account(value)

    def from_json(self, obj: Any) -> bytes:
        return decode_account(obj)


class UnitCodec:
    """The empty key of an `Item`."""

    def encode(self, value: tuple[()]) -> bytes:
        return b""

    encode_part = encode

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[tuple[()], int]:
        return (), offset

    def to_json(self, value: tuple[()]) -> Any:
        return []

    def from_json(self, obj: Any) -> tuple[()]:
        return ()


class TupleCodec:
    """Composite key; build it with `pair` or `triple`, which carry the types."""

    def __init__(self, *parts: KeyCodec[Any]) -> None:
        self.parts = parts

    def encode(self, value: tuple[Any, ...]) -> bytes:
        *init, last = self.parts
        head = b"".join(part.encode_part(v) for part, v in zip(init, value, strict=False))
        return head + last.encode(value[-1])

    def encode_part(self, value: tuple[Any, ...]) -> bytes:
        return b"".join(part.encode_part(v) for part, v in zip(self.parts, value, strict=True))

    def encode_prefix(self, value: tuple[Any, ...]) -> bytes:
        """Encode the first components only, for iteration under them."""
        return b"".join(p.encode_part(v) for p, v in zip(self.parts, value, strict=False))

    def decode_part(self, data: bytes, offset: int, is_last: bool) -> tuple[tuple[Any, ...], int]:
        values = []
        for index, part in enumerate(self.parts):
            last = is_last and index == len(self.parts) - 1
            value, offset = part.decode_part(data, offset, last)
            values.append(value)
        return tuple(values), offset

    def to_json(self, value: tuple[Any, ...]) -> Any:
        return [part.to_json(v) for part, v in zip(self.parts, value, strict=True)]

    def from_json(self, obj: Any) -> tuple[Any, ...]:
        return tuple(part.from_json(v) for part, v in zip(self.parts, obj, strict=True))


class PairCodec(TupleCodec):
    """Composite key of two components, the usual one."""

    def __init__(self, first: KeyCodec[Any], second: KeyCodec[Any]) -> None:
        super().__init__(first, second)
        self._encode_first, self._encode_second = first.encode_part, second.encode

    def encode(self, value: tuple[Any, ...]) -> bytes:
        first, second = value
        return self._encode_first(first) + self._encode_second(second)


def pair(first: KeyCodec[A], second: KeyCodec[B]) -> KeyCodec[tuple[A, B]]:
    """Key of two components."""
    return PairCodec(first, second)  # type: ignore[return-value]


def triple(first: KeyCodec[A], second: KeyCodec[B], third: KeyCodec[C]) -> KeyCodec[tuple[A, B, C]]:
    """Key of three components."""
    return TupleCodec(first, second, third)  # type: ignore[return-value]


class AmountCodec:
    """Non-negative integer of any size as decimal text, as the Cosmos SDK stores it."""

    def encode(self, value: int) -> bytes:
        if value < 0:
            raise CodecError(f"negative amount {value}")
        return str(value).encode()

    def decode(self, data: bytes) -> int:
        return int(data)

    def to_json(self, value: int) -> str:
        return str(value)

    def from_json(self, obj: Any) -> int:
        text = str(obj)
        if text.startswith("-"):
            raise CodecError(f"negative amount {text}")
        if not text.isdigit():
            raise CodecError(f"amount {text!r} is not a decimal integer")
        return int(text)


class ProtoCodec(Generic[T]):
    """A protobuf message, deterministically serialised."""

    def __init__(self, message_class: type[T]) -> None:
        self.message_class: Any = message_class

    def encode(self, value: T) -> bytes:
        data: bytes = value.SerializeToString(deterministic=True)  # type: ignore[attr-defined]
        return data

    def decode(self, data: bytes) -> T:
        message: T = self.message_class.FromString(data)
        return message

    def to_json(self, value: T) -> Any:
        return json_format.MessageToDict(
            value,  # type: ignore[arg-type]
            preserving_proto_field_name=True,
        )

    def from_json(self, obj: Any) -> T:
        message: T = self.message_class()
        try:
            json_format.ParseDict(obj, message)  # type: ignore[type-var]
        except json_format.ParseError as error:
            raise CodecError(str(error)) from error
        return message


U8 = UintCodec(1)
U16 = UintCodec(2)
U32 = UintCodec(4)
U64 = UintCodec(8)
HASH = FixedBytesCodec(32)
BYTES = BytesCodec()
TEXT = TextCodec()
ADDRESS = AddressCodec()
UNIT = UnitCodec()
AMOUNT = AmountCodec()
