"""One document on stdout, people on stderr, and exit codes.

JSON: one document, snake_case, amounts as strings in udsc (`*_udsc`), hashes lower-case hex. An
error is `{"error": {"codespace", "code", "message", "hint"}}` on stderr. Tables are made from the
same document, with amounts in DSC, losses in nats, shares of 65535 and times in words.
"""

import json
import shutil
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from chain_client.amounts import DISPLAY_DENOM, format_dsc
from chain_client.errors import ChainClientError, NodeUnreachable

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_VERIFICATION = 4

TABLE = "table"
JSON = "json"
UNLIMITED = 1 << 30

_T = TypeVar("_T")


class CommandFailed(Exception):
    """A refusal of a command itself; subclasses fix the exit code.

    Args:
        message: what went wrong, naming the file, flag or value.
        hint: what to do about it.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self, message: str, *, hint: str = "", codespace: str = "cli", code: int = EXIT_FAILED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.codespace = codespace
        self.code = code


class UsageFailed(CommandFailed):
    """The command line or an input file cannot be right."""

    exit_code = EXIT_USAGE


class NotRunning(CommandFailed):
    """What was asked is not running."""

    exit_code = EXIT_UNREACHABLE


class VerificationFailed(CommandFailed):
    """Something does not match what the chain or the files say."""

    exit_code = EXIT_VERIFICATION


class Instead(Exception):
    """The command is done: this document is its answer in place of what it would have returned."""

    def __init__(self, document: Any) -> None:
        super().__init__("done otherwise")
        self.document = document


def say(text: str) -> None:
    """Tell a person something."""
    print(text, file=sys.stderr, flush=True)


def emit(document: Any, output: str) -> None:
    """Print the one document of a command.

    Args:
        document: mappings, sequences, str, int, bytes, bool and None; integers under a key that
            ends in `_udsc` are amounts.
        output: `table` or `json`.
    """
    if output == JSON:
        print(json.dumps(to_json(document), indent=2, ensure_ascii=True))
        return
    text = to_table(document, _get_width())
    if text:
        print(text)
    elif isinstance(document, Sequence):
        say("there are none")


def to_json(value: Any, name: str = "") -> Any:
    """Return the JSON form: amounts become strings, bytes lower-case hex."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item, str(key)) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item, name) for item in value]
    if name.endswith("_udsc") and isinstance(value, int):
        return str(value)
    return value


def to_table(document: Any, width: int = UNLIMITED) -> str:
    """Return the form for people: a mapping as lines, a list of mappings as columns.

    Args:
        width: rows wider than so many characters become a block of lines each.
    """
    if isinstance(document, Mapping):
        return _to_lines(document, width)
    if isinstance(document, Sequence) and not isinstance(document, str | bytes):
        return _to_columns(document, width)
    return _to_cell(document, "")


def _to_lines(document: Mapping[str, Any], width: int, indent: str = "") -> str:
    title_width = max((len(_title(key)) for key in document), default=0)
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{_title(key)}", _to_lines(value, width, indent + "  ")]
        elif _is_rows(value):
            lines.append(f"{indent}{_title(key)}")
            columns = _to_columns(value, width - len(indent) - 2)
            lines += [f"{indent}  {line}".rstrip() for line in columns.splitlines()]
        else:
            lines.append(f"{indent}{_title(key):<{title_width}}  {_to_cell(value, key)}".rstrip())
    return "\n".join(lines)


def _to_columns(rows: Sequence[Any], width: int) -> str:
    if not rows:
        return ""
    if not _is_rows(rows):
        return "\n".join(_to_cell(row, "") for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_title(name) for name in names]]
    cells += [[_to_cell(row.get(name), name) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    if sum(widths) + 2 * len(widths) - 2 > width:
        return "\n\n".join(_to_lines(row, width) for row in rows)
    is_right = [
        all(row.get(name) is None or _is_number(row[name]) for row in rows) for name in names
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_right, strict=True)
        ).rstrip()
        for line in cells
    )


def _get_width() -> int:
    """Return the width of the terminal on stdout; a file or a pipe takes lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED


def _is_rows(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and bool(value) and all(isinstance(item, Mapping) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _title(name: str) -> str:
    for suffix in _UNITS:
        name = name.removesuffix(suffix)
    return name.replace("_", " ")


def _to_cell(value: Any, name: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        found = [form for suffix, form in _UNITS.items() if name.endswith(suffix)]
        return found[0](value) if found else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and name.endswith("_udsc"):
        return _format_decimal(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_title(key)} {_to_cell(item, key)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_to_cell(item, name) for item in value)
    return str(value)


def _format_time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _format_decimal(udsc: str) -> str:
    """Write an amount with decimals of a udsc: `12.5` becomes `0.0000125 DSC`."""
    try:
        shifted = Decimal(udsc).scaleb(-6)
    except InvalidOperation:
        return udsc
    text = f"{shifted:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {DISPLAY_DENOM}"


# what a table makes of whole numbers whose name ends so
_UNITS: dict[str, Callable[[int], str]] = {
    "_udsc": format_dsc,
    "_nanonats": lambda value: f"{value / 1e9:.9f} nats a token",
    "_u16": lambda value: f"{value / 65535:.4f}",
    "_unix_ms": _format_time,
}


def report(error: CommandFailed | ChainClientError, output: str) -> int:
    """Write an error on stderr and return the exit code."""
    if output == JSON:
        fields = {
            "codespace": error.codespace,
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
        }
        say(json.dumps({"error": fields}, ensure_ascii=True))
    else:
        say(f"error: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
    if isinstance(error, CommandFailed):
        return error.exit_code
    return EXIT_UNREACHABLE if isinstance(error, NodeUnreachable) else EXIT_FAILED


def run_async(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a command's coroutine to its end on a loop of its own."""
    import asyncio

    return asyncio.run(work)
