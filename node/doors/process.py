"""What every door process has in common: arguments, logging, opening the home, ending.

Exit codes: 0 stopped, 1 refused (the reason is on stderr), 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from node.doors.node_view import NodeView
from node.engine.comet.client import CometEngineClient, parse_address
from node.engine.errors import EngineError
from node.logs import set_up_logs
from node.operation import LOG_FORMATS, LOG_LEVELS
from node.runtime.ante import GasPrice
from node.runtime.options import NodeOptions
from node.store.errors import StoreError

STARTED_S = 3.0


def add_door_arguments(parser: argparse.ArgumentParser, default_port: int) -> None:
    """Add the arguments every door takes."""
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=default_port, help="port to listen on")
    parser.add_argument("--moniker", default="descent", help="name of this node")
    parser.add_argument(
        "--udsc-per-million-gas", type=int, default=0, help="lowest gas price this node takes"
    )
    parser.add_argument(
        "--engine-rpc",
        metavar="HOST:PORT",
        help="CometBFT's RPC, which takes transactions; the embedded engine's socket without it",
    )
    parser.add_argument("--log-level", default="warning", choices=LOG_LEVELS)
    parser.add_argument("--log-format", default="console", choices=LOG_FORMATS)
    parser.add_argument(
        "--supervised",
        action="store_true",
        help="stop when standard input closes, which is when the node that started the door ends",
    )


def add_http_arguments(parser: argparse.ArgumentParser, default_per_second: float) -> None:
    """Add the arguments of doors that browsers and strangers reach by HTTP."""
    parser.add_argument("--cors-allowed-origin", action="append", default=[], metavar="ORIGIN")
    add_rate_argument(parser, default_per_second)


def add_rate_argument(parser: argparse.ArgumentParser, default_per_second: float) -> None:
    """Add the limit of what one client may ask."""
    parser.add_argument(
        "--max-requests-per-second",
        type=float,
        default=default_per_second,
        help="of one client address; 0 for no limit",
    )


def stop_with_parent() -> None:
    """Stop this process, as by SIGTERM, when standard input reaches its end."""

    def handle_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            signal.raise_signal(signal.SIGTERM)

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), handle_input)


def settle_memory() -> None:
    """Spare what a door made at its start from later collections: it lives as long as the door."""
    gc.collect()
    gc.freeze()


def run_door(arguments: argparse.Namespace, run: Callable[[NodeView], Awaitable[None]]) -> None:
    """Open the home and run a door until it is told to stop."""
    set_up_logs(arguments.log_format, arguments.log_level, "door")
    options = NodeOptions(min_gas_price=GasPrice(arguments.udsc_per_million_gas))

    async def run_all() -> None:
        if arguments.supervised:
            stop_with_parent()
        engine = None
        if arguments.engine_rpc:
            engine = CometEngineClient(*parse_address(arguments.engine_rpc))
        asyncio.get_running_loop().call_later(STARTED_S, settle_memory)
        with NodeView.open(arguments.home, options, engine) as view:
            try:
                await run(view)
            finally:
                await view.engine.close()

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run_all())
    except (StoreError, EngineError, OSError, RuntimeError, ValueError) as error:
        print(f"door: {error}", file=sys.stderr)
        sys.exit(1)
