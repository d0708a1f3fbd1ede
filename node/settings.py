"""How an operator sets a program up: flag, then environment, then file, then default.

A program declares its `Setting`s once; from them come its flags, the variables of the environment,
the keys of its file, the file's commented template and what `descent config` prints.

    setting `grpc.listen`  flag `--grpc-listen`  variable `DESCENT_GRPC_LISTEN`

    [grpc]
    listen = "127.0.0.1:9090"

A key or a value that cannot be is refused, and every problem is told at once. A variable that only
looks like one of ours is told of, not refused: container platforms make variables of their own
from the names of services (`DESCENT_NODE_PORT`).

    SettingsError    refused; `problems` has one sentence each
"""

from __future__ import annotations

import argparse
import difflib
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENV_PREFIX = "DESCENT_"
TEXT, INTEGER, BOOLEAN, LIST, ADDRESS = "text", "integer", "boolean", "list", "address"
FLAG, ENVIRONMENT, FILE, DEFAULT = "flag", "environment", "file", "default"
MAX_PORT = 65_535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")


class SettingsError(Exception):
    """Settings that cannot be; one sentence a problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True)
class Setting:
    """One thing an operator chooses.

    Args:
        name: `section.key` of the file, or `key` alone at its top.
        default: what it is when nobody chooses; None where there has to be a choice.
        help: one sentence, for --help and the file.
        kind: TEXT, INTEGER, BOOLEAN, LIST (of texts) or ADDRESS (`HOST:PORT`, empty for none).
        flag: its flag; made from the name where it is empty.
        choices: the texts it may be; any when empty.
        minimum, maximum: bounds of an INTEGER, inclusive.
        pattern: a regular expression that a text, or each of a LIST, matches whole.
        shape: how the pattern reads to a person.
        variable: in the environment; made from the name where it is empty.
    """

    name: str
    default: Any
    help: str
    kind: str = TEXT
    flag: str = ""
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 2**53
    pattern: str = ""
    shape: str = ""
    variable: str = ""

    def get_flag(self) -> str:
        """Return the flag, `--like-this`."""
        return self.flag or "--" + re.sub("[._]", "-", self.name)

    def get_variable(self) -> str:
        """Return the name in the environment."""
        return self.variable or ENV_PREFIX + self.name.replace(".", "_").upper()

    def parse(self, value: Any) -> Any:
        """Take a value as text (of a flag or a variable) or as the file has it.

        Raises:
            ValueError: it cannot be; the text continues `NAME `.
        """
        if self.kind == INTEGER:
            return self._parse_integer(value)
        if self.kind == BOOLEAN:
            return _parse_boolean(value)
        if self.kind == LIST:
            return self._parse_list(value)
        if not isinstance(value, str):
            raise ValueError(f"is {value!r}, a text is expected")
        if self.kind == ADDRESS and value:
            parse_address(value)
        return self._check_text(value)

    def _parse_integer(self, value: Any) -> int:
        is_text = isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value)
        if not is_text and (not isinstance(value, int) or isinstance(value, bool)):
            raise ValueError(f"is {value!r}, a whole number is expected")
        number = int(value)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(f"is {number}, the bounds are {self.minimum} and {self.maximum}")
        return number

    def _parse_list(self, value: Any) -> tuple[str, ...]:
        items = value
        if isinstance(value, str):
            items = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(items, list | tuple) or not all(isinstance(x, str) for x in items):
            raise ValueError(f"is {value!r}, a list of texts is expected")
        return tuple(self._check_text(item) for item in items)

    def _check_text(self, text: str) -> str:
        if self.choices and text not in self.choices:
            raise ValueError(f"is {text!r}, one of {', '.join(self.choices)} is expected")
        if self.pattern and text and not re.fullmatch(self.pattern, text):
            raise ValueError(f"is {text!r}, {self.shape} is expected")
        return text


@dataclass(frozen=True)
class Chosen:
    """A value and who chose it: `origin` is FLAG, ENVIRONMENT, FILE or DEFAULT."""

    setting: Setting
    value: Any
    origin: str
    where: str

    def describe(self) -> dict[str, Any]:
        """Describe it for a person, with credentials in addresses left out."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        if isinstance(value, list):
            value = [hide_credentials(item) for item in value]
        elif isinstance(value, str):
            value = hide_credentials(value)
        return {"setting": self.setting.name, "value": value, "origin": self.where}


class Resolved:
    """Every setting's value.

    Args:
        chosen: by name.
        path: the file that was read, None without one.
        remarks: what looks wrong and was not refused.
    """

    def __init__(self, chosen: Mapping[str, Chosen], path: Path | None, remarks: list[str]) -> None:
        self.chosen = dict(chosen)
        self.path = path
        self.remarks = remarks

    def __getitem__(self, name: str) -> Any:
        return self.chosen[name].value

    def get_origin(self, name: str) -> str:
        """Return who chose a value."""
        return self.chosen[name].origin


