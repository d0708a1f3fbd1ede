"""SCALE: against py-scale-codec, and strictly on bytes that nobody meant well."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes

from node.runtime.substrate.scale import (
    BYTES,
    TEXT,
    U8,
    U64,
    Bool,
    Compact,
    Option,
    Reader,
    ScaleError,
    Sequence,
    TupleType,
    Type,
    decode_compact,
    encode_compact,
)

REFERENCE = RuntimeConfigurationObject()


@given(st.integers(0, 2**128))
def test_compact(value: int) -> None:
    encoded = encode_compact(value)
    reference = REFERENCE.create_scale_object("Compact<u256>")
    assert encoded == bytes(reference.encode(value).data)
    reader = Reader(encoded)
    assert decode_compact(reader) == value
    assert reader.left == 0


@given(st.integers(0, 2**40), st.integers(1, 4))
def test_compact__longer_than_needed(value: int, more: int) -> None:
    raw = value.to_bytes(max(4, (value.bit_length() + 7) // 8) + more, "little")
    with pytest.raises(ScaleError, match="not minimal"):
        decode_compact(Reader(bytes((len(raw) - 4 << 2 | 3,)) + raw))


@pytest.mark.parametrize("data", ["01 00", "fd 00", "02 00 00 00", "fe ff 00 00", "03 ff ff ff 3f"])
def test_compact__not_minimal(data: str) -> None:
    with pytest.raises(ScaleError, match="not minimal"):
        decode_compact(Reader(bytes.fromhex(data)))


@pytest.mark.parametrize(
    ("made", "name", "values"),
    [
        (TEXT, "Str", st.text()),
        (Sequence(U64), "Vec<u64>", st.lists(st.integers(0, 2**64 - 1))),
        (Option(U8), "Option<u8>", st.none() | st.integers(0, 255)),
    ],
)
def test_same_bytes_as_the_client(made: Type, name: str, values: Any) -> None:
    @given(values)
    def check(value: Any) -> None:
        encoded = made.encode(value)
        reference = REFERENCE.create_scale_object(name, data=ScaleBytes(encoded))
        assert reference.decode() == value
        assert made.decode_all(encoded) == value

    check()


@pytest.mark.parametrize(
    ("made", "data"),
    [
        (BYTES, "03 00 00 00 40 00"),  # a vector of 2^30 items
        (Sequence(TupleType()), "03 00 00 00 40"),  # of items that take no bytes
        (TEXT, "08 ff fe"),
        (Bool(), "02"),
        (Option(U8), "02 00"),
        (U64, "00 00"),
        (Compact(U8), "02 00 01 00"),
    ],
)
def test_invalid(made: Type, data: str) -> None:
    with pytest.raises(ScaleError):
        made.decode_all(bytes.fromhex(data))


def test_invalid_over_long() -> None:
    with pytest.raises(ScaleError, match="too many"):
        U8.decode_all(b"\x00\x00")


@given(st.binary(max_size=64))
def test_any_bytes(data: bytes) -> None:
    for made in (BYTES, TEXT, Sequence(Option(U64)), Compact(U64)):
        try:
            value = made.decode_all(data)
        except ScaleError:
            continue
        assert made.encode(value) == data
