"""What text may hold: ASCII code of at most 100 columns, and nothing of one machine.

Paths of a machine, names of package hosts and the names of tools that wrote or built something do
not belong in the tree: they are false on every other machine.
"""

import hashlib
import re
from pathlib import Path

import pytest

from tests.lints.tree import is_generated, list_files, list_python, list_text, read

MAX_COLUMNS = 100
PRAGMA = re.compile(r"\s+# (?:type: ignore|noqa).*$")
# files whose output needs more than ASCII -> why
NOT_ASCII: dict[str, str] = {"cli/devnet/screen.py": "block characters of the loss curve"}
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:home|Users|root|" + "wo" + r"rk|mnt|opt/venv)/[\w.-]+|[A-Z]:\\Users"
)
PACKAGE_HOST = re.compile(
    r"--(?:extra-)?index"
    + r"-url\b|--trusted"
    + r"-host\b|\b(?:"
    + "|".join(("py" + "pi", "files.python" + "hosted", "test.py" + "pi"))
    + r")\.org\b"
)
# digests of lower-case words, so that this file does not hold them
WORD_DIGESTS = frozenset(
    (
        "7813670ff886",
        "c857d09db23e",
        "c70eca6b0f88",
        "7d3194f79e64",
        "60965168ce76",
        "3ea125d0bff3",
        "5d72436256ad",
        "57de4cf40144",
        "487b91042c7c",
        "de2187af3fb0",
        "a39a7ffad4a3",
        "94a168d2da57",
        "d298391b0743",
        "746d1113c358",
    )
)
WORD = re.compile(r"[A-Za-z][A-Za-z-]*")


def check_code(path: Path, text: str) -> list[str]:
    """List lines of code that are too long or not ASCII, and tabs and trailing blanks."""
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(PRAGMA.sub("", line)) > MAX_COLUMNS and len(line.split()) > 1:
            problems.append(f"{path}:{number}: {len(line)} columns")
        if not line.isascii() and str(path) not in NOT_ASCII:
            problems.append(f"{path}:{number}: not ASCII")
        if line != line.rstrip() or "\t" in line:
            problems.append(f"{path}:{number}: tab or trailing blank")
    return problems


def compute_digest(word: str) -> str:
    """Compute the digest under which a word is listed."""
    return hashlib.sha256(word.lower().encode()).hexdigest()[:12]


def check_places(path: Path, text: str) -> list[str]:
    """List machine paths, package hosts and listed words."""
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in ((MACHINE_PATH, "machine path"), (PACKAGE_HOST, "package host")):
            if match := pattern.search(line):
                problems.append(f"{path}:{number}: {what} {match.group()}")
        words = [part for word in WORD.findall(line) for part in {word, *word.split("-")}]
        problems += [
            f"{path}:{number}: {word}" for word in words if compute_digest(word) in WORD_DIGESTS
        ]
    return problems


def test_code_is_ascii_and_narrow():
    paths = [*list_python(), *(p for p in list_files() if p.suffix == ".proto")]
    problems = [problem for path in paths for problem in check_code(path, read(path))]
    assert not problems, "\n".join(problems)


def test_nothing_of_one_machine():
    paths = [path for path in list_text() if not is_generated(path)]
    problems = [problem for path in paths for problem in check_places(path, read(path))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("line", ["x = " + "1" * 97, "caf\u00e9", "x = 1 ", "\tx = 1"])
def test_planted_code(line):
    assert check_code(Path("node/x.py"), line)


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "home/somebody/descent",
        "cd /" + "wo" + "rk/main",
        "https://py" + "pi.org/simple",
        "pip install --index" + "-url=x",
        "co-authored" + "-by: nobody",
    ],
)
def test_planted_place(line):
    assert check_places(Path("README.md"), line)
