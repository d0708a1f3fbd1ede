"""State, application, embedded engine and control socket in one loop; `node.process` starts it.

A bug inside the application ends the process with its traceback: nothing half-done is committed.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.chain import build_chain
from node.engine.control_server import ControlServer
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.runtime.application import VoteExtender
from node.runtime.options import NodeOptions
from node.store.state import StateStore


@contextmanager
def open_engine(
    home: Path,
    *,
    node_options: NodeOptions | None = None,
    options: EngineOptions | None = None,
    extend: VoteExtender | None = None,
) -> Iterator[EmbeddedEngine]:
    """Open the state and the blocks of a home and do the handshake.

    Raises:
        EngineError: see `EmbeddedEngine`.
        StoreError: the data cannot be opened.
        GenesisDataError: the application refuses the genesis state.
    """
    with StateStore.open(home / "data" / "state") as store:
        application = build_chain().open_application(store, node_options, extend)
        with open_engine_on(home, application, options) as engine:
            yield engine


@contextmanager
def open_engine_on(
    home: Path, application: Any, options: EngineOptions | None = None
) -> Iterator[EmbeddedEngine]:
    """Open the blocks of a home and do the handshake with an application on an open store.

    Raises:
        EngineError: see `EmbeddedEngine`.
        GenesisDataError: the application refuses the genesis state.
    """
    engine = EmbeddedEngine(home, application, options=options)
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


async def run_engine(engine: EmbeddedEngine, on_ready: Callable[[], None] | None = None) -> None:
    """Serve the control socket and make blocks until SIGINT, SIGTERM or `engine.stop`.

    Args:
        on_ready: called once the socket listens and the first block of this run is committed.

    Raises:
        Whatever a block raises: the node has to stop then.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, engine.stop)
    is_ready = False

    def tell_ready(_: object) -> None:
        nonlocal is_ready
        if not is_ready and on_ready is not None:
            on_ready()
        is_ready = True

    engine.on_block(tell_ready)
    server = ControlServer(engine)
    await server.start()
    try:
        await engine.run()
    finally:
        await server.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
