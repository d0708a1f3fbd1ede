"""`descent node`: what a chain operator does."""

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
    port_offset: Annotated[int, typer.Option(help="Added to every port.", min=0)] = 0,
    block_interval_ms: Annotated[int, typer.Option(help="From block to block.", min=50)] = 500,
    engine: Annotated[
        str, typer.Option(help="Who orders blocks: embedded or cometbft.")
    ] = "embedded",
    peer: Annotated[
        list[str] | None, typer.Option(help="ID@HOST:PORT of another node; may be repeated.")
    ] = None,
) -> None:
    """Run a node until it is told to stop; --home is the node's folder."""
    from node.process import main

    arguments = ["--home", str(context.home), "--port-offset", str(port_offset)]
    arguments += ["--block-interval-ms", str(block_interval_ms), "--engine", engine]
    for one in peer or []:
        arguments += ["--peer", one]
    if main(arguments):
        raise CommandFailed("the node stopped; the line above says why")


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
