"""The README's commands and the table of the run spec, against the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.pallets.runs.spec import BOUNDS
from proto.descent.runs.v1 import runs_pb2
from tests.cli.walk import is_group, iterate_commands

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {words: item for words, item in iterate_commands() if not is_group(item)}
SPEC_FILE_ONLY = {"init"}  # said in the file, not part of the specification


def list_typed() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command line of the README's block, alternatives spelled out."""
    section = (ROOT / "README.md").read_text().partition("## What you can type")[2]
    block = section.split("```")[1].replace("\n    ", " ")
    for line in block.strip().splitlines():
        for sentence in line.split(" ; "):
            first, *others = sentence.split(" | ")
            words = tuple(first.removeprefix("descent ").split())
            yield words
            for other in others:
                yield (words[0], *other.split())


def find_command(words: tuple[str, ...]) -> Any:
    for size in range(len(words), 0, -1):
        if words[:size] in COMMANDS:
            return COMMANDS[words[:size]]
    raise AssertionError(f"no command `descent {' '.join(words)}`")


def test_readme_commands_exist() -> None:
    typed = list(list_typed())
    assert len(typed) > 30
    for words in typed:
        item = find_command(words)
        options = {option for param in item.params for option in param.opts}
        flags = set(re.findall(r"--[a-z0-9-]+", " ".join(words)))
        assert flags <= options, words


def test_readme_names_every_group() -> None:
    """A newcomer sees what there is; single commands of a group may be left to --help."""
    typed = list(list_typed())
    groups = {words[:size] for words in COMMANDS for size in range(1, max(2, len(words)))}
    assert [words for words in groups if not any(t[: len(words)] == words for t in typed)] == []


def read_spec_table() -> dict[str, tuple[str, str]]:
    """Return field -> (bounds, default) as docs/run-spec.md has them, without spaces."""
    rows = {}
    for line in (ROOT / "docs" / "run-spec.md").read_text().splitlines():
        if line.startswith("| `"):
            names, _, bounds, default, _ = (c.strip() for c in line.strip("|\n").split("|", 4))
            for name in names.strip("`").split(", "):
                rows[name] = (bounds.replace(" ", ""), default.replace(" ", ""))
    return rows


def list_fields() -> Iterator[str]:
    for field in runs_pb2.RunSpec.DESCRIPTOR.fields:
        if field.message_type is None:
            yield field.name
        else:
            yield from (f"{field.name}.{part.name}" for part in field.message_type.fields)


def test_spec_table_has_every_field() -> None:
    assert set(read_spec_table()) - SPEC_FILE_ONLY == set(list_fields())


def test_spec_table_has_bounds_and_defaults() -> None:
    rows = read_spec_table()
    for name, low, high in BOUNDS:
        assert rows[name][0] == f"{low}to{high}", name
    for section, value in tomllib.loads((ROOT / "cli" / "spec_default.toml").read_text()).items():
        values = value if isinstance(value, dict) else {"": value}
        for key, default in values.items():
            name = f"{section}.{key}".strip(".")
            if name != "data.tokenizer_hash":
                assert rows[name][1].lower() == str(default).lower(), name
