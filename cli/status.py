"""`descent status`: is the node there, which chain, how far."""

from typing import Any

from cli.context import CHAIN, Context, command, new_single

app = new_single()


@command(app, "status", needs=CHAIN)
async def status(context: Context) -> Any:
    """Show the node, its chain, its height, and the home in use."""
    async with context.client() as client:
        info = await client.node_info()
        block = await client.get_block()
        header = block.sdk_block.header
        return {
            "chain_id": await client.chain_id(),
            "node": context.node,
            "moniker": info.default_node_info.moniker,
            "version": info.application_version.version,
            "height": header.height,
            "block_time": header.time.ToJsonString(),
            "block_hash": block.block_id.hash,
            "home": str(context.home),
        }
