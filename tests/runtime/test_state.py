"""Overlays against a dict, key codecs against order, schemas against clashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.runtime.addresses import (
    AddressError,
    compute_account_address,
    decode_account,
    decode_bech32,
    encode_bech32,
)
from node.runtime.codecs import ADDRESS, AMOUNT, BYTES, TEXT, U32, U64, pair, triple
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import OutOfGas
from node.runtime.gas import GasMeter
from node.runtime.state import EmptyReader, Overlay
from node.runtime.storage import Index, IndexedMap, KeySet, Map, Schema, SchemaError, Sequence

KEYS = st.binary(min_size=1, max_size=3)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=12)


class DictReader:
    """A committed state in a dict."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        return self.values.get(key)

    def iterate(
        self,
        store: str,
        prefix: bytes = b"",
        start: bytes | None = None,
        version: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.values, reverse=reverse):
            is_before = start is not None and (key > start if reverse else key < start)
            if key.startswith(prefix) and not is_before:
                yield key, self.values[key]


@given(
    base=st.dictionaries(KEYS, st.binary(max_size=2), max_size=8),
    layers=st.lists(WRITES, min_size=1, max_size=3),
    prefix=st.binary(max_size=1),
    start=st.none() | KEYS,
    reverse=st.booleans(),
)
def test_layers_read_like_one_dict(
    base: dict[bytes, bytes],
    layers: list[list[tuple[bytes, bytes | None]]],
    prefix: bytes,
    start: bytes | None,
    reverse: bool,
) -> None:
    model = dict(base)
    under = state = Overlay(DictReader(base))
    for writes in layers:
        list(state.iterate("s"))  # the order of keys is kept up while writing
        for key, value in writes:
            state.set("s", key, value)
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        under, state = state, Overlay(state)
    expected = list(DictReader(model).iterate("s", prefix, start, None, reverse))
    assert list(state.iterate("s", prefix, start, None, reverse)) == expected
    under.merge(state)
    assert list(under.iterate("s", prefix, start, None, reverse)) == expected
    assert all(under.get("s", key) == model.get(key) for key in [*base, *model])


STEPS = st.lists(
    st.sampled_from(["begin", "keep", "drop", "order"])
    | st.tuples(KEYS, st.none() | st.just(b"v")),
    max_size=30,
)


@given(base=st.dictionaries(KEYS, st.binary(max_size=2), max_size=8), steps=STEPS)
def test_snapshots_nest(base: dict[bytes, bytes], steps: list[Any]) -> None:
    """A dropped snapshot leaves what was there when it was opened, at any depth."""
    state, written = Overlay(DictReader(base)), dict[bytes, bytes | None]()
    opened: list[tuple[int, dict[bytes, bytes | None]]] = []
    for step in [*steps, *["drop"] * len(steps)]:
        if step == "begin":
            opened.append((state.begin(), dict(written)))
        elif step == "keep" and opened:
            opened.pop()
            state.keep()
        elif step == "drop" and opened:
            mark, written = opened.pop()
            state.drop(mark)
        elif step == "order":
            list(state.iterate("s"))
        elif isinstance(step, tuple):
            state.set("s", *step)
            written[step[0]] = step[1]
        assert state.changes == ({"s": written} if written else {})
        seen = {key: value for key, value in (base | written).items() if value is not None}
        assert list(state.iterate("s")) == sorted(seen.items())


COMPOSITE = pair(BYTES, U32)


@given(st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 2**32 - 1)), max_size=20))
def test_composite_keys_keep_order(values: list[tuple[bytes, int]]) -> None:
    encoded = sorted(COMPOSITE.encode(value) for value in values)
    assert encoded == [COMPOSITE.encode(value) for value in sorted(values)]
    assert [COMPOSITE.decode_part(key, 0, True)[0] for key in encoded] == sorted(values)


@given(st.binary(min_size=20, max_size=20), st.text(max_size=5), st.integers(0, 2**64 - 1))
def test_triples_round_trip(addr: bytes, text: str, number: int) -> None:
    codec = triple(ADDRESS, TEXT, U64)
    value = (addr, text, number)
    assert codec.decode_part(codec.encode(value), 0, True)[0] == value
    assert codec.from_json(codec.to_json(value)) == value


@given(st.binary(min_size=1, max_size=40), st.sampled_from(["descent", "cosmos", "a"]))
def test_bech32_round_trips(data: bytes, prefix: str) -> None:
    assert decode_bech32(encode_bech32(prefix, data)) == (prefix, data)


