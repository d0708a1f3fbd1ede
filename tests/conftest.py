"""Shared by every test: one copy of the `cosmos.*` and `tendermint.*` types on the path, which
tests need the machine for themselves, and how examples of properties are drawn.

By default an unchanged tree draws the same examples each time, whatever the clock says, so that
its verdict is one; `make fuzz` draws new ones.

Triton's interpreter is switched on before anything imports triton: the kernels of `exact/cuda` are
compared with the definition on the CPU.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TRITON_INTERPRET", "1")

import proto  # noqa: F401

TESTS = Path(__file__).parent
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("repeatable", UNTIMED, derandomize=True, database=None)
settings.register_profile("fuzz", UNTIMED, max_examples=1000)
settings.load_profile("repeatable")
ALONE = (TESTS / "devnet", TESTS / "engine" / "comet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of whole networks `alone`; `make test` runs the others two at a time."""
    for item in items:
        if any(folder in item.path.parents for folder in ALONE):
            item.add_marker(pytest.mark.alone)
