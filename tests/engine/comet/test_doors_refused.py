"""Doors that cannot start are no small matter: the node ends and says why, as without CometBFT."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.doors.supervisor import PortBusy
from node.engine.comet.process import _run_engine

TIMEOUT_S = 30.0


class Mirror:
    """Copies nothing until it is stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def run(self) -> None:
        self._stopping.wait(TIMEOUT_S)

    def stop(self) -> None:
        self._stopping.set()


async def test_busy_port_ends_the_node(tmp_path: Path) -> None:
    def refuse() -> None:
        raise PortBusy("port 9 is in use")

    server: Any = SimpleNamespace(failure=asyncio.get_running_loop().create_future())
    application = SimpleNamespace(store=SimpleNamespace(version=1))
    mirror: Any = Mirror()
    command = ["/bin/sleep", str(TIMEOUT_S)]
    with pytest.raises(PortBusy, match="port 9"):
        async with asyncio.timeout(TIMEOUT_S / 2):
            await _run_engine(
                tmp_path, command, server, mirror, asyncio.Event(), application, refuse
            )
