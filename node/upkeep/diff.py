"""Where two states of one height differ first, in the words of the pallet that keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from node.chain import Chain, build_chain
from node.runtime.codecs import CodecError
from node.runtime.storage import Element
from node.store.state import StateStore
from node.store.view import StateView
from node.upkeep.home import ensure_data

Entry = tuple[bytes, bytes]


@dataclass(frozen=True)
class Difference:
    """The first difference.

    pallet, item: where; the item is the name of a storage element, empty if none owns the key.
    key: as the genesis file writes it, the raw key in hex where it does not decode.
    values: of either state; None where it has no such key.
    """

    pallet: str
    item: str
    key: Any
    raw_key: bytes
    values: tuple[Any, Any]


@dataclass(frozen=True)
class Comparison:
    """Two states of one height."""

    height: int
    app_hashes: tuple[bytes, bytes]
    pallets: tuple[str, ...]
    first: Difference | None


def compare_homes(first: Path, second: Path, height: int = 0) -> Comparison:
    """Compare the states of two nodes, which may be running.

    Args:
        height: 0 for the newest that both have.
    Raises:
        UpkeepRefused: a folder without data.
        VersionUnavailable: a height that one of them does not keep.
    """
    for home in (first, second):
        ensure_data(home)
    with (
        StateStore.open(first / "data" / "state", readonly=True) as one,
        StateStore.open(second / "data" / "state", readonly=True) as two,
    ):
        at = height or min(one.version, two.version)
        with one.view(at) as left, two.view(at) as right:
            return compare_views(left, right, at)


def compare_views(left: StateView, right: StateView, height: int) -> Comparison:
    """Compare two states; stores with equal roots are not looked through."""
    roots = (left.store_roots(), right.store_roots())
    names = sorted(set(roots[0]) | set(roots[1]))
    different = tuple(name for name in names if roots[0].get(name) != roots[1].get(name))
    first = None
    if different:
        first = find_difference(build_chain(), left, right, different[0])
    return Comparison(height, (left.app_hash, right.app_hash), different, first)


def find_difference(
    chain: Chain, left: StateView, right: StateView, store: str
) -> Difference | None:
    """Find the first key, in key order, that one store does not have as the other."""
    for raw_key, values in _merge(left.iterate(store), right.iterate(store)):
        if values[0] != values[1]:
            element = _find_element(chain, store, raw_key)
            shown = (_decode_value(element, values[0]), _decode_value(element, values[1]))
            item = "" if element is None else element.name
            return Difference(store, item, _decode_key(element, raw_key), raw_key, shown)
    return None


def _merge(
    left: Iterator[Entry], right: Iterator[Entry]
) -> Iterator[tuple[bytes, tuple[bytes | None, bytes | None]]]:
    """Pair the entries of two iterators in key order."""
    one, two = next(left, None), next(right, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None
            yield one[0], (one[1], None)
            one = next(left, None)
        elif one is None or two[0] < one[0]:
            yield two[0], (None, two[1])
            two = next(right, None)
        else:
            yield one[0], (one[1], two[1])
            one, two = next(left, None), next(right, None)


def _find_element(chain: Chain, store: str, raw_key: bytes) -> Element[Any, Any] | None:
    pallet = chain.runtime.pallets.get(store)
    elements = [] if pallet is None else list(pallet.storage.elements.values())
    parts = [part for element in elements for part in element.list_parts()]
    return next((part for part in parts if part.prefix == raw_key[:1]), None)


def _decode_key(element: Element[Any, Any] | None, raw_key: bytes) -> Any:
    try:
        if element is not None:
            return element.key_codec.to_json(element.decode_key(raw_key))
    except (CodecError, IndexError):
        pass
    return raw_key.hex()


def _decode_value(element: Element[Any, Any] | None, raw: bytes | None) -> Any:
    if raw is None:
        return None
    codec = None if element is None else element.value_codec
    try:
        return raw.hex() if codec is None else codec.to_json(codec.decode(raw))
    except (ValueError, DecodeError):
        return raw.hex()
