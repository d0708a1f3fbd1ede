"""`descent node`: what a chain operator does."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import CHAIN, HOME, Context, command, new_group
from cli.output import EXIT_USAGE, CommandFailed, UsageFailed, VerificationFailed
from cli.setting_options import ConfigOption, get_flags, with_settings
from node.operation import NODE_SETTINGS

app = new_group("Run and inspect a node.")
debug_app = new_group("Compare nodes.")
app.add_typer(debug_app, name="debug")


@command(app, "init", needs=HOME)
def init(
    context: Context,
    genesis: Annotated[Path, typer.Option("--genesis", help="Genesis file of the chain.")],
    operator: Annotated[
        str | None, typer.Option(help="Account of the operator, for a node that decides blocks.")
    ] = None,
) -> Any:
    """Make the folder of a node: keys, onion seed, genesis; --home is the folder."""
    from genesis.check import check_document
    from genesis.document import GenesisError, load_document
    from genesis.node_home import HomeExists, init_node_home
    from node.runtime.addresses import AddressError, decode_account

    try:
        addr = None if operator is None else decode_account(operator)
        check_document(load_document(genesis))
        made = init_node_home(context.home, genesis, addr)
    except (GenesisError, HomeExists, AddressError) as error:
        raise CommandFailed(str(error)) from error
    return {
        "home": str(context.home),
        "node_id": made.node_id,
        "consensus_key": made.consensus_key.hex(),
        "anchor": made.anchor.hex(),
    }


@command(app, "start", needs=HOME)
@with_settings(NODE_SETTINGS)
def start(context: Context, config: ConfigOption = None, **flags: Any) -> None:
    """Run a node until it is told to stop; --home is the node's folder."""
    from node.process import run_process

    code = run_process(context.home, get_flags(NODE_SETTINGS, flags), config)
    if code == EXIT_USAGE:
        raise UsageFailed("a setting cannot be; the lines above say which")
    if code:
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


@command(debug_app, "invariants", needs=HOME)
def invariants(
    context: Context,
    height: Annotated[int, typer.Option("--height", min=0, help="0: newest.")] = 0,
) -> Any:
    """Check every invariant of the state in a node's folder, which --home names."""
    from node.chain import build_chain
    from node.runtime.context import BlockInfo
    from node.runtime.context import Context as StateContext
    from node.runtime.errors import InvariantBroken
    from node.runtime.state import Overlay, VersionReader
    from node.store.errors import StoreError
    from node.store.state import StateStore

    chain, rows = build_chain(), []
    try:
        with StateStore.open(context.home / "data" / "state", readonly=True) as store:
            at = height or store.version
            if not store.oldest_version <= at <= store.version:
                kept = f"kept are {store.oldest_version} to {store.version}"
                raise CommandFailed(f"there is no state of height {at}: {kept}")
            reader = VersionReader(store, at)
            block = chain.consensus.get_last_block(
                StateContext(Overlay(reader), BlockInfo("", 0, 0))
            )
            for name, pallet in chain.runtime.pallets.items():
                for check in pallet.list_invariants():
                    check(StateContext(Overlay(reader), block))
                    doc = (check.__doc__ or "").strip()
                    rows.append({"pallet": name, "invariant": doc, "height": at})
    except StoreError as error:
        raise CommandFailed(str(error)) from error
    except InvariantBroken as error:
        raise VerificationFailed(str(error)) from error
    return rows
