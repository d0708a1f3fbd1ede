"""The node's own process: state, application, embedded engine and control socket in one loop.

    python -m node.engine.process --home DIR [--block-interval-ms 500]

Prints one line on stdout once the chain answers. Exit codes: 0 told to stop (SIGINT, SIGTERM),
1 refused or failed, with the reason on stderr. A bug inside the application ends the process with
its traceback: nothing half-done is committed.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.chain import build_chain
from node.engine.control_server import ControlServer
from node.engine.embedded import BLOCK_INTERVAL_S, EmbeddedEngine, EngineOptions
from node.engine.errors import EngineError
from node.runtime.application import VoteExtender
from node.runtime.options import NodeOptions
from node.runtime.storage import GenesisDataError
from node.store.errors import StoreError
from node.store.state import StateStore

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


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


def main(arguments: list[str] | None = None) -> int:
    """Run a node's engine until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(description="Order blocks for one home directory.")
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument(
        "--block-interval-ms",
        type=int,
        default=round(1000 * BLOCK_INTERVAL_S),
        help="from the start of one block to the start of the next",
    )
    parser.add_argument("--log-level", default="warning", help="debug, info, warning or error")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=parsed.log_level.upper(), format=LOG_FORMAT)
    options = EngineOptions(interval_s=parsed.block_interval_ms / 1000)
    try:
        with (
            open_engine(parsed.home, options=options) as engine,
            contextlib.suppress(KeyboardInterrupt),
        ):
            asyncio.run(run_engine(engine, lambda: print(f"ready {parsed.home}", flush=True)))
    except (EngineError, StoreError, GenesisDataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
