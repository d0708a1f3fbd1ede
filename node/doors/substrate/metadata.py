"""Metadata V14 and V15, built from the pallets' declarations.

Source: frame-metadata `src/v14.rs`, `src/v15.rs`; `reference/chain.md` section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

from node.chain import Chain
from node.doors.substrate.entries import Entry, format_name, list_entries
from node.doors.substrate.facade import (
    EXTENSION_TYPES,
    FACADE_CONSTANTS,
    FACADE_DOCS,
    FACADE_EVENTS,
    FACADE_NAMES,
    MULTI_SIGNATURE,
    Constant,
    RuntimeApi,
    RuntimeTypes,
    list_runtime_apis,
    list_shared_errors,
)
from node.doors.substrate.registry import (
    Registry,
    encode_doc,
    encode_list,
    encode_text,
    encode_texts,
)
from node.runtime.errors import ChainError
from node.runtime.events import Address, Event
from node.runtime.substrate.accounts import AddressText
from node.runtime.substrate.calls import (
    MULTI_ADDRESS,
    SYSTEM,
    CallEntry,
    list_facade_calls,
)
from node.runtime.substrate.extrinsic import SIGNED_EXTENSIONS
from node.runtime.substrate.scale import (
    BOOL,
    BYTES,
    TEXT,
    U64,
    Case,
    Field,
    ScaleError,
    Sequence,
    TupleType,
    Type,
    Variant,
    encode_compact,
)

MAGIC = b"meta"
EXTRINSIC_VERSION = 4
V14, V15 = 14, 15


@dataclass
class PalletInfo:
    """A pallet as metadata tells of it."""

    name: str
    index: int
    doc: str = ""
    entries: list[Entry] = field(default_factory=list)
    calls: Variant | None = None
    event: Variant | None = None
    error: Variant | None = None
    constants: list[Constant] = field(default_factory=list)


@dataclass(frozen=True)
class EventShape:
    """An event class: its case of the pallet's event type, and the types of its fields."""

    pallet_name: str
    case: Case
    event_class: type[Event]


def build_attribute_type(hint: Any) -> Type:
    """Build the type of an event's field from its annotation.

    Raises: ScaleError.
    """
    if hint == Address:
        return AddressText()
    plain: dict[Any, Type] = {str: TEXT, bool: BOOL, int: U64, bytes: BYTES}
    if hint in plain:
        return plain[hint]
    arguments = get_args(hint)
    if get_origin(hint) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Sequence(build_attribute_type(arguments[0]))
    raise ScaleError(f"events have no fields of type {hint}")


def build_event_case(event_class: type[Event], index: int) -> Case:
    """Build the case of an event class."""
    hints = get_type_hints(event_class, include_extras=True)
    made = [
        Field(item.name, build_attribute_type(hints[item.name])) for item in fields(event_class)
    ]
    return Case(event_class.__name__, index, tuple(made), event_class.__doc__ or "")


def build_error_type(path: str, classes: list[type[ChainError]]) -> Variant | None:
    """Build the error type of a pallet: numbers are the codes, docs what the user reads.

    Codes nobody uses are filled up, because substrate-interface counts cases.
    """
    if not classes:
        return None
    named = {item.code: Case(item.__name__, item.code, (), item.__doc__ or "") for item in classes}
    cases = [
        named.get(code) or Case(f"Unused{code}", code, (), "No refusal has this code.")
        for code in range(max(named) + 1)
    ]
    return Variant((path, "pallet", "Error"), cases)


def build_call_type(path: str, entries: list[CallEntry]) -> Variant | None:
    """Build the call type of a pallet."""
    cases = [
        Case(entry.spec.name, entry.spec.index, entry.arguments.structure.fields, entry.spec.doc)
        for entry in entries
    ]
    return Variant((path, "pallet", "Call"), cases) if cases else None


