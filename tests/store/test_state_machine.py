"""A stateful machine: the store against dicts, one a kept version, with a restart at any point."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.store.errors import VersionUnavailable
from node.store.proofs import Proof, ProofError
from node.store.state import StateStore

STORES = st.sampled_from(["bank", "accounts", "runs"])
# Zero and 0xff bytes are where an encoding of keys would break the order.
KEYS = st.lists(st.sampled_from([b"\x00", b"\xff", b"a", b"b"]), max_size=4).map(b"".join)
VALUES = st.binary(max_size=3)
CHANGES = st.dictionaries(STORES, st.dictionaries(KEYS, st.none() | VALUES, max_size=8), max_size=3)

Content = dict[str, dict[bytes, bytes]]


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.store = StateStore.open(self.path)
        self.kept: dict[int, tuple[bytes, Content]] = {}
        self.latest: Content = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.path)

    @rule(changes=CHANGES, keep_recent=st.none() | st.integers(1, 6), limit=st.integers(1, 50))
    def commit(self, changes, keep_recent, limit) -> None:
        version = self.store.version + 1
        app_hash = self.store.stage(version, changes)
        if version > 1:
            assert self.store.app_hash == self.kept[version - 1][0]
        self.store.metadata["height"] = b"%d" % version
        self.store.commit(keep_recent=keep_recent, prune_limit=limit)
        content = {name: dict(pairs) for name, pairs in self.latest.items()}
        for name, pairs in changes.items():
            target = content.setdefault(name, {})
            for key, value in pairs.items():
                if value is None:
                    target.pop(key, None)
                else:
                    target[key] = value
        self.latest = content
        self.kept[version] = (app_hash, content)
        if keep_recent is not None:
            self.forget(version - keep_recent + 1)

    @rule(changes=CHANGES)
    def stage_and_forget(self, changes) -> None:
        before = self.store.app_hash
        self.store.stage(self.store.version + 1, changes)
        assert self.store.app_hash == before

    @rule(keep_recent=st.integers(1, 6), limit=st.none() | st.integers(1, 20))
    def prune(self, keep_recent, limit) -> None:
        if not self.kept:
            return
        self.store.prune(keep_recent, limit)
        self.forget(self.store.version - keep_recent + 1)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = StateStore.open(self.path)

    def forget(self, oldest: int) -> None:
        for version in [v for v in self.kept if v < oldest]:
            del self.kept[version]

    @rule(store=STORES, key=KEYS)
    def read_unavailable(self, store, key) -> None:
        for version in (min(self.kept, default=1) - 1, self.store.version + 1):
            if version >= 1:
                with pytest.raises(VersionUnavailable):
                    self.store.get(store, key, version)

    @rule(store=STORES, prefix=KEYS, start=st.none() | KEYS, reverse=st.booleans())
    def iterate(self, store, prefix, start, reverse) -> None:
        for version, (_, content) in self.kept.items():
            pairs = sorted(content.get(store, {}).items(), reverse=reverse)
            expected = [
                (key, value)
                for key, value in pairs
                if key.startswith(prefix)
                and (start is None or (key <= start if reverse else key >= start))
            ]
            found = list(self.store.iterate(store, prefix, start, version, reverse))
            assert found == expected

    @rule(store=STORES, key=KEYS, other=VALUES)
    def read_and_prove(self, store, key, other) -> None:
        for version, (app_hash, content) in self.kept.items():
            value = content.get(store, {}).get(key)
            assert self.store.get(store, key, version) == value
            if store not in content:
                continue
            proof = Proof.decode(self.store.prove(store, key, version).encode())
            proof.verify(app_hash, store, key, value)
            for wrong in (None, other):
                if wrong != value:
                    with pytest.raises(ProofError):
                        proof.verify(app_hash, store, key, wrong)

    @invariant()
    def newest_is_right(self) -> None:
        assert list(self.store.export()) == [
            (name, key, value)
            for name in sorted(self.latest)
            for key, value in sorted(self.latest[name].items())
        ]
        if self.kept:
            version = self.store.version
            assert self.store.app_hash == self.kept[version][0]
            assert self.store.metadata["height"] == b"%d" % version


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=25)


def test_prune_leaves_nothing_behind(tmp_path: Path) -> None:
    with StateStore.open(tmp_path / "a") as store, StateStore.open(tmp_path / "b") as fresh:
        for version in range(1, 30):
            changes = {bytes([i % 50]): bytes([version]) for i in range(version, version + 20)}
            changes |= {bytes([i % 50]): None for i in range(version + 20, version + 25)}
            store.stage(version, {"bank": changes})
            store.commit()
        while store.prune(1, limit=7):
            pass
        fresh.stage(29, {"bank": dict(store.iterate("bank"))})
        fresh.commit()
        assert fresh.app_hash == store.app_hash
        assert count_records(store) == count_records(fresh)


def count_records(store: StateStore) -> dict[bytes, int]:
    database = store._database
    with database.begin() as txn:
        tables = {name: txn.stat(handle)["entries"] for name, handle in database.tables.items()}
    # The import names every key as new, so only its stale table differs: it has none.
    assert tables.pop(b"stale") == 0
    return tables
