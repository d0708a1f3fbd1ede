"""Flags of a command made from a program's settings, so that flag, file and help are one list."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from node.settings import ADDRESS, BOOLEAN, INTEGER, LIST, Setting

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="File of settings in place of the usual one.")
]


def with_settings(
    settings: Sequence[Setting],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a flag for every setting; they arrive as `**flags`, see `get_flags`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
        made = [
            inspect.Parameter(
                _get_parameter(setting),
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_make_annotation(setting),
            )
            for setting in settings
        ]
        own = [p.replace(kind=p.KEYWORD_ONLY) if i else p for i, p in enumerate(own)]
        function.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
        return function

    return decorate


def get_flags(settings: Sequence[Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags by the names of their settings; an empty list counts as not given."""
    found = {setting.name: values[_get_parameter(setting)] for setting in settings}
    return {name: None if value == [] else value for name, value in found.items()}


def _get_parameter(setting: Setting) -> str:
    return setting.name.replace(".", "_")


def _make_annotation(setting: Setting) -> Any:
    options: dict[str, Any] = {"help": _describe(setting), "show_default": False}
    flag = setting.get_flag()
    if setting.kind == INTEGER:
        bounds = {"min": setting.minimum, "max": setting.maximum}
        return Annotated[int | None, typer.Option(flag, **options, **bounds)]
    if setting.kind == BOOLEAN:
        both = f"{flag}/--no-{flag.removeprefix('--')}"
        return Annotated[bool | None, typer.Option(both, **options)]
    if setting.kind == LIST:
        shape = setting.shape or "TEXT"
        return Annotated[list[str] | None, typer.Option(flag, metavar=shape, **options)]
    metavar = "HOST:PORT" if setting.kind == ADDRESS else None
    return Annotated[str | None, typer.Option(flag, metavar=metavar, **options)]


def _describe(setting: Setting) -> str:
    text = setting.help
    if setting.choices:
        text += f" One of: {', '.join(setting.choices)}."
    if setting.kind == LIST:
        return text + " May be repeated."
    return text if setting.default in ("", None) else f"{text} Default: {setting.default}."
