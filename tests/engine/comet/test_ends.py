"""What ends a node on CometBFT: doors that cannot start, CometBFT itself, a request to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.doors.supervisor import PortBusy
from node.engine.comet.process import _run_engine
from node.engine.errors import EngineStopped

TIMEOUT_S = 30.0
SLEEP = ["/bin/sleep", str(TIMEOUT_S)]


class Mirror:
    """Copies nothing until it is stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def run(self) -> None:
        self._stopping.wait(TIMEOUT_S)

    def stop(self) -> None:
        self._stopping.set()


async def run_engine(
    home: Path,
    command: list[str],
    *,
    version: int,
    stopping: asyncio.Event | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run a command as the engine of an application with the state of a height."""
    server: Any = SimpleNamespace(failure=asyncio.get_running_loop().create_future())
    application = SimpleNamespace(store=SimpleNamespace(version=version))
    mirror: Any = Mirror()
    async with asyncio.timeout(TIMEOUT_S / 2):
        await _run_engine(
            home, command, server, mirror, stopping or asyncio.Event(), application, on_ready
        )


async def test_busy_port_ends_the_node(tmp_path: Path) -> None:
    def refuse() -> None:
        raise PortBusy("port 9 is in use")

    with pytest.raises(PortBusy, match="port 9"):
        await run_engine(tmp_path, SLEEP, version=1, on_ready=refuse)


@pytest.mark.parametrize("version", [0, 1])
async def test_stopped__before_and_after_the_first_block(tmp_path: Path, version: int) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stopping.set)
    await run_engine(tmp_path, SLEEP, version=version, stopping=stopping)


@pytest.mark.parametrize("version", [0, 1])
async def test_engine_that_ends__before_and_after_the_first_block(
    tmp_path: Path, version: int
) -> None:
    with pytest.raises(EngineStopped, match="code 1"):
        await run_engine(tmp_path, ["/bin/false"], version=version)
