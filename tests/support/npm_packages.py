"""npm packages for tests with JavaScript clients, installed once by a lock file."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnet_node import ROOT

INSTALL_TIMEOUT_S = 180


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other test processes from installing into it meanwhile."""
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(name: str, folder: Path) -> Path:
    """Install what `folder/package-lock.json` names into `.NAME`; return its `node_modules`.

    The test is skipped, and says why, where there is no Node or npm, or npm cannot install.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"Node and npm are not installed: {name} is not tested")
    target = ROOT / f".{name}"
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = target / "installed"
    with hold_folder(target):
        if not stamp.exists() or stamp.read_text() != digest:
            for file in ("package.json", "package-lock.json"):
                shutil.copy(folder / file, target)
            run_npm(name, target, "ci", "--ignore-scripts")
            stamp.write_text(digest)
    return target / "node_modules"


def run_npm(name: str, target: Path, *arguments: str) -> None:
    """Run npm in a folder; skips the test, and says why, where it cannot."""
    try:
        ended = subprocess.run(
            ["npm", *arguments, "--no-audit", "--no-fund"],
            cwd=target,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {name} in {INSTALL_TIMEOUT_S} s")
    if ended.returncode:
        pytest.skip(f"npm cannot install {name}: {ended.stderr[-300:]}")
