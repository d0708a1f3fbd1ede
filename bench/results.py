"""Results of long studies, kept as JSON so that a study goes on where it was."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_results(path: Path) -> dict[str, Any]:
    """Read what is finished: {runs: {key -> document}} and what the study adds."""
    return json.loads(path.read_text()) if path.exists() else {"runs": {}}


def update_results(path: Path, added: Mapping[str, Any]) -> None:
    """Add to the results file, also while other processes add to it.

    Args:
        added: by name; a mapping joins the one there, anything else replaces it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        results = read_results(path)
        for name, value in added.items():
            is_joined = isinstance(value, Mapping)
            results[name] = {**results.get(name, {}), **value} if is_joined else value
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        os.replace(partial, path)
    finally:
        os.close(folder)
