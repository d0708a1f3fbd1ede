"""Shared by every test: one copy of the `cosmos.*` and `tendermint.*` types on the path, and which
tests need the machine for themselves.

Triton's interpreter is switched on before anything imports triton: the kernels of `exact/cuda` are
compared with the definition on the CPU.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TRITON_INTERPRET", "1")

import proto  # noqa: F401

TESTS = Path(__file__).parent
ALONE = (TESTS / "devnet", TESTS / "engine" / "comet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of whole networks `alone`; `make test` runs the others two at a time."""
    for item in items:
        if any(folder in item.path.parents for folder in ALONE):
            item.add_marker(pytest.mark.alone)
