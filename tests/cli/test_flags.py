"""The shape of the command line: names, flags, --help, and what starting it costs.

`golden_flags.txt` lists every flag. When a flag is added or renamed on purpose, write it again with
`python -m tests.cli.test_flags` and read the difference: scripts depend on it.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from tests.cli.walk import is_group, iterate_commands

GOLDEN = Path(__file__).with_name("golden_flags.txt")
WORDS = [words for words, _ in iterate_commands()]
# Loaded by no --help: each costs more than the whole of it.
HEAVY = ("torch", "numpy", "grpc", "cosmpy", "google.protobuf", "coincurve", "rich", "asyncio")


def render_flags() -> str:
    """Return one line a command: its words, arguments and flags."""
    lines = []
    for words, item in iterate_commands():
        if is_group(item):
            continue
        arguments = [p.metavar or p.name for p in item.params if p.param_type_name == "argument"]
        flags = sorted(
            option
            for p in item.params
            for option in (*p.opts, *p.secondary_opts)
            if option[0] == "-"
        )
        lines.append(" ".join(("descent", *words, *arguments, *flags)))
    return "\n".join(sorted(lines)) + "\n"


def test_golden_flags() -> None:
    assert render_flags() == GOLDEN.read_text()


def test_spelling() -> None:
    for words, item in iterate_commands():
        for word in words:
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", word), words
        options = [o for param in item.params for o in (*param.opts, *param.secondary_opts)]
        assert len(options) == len(set(options)), f"{words}: a flag twice"
        for param in item.params:
            for option in (*param.opts, *param.secondary_opts):
                if option.startswith("-"):
                    assert re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*", option), (words, option)


def test_every_command_has_home_and_output() -> None:
    for words, item in iterate_commands():
        if not is_group(item):
            options = {option for param in item.params for option in param.opts}
            assert {"--home", "--output"} <= options, words


@pytest.mark.parametrize("words", WORDS, ids=lambda words: "-".join(words) or "descent")
def test_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: descent")
    assert err == ""


def _modules_of(arguments: list[str]) -> set[str]:
    """Return what a fresh process has imported once it has run the command line."""
    code = (
        "import sys\nfrom cli.main import run\n"
        f"code = run({arguments!r})\nprint('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["keys", "--help"], ["tx", "send", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    modules = _modules_of(arguments)
    assert not modules & set(HEAVY)
    assert len(modules) < 400


def test_import_of_root_loads_no_group() -> None:
    assert not {"cli.keys", "cli.tx", "cli.query"} & _modules_of(["--help"])


if __name__ == "__main__":
    GOLDEN.write_text(render_flags())
