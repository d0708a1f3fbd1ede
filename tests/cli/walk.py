"""Walk the tree of commands: every leaf with its parameters."""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup

from cli.main import make_app


def iterate_commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (words, command) of every command and group, root first, in --help's order."""
    yield from _iterate((), make_app())


def _iterate(words: tuple[str, ...], item: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, item
    if isinstance(item, TyperGroup):
        for name in item.list_commands(None):  # type: ignore[arg-type]
            yield from _iterate((*words, name), item.get_command(None, name))  # type: ignore[arg-type]


def is_group(item: Any) -> bool:
    """Tell groups from commands that do something."""
    return isinstance(item, TyperGroup)
