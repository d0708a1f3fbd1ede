"""A whole node: the engine on the chain's state, this operator's beacon, and the doors beside it.

    <home>/config/genesis.json    what the chain starts from
    <home>/config/onion_seed      secret of this operator's hash onion (0600), if it is one
    <home>/config/operator        address of that operator
    <home>/data                   blocks and state

    python -m node.process --home HOME [--block-interval-ms 500] [--port-offset 0]

A crashed door is started again; an error in a block stops the node. Exit codes: 0 told to stop,
1 refused or failed, with the reason on stderr, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from node.doors.supervisor import DoorSupervisor, PortBusy, check_ports, list_doors
from node.engine.embedded import EngineOptions
from node.engine.errors import EngineError
from node.engine.process import open_engine, run_engine
from node.onion import OnionError, OnionKeeper, load_seed
from node.pallets.beacon.pallet import BeaconPallet
from node.runtime.addresses import AddressError, decode_account
from node.runtime.ante import GasPrice
from node.runtime.application import VoteExtender
from node.runtime.options import NodeOptions
from node.runtime.storage import GenesisDataError
from node.store.errors import StoreError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
DEFAULT_INTERVAL_S = 0.5


@dataclass(frozen=True)
class NodeSettings:
    """What the operator of a node chooses.

    Args:
        home: folder of the node.
        port_offset: added to every port.
        interval_s: seconds from one block to the next.
        udsc_per_million_gas: lowest gas price taken on arrival.
        log_dir: folder of the doors' logs, None for the node's own output.
        keep_recent_blocks: blocks whose state stays readable, None for all.
    """

    home: Path
    port_offset: int = 0
    interval_s: float = DEFAULT_INTERVAL_S
    udsc_per_million_gas: int = 1_000
    log_dir: Path | None = None
    keep_recent_blocks: int | None = None


def load_extender(home: Path) -> VoteExtender | None:
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
    return OnionKeeper(load_seed(seed_path), operator).make_extender(BeaconPallet())


async def run_node(settings: NodeSettings) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        PortBusy: a door's port is taken; the text names it and the flag that moves it.
        EngineError, StoreError, OnionError, GenesisDataError: files of the home cannot be used.
    """
    gas_price = settings.udsc_per_million_gas
    doors = list_doors(settings.port_offset, udsc_per_million_gas=gas_price)
    supervisor = DoorSupervisor(settings.home, doors, log_dir=settings.log_dir)
    check_ports(supervisor.host, doors)
    options = NodeOptions(
        min_gas_price=GasPrice(gas_price), keep_recent_blocks=settings.keep_recent_blocks
    )
    with open_engine(
        settings.home,
        node_options=options,
        options=EngineOptions(interval_s=settings.interval_s),
        extend=load_extender(settings.home),
    ) as engine:
        try:
            await run_engine(engine, on_ready=supervisor.start)
        finally:
            supervisor.stop()


def main(argv: list[str] | None = None) -> int:
    """Run a node from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="node.process", description="Run a node.")
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument("--block-interval-ms", type=int, default=500, help="block to block")
    parser.add_argument("--port-offset", type=int, default=0, help="added to every port")
    parser.add_argument("--udsc-per-million-gas", type=int, default=1_000, help="lowest gas price")
    parser.add_argument("--keep-recent", type=int, default=None, help="blocks of state kept")
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format=LOG_FORMAT)
    settings = NodeSettings(
        home=arguments.home,
        port_offset=arguments.port_offset,
        interval_s=arguments.block_interval_ms / 1000,
        udsc_per_million_gas=arguments.udsc_per_million_gas,
        keep_recent_blocks=arguments.keep_recent,
    )
    try:
        asyncio.run(run_node(settings))
    except (PortBusy, EngineError, StoreError, OnionError, GenesisDataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
