"""Entry point of `descent`: the table of commands, loaded on first use, and exit codes."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from chain_client.errors import ChainClientError
from cli.output import JSON, TABLE, CommandFailed, UsageFailed, report

# name -> (module that holds `app`, one line for --help); imported when the name is typed
COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("cli.status", "Show the node, its chain and its height."),
    "keys": ("cli.keys", "List, make, show, import and export keys."),
    "query": (
        "cli.query",
        "Ask the chain: balances, staking, rewards, proposals, transactions, blocks.",
    ),
    "tx": ("cli.tx", "Send coins, stake them, vote."),
    "run": ("cli.run", "Create, list, show and join training runs."),
    "node": ("cli.node", "Run and inspect a node."),
    "genesis": ("cli.genesis", "Make the genesis of a chain together, and check it."),
    "devnet": ("cli.devnet.app", "A whole network on this machine."),
    "doctor": ("cli.doctor", "Check this machine, a home and the chain; say what to do."),
    "config": ("cli.config", "Settings of a node, a miner or a validator."),
    "miner": ("cli.miner", "Earn by training."),
    "validator": ("cli.validator", "Earn by judging."),
    "lineage": ("cli.lineage.app", "Where did these weights come from?"),
    "exact": ("cli.exact", "Does this machine compute the golden bits, and how fast?"),
    "explain": ("cli.explain", "Why a miner got the score it got."),
}

HELP = "Train models together on a chain that replays and pays the work."


class LazyGroup(TyperGroup):
    """A group that imports the module of a command when the command is typed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[arg-type]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command, None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, help_text = COMMANDS[cmd_name]
        loaded = typer.main.get_command(import_module(module).app)
        loaded.name, loaded.short_help = cmd_name, help_text
        return loaded

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list for --help from the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


def make_app() -> Any:
    """Return the root command."""
    app = typer.Typer(
        cls=LazyGroup,
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        callback=lambda: None,
    )
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0, 1, 2, 3 or 4 (see `output`)."""
    output = _find_output(arguments)
    try:
        code = make_app().main(args=list(arguments), prog_name="descent", standalone_mode=False)
    except (CommandFailed, ChainClientError) as error:
        return report(error, output)
    except TyperException as error:
        if output == JSON:
            return report(UsageFailed(error.format_message(), code=error.exit_code), output)
        error.show() if hasattr(error, "show") else print(error, file=sys.stderr)
        return error.exit_code
    except Abort:
        return report(CommandFailed("stopped"), output)
    except Exception as error:  # the one place: an error nobody foresaw is shown whole
        if output == TABLE:
            traceback.print_exc()
        return report(CommandFailed(f"internal error: {error!r}"), output)
    return code if isinstance(code, int) else 0


def _find_output(arguments: Sequence[str]) -> str:
    """Find --output before anything is parsed, so that usage errors obey it too."""
    for position, argument in enumerate(arguments):
        if argument == "--output" and list(arguments[position + 1 : position + 2]) == [JSON]:
            return JSON
        if argument == f"--output={JSON}":
            return JSON
    return TABLE


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