def resolve(
    settings: Sequence[Setting],
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
    must_exist: bool = False,
) -> Resolved:
    """Find every setting's value.

    Args:
        settings: of the program.
        flags: values by name; None where the flag was not given.
        environ: the environment; this process's unless given.
        path: the file, which may be absent unless `must_exist`.

    Raises:
        SettingsError: a key or a value cannot be, or the file cannot be read.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    stored, is_read = _read_file(settings, path, must_exist, problems)
    chosen = {}
    for setting in settings:
        name, variable, flag = setting.name, setting.get_variable(), setting.get_flag()
        candidates = [
            (FLAG, flag, (flags or {}).get(name)),
            (ENVIRONMENT, f"environment {variable}", environ.get(variable)),
            (FILE, f"file {path}", stored.get(name)),
        ]
        origin, where, value = DEFAULT, DEFAULT, setting.default
        for candidate in candidates:
            if candidate[2] is not None:
                origin, where, value = candidate
                break
        try:
            value = setting.default if origin == DEFAULT else setting.parse(value)
        except ValueError as error:
            problems.append(f"{name} {error} ({where})")
        chosen[name] = Chosen(setting, value, origin, f"flag {where}" if origin == FLAG else where)
    if problems:
        raise SettingsError(problems)
    return Resolved(chosen, path if is_read else None, list_odd_variables(settings, environ))


def _read_file(
    settings: Sequence[Setting], path: Path | None, must_exist: bool, problems: list[str]
) -> tuple[dict[str, Any], bool]:
    """Read `name -> value` of a file; add what is wrong to `problems`."""
    if path is None or (not must_exist and not path.exists()):
        return {}, False
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}")
        return {}, False
    except ValueError as error:
        problems.append(f"{path} is not TOML: {error}")
        return {}, True
    known = {setting.name for setting in settings}
    sections = {name.partition(".")[0] for name in known if "." in name}
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in sections and isinstance(value, dict):
            found |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            found[key] = value
    for name in [name for name in found if name not in known]:
        section, _, _ = name.rpartition(".")
        like = f"; did you mean {hint}?" if (hint := suggest(name, known | sections)) else ""
        place = f" in [{section}]" if section else ""
        problems.append(f"{path}: there is no setting {name!r}{place}{like}")
    return found, True


def list_odd_variables(settings: Sequence[Setting], environ: Mapping[str, str]) -> list[str]:
    """List variables that begin like one of our sections and are none of ours."""
    known = {setting.get_variable() for setting in settings}
    starts = {
        ENV_PREFIX + s.name.partition(".")[0].upper() + "_" for s in settings if "." in s.name
    }
    odd = []
    for name in sorted(environ):
        if name not in known and name.startswith(tuple(starts)):
            like = f"; did you mean {hint}?" if (hint := suggest(name, known)) else ""
            odd.append(f"the variable {name} sets nothing{like}")
    return odd


def suggest(name: str, known: set[str]) -> str:
    """Return the known name most like another, empty when none is."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    if not found:
        tails = {item.rpartition(".")[2]: item for item in sorted(known)}
        near = difflib.get_close_matches(name.rpartition(".")[2], sorted(tails), n=1, cutoff=0.75)
        found = [tails[near[0]]] if near else []
    return found[0] if found else ""


def build_template(settings: Sequence[Setting], title: str) -> str:
    """Build a file that sets nothing: every setting with its help and its default, commented."""
    lines = [
        f"# {title}",
        "# A flag wins over the environment, the environment over this file.",
        "# `descent config show --origin` tells what is in force and who chose it.",
    ]
    section = ""
    for setting in sorted(settings, key=lambda item: "." in item.name):
        head, _, key = setting.name.rpartition(".")
        if head != section:
            section = head
            lines += ["", f"[{head}]"]
        default = "" if setting.default is None else format_value(setting.default)
        bounds = f" One of: {', '.join(setting.choices)}." if setting.choices else ""
        lines += ["", f"# {setting.help}{bounds}", f"# {setting.get_variable()}"]
        lines.append(f"# {key} = {default}".rstrip())
    return "\n".join(lines) + "\n"


def format_value(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return json.dumps(value)  # TOML's basic strings, integers and booleans read like JSON's


def add_arguments(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Add a flag for every setting; what is not given stays None."""
    for setting in settings:
        options: dict[str, Any] = {"dest": setting.name, "default": None, "help": setting.help}
        if setting.kind == BOOLEAN:
            options |= {"action": argparse.BooleanOptionalAction}
        elif setting.kind == LIST:
            options |= {"action": "append", "metavar": setting.shape or "TEXT"}
        else:
            options |= {"metavar": "HOST:PORT" if setting.kind == ADDRESS else setting.kind.upper()}
        parser.add_argument(setting.get_flag(), **options)


def parse_address(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`, IPv6 in brackets.

    Raises:
        ValueError: it is none.
    """
    host, _, port = text.rpartition(":")
    is_port = re.fullmatch("[0-9]{1,5}", port) is not None and int(port) <= MAX_PORT
    if not is_port or not _HOST.fullmatch(host):
        raise ValueError(f"is {text!r}, HOST:PORT is expected")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def get_connect_host(host: str) -> str:
    """Return the address by which this machine reaches what listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def hide_credentials(text: str) -> str:
    """Replace `user:password` in a URL."""
    return _CREDENTIALS.sub("***", text)


def _parse_boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = value if isinstance(value, bool) else words.get(str(value).strip().lower())
    if found is None or (isinstance(value, int) and not isinstance(value, bool)):
        raise ValueError(f"is {value!r}, true or false is expected")
    return bool(found)
