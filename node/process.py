"""The node process: chain on its store, driven by the embedded engine, until told to stop.

Home: `config/` holds genesis.json, priv_validator_key.json, node_key.json and, for an operator,
`onion_seed` (secret) and `operator` (its account address); `data/state` holds the state and
`data/blocks` the blocks. Doors are processes of their own; `--door` starts them supervised.

    python -m node.process --home HOME [--interval 0.5] [--door rpc=26657] [--door grpc=9090]

Exit codes: 0 stopped, 1 refused or failed, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from node.chain import Chain, build_chain
from node.engine.control_server import ControlServer
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.engine.errors import EngineError, HomeMismatch
from node.engine.genesis_doc import GenesisDoc
from node.onion import OnionError, OnionKeeper, load_seed
from node.runtime.addresses import AddressError, decode_account
from node.runtime.ante import GasPrice
from node.runtime.application import Application, VoteExtender
from node.runtime.options import NodeOptions
from node.runtime.storage import GenesisDataError
from node.store.errors import StoreError
from node.store.state import StateStore

logger = logging.getLogger(__name__)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
DOOR_MODULES = {"rpc": "node.doors.rpc_door", "grpc": "node.doors.grpc_door"}
DOOR_STOP_S = 5.0
DOOR_CHECK_S = 1.0
DEFAULT_INTERVAL_S = 0.5


@dataclass(frozen=True)
class ProcessOptions:
    """How one node runs.

    Args:
        interval_s: seconds from block to block.
        doors: port by door name.
    """

    interval_s: float = DEFAULT_INTERVAL_S
    node: NodeOptions = field(default_factory=NodeOptions)
    doors: dict[str, int] = field(default_factory=dict)


def load_extender(home: Path, chain: Chain) -> VoteExtender | None:
    """Load what makes this node's vote extensions; None for a node that is no operator.

    Raises: OnionError.
    """
    seed_path, operator_path = home / "config" / "onion_seed", home / "config" / "operator"
    if not seed_path.exists():
        return None
    try:
        operator = decode_account(operator_path.read_text().strip())
    except (OSError, AddressError) as error:
        raise OnionError(f"{operator_path} does not name this node's operator: {error}") from error
    return OnionKeeper(load_seed(seed_path), operator).make_extender(chain.beacon)


def open_application(
    home: Path, store: StateStore, options: NodeOptions, genesis: GenesisDoc
) -> Application:
    """Put the chain on the state of a home.

    Raises: HomeMismatch, OnionError.
    """
    chain = build_chain()
    application = chain.open_application(store, options, load_extender(home, chain))
    found = application.last_block.chain_id
    if found and found != genesis.chain_id:
        raise HomeMismatch(
            f"{home} holds the state of chain {found}, its genesis file is of chain "
            f"{genesis.chain_id}: use another home, or remove {home / 'data'}"
        )
    return application


async def run_node(home: Path, options: ProcessOptions) -> None:
    """Run a node until SIGINT or SIGTERM.

    Raises: EngineError, StoreError, OnionError, GenesisDataError.
    """
    genesis = GenesisDoc.load(home / "config" / "genesis.json")
    with StateStore.open(home / "data" / "state") as store:
        application = open_application(home, store, options.node, genesis)
        engine = EmbeddedEngine(
            home,
            application,
            genesis=genesis,
            options=EngineOptions(interval_s=options.interval_s),
        )
        try:
            engine.start()
            await run_engine(engine, options)
        finally:
            engine.close()


async def run_engine(engine: EmbeddedEngine, options: ProcessOptions) -> None:
    """Run engine, control socket and doors."""
    control = ControlServer(engine)
    await control.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, engine.stop)
    if engine.state.height < engine.state.initial_height:
        engine.step()  # doors and clients find a first block
    doors = DoorSupervisor(engine.home, options.doors)
    doors.start()
    watch = asyncio.create_task(doors.watch())
    logger.info("node of %s starts at height %d", engine.genesis.chain_id, engine.state.height)
    try:
        await engine.run()
    finally:
        watch.cancel()
        await doors.stop()
        await control.stop()


class DoorSupervisor:
    """Starts door processes and starts a door again that ended.

    Args:
        ports: port by door name.
    """

    def __init__(self, home: Path, ports: dict[str, int]) -> None:
        self._home = home
        self._ports = ports
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start every door."""
        for name in self._ports:
            self._start_door(name)

    def _start_door(self, name: str) -> None:
        arguments = ["--home", str(self._home), "--port", str(self._ports[name]), "--supervised"]
        self._processes[name] = subprocess.Popen(
            [sys.executable, "-m", DOOR_MODULES[name], *arguments], stdin=subprocess.PIPE
        )

    async def watch(self) -> None:
        """Start a door again when it ends."""
        while True:
            await asyncio.sleep(DOOR_CHECK_S)
            for name, process in list(self._processes.items()):
                if process.poll() is not None:
                    logger.warning("door %s ended with %s: starting it", name, process.returncode)
                    self._start_door(name)

    async def stop(self) -> None:
        """Stop every door."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                await asyncio.to_thread(process.wait, DOOR_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def parse_door(text: str) -> tuple[str, int]:
    """Parse `name=port`."""
    name, _, port = text.partition("=")
    if name not in DOOR_MODULES or not port.isdigit():
        names = ", ".join(DOOR_MODULES)
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PORT with NAME one of {names}")
    return name, int(port)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="node.process", description="Run a node.")
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument("--interval", type=float, default=DEFAULT_INTERVAL_S, help="seconds")
    parser.add_argument("--min-gas-price", type=int, default=0, help="udsc a million gas")
    parser.add_argument("--keep-recent", type=int, default=None, help="blocks of state kept")
    parser.add_argument("--door", type=parse_door, action="append", default=[])
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run a node from the command line."""
    arguments = parse_arguments(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format=LOG_FORMAT)
    options = ProcessOptions(
        interval_s=arguments.interval,
        node=NodeOptions(
            min_gas_price=GasPrice(arguments.min_gas_price),
            keep_recent_blocks=arguments.keep_recent,
        ),
        doors=dict(arguments.door),
    )
    try:
        asyncio.run(run_node(arguments.home, options))
    except (EngineError, StoreError, OnionError, GenesisDataError) as error:
        print(f"node: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
