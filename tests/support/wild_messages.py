"""Malformed inputs: random messages of any protobuf type, and mutations of encoded ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

MAX_DEPTH = 3
INTEGERS = (0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "x", "udsc", "-1", "0", "1", "1.5", "1e9", "10" * 40, "\0", "\u00e9", "/", "a" * 300)
BLOBS = (b"", b"\x00", b"\xff" * 20, b"\x01" * 32, b"\x02" * 33, b"\xff" * 64, bytes(1000))

_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class WildMessages:
    """Makes malformed inputs, the same for the same seed.

    Some messages are wild in every field, some in one of ten, some not at all: those get further.

    Args:
        texts: words that mean something to what is tested: addresses, denominations, type URLs.
        packed: messages that may stand in an `Any`.
        plausible: values for a text field, by a part of its name.
    """

    def __init__(
        self,
        seed: int,
        texts: Sequence[str] = (),
        packed: Sequence[Any] = (),
        plausible: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.source = random.Random(seed)
        self._texts = [*TEXTS, *texts, *texts, *texts]
        self._packed = list(packed)
        self._plausible = dict(plausible or {})
        self._wildness = 1.0

    def fill(self, message_class: Any, depth: int = 0) -> Any:
        """Make a message of a class with random fields, many of them extreme."""
        if depth == 0:
            self._wildness = self.source.choice((0.0, 0.0, 0.1, 1.0))
        message = message_class()
        if message.DESCRIPTOR.full_name == "google.protobuf.Any":
            if self._packed and depth < MAX_DEPTH and self.source.random() < 0.8:
                inner = self.fill(self.source.choice(self._packed), depth + 1)
                message.type_url = "/" + inner.DESCRIPTOR.full_name
                message.value = inner.SerializeToString()
            else:
                message.type_url, message.value = self._pick_text(), self._pick_blob()
            return message
        for field in message.DESCRIPTOR.fields:
            if self.source.random() < (0.8 if self._is_wild() else 0.97):
                self._set(message, field, depth)
        return message

    def _set(self, message: Any, field: Any, depth: int) -> None:
        is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
        if is_message and depth >= MAX_DEPTH:
            return
        if field.label == FieldDescriptor.LABEL_REPEATED:
            if is_message and field.message_type.GetOptions().map_entry:
                return
            target = getattr(message, field.name)
            for _ in range(self.source.choice((0, 1, 1, 2, 5) if self._is_wild() else (1,))):
                if is_message:
                    item = target.add()
                    item.CopyFrom(self.fill(type(item), depth + 1))
                else:
                    target.append(self._pick(field))
        elif is_message:
            item = getattr(message, field.name)
            item.CopyFrom(self.fill(type(item), depth + 1))
        else:
            setattr(message, field.name, self._pick(field))

    def _pick(self, field: Any) -> Any:
        kind = field.cpp_type
        if not self._is_wild():
            if kind in _LIMITS:
                return self.source.choice((1, 1, 1, 2, 3, 10, 100))
            if kind == FieldDescriptor.CPPTYPE_STRING and field.type != FieldDescriptor.TYPE_BYTES:
                return self._pick_plausible(field.name)
            if field.type == FieldDescriptor.TYPE_BYTES:
                return self.source.randbytes(32)
        if kind in _LIMITS:
            low, high = _LIMITS[kind]
            value = self.source.choice((*INTEGERS, self.source.getrandbits(64)))
            value = -value if low < 0 and self.source.random() < 0.3 else value
            return max(low, min(high, value))
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self.source.choice((0, 1, 2, 3, 2**31 - 1))
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self.source.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self.source.choice((0.0, -1.0, float("nan"), float("inf")))
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._pick_blob()
        return self._pick_text()

    def _is_wild(self) -> bool:
        return self.source.random() < self._wildness

    def _pick_plausible(self, name: str) -> str:
        for part, values in self._plausible.items():
            if part in name:
                return self.source.choice(values)
        return self._pick_text()

    def _pick_text(self) -> str:
        return self.source.choice(self._texts)

    def _pick_blob(self) -> bytes:
        if self.source.random() < 0.5:
            return self.source.choice(BLOBS)
        return self.source.randbytes(self.source.choice((1, 20, 32, 33, 64, 65)))

    def mutate(self, data: bytes, others: Sequence[bytes] = ()) -> bytes:
        """Damage encoded bytes in one to four ways."""
        found = bytearray(data)
        for _ in range(self.source.randrange(1, 5)):
            at = self.source.randrange(len(found) + 1)
            kind = self.source.randrange(7)
            if kind == 0 and found:
                found[min(at, len(found) - 1)] ^= 1 << self.source.randrange(8)
            elif kind == 1 and found:
                found[min(at, len(found) - 1)] = self.source.randrange(256)
            elif kind == 2:
                del found[at:]
            elif kind == 3:
                found[at:at] = self.source.randbytes(self.source.randrange(1, 9))
            elif kind == 4:
                del found[at : at + self.source.randrange(1, 9)]
            elif kind == 5:
                found[at:at] = found[at : at + self.source.randrange(1, 40)]
            elif others:
                other = self.source.choice(others)
                found[at:] = other[self.source.randrange(len(other) + 1) :]
        return bytes(found)
