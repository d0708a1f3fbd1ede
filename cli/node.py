"""`descent node`: what a chain operator does."""

import logging
import sys
from typing import Annotated, Any

import typer

from cli.context import CHAIN, HOME, Context, command, new_group
from cli.output import CommandFailed

app = new_group("Run and inspect a node.")
debug_app = new_group("Compare nodes.")
app.add_typer(debug_app, name="debug")


@command(app, "start", needs=HOME)
def start(
    context: Context,
    port_offset: Annotated[
        int, typer.Option("--port-offset", min=0, help="Added to every port.")
    ] = 0,
    block_interval_ms: Annotated[
        int, typer.Option("--block-interval-ms", min=10, help="From one block to the next.")
    ] = 500,
    udsc_per_million_gas: Annotated[
        int, typer.Option("--udsc-per-million-gas", min=0, help="Lowest gas price taken.")
    ] = 1_000,
    keep_recent: Annotated[
        int | None,
        typer.Option(
            "--keep-recent", min=1, help="Blocks whose state stays readable. Default: all."
        ),
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = "info",
) -> None:
    """Run a node with its doors until it is told to stop. The home holds config/genesis.json."""
    import asyncio

    from node.doors.supervisor import PortBusy
    from node.engine.errors import EngineError
    from node.onion import OnionError
    from node.process import LOG_FORMAT, NodeSettings, run_node
    from node.runtime.storage import GenesisDataError
    from node.store.errors import StoreError

    logging.basicConfig(level=log_level.upper(), format=LOG_FORMAT, stream=sys.stderr)
    settings = NodeSettings(
        home=context.home,
        port_offset=port_offset,
        interval_s=block_interval_ms / 1000,
        udsc_per_million_gas=udsc_per_million_gas,
        keep_recent_blocks=keep_recent,
    )
    try:
        asyncio.run(run_node(settings))
    except (PortBusy, EngineError, StoreError, OnionError, GenesisDataError) as error:
        raise CommandFailed(str(error), codespace="node") from error


@command(debug_app, "app-hash", needs=CHAIN)
async def app_hash(
    context: Context,
    height: Annotated[int, typer.Option("--height", min=0, help="0: newest.")] = 0,
) -> Any:
    """Show the hash of the state after a block; two nodes of a chain must agree on it."""
    async with context.client() as client:
        status = await client.node_status()
        if height in (0, status.height):
            return {"height": status.height, "app_hash": status.app_hash}
        # A header carries the state before its own block.
        found = await client.get_block(height + 1)
    return {"height": height, "app_hash": found.sdk_block.header.app_hash}
