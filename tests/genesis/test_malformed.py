"""A genesis with anything changed anywhere: taken, or refused in words; never an error of ours."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from genesis.builder import GenesisBuilder
from genesis.devnet import OperatorKeys, build_devnet
from genesis.document import GenesisError

NUM_CASES = 120
Path = tuple[str | int, ...]
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1.5, "", "x", "-5", "9" * 60, "0x10", "1e5", "descent1", "Z" * 500),
    *([], {}, [1], [[]], {"a": 1}, float("inf"), float("nan")),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_devnet([OperatorKeys(b"\x01" * 32, b"\x02" * 32)], time_ns=1_700_000_000 * 10**9)


def list_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:3])
    for key, item in items:
        yield from list_paths(item, (*path, key))


def change(document: dict[str, Any], path: Path, chance: random.Random) -> None:
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if chance.random() < 0.15:
        del place[path[-1]]
    else:
        place[path[-1]] = copy.deepcopy(chance.choice(VALUES))


def test_anything_changed_anywhere(document: dict[str, Any]) -> None:
    chance, num_refused = random.Random(11), 0
    paths = [path for path in list_paths(document) if path]
    for _ in range(NUM_CASES):
        changed = copy.deepcopy(document)
        change(changed, chance.choice(paths), chance)
        try:
            GenesisBuilder.load(changed)
        except GenesisError:
            num_refused += 1
    assert num_refused > NUM_CASES / 2


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("app_state", "pallets", "bank"), [1], "bank: the section is not an object"),
        (("app_state", "pallets", "bank", "balances"), "x", "bank.balances: not a list"),
        (("validators", 0, "power"), "7", "`descent genesis collect` writes them"),
        (("chain_id",), 5, "chain_id"),
    ],
)
def test_invalid(document: dict[str, Any], path: Path, value: Any, words: str) -> None:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(GenesisError, match=words):
        GenesisBuilder.load(changed)
