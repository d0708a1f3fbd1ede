"""A whole node: the engine on the chain's state, this operator's beacon, and the doors beside it.

    <home>/config/genesis.json    what the chain starts from
    <home>/config/onion_seed      secret of this operator's hash onion (0600), if it is one
    <home>/config/operator        address of that operator
    <home>/data                   blocks and state

    python -m node.process --home HOME [--engine embedded|cometbft] [--port-offset 0]

A crashed door is started again; an error in a block stops the node. Exit codes: 0 told to stop,
1 refused or failed, with the reason on stderr, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from node.chain import build_chain
from node.doors.supervisor import (
    RPC_PORT,
    Door,
    DoorSupervisor,
    PortBusy,
    check_ports,
    list_comet_doors,
    list_doors,
)
from node.engine.comet.config import METRICS_PORT, P2P_PORT, CometSettings, Peer, StateSync
from node.engine.comet.process import require_binary, run_comet
from node.engine.embedded import EngineOptions
from node.engine.errors import EngineError
from node.engine.process import open_engine, run_engine
from node.onion import OnionError, OnionKeeper, load_seed
from node.pallets.beacon.pallet import BeaconPallet
from node.runtime.addresses import AddressError, decode_account
from node.runtime.ante import GasPrice
from node.runtime.application import VoteExtender
from node.runtime.errors import UpgradeHalt
from node.runtime.options import NodeOptions
from node.runtime.storage import GenesisDataError
from node.store.errors import StoreError
from node.store.state import StateStore

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
DEFAULT_INTERVAL_S = 0.5
CONSENSUS_S = 0.1  # a block of CometBFT takes about this much beside its pause
EMBEDDED, COMETBFT = "embedded", "cometbft"


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
        engine: who orders blocks, EMBEDDED or COMETBFT.
        peers: other nodes, with CometBFT.
        has_metrics: whether CometBFT serves its metrics.
        snapshot_interval: blocks between snapshots for new nodes, with CometBFT; 0 makes none.
        state_sync: where a new node gets its state from, with CometBFT.
    """

    home: Path
    port_offset: int = 0
    interval_s: float = DEFAULT_INTERVAL_S
    udsc_per_million_gas: int = 1_000
    log_dir: Path | None = None
    keep_recent_blocks: int | None = None
    engine: str = EMBEDDED
    peers: tuple[Peer, ...] = ()
    has_metrics: bool = False
    snapshot_interval: int = 0
    state_sync: StateSync | None = None


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
    options = NodeOptions(
        min_gas_price=GasPrice(settings.udsc_per_million_gas),
        keep_recent_blocks=settings.keep_recent_blocks,
    )
    if settings.engine == COMETBFT:
        await _run_comet_node(settings, options)
    else:
        await _run_embedded_node(settings, options)


async def _run_embedded_node(settings: NodeSettings, options: NodeOptions) -> None:
    gas_price = settings.udsc_per_million_gas
    doors = list_doors(settings.port_offset, udsc_per_million_gas=gas_price)
    supervisor = DoorSupervisor(settings.home, doors, log_dir=settings.log_dir)
    check_ports(supervisor.host, doors)
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


async def _run_comet_node(settings: NodeSettings, options: NodeOptions) -> None:
    require_binary()
    gas_price, offset = settings.udsc_per_million_gas, settings.port_offset
    doors = list_comet_doors(offset, udsc_per_million_gas=gas_price)
    supervisor = DoorSupervisor(settings.home, doors, log_dir=settings.log_dir)
    comet = CometSettings(
        rpc_port=RPC_PORT + offset,
        p2p_port=P2P_PORT + offset,
        metrics_port=METRICS_PORT + offset if settings.has_metrics else 0,
        peers=settings.peers,
        snapshot_interval=settings.snapshot_interval,
        state_sync=settings.state_sync,
        timeout_commit_ms=max(1, round(1000 * (settings.interval_s - CONSENSUS_S))),
    )
    own = [Door("CometBFT RPC", "", comet.rpc_port), Door("CometBFT P2P", "", comet.p2p_port)]
    check_ports(supervisor.host, [*doors, *own])
    with StateStore.open(settings.home / "data" / "state") as store:
        extend = load_extender(settings.home)
        application = build_chain().open_application(store, options, extend)
        try:
            await run_comet(settings.home, application, comet, on_ready=supervisor.start)
        finally:
            supervisor.stop()


def parse_peer(text: str) -> Peer:
    """Parse `ID@HOST:PORT`.

    Raises:
        ArgumentTypeError: it is none.
    """
    node_id, separator, address = text.partition("@")
    if not separator or len(node_id) != 40 or ":" not in address or set(text) & set(' ,"'):
        raise argparse.ArgumentTypeError(f"{text!r} is not ID@HOST:PORT")
    return Peer(node_id, address)


def parse_state_sync(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> StateSync | None:
    """Take the flags of state sync; ends the process where some are missing."""
    rpc = tuple(arguments.state_sync_rpc)
    if not rpc:
        return None
    is_hash = re.fullmatch("[0-9A-Fa-f]{64}", arguments.trust_hash)
    is_address = all(re.fullmatch(r"[\w.-]+:\d+", text) for text in rpc)
    if len(rpc) < 2 or arguments.trust_height < 1 or not is_hash or not is_address:
        parser.error("state sync: two --state-sync-rpc, --trust-height and --trust-hash")
    return StateSync(rpc, arguments.trust_height, arguments.trust_hash)


def main(argv: list[str] | None = None) -> int:
    """Run a node from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="node.process", description="Run a node.")
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument("--engine", choices=(EMBEDDED, COMETBFT), default=EMBEDDED)
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=parse_peer,
        metavar="ID@HOST:PORT",
        help="another node, with --engine cometbft; may be repeated",
    )
    parser.add_argument(
        "--snapshot-interval", type=int, default=0, help="blocks between snapshots; 0: none"
    )
    parser.add_argument(
        "--state-sync-rpc",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="RPC of a node to verify a snapshot by, for a node without data; give two",
    )
    parser.add_argument("--trust-height", type=int, default=0, help="of a block you trust")
    parser.add_argument("--trust-hash", default="", help="its hash, hex")
    parser.add_argument("--metrics", action="store_true", help="CometBFT serves its metrics")
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
        engine=arguments.engine,
        peers=tuple(arguments.peer),
        has_metrics=arguments.metrics,
        snapshot_interval=arguments.snapshot_interval,
        state_sync=parse_state_sync(parser, arguments),
    )
    try:
        asyncio.run(run_node(settings))
    except (PortBusy, EngineError, StoreError, OnionError, GenesisDataError, UpgradeHalt) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
