"""A whole node: the engine on the chain's state, this operator's beacon, and the doors beside it.

    <home>/config/genesis.json    what the chain starts from
    <home>/config/node.toml       what the operator chose, see `operation.py`
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
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from node.chain import build_chain
from node.doors.supervisor import (
    Door,
    DoorSupervisor,
    PortBusy,
    check_ports,
    list_comet_doors,
    list_doors,
)
from node.engine.comet.process import require_binary, run_comet
from node.engine.embedded import EngineOptions
from node.engine.errors import EngineError
from node.engine.process import open_engine_on, run_engine
from node.logs import set_up_logs
from node.monitor.look import CometLook, EmbeddedLook
from node.monitor.node_monitor import NodeMonitor
from node.monitor.server import MonitorBusy
from node.onion import OnionError, OnionKeeper, load_seed
from node.operation import (
    COMETBFT,
    NODE_SETTINGS,
    NodeSettings,
    get_config_path,
    make_node_settings,
)
from node.runtime.addresses import AddressError, decode_account
from node.runtime.ante import GasPrice
from node.runtime.application import APP_VERSION, VoteExtender
from node.runtime.errors import UpgradeHalt
from node.runtime.options import NodeOptions
from node.runtime.storage import GenesisDataError
from node.settings import SettingsError, add_arguments, get_connect_host, resolve
from node.store.errors import StoreError
from node.store.state import StateStore

REFUSALS = (
    PortBusy,
    MonitorBusy,
    EngineError,
    StoreError,
    OnionError,
    GenesisDataError,
    UpgradeHalt,
)
logger = logging.getLogger("node.process")


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
    return OnionKeeper(load_seed(seed_path), operator).make_extender(build_chain().beacon)


async def run_node(settings: NodeSettings) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        PortBusy, MonitorBusy: a port is taken; the text names it and the flag that moves it.
        EngineError, StoreError, OnionError, GenesisDataError: files of the home cannot be used.
    """
    doors = {name: f"{host}:{port}" for name, (host, port) in settings.listen.items()}
    chosen = {"home": settings.home, "engine": settings.engine, "version": APP_VERSION}
    logger.info("node starts", extra={"fields": {**chosen, **doors}})
    for place in settings.list_open():
        logger.warning("strangers can reach %s: it asks nobody who they are", place)
    if settings.engine == COMETBFT:
        await _run_comet_node(settings)
    else:
        await _run_embedded_node(settings)
    logger.info("node stopped")


def _make_supervisor(settings: NodeSettings, doors: list[Door]) -> DoorSupervisor:
    more = ("--log-level", settings.log_level, "--log-format", settings.log_format)
    return DoorSupervisor(
        settings.home,
        doors,
        moniker=settings.moniker,
        log_dir=settings.log_dir,
        arguments=more,
    )


async def _run_embedded_node(settings: NodeSettings) -> None:
    doors = list_doors(settings.listen, settings.udsc_per_million_gas, settings.door_options)
    supervisor = _make_supervisor(settings, doors)
    check_ports(doors)
    with StateStore.open(settings.home / "data" / "state") as store:
        application = _open_application(settings, store)
        async with _watch(settings, store, supervisor) as monitor:
            options = EngineOptions(interval_s=settings.block_interval_ms / 1000)
            with open_engine_on(settings.home, _meter(monitor, application), options) as engine:
                if monitor is not None:
                    monitor.set_look(EmbeddedLook(engine))
                try:
                    await run_engine(engine, on_ready=supervisor.start)
                finally:
                    supervisor.stop()


async def _run_comet_node(settings: NodeSettings) -> None:
    require_binary()
    comet = settings.comet
    doors = list_comet_doors(settings.listen, settings.udsc_per_million_gas, settings.door_options)
    supervisor = _make_supervisor(settings, doors)
    own = [
        Door("CometBFT RPC", "", comet.rpc_port, host=comet.host),
        Door("CometBFT P2P", "", comet.p2p_port, host=comet.p2p_host),
    ]
    check_ports([*doors, *own])
    with StateStore.open(settings.home / "data" / "state") as store:
        application = _open_application(settings, store)
        async with _watch(settings, store, supervisor) as monitor:
            if monitor is not None:
                monitor.set_look(CometLook(get_connect_host(comet.host), comet.rpc_port))
            application = _meter(monitor, application)
            try:
                await run_comet(settings.home, application, comet, on_ready=supervisor.start)
            finally:
                supervisor.stop()


def _open_application(settings: NodeSettings, store: StateStore) -> Any:
    options = NodeOptions(
        min_gas_price=GasPrice(settings.udsc_per_million_gas),
        keep_recent_blocks=settings.keep_recent_blocks,
    )
    extend = load_extender(settings.home)
    return build_chain().open_application(store, options, extend)


@asynccontextmanager
async def _watch(
    settings: NodeSettings, store: StateStore, supervisor: DoorSupervisor
) -> AsyncIterator[NodeMonitor | None]:
    """Serve metrics and health while the node runs; None where the operator wants none."""
    if settings.monitor is None:
        yield None
        return
    monitor = NodeMonitor(settings, store, supervisor)
    beating = asyncio.create_task(monitor.beat())
    try:
        with monitor.server:
            yield monitor
    finally:
        beating.cancel()


def _meter(monitor: NodeMonitor | None, application: Any) -> Any:
    return application if monitor is None else monitor.wrap(application)


def run_process(home: Path, flags: Mapping[str, Any], config: Path | None = None) -> int:
    """Run a node with what flags, environment and file say; return the exit code.

    Args:
        flags: values of `NODE_SETTINGS` by name, None where a flag was not given.
        config: the file, the home's own unless given.
    """
    path = config or get_config_path(home)
    try:
        resolved = resolve(NODE_SETTINGS, flags=flags, path=path, must_exist=config is not None)
        settings = make_node_settings(home, resolved)
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    set_up_logs(settings.log_format, settings.log_level, "node")
    for remark in resolved.remarks:
        logger.warning("%s", remark)
    try:
        asyncio.run(run_node(settings))
    except REFUSALS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run a node from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="node.process", description="Run a node.")
    parser.add_argument("--home", type=Path, required=True, help="home directory of the node")
    parser.add_argument("--config", type=Path, help="file in place of HOME/config/node.toml")
    add_arguments(parser, NODE_SETTINGS)
    arguments = vars(parser.parse_args(argv))
    return run_process(arguments.pop("home"), flags=arguments, config=arguments.pop("config"))


if __name__ == "__main__":
    sys.exit(main())
