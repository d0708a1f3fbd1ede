"""`descent node debug invariants` on the folder of a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from node.chain import build_chain
from node.runtime.addresses import compute_module_address
from node.runtime.context import BlockInfo, Context
from node.runtime.state import Overlay
from node.store.state import StateStore
from tests.runtime.chain_driver import ChainDriver


@pytest.fixture
def home(tmp_path: Path) -> Path:
    driver = ChainDriver(tmp_path / "data" / "state", {"alice": 10_000_000})
    for _ in range(3):
        driver.make_block()
    driver.close()
    return tmp_path


def check(home: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, Any]:
    code = run(["node", "debug", "invariants", "--home", str(home), "--output", "json", *flags])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else json.loads(err)["error"]


def test_every_invariant_holds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = check(home, capsys)
    assert code == 0
    pallets = build_chain().runtime.pallets.values()
    assert len(rows) == sum(len(pallet.list_invariants()) for pallet in pallets) >= 20
    assert {row["height"] for row in rows} == {3}
    assert check(home, capsys, "--height", "2")[0] == 0
    assert check(home, capsys, "--height", "9")[0] == 1


def test_a_broken_one_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StateStore.open(home / "data" / "state") as store:
        state = Overlay(store)
        bank = build_chain().bank
        bank.mint(Context(state, BlockInfo("", 3, 0)), compute_module_address("gov"), 5)
        store.stage(4, state.changes)
        store.commit()
    code, error = check(home, capsys)
    assert code == 4
    assert error["message"].startswith("mint: supply 10000005, issued 10000000")
