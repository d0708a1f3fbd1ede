"""npm packages for tests with JavaScript clients, installed once by a lock file."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.devnet_node import ROOT

INSTALL_TIMEOUT_S = 180


def install(name: str, folder: Path) -> Path:
    """Install what `folder/package-lock.json` names into `.NAME`; return its `node_modules`.

    The test is skipped, and says why, where there is no Node or npm, or npm cannot install.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"Node and npm are not installed: {name} is not tested")
    target = ROOT / f".{name}"
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = target / "installed"
    if not stamp.exists() or stamp.read_text() != digest:
        target.mkdir(exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(folder / file, target)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            ended = subprocess.run(
                command,
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
        stamp.write_text(digest)
    return target / "node_modules"
