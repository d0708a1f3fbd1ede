"""Execute the blocks a CometBFT node decided once more, under the embedded engine.

`python -m tests.engine.comet.replay HOME TARGET [HEIGHT]` copies genesis, keys and mirrored blocks
of HOME to TARGET, starts the embedded engine there on empty state, which replays the blocks and
compares the app hash of each with what CometBFT was told, and prints the hashes by height as JSON.
With HEIGHT it stops there: TARGET/data/state then is the state after that block.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import proto  # noqa: F401
from node.chain import build_chain
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.engine.errors import NotEnoughPower
from node.store.state import StateStore

ROOT = Path(__file__).resolve().parents[3]


class _Reached(Exception):
    pass


def list_pythons() -> list[str]:
    """List the interpreters of other versions that have the node's packages: $DESCENT_PYTHONS."""
    return [path for path in os.environ.get("DESCENT_PYTHONS", "").split(":") if path]


def replay_elsewhere(home: Path, target: Path, python: str, seed: str) -> dict[int, str]:
    """Replay in a process of its own, by a Python and with a hash seed; app hashes by height."""
    done = subprocess.run(
        [python, "-m", "tests.engine.comet.replay", home, target],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]
    return {int(height): app_hash for height, app_hash in json.loads(done.stdout).items()}


def replay(home: Path, target: Path, until: int | None = None) -> dict[int, str]:
    """Replay up to a height, or all of it; returns app hashes by height."""
    shutil.copytree(home / "config", target / "config")
    shutil.copytree(home / "data" / "blocks", target / "data" / "blocks")
    hashes: dict[int, str] = {}
    with StateStore.open(target / "data" / "state") as store:

        def note(step: str, height: int) -> None:
            if step == "app_committed":
                hashes[height] = store.app_hash.hex()
                if height == until:
                    raise _Reached

        engine = EmbeddedEngine(
            target, build_chain().open_application(store), options=EngineOptions(on_step=note)
        )
        try:
            engine.start()
        except (_Reached, NotEnoughPower):
            pass
        finally:
            engine.close()
    return hashes


if __name__ == "__main__":
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else None
    print(json.dumps(replay(Path(sys.argv[1]), Path(sys.argv[2]), limit)))
