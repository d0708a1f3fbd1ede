"""Chains the runtime tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.chain_driver import ChainDriver


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[ChainDriver]:
    chain = ChainDriver(tmp_path / "state", {"alice": 10_000_000, "bob": 5_000})
    chain.make_block()
    yield chain
    chain.close()