class Metadata:
    """Everything clients learn of the chain.

    Args:
        chain: its declarations.
    """

    def __init__(self, chain: Chain) -> None:
        self.types = RuntimeTypes()
        self.entries = list_entries(chain, self.types)
        self.event_shapes: list[EventShape] = []
        self.pallets = self._list_facade() + self._list_pallets(chain)
        self.apis = list_runtime_apis(self.types)
        for pallet in self.pallets:
            pallet.entries = [entry for entry in self.entries if entry.pallet == pallet.name]
            self._add_to_outer(pallet)

    def _list_facade(self) -> list[PalletInfo]:
        calls = list_facade_calls(self.types.call)
        made = []
        for index, name in FACADE_NAMES.items():
            path = f"pallet_{name.lower()}"
            info = PalletInfo(name, index, FACADE_DOCS[index])
            info.constants = FACADE_CONSTANTS.get(index, [])
            if index in calls:
                info.calls = Variant((path, "pallet", "Call"), calls[index])
            if index in FACADE_EVENTS:
                info.event = Variant((path, "pallet", "Event"), FACADE_EVENTS[index])
            if index == SYSTEM:
                info.error = build_error_type(path, list_shared_errors())
            made.append(info)
        return made

    def _list_pallets(self, chain: Chain) -> list[PalletInfo]:
        made = []
        for name, pallet in chain.runtime.pallets.items():
            path = f"pallet_{name}"
            title = format_name(name)
            doc = ((type(pallet).__module__ and type(pallet).__doc__) or "").strip().split("\n")[0]
            info = PalletInfo(title, chain.runtime.pallet_indexes[name], doc)
            info.calls = build_call_type(path, chain.call_table.pallet_calls.get(name, []))
            info.error = build_error_type(path, sorted(pallet.errors, key=lambda e: e.code))
            cases = [build_event_case(item, index) for index, item in enumerate(pallet.events)]
            if cases:
                info.event = Variant((path, "pallet", "Event"), cases)
            pairs = zip(cases, pallet.events, strict=True)
            self.event_shapes += [EventShape(title, case, item) for case, item in pairs]
            made.append(info)
        return sorted(made, key=lambda info: info.index)

    def _add_to_outer(self, pallet: PalletInfo) -> None:
        for outer, inner in (
            (self.types.call, pallet.calls),
            (self.types.event, pallet.event),
            (self.types.error, pallet.error),
        ):
            if inner is not None:
                outer.cases.append(Case(pallet.name, pallet.index, (Field("", inner),)))

    def encode(self, version: int) -> bytes:
        """Encode as `RuntimeMetadataPrefixed` of version 14 or 15."""
        registry = Registry()
        pallets = encode_list([self._encode_pallet(registry, p, version) for p in self.pallets])
        extrinsic = self._encode_extrinsic(registry, version)
        runtime = encode_compact(registry.add(self.types.runtime))
        more = b""
        if version == V15:
            more = encode_list(
                [encode_api(registry, name, methods) for name, methods in self.apis.items()]
            )
            outer = (self.types.call, self.types.event, self.types.error)
            more += b"".join(encode_compact(registry.add(item)) for item in outer)
            more += encode_compact(0)
        registry.add(self.types.event_record)
        head = MAGIC + bytes((version,))
        return head + registry.encode() + pallets + extrinsic + runtime + more

    def _encode_pallet(self, registry: Registry, pallet: PalletInfo, version: int) -> bytes:
        parts = [encode_text(pallet.name)]
        if pallet.entries:
            items = [encode_entry(registry, entry) for entry in pallet.entries]
            parts.append(b"\x01" + encode_text(pallet.name) + encode_list(items))
        else:
            parts.append(b"\x00")
        parts += [encode_optional(registry, pallet.calls), encode_optional(registry, pallet.event)]
        constants = [
            encode_text(item.name)
            + encode_compact(registry.add(item.type))
            + BYTES.encode(item.encode())
            + encode_doc(item.doc)
            for item in pallet.constants
        ]
        parts += [encode_list(constants), encode_optional(registry, pallet.error)]
        parts.append(bytes((pallet.index,)))
        if version == V15:
            parts.append(encode_doc(pallet.doc))
        return b"".join(parts)

    def _encode_extrinsic(self, registry: Registry, version: int) -> bytes:
        extensions = encode_list(
            [
                encode_text(name)
                + encode_compact(registry.add(EXTENSION_TYPES[name][0]))
                + encode_compact(registry.add(EXTENSION_TYPES[name][1]))
                for name in SIGNED_EXTENSIONS
            ]
        )
        number = bytes((EXTRINSIC_VERSION,))
        if version == V14:
            return encode_compact(registry.add(self.types.extrinsic)) + number + extensions
        parts: tuple[Type, ...] = (
            MULTI_ADDRESS,
            self.types.call,
            MULTI_SIGNATURE,
            self.types.extra,
        )
        return number + b"".join(encode_compact(registry.add(t)) for t in parts) + extensions


def encode_optional(registry: Registry, made: Variant | None) -> bytes:
    """Encode the number of a type that may not be there."""
    return b"\x00" if made is None else b"\x01" + encode_compact(registry.add(made))


def encode_entry(registry: Registry, entry: Entry) -> bytes:
    """Encode a storage entry."""
    value = encode_compact(registry.add(entry.value))
    if entry.keys:
        types = [part.type for part in entry.keys]
        key: Type = types[0] if len(types) == 1 else TupleType(*types)
        hashers = encode_list([bytes((part.hasher.code,)) for part in entry.keys])
        shape = b"\x01" + hashers + encode_compact(registry.add(key)) + value
    else:
        shape = b"\x00" + value
    is_optional = entry.default is None
    modifier = b"\x00" if is_optional else b"\x01"
    default = BYTES.encode(b"\x00" if entry.default is None else entry.default)
    return encode_text(entry.name) + modifier + shape + default + encode_doc(entry.doc)


def encode_api(registry: Registry, name: str, methods: tuple[RuntimeApi, ...]) -> bytes:
    """Encode a runtime API of V15."""
    encoded = []
    for method in methods:
        inputs = [
            encode_text(label) + encode_compact(registry.add(made)) for label, made in method.inputs
        ]
        output = encode_compact(registry.add(method.output))
        encoded.append(
            encode_text(method.name) + encode_list(inputs) + output + encode_doc(method.doc)
        )
    return encode_text(name) + encode_list(encoded) + encode_texts(())
