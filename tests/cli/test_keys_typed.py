"""`descent keys` typed at a terminal: hidden passphrases, asked for twice, wrong ones."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.devnet_node import ROOT

TIMEOUT_S = 30.0


def type_at_terminal(home: Path, words: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of its own and answer its questions; (code, what was shown)."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cli.main", *words, "--home", str(home)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, left, deadline = "", list(answers), time.monotonic() + TIMEOUT_S
    while True:
        assert time.monotonic() < deadline, shown
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data.decode()
        if left and re.search(r"(: |\]: )\Z", shown):
            os.write(ours, left.pop(0).encode() + b"\n")
            shown += "\n"
    os.close(ours)
    assert not left, shown
    return process.wait(10), shown


def test_the_life_of_a_key(tmp_path: Path) -> None:
    home, good = tmp_path / "home", "correct horse"
    code, shown = type_at_terminal(home, ["keys", "add", "me"], [good, good])
    assert code == 0, shown
    assert good not in shown
    assert "New passphrase for key 'me'" in shown
    assert "The same again" in shown
    address = next(word for word in shown.split() if word.startswith("descent1"))
    file = tmp_path / "me.asc"
    export = ["keys", "export", "me", "--out", str(file)]
    code, shown = type_at_terminal(home, export, [good, "battery staple", "battery staple"])
    assert code == 0, shown
    code, shown = type_at_terminal(home, ["keys", "delete", "me"], ["n"])
    assert (code, "nothing was deleted" in shown) == (1, True)
    code, shown = type_at_terminal(home, ["keys", "delete", "me"], ["y"])
    assert code == 0, shown
    imported = ["keys", "import", "me", str(file)]
    code, shown = type_at_terminal(home, imported, ["battery staple", good, good])
    assert (code, address in shown) == (0, True), shown


@pytest.mark.parametrize(
    ("words", "answers", "said"),
    [
        (["add", "b"], ["correct horse", "correct house"], "the two passphrases differ"),
        (["add", "b"], ["short", "short"], "at least 8 characters"),
        (["export", "a"], ["wrong horse"], "does not open"),
        (["add", "b", "--recover"], ["abandon abandon"], "12, 15, 18, 21 or 24 words"),
    ],
    ids=["differ", "short", "wrong", "no phrase"],
)
def test_invalid(tmp_path: Path, words: list[str], answers: list[str], said: str) -> None:
    if words[0] == "export":
        secret = ["correct horse", "correct horse"]
        assert type_at_terminal(tmp_path, ["keys", "add", "a"], secret)[0] == 0
    before = read_tree(tmp_path)
    code, shown = type_at_terminal(tmp_path, ["keys", *words], answers)
    assert (code, said in shown) == (1, True), shown
    assert "Traceback" not in shown
    assert read_tree(tmp_path) == before


def read_tree(folder: Path) -> dict[str, Any]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
