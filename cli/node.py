"""`descent node`: what a chain operator does."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import HOME, Context, command, new_group
from cli.node_data import app as data_app
from cli.node_data import snapshot_app
from cli.node_debug import app as debug_app
from cli.output import EXIT_USAGE, CommandFailed, UsageFailed
from cli.setting_options import ConfigOption, get_flags, with_settings
from node.operation import NODE_SETTINGS

app = new_group("Run and inspect a node.")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(debug_app, name="debug")


@command(app, "init", needs=HOME)
def init(
    context: Context,
    genesis: Annotated[
        Path | None,
        typer.Option(
            "--genesis", help="Genesis file of the chain. Default: <home>/config/genesis.json."
        ),
    ] = None,
    operator: Annotated[
        str | None,
        typer.Option(help="Key or account of the operator, for a node that decides blocks."),
    ] = None,
) -> Any:
    """Make the folder of a node: keys, onion seed, genesis; --home is the folder."""
    path = genesis or context.home / "config" / "genesis.json"
    from genesis.check import check_document
    from genesis.document import GenesisError, load_document
    from genesis.node_home import HomeExists, init_node_home
    from node.runtime.addresses import AddressError, decode_account

    try:
        addr = None if operator is None else decode_account(context.address(operator))
        check_document(load_document(path))
        made = init_node_home(context.home, path, addr)
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


app.registered_commands += data_app.registered_commands
