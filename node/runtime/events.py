"""Events: frozen dataclasses a pallet emits, encoded as ABCI events with text attributes.

The ABCI type of a class is its name in snake case unless it sets `abci_type`. Bytes become
lower-case hex, booleans `true`/`false`, tuples are joined by commas; addresses are emitted as
bech32 text by the pallet.

The encoding is written here and not by protobuf's message objects, which for a transfer's events
take twice the time; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

Address = Annotated[str, "address"]
"""Bech32 text of an account or operator; Substrate clients see an `AccountId32`."""


@dataclass(frozen=True)
class Event:
    """Base of every event."""

    abci_type: ClassVar[str] = ""


NOT_SEARCHED = frozenset(("amount", "fee", "signature", "msg_index", "new_shares"))
"""Attributes that no search goes by; indexing them is a third of an engine's work on a transfer."""

Encoding = tuple[bytes, tuple[tuple[str, bytes, bytes, int], ...]]
"""Of an event class: encoded type, and by attribute its name, what stands before the length of its
value and after the value, and the bytes of both with that length."""

ENCODINGS: dict[type[Event], Encoding] = {}
TYPE_TAG, ATTRIBUTE_TAG = b"\x0a", b"\x12"  # of `tendermint.abci.Event`
KEY_TAG, VALUE_TAG, INDEXED = b"\x0a", b"\x12", b"\x18\x01"  # of `EventAttribute`
MSG_INDEX_START = b"\x0a\x09msg_index\x12"
SHORT_MAX = 128
SHORT_LENGTHS = [bytes((length,)) for length in range(SHORT_MAX)]
ATTRIBUTE_HEADS = [ATTRIBUTE_TAG + length for length in SHORT_LENGTHS]


def get_event_shape(event_class: type[Event]) -> tuple[str, tuple[str, ...]]:
    """Get the ABCI type and attribute names of an event class."""
    snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", event_class.__name__).lower()
    names = tuple(field.name for field in fields(event_class))
    return event_class.abci_type or snake_case, names


def get_encoding(event_class: type[Event]) -> Encoding:
    """Get the encoding of an event class."""
    encoding = ENCODINGS.get(event_class)
    if encoding is None:
        name, names = get_event_shape(event_class)
        parts = tuple(encode_attribute_ends(name) for name in names)
        encoding = prefix_length(TYPE_TAG, name.encode()), parts
        ENCODINGS[event_class] = encoding
    return encoding


def encode_attribute_ends(name: str) -> tuple[str, bytes, bytes, int]:
    """Encode what comes before and after the value of an attribute."""
    start = prefix_length(KEY_TAG, name.encode()) + VALUE_TAG
    end = b"" if name in NOT_SEARCHED else INDEXED
    return name, start, end, len(start) + len(end) + 1


def prefix_length(tag: bytes, data: bytes) -> bytes:
    """Encode a length-delimited field of protobuf."""
    length = len(data)
    if length < SHORT_MAX:
        return tag + SHORT_LENGTHS[length] + data
    groups = bytearray()
    while length > 0x7F:
        groups.append(length & 0x7F | 0x80)
        length >>= 7
    groups.append(length)
    return tag + groups + data


def format_attribute(value: Any) -> str:
    """Format an attribute value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return ",".join(format_attribute(item) for item in value)
    return str(value)


def encode_event(event: Event, msg_index: int | None = None) -> bytes:
    """Encode the ABCI event; `msg_index` is added for events of a message."""
    head, attributes = get_encoding(type(event))
    parts = [head]
    for name, start, end, around in attributes:
        value = getattr(event, name)
        text = (value if type(value) is str else format_attribute(value)).encode()
        length = len(text)
        if 0 < length < SHORT_MAX - around:
            parts += (ATTRIBUTE_HEADS[around + length], start, SHORT_LENGTHS[length], text, end)
        else:
            field = prefix_length(VALUE_TAG, text) if text else b""
            parts.append(prefix_length(ATTRIBUTE_TAG, start[:-1] + field + end))
    if msg_index is not None:
        field = prefix_length(MSG_INDEX_START, str(msg_index).encode())
        parts.append(prefix_length(ATTRIBUTE_TAG, field))
    return b"".join(parts)


def join_events(field_tag: bytes, events: Iterable[bytes]) -> bytes:
    """Encode events as the repeated field of a message, to be merged into it."""
    return b"".join([prefix_length(field_tag, event) for event in events])
