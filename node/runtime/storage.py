"""Typed storage declared by a pallet: `Item`, `Map`, `KeySet`, `Sequence`, `IndexedMap`.

    class BankSchema(Schema):
        supply = Map(0x00, "supply", TEXT, AMOUNT)
        balances = Map(0x02, "balances", pair(ADDRESS, TEXT), AMOUNT)

Each element has a prefix byte, unique in its pallet, and a name; a clash refuses to start. Keys are
prefix byte + encoded key, in the store that bears the pallet's name. Access costs gas.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

from node.runtime.codecs import U64, UNIT, CodecError, KeyCodec, TupleCodec, ValueCodec
from node.runtime.context import Context
from node.runtime.gas import (
    DELETE_GAS,
    ITERATE_FLAT_GAS,
    READ_BYTE_GAS,
    READ_FLAT_GAS,
    WRITE_BYTE_GAS,
    WRITE_FLAT_GAS,
)

K = TypeVar("K")
V = TypeVar("V")


class SchemaError(Exception):
    """Two storage elements share a prefix or a name, or a needed entry is absent: a bug."""


class GenesisDataError(ValueError):
    """A genesis section holds a duplicate, unknown or malformed entry."""


class Element(Generic[K, V]):
    """One declared collection; bound to its pallet's store by `Schema`."""

    def __init__(
        self, prefix: int, name: str, key_codec: KeyCodec[K], value_codec: ValueCodec[V] | None
    ) -> None:
        if not 0 <= prefix <= 255:
            raise SchemaError(f"prefix {prefix} of {name} is not a byte")
        self.prefix = bytes((prefix,))
        self.name = name
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.store = ""
        self.location = name

    def bind(self, store: str) -> Element[K, V]:
        """Copy this declaration for one pallet instance."""
        bound = copy.copy(self)
        bound.store = store
        bound.location = f"{store}.{self.name}"
        return bound

    def list_parts(self) -> list[Element[Any, Any]]:
        """List what this element keeps under prefix bytes of their own: itself, its indexes."""
        return [self]

    def encode_key(self, key: K) -> bytes:
        """Encode the whole store key."""
        return self.prefix + self.key_codec.encode(key)

    def decode_key(self, raw: bytes) -> K:
        """Decode a whole store key."""
        return self.key_codec.decode_part(raw, 1, True)[0]

    def encode_key_prefix(self, prefix: Any) -> bytes:
        """Encode a prefix to iterate under: None for all, or the first components of the key."""
        if prefix is None:
            return self.prefix
        if isinstance(self.key_codec, TupleCodec):
            parts = prefix if isinstance(prefix, tuple) else (prefix,)
            return self.prefix + self.key_codec.encode_prefix(parts)
        return self.prefix + self.key_codec.encode(prefix)

    def read(self, ctx: Context, raw_key: bytes) -> bytes | None:
        """Read raw bytes and charge for it."""
        raw = ctx.state.get(self.store, raw_key)
        size = len(raw_key) + (len(raw) if raw is not None else 0)
        ctx.gas.consume(READ_FLAT_GAS + READ_BYTE_GAS * size, self.location)
        return raw

    def write(self, ctx: Context, raw_key: bytes, raw: bytes) -> None:
        """Write raw bytes and charge for it."""
        size = len(raw_key) + len(raw)
        ctx.gas.consume(WRITE_FLAT_GAS + WRITE_BYTE_GAS * size, self.location)
        ctx.state.set(self.store, raw_key, raw)

    def erase(self, ctx: Context, raw_key: bytes) -> None:
        """Delete a key and charge for it."""
        ctx.gas.consume(DELETE_GAS, self.location)
        ctx.state.set(self.store, raw_key, None)

    def scan(
        self, ctx: Context, raw_prefix: bytes, start: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate raw entries and charge for each."""
        for raw_key, raw in ctx.state.iterate(self.store, raw_prefix, start, None, reverse):
            cost = ITERATE_FLAT_GAS + READ_BYTE_GAS * (len(raw_key) + len(raw))
            ctx.gas.consume(cost, self.location)
            yield raw_key, raw

    def export_json(self, ctx: Context) -> Any:
        """Export every entry for a genesis file."""
        raise NotImplementedError

    def import_json(self, ctx: Context, data: Any) -> None:
        """Import what `export_json` gave.

        Raises: GenesisDataError.
        """
        raise NotImplementedError


class Map(Element[K, V]):
    """Values by key."""

    value_codec: ValueCodec[V]

    def __init__(
        self, prefix: int, name: str, key_codec: KeyCodec[K], value_codec: ValueCodec[V]
    ) -> None:
        super().__init__(prefix, name, key_codec, value_codec)

    def get(self, ctx: Context, key: K) -> V | None:
        """Get the value, or None."""
        raw = self.read(ctx, self.encode_key(key))
        return None if raw is None else self.value_codec.decode(raw)

    def get_or(self, ctx: Context, key: K, default: V) -> V:
        """Get the value, or the default."""
        value = self.get(ctx, key)
        return default if value is None else value

    def expect(self, ctx: Context, key: K) -> V:
        """Get a value that must be there; its absence is a bug and stops the node."""
        value = self.get(ctx, key)
        if value is None:
            raise SchemaError(f"{self.location} has no entry for {key!r}")
        return value

    def has(self, ctx: Context, key: K) -> bool:
        """Tell whether the key is present."""
        return self.read(ctx, self.encode_key(key)) is not None

    def set(self, ctx: Context, key: K, value: V) -> None:
        """Write the value."""
        self.write(ctx, self.encode_key(key), self.value_codec.encode(value))

    def delete(self, ctx: Context, key: K) -> None:
        """Delete the key; nothing happens if it is absent."""
        self.erase(ctx, self.encode_key(key))

    def iterate(
        self, ctx: Context, prefix: Any = None, start: K | None = None, reverse: bool = False
    ) -> Iterator[tuple[K, V]]:
        """Iterate (key, value) in key order.

        Args:
            prefix: first component(s) of a composite key; None for all.
            start: first key to yield (inclusive).
        """
        raw_start = None if start is None else self.encode_key(start)
        for raw_key, raw in self.scan(ctx, self.encode_key_prefix(prefix), raw_start, reverse):
            yield self.decode_key(raw_key), self.value_codec.decode(raw)

    def keys(self, ctx: Context, prefix: Any = None) -> Iterator[K]:
        """Iterate keys in order."""
        for raw_key, _ in self.scan(ctx, self.encode_key_prefix(prefix), None, False):
            yield self.decode_key(raw_key)

    def clear(self, ctx: Context, prefix: Any = None) -> None:
        """Delete every entry, or every entry under a prefix."""
        for key in list(self.keys(ctx, prefix)):
            self.delete(ctx, key)

    def export_json(self, ctx: Context) -> Any:
        return [
            {"key": self.key_codec.to_json(key), "value": self.value_codec.to_json(value)}
            for key, value in self.iterate(ctx)
        ]

    def import_json(self, ctx: Context, data: Any) -> None:
        seen: set[bytes] = set()
        for entry in ensure_entries(self.location, data):
            try:
                key = self.key_codec.from_json(entry["key"])
                value = self.value_codec.from_json(entry["value"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise GenesisDataError(f"{self.location}: {error} in {entry!r}") from error
            raw_key = self.encode_key(key)
            if raw_key in seen:
                raise GenesisDataError(f"{self.location}: duplicate entry for {entry['key']!r}")
            seen.add(raw_key)
            self.set(ctx, key, value)


class KeySet(Element[K, None]):
    """A set of keys."""

    def __init__(self, prefix: int, name: str, key_codec: KeyCodec[K]) -> None:
        super().__init__(prefix, name, key_codec, None)

    def add(self, ctx: Context, key: K) -> None:
        """Put the key in."""
        self.write(ctx, self.encode_key(key), b"\x01")

    def has(self, ctx: Context, key: K) -> bool:
        """Tell whether the key is in."""
        return self.read(ctx, self.encode_key(key)) is not None

    def remove(self, ctx: Context, key: K) -> None:
        """Take the key out."""
        self.erase(ctx, self.encode_key(key))

    def iterate(
        self, ctx: Context, prefix: Any = None, start: K | None = None, reverse: bool = False
    ) -> Iterator[K]:
        """Iterate keys in order, under the first component(s) `prefix` if given."""
        raw_start = None if start is None else self.encode_key(start)
        for raw_key, _ in self.scan(ctx, self.encode_key_prefix(prefix), raw_start, reverse):
            yield self.decode_key(raw_key)

    def clear(self, ctx: Context, prefix: Any = None) -> None:
        """Take every key out, or every key under a prefix."""
        for key in list(self.iterate(ctx, prefix)):
            self.remove(ctx, key)

    def export_json(self, ctx: Context) -> Any:
        return [self.key_codec.to_json(key) for key in self.iterate(ctx)]

    def import_json(self, ctx: Context, data: Any) -> None:
        for entry in ensure_entries(self.location, data):
            try:
                key = self.key_codec.from_json(entry)
            except (ValueError, TypeError, AttributeError) as error:
                raise GenesisDataError(f"{self.location}: {error} in {entry!r}") from error
            if self.has(ctx, key):
                raise GenesisDataError(f"{self.location}: duplicate entry {entry!r}")
            self.add(ctx, key)


class Item(Element[tuple[()], V]):
    """One value."""

    value_codec: ValueCodec[V]

    def __init__(self, prefix: int, name: str, value_codec: ValueCodec[V]) -> None:
        super().__init__(prefix, name, UNIT, value_codec)

    def get(self, ctx: Context) -> V | None:
        """Get the value, or None before it was first written."""
        raw = self.read(ctx, self.prefix)
        return None if raw is None else self.value_codec.decode(raw)

    def get_or(self, ctx: Context, default: V) -> V:
        """Get the value, or the default."""
        value = self.get(ctx)
        return default if value is None else value

    def expect(self, ctx: Context) -> V:
        """Get a value that must be there; its absence is a bug and stops the node."""
        value = self.get(ctx)
        if value is None:
            raise SchemaError(f"{self.location} was never set")
        return value

    def set(self, ctx: Context, value: V) -> None:
        """Write the value."""
        self.write(ctx, self.prefix, self.value_codec.encode(value))

    def delete(self, ctx: Context) -> None:
        """Delete the value."""
        self.erase(ctx, self.prefix)

    def export_json(self, ctx: Context) -> Any:
        value = self.get(ctx)
        return None if value is None else self.value_codec.to_json(value)

    def import_json(self, ctx: Context, data: Any) -> None:
        if data is None:
            return
        try:
            value = self.value_codec.from_json(data)
        except (ValueError, KeyError, TypeError) as error:
            raise GenesisDataError(f"{self.location}: {error} in {data!r}") from error
        self.set(ctx, value)


class Sequence(Item[int]):
    """A counter that hands out 0, 1, 2... (or from `first`)."""

    def __init__(self, prefix: int, name: str, first: int = 0) -> None:
        super().__init__(prefix, name, U64)
        self.first = first

    def peek(self, ctx: Context) -> int:
        """Get the number `next` would hand out."""
        return self.get_or(ctx, self.first)

    def next(self, ctx: Context) -> int:
        """Hand out the next number."""
        value = self.peek(ctx)
        self.set(ctx, value + 1)
        return value


class Index(Generic[K, V]):
    """A secondary index of an `IndexedMap`: `of(key, value)` is the index key, or None."""

    def __init__(
        self, prefix: int, name: str, key_codec: KeyCodec[Any], of: Callable[[K, V], Any]
    ) -> None:
        self.prefix = prefix
        self.name = name
        self.key_codec = key_codec
        self.of = of


class IndexedMap(Map[K, V]):
    """A map that keeps its secondary indexes right on every write. Indexes are not exported."""

    def __init__(
        self,
        prefix: int,
        name: str,
        key_codec: KeyCodec[K],
        value_codec: ValueCodec[V],
        indexes: tuple[Index[K, V], ...],
    ) -> None:
        super().__init__(prefix, name, key_codec, value_codec)
        self.indexes = indexes
        self._sets: dict[str, KeySet[Any]] = {}
        self._build_sets("")

    def _build_sets(self, store: str) -> None:
        self._sets = {}
        for index in self.indexes:
            codec = cast("KeyCodec[Any]", TupleCodec(index.key_codec, self.key_codec))
            keys: KeySet[Any] = KeySet(index.prefix, f"{self.name}.{index.name}", codec)
            self._sets[index.name] = cast("KeySet[Any]", keys.bind(store))

    def bind(self, store: str) -> Element[K, V]:
        bound = cast("IndexedMap[K, V]", super().bind(store))
        bound._build_sets(store)
        return bound

    def list_parts(self) -> list[Element[Any, Any]]:
        return [self, *self._sets.values()]

    def set(self, ctx: Context, key: K, value: V) -> None:
        old = self.get(ctx, key)
        for index in self.indexes:
            before = None if old is None else index.of(key, old)
            after = index.of(key, value)
            if before == after:
                continue
            keys = self._sets[index.name]
            if before is not None:
                keys.remove(ctx, (before, key))
            if after is not None:
                keys.add(ctx, (after, key))
        super().set(ctx, key, value)

    def delete(self, ctx: Context, key: K) -> None:
        old = self.get(ctx, key)
        if old is None:
            return
        for index in self.indexes:
            before = index.of(key, old)
            if before is not None:
                self._sets[index.name].remove(ctx, (before, key))
        super().delete(ctx, key)

    def iterate_index(
        self, ctx: Context, index_name: str, prefix: Any = None, reverse: bool = False
    ) -> Iterator[tuple[Any, K]]:
        """Iterate (index key, primary key) in index order; `prefix` is one index key, or None."""
        scope = None if prefix is None else (prefix,)
        yield from self._sets[index_name].iterate(ctx, scope, reverse=reverse)


class Schema:
    """The storage of a pallet; an instance is bound to the pallet's store.

    Raises: SchemaError if prefixes or names clash.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        self.elements: dict[str, Element[Any, Any]] = {}
        owners: dict[bytes, str] = {}
        for attribute in dir(type(self)):
            element = getattr(type(self), attribute)
            if not isinstance(element, Element):
                continue
            if element.name in self.elements:
                raise SchemaError(f"{store}: two elements are named {element.name}")
            for part in element.list_parts():
                other = owners.setdefault(part.prefix, element.name)
                if other != element.name:
                    raise SchemaError(
                        f"{store}: {other} and {element.name} share prefix 0x{part.prefix.hex()}"
                    )
            bound = element.bind(store)
            self.elements[element.name] = bound
            setattr(self, attribute, bound)
        self.elements = dict(sorted(self.elements.items(), key=lambda pair: pair[1].prefix))

    def export_json(self, ctx: Context) -> dict[str, Any]:
        """Export every element by name."""
        return {name: element.export_json(ctx) for name, element in self.elements.items()}

    def import_json(self, ctx: Context, data: dict[str, Any]) -> None:
        """Import what `export_json` gave.

        Raises: GenesisDataError.
        """
        unknown = sorted(set(data) - set(self.elements))
        if unknown:
            raise GenesisDataError(f"{self.store}: unknown entry {', '.join(unknown)}")
        for name, element in self.elements.items():
            if name in data:
                element.import_json(ctx, data[name])


def ensure_entries(location: str, data: Any) -> list[Any]:
    """Refuse what a genesis file must have as a list and has not.

    Raises: GenesisDataError.
    """
    if not isinstance(data, list):
        raise GenesisDataError(f"{location}: not a list")
    return data


__all__ = [
    "CodecError",
    "Element",
    "GenesisDataError",
    "Index",
    "IndexedMap",
    "Item",
    "KeySet",
    "Map",
    "Schema",
    "SchemaError",
    "Sequence",
]
