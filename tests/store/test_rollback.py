"""Taking versions back, and giving room back: against a dict of every version."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.compact import TEMPORARY_NAME, compact_folder
from node.store.errors import StoreBusy, StoreMisuse, VersionUnavailable
from node.store.state import StateStore
from node.store.tables import STATE_LAYOUT

NAMES = ("bank", "runs")
KEYS = [bytes((i,)) * 3 for i in range(12)]
Change = dict[str, dict[bytes, bytes | None]]
Contents = dict[str, dict[bytes, bytes]]
values = st.none() | st.binary(min_size=1, max_size=40)
changes = st.dictionaries(
    st.sampled_from(NAMES), st.dictionaries(st.sampled_from(KEYS), values, max_size=8), max_size=2
)


def apply(contents: Contents, change: Change) -> Contents:
    after = {name: dict(entries) for name, entries in contents.items()}
    for name, entries in change.items():
        kept = after.setdefault(name, {})
        for key, value in entries.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
    return after


def read(store: StateStore, version: int | None = None) -> Contents:
    found: Contents = {name: {} for name in store.store_roots(version)}
    for name, key, value in store.export(version):
        found[name][key] = value
    return found


@settings(max_examples=40)
@given(
    first=st.lists(changes, min_size=2, max_size=6),
    num_back=st.integers(1, 3),
    then=st.lists(changes, min_size=1, max_size=3),
)
def test_rollback_is_as_if_it_never_was(
    first: list[Change], num_back: int, then: list[Change]
) -> None:
    num_back = min(num_back, len(first) - 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        StateStore.open(Path(folder, "one")) as store,
        StateStore.open(Path(folder, "two")) as other,
    ):
        history: list[Contents] = [{}]
        for version, change in enumerate(first, 1):
            store.stage(version, change)
            store.commit()
            history.append(apply(history[-1], change))
        newest = len(first) - num_back
        for back in range(1, num_back + 1):
            assert store.rollback() == len(first) - back
        for version in range(1, newest + 1):
            assert read(store, version) == history[version]
        with pytest.raises(VersionUnavailable):
            store.view(newest + 1)
        for version, change in enumerate([*first[:newest], *then], 1):
            expected = other.stage(version, change)
            other.commit()
            if version > newest:
                assert store.stage(version, change) == expected
                store.commit(keep_recent=2)
        assert read(store) == read(other)
        for name in store.store_roots():
            for key in KEYS:
                store.prove(name, key)


def test_rollback_stops_at_the_oldest(tmp_path: Path) -> None:
    with StateStore.open(tmp_path) as store:
        for version in range(1, 6):
            store.stage(version, {"bank": {b"k": bytes((version,))}})
            store.commit(keep_recent=3)
        assert (store.rollback(), store.rollback()) == (4, 3)
        with pytest.raises(VersionUnavailable, match="version 2 is not kept"):
            store.rollback()
        assert store.get("bank", b"k") == b"\x03"
        with StateStore.open(tmp_path, readonly=True) as reader, pytest.raises(StoreMisuse):
            reader.rollback()


def test_compact(tmp_path: Path) -> None:
    num_tables = len(STATE_LAYOUT.tables)
    with StateStore.open(tmp_path) as store:
        for version in range(1, 40):
            entries = {b"%d" % i: b"%d" % version * 200 for i in range(100)}
            store.stage(version, {"bank": entries})
            store.commit()
        while store.prune(2, 500):
            pass
        before, app_hash = read(store), store.app_hash
        with pytest.raises(StoreBusy):
            compact_folder(tmp_path, num_tables)
    size = (tmp_path / "data.mdb").stat().st_size
    (tmp_path / TEMPORARY_NAME).mkdir()  # what a killed process left
    compact_folder(tmp_path, num_tables)
    assert (tmp_path / "data.mdb").stat().st_size < size / 3
    assert not (tmp_path / TEMPORARY_NAME).exists()
    with StateStore.open(tmp_path) as store:
        assert (read(store), store.app_hash) == (before, app_hash)
        store.stage(40, {"bank": {b"0": None}})
        store.commit()
        assert store.rollback() == 39
        assert store.app_hash == app_hash