def test_bech32_vectors() -> None:
    key = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    addr = compute_account_address(key)
    assert addr.hex() == "751e76e8199196d454941c45d1b3a323f1433bd6"
    words = "qw508d6qejxtdg4y5r3zarvary0c5xw7k"
    assert encode_bech32("bc", addr).startswith("bc1w508d6qejxtdg4y5r3zarvary0c5xw7k"), words


@pytest.mark.parametrize(
    "text",
    ["", "descent", "descent1", "Descent1qqqqqqqq", "descent1qqqqqqqq", "cosmos1fl48vsnmsdzcv85q5"],
)
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(AddressError):
        decode_account(text)


class ZooSchema(Schema):
    """Every kind of storage element."""

    amounts = Map(0x01, "amounts", pair(TEXT, U32), AMOUNT)
    names = KeySet(0x02, "names", TEXT)
    counter = Sequence(0x03, "counter")
    by_size: IndexedMap[str, int] = IndexedMap(
        0x04, "by_size", TEXT, AMOUNT, (Index(0x05, "size", U32, lambda _, value: value or None),)
    )


def make_context(gas_limit: int | None = None) -> Context:
    block = BlockInfo("test", 1, 0)
    return Context(Overlay(EmptyReader()), block, GasMeter(gas_limit))


def test_elements() -> None:
    ctx, zoo = make_context(), ZooSchema("zoo")
    for name, number in (("b", 1), ("a", 2), ("a", 1)):
        zoo.amounts.set(ctx, (name, number), number)
    assert [key for key, _ in zoo.amounts.iterate(ctx)] == [("a", 1), ("a", 2), ("b", 1)]
    assert [key for key, _ in zoo.amounts.iterate(ctx, ("a",))] == [("a", 1), ("a", 2)]
    assert [key for key, _ in zoo.amounts.iterate(ctx, start=("a", 2))] == [("a", 2), ("b", 1)]
    zoo.amounts.clear(ctx, ("a",))
    assert list(zoo.amounts.keys(ctx)) == [("b", 1)]
    assert [zoo.counter.next(ctx) for _ in range(3)] == [0, 1, 2]


def test_index_follows_every_write() -> None:
    ctx, zoo = make_context(), ZooSchema("zoo")
    for name, size in (("x", 3), ("y", 1), ("z", 0), ("x", 2)):
        zoo.by_size.set(ctx, name, size)
    assert list(zoo.by_size.iterate_index(ctx, "size")) == [(1, "y"), (2, "x")]
    assert list(zoo.by_size.iterate_index(ctx, "size", 2)) == [(2, "x")]
    zoo.by_size.delete(ctx, "y")
    assert list(zoo.by_size.iterate_index(ctx, "size")) == [(2, "x")]


def test_export_imports() -> None:
    ctx, zoo = make_context(), ZooSchema("zoo")
    zoo.amounts.set(ctx, ("a", 1), 5)
    zoo.names.add(ctx, "n")
    zoo.counter.next(ctx)
    zoo.by_size.set(ctx, "x", 3)
    other = make_context()
    zoo.import_json(other, zoo.export_json(ctx))
    assert other.state.changes == ctx.state.changes


def test_clashes_refuse_to_start() -> None:
    class SamePrefix(Schema):
        one = KeySet(0x01, "one", TEXT)
        two = KeySet(0x01, "two", TEXT)

    class SameName(Schema):
        one = KeySet(0x01, "one", TEXT)
        two = KeySet(0x02, "one", TEXT)

    with pytest.raises(SchemaError, match="share prefix 0x01"):
        SamePrefix("store")
    with pytest.raises(SchemaError, match="two elements are named one"):
        SameName("store")


def test_gas_is_spent_even_when_the_snapshot_rolls_back() -> None:
    ctx, zoo = make_context(gas_limit=10_000), ZooSchema("zoo")

    def write_until_empty() -> None:
        for number in range(100):
            zoo.amounts.set(ctx, ("a", number), number)

    with pytest.raises(OutOfGas, match=r"zoo.amounts; gasWanted: 10000"), ctx.snapshot():
        write_until_empty()
    assert ctx.state.changes == {}
    assert ctx.gas.used > 10_000


def test_snapshot_drops_events() -> None:
    ctx: Any = make_context()

    def emit_and_fail() -> None:
        ctx.emit("event")
        raise ValueError

    with pytest.raises(ValueError), ctx.snapshot():
        emit_and_fail()
    assert ctx.events == []
