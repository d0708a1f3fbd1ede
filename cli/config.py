"""`descent config`: what is in force for a node, a miner or a validator, and who chose it."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import HOME, Context, command, new_group
from cli.output import CommandFailed, UsageFailed
from cli.participant_settings import MINER, VALIDATOR, list_settings
from node.settings import Resolved, Setting, SettingsError, add_arguments, build_template, resolve

app = new_group("Settings of a node, a miner or a validator.")
NODE = "node"
PROGRAMS = (NODE, MINER, VALIDATOR)

ProgramArgument = Annotated[
    str, typer.Argument(metavar="PROGRAM", help="node, miner or validator.")
]
FileOption = Annotated[
    Path | None, typer.Option("--config", help="File in place of the usual one of --home.")
]


def get_settings(program: str) -> tuple[Setting, ...]:
    """Return the settings of a program.

    Raises:
        UsageFailed: there is no such program.
    """
    if program == NODE:
        from node.operation import NODE_SETTINGS

        return NODE_SETTINGS
    if program in PROGRAMS:
        return list_settings(program)
    raise UsageFailed(f"{program!r} is none of {', '.join(PROGRAMS)}")


def get_path(program: str, home: Path) -> Path:
    """Return where the file of a program is."""
    return home / "config" / "node.toml" if program == NODE else home / f"{program}.toml"


def get_title(program: str) -> str:
    """Return the first line of a program's file."""
    return f"Settings of a {program} of Descent."


@command(app, "show", needs=HOME)
def show(
    context: Context,
    program: ProgramArgument,
    flags: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- FLAGS]", help="Flags as the program would get them."),
    ] = None,
    config: FileOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell who chose each value.")] = False,
) -> Any:
    """Show every setting's value, and with --origin where it comes from."""
    resolved = _resolve(program, context.home, flags or (), config)
    rows = [chosen.describe() for chosen in resolved.chosen.values()]
    return rows if origin else [{k: v for k, v in row.items() if k != "origin"} for row in rows]


@command(app, "validate", needs=HOME)
def validate(context: Context, program: ProgramArgument, config: FileOption = None) -> Any:
    """Check file and environment without starting anything."""
    resolved = _resolve(program, context.home, (), config)
    if program == NODE:
        from node.operation import make_node_settings

        try:
            make_node_settings(context.home, resolved)
        except SettingsError as error:
            raise _explain(error) from error
    if resolved.remarks:
        raise CommandFailed("; ".join(resolved.remarks), hint="unset it, or spell it as above")
    path = resolved.path
    return {"valid": True, "file": None if path is None else str(path)}


@command(app, "template", needs=HOME)
def template(context: Context, program: ProgramArgument) -> None:
    """Print a file with every setting, its help and its default, all commented."""
    print(build_template(get_settings(program), get_title(program)), end="")


def _resolve(program: str, home: Path, flags: Sequence[str], config: Path | None) -> Resolved:
    settings = get_settings(program)
    parser = argparse.ArgumentParser(
        prog=f"descent config show {program} --", add_help=False, exit_on_error=False
    )
    add_arguments(parser, settings)
    try:
        values, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise UsageFailed(str(error)) from error
    if unknown:
        raise UsageFailed(f"{program} has no flag {unknown[0]}")
    try:
        return resolve(
            settings,
            flags=vars(values),
            environ=os.environ,
            path=config or get_path(program, home),
            must_exist=config is not None,
        )
    except SettingsError as error:
        raise _explain(error) from error


def _explain(error: SettingsError) -> CommandFailed:
    return CommandFailed(
        "; ".join(error.problems), hint="`descent config template PROGRAM` shows what there is"
    )
