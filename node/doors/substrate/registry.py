"""The portable registry: every SCALE type clients need, by number, as scale-info describes it.

A type with a path is one type wherever it is met; others are the same if they are built alike.
`AccountId32` is number 0, because clients look for it there.

Source: scale-info `src/portable.rs`, `src/ty/mod.rs`; `reference/chain.md` section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.runtime.substrate.accounts import ACCOUNT_ID
from node.runtime.substrate.scale import (
    TEXT,
    Array,
    Bool,
    Compact,
    Composite,
    Field,
    Option,
    ScaleError,
    Text,
    TupleType,
    Type,
    Uint,
    Variant,
    encode_compact,
)
from node.runtime.substrate.scale import Sequence as SequenceType

PRIMITIVE_CODES = {
    **{"bool": 0, "char": 1, "str": 2, "u8": 3, "u16": 4, "u32": 5, "u64": 6, "u128": 7},
    **{"u256": 8, "i8": 9, "i16": 10, "i32": 11, "i64": 12, "i128": 13, "i256": 14},
}
COMPOSITE, VARIANT, SEQUENCE, ARRAY, TUPLE, PRIMITIVE, COMPACT = range(7)


def encode_text(text: str) -> bytes:
    """Encode text."""
    return TEXT.encode(text)


def encode_texts(texts: Iterable[str]) -> bytes:
    """Encode a vector of texts."""
    items = [encode_text(text) for text in texts]
    return encode_compact(len(items)) + b"".join(items)


def encode_doc(doc: str) -> bytes:
    """Encode a docstring as a vector of lines."""
    return encode_texts(line.strip() for line in doc.strip().splitlines())


def encode_list(items: Sequence[bytes]) -> bytes:
    """Encode a vector of encoded items."""
    return encode_compact(len(items)) + b"".join(items)


class Registry:
    """Types by number, in order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._definitions: list[bytes] = []
        self.structures: list[Type] = []
        self.add(ACCOUNT_ID)

    def add(self, scale_type: Type) -> int:
        """Get the number of a type; it and what it is made of are added if they are new."""
        structure = scale_type.structure
        while structure is not structure.structure:
            structure = structure.structure
        identity = self._compute_identity(structure)
        number = self._numbers.get(identity)
        if number is None:
            number = self._numbers[identity] = len(self._definitions)
            self._definitions.append(b"")
            self.structures.append(structure)
            self._definitions[number] = self._define(structure)
        return number

    def encode(self) -> bytes:
        """Encode as a vector of `PortableType`."""
        return encode_list(
            [encode_compact(n) + definition for n, definition in enumerate(self._definitions)]
        )

    def _compute_identity(self, structure: Type) -> object:
        if isinstance(structure, Variant | Composite) and structure.path:
            params = tuple(self.add(param) for _, param in structure.params)
            return structure.path, params
        if isinstance(structure, SequenceType):
            return SEQUENCE, self.add(structure.item)
        if isinstance(structure, Array):
            return ARRAY, structure.length, self.add(structure.item)
        if isinstance(structure, TupleType):
            return (TUPLE, *(self.add(item) for item in structure.items))
        if isinstance(structure, Compact):
            return COMPACT, self.add(structure.inner)
        if isinstance(structure, Uint | Bool | Text):
            return PRIMITIVE, structure.name
        raise ScaleError(f"{structure!r} has no place in a registry")

    def _define(self, structure: Type) -> bytes:
        path: tuple[str, ...] = ()
        params: tuple[tuple[str, Type], ...] = ()
        doc = ""
        if isinstance(structure, Variant | Composite):
            path, params, doc = structure.path, structure.params, structure.doc
        encoded_params = [
            encode_text(name) + b"\x01" + encode_compact(self.add(param)) for name, param in params
        ]
        body = self._define_body(structure)
        return encode_texts(path) + encode_list(encoded_params) + body + encode_doc(doc)

    def _define_body(self, structure: Type) -> bytes:
        if isinstance(structure, Composite):
            return bytes((COMPOSITE,)) + self._encode_fields(structure.fields)
        if isinstance(structure, Variant):
            cases = [
                encode_text(case.name)
                + self._encode_fields(case.fields)
                + bytes((case.index,))
                + encode_doc(case.doc)
                for case in sorted(structure.cases, key=lambda case: case.index)
            ]
            return bytes((VARIANT,)) + encode_list(cases)
        if isinstance(structure, SequenceType):
            return bytes((SEQUENCE,)) + encode_compact(self.add(structure.item))
        if isinstance(structure, Array):
            length = structure.length.to_bytes(4, "little")
            return bytes((ARRAY,)) + length + encode_compact(self.add(structure.item))
        if isinstance(structure, TupleType):
            items = [encode_compact(self.add(item)) for item in structure.items]
            return bytes((TUPLE,)) + encode_list(items)
        if isinstance(structure, Compact):
            return bytes((COMPACT,)) + encode_compact(self.add(structure.inner))
        if isinstance(structure, Uint | Bool | Text):
            return bytes((PRIMITIVE, PRIMITIVE_CODES[structure.name]))
        raise ScaleError(f"{structure!r} has no definition")

    def _encode_fields(self, fields: Sequence[Field]) -> bytes:
        encoded = []
        for item in fields:
            name = b"\x01" + encode_text(item.name) if item.name else b"\x00"
            type_name = item.type_name or format_type(item.type)
            encoded.append(
                name
                + encode_compact(self.add(item.type))
                + b"\x01"
                + encode_text(type_name)
                + encode_doc(item.doc)
            )
        return encode_list(encoded)


def format_type(scale_type: Type) -> str:
    """Write a type as Rust would, for people."""
    structure = scale_type.structure
    if isinstance(scale_type, Option):
        return f"Option<{format_type(scale_type.inner)}>"
    if isinstance(structure, Composite | Variant):
        return structure.path[-1] if structure.path else "struct"
    if isinstance(structure, SequenceType):
        return f"Vec<{format_type(structure.item)}>"
    if isinstance(structure, Array):
        return f"[{format_type(structure.item)}; {structure.length}]"
    if isinstance(structure, TupleType):
        return f"({', '.join(format_type(item) for item in structure.items)})"
    if isinstance(structure, Compact):
        return f"Compact<{format_type(structure.inner)}>"
    return structure.name if isinstance(structure, Uint | Bool | Text) else "?"
