"""Results of long studies, kept as JSON so that a study goes on where it was."""

import json
import os
from pathlib import Path
from typing import Any


def read_results(path: Path) -> dict[str, Any]:
    """Read what is finished: {runs: {key -> document}} and what the study adds."""
    return json.loads(path.read_text()) if path.exists() else {"runs": {}}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Replace the results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    os.replace(partial, path)
