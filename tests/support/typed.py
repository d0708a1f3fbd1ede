"""Command lines as a person types them, in this process, their answers as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run


class Typed:
    """Runs command lines; returns the JSON document, or the error.

    Args:
        home: of commands that do not begin with one.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], home: Path | None = None) -> None:
        self.capsys = capsys
        self.home = home

    def __call__(self, *words: str | Path, code: int | None = 0) -> Any:
        """Run; the first word may be the home.

        Args:
            code: the exit code it must have; None takes any, an error as {"error": ...}.
        """
        home, arguments = self.home, list(words)
        if isinstance(arguments[0], Path):
            home = Path(arguments.pop(0))
        full = [*map(str, arguments), "--home", str(home), "--output", "json"]
        found = run(full)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        if code is None:
            return json.loads(err.splitlines()[-1] if found else out)
        assert found == code, err
        return json.loads(err.splitlines()[-1])["error"] if code else json.loads(out)
