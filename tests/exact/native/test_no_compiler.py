"""Machines without a system's compiler: zig compiles, or torch computes, and says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exact.native import paths
from exact.native.build import get_zig_words
from exact.native.library import Library
from tests.exact.native.conftest import PATHS
from tests.exact.native.zig import find_zig
from tests.exact.traces import ROOT

HIDE_ZIG = """
import importlib.util
original = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ziglang" else original(name, *rest)
"""
FAITHFUL = """
import json, logging, warnings
warnings.simplefilter("ignore")
logging.basicConfig(format="%(message)s")
from exact.probe import load_faithful_backend
print(json.dumps(load_faithful_backend().description))
"""


def run(python: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the sources alone, nothing compiled, and no program in PATH."""
    shutil.copytree(
        ROOT / "exact",
        folder / "exact",
        ignore=shutil.ignore_patterns("_build", "_shipped", "__pycache__"),
    )
    bare = ("HOME", "PATH", "XDG_CACHE_HOME", "CC", "DESCENT_EXACT_PATH")
    env = {name: value for name, value in os.environ.items() if name not in bare}
    (folder / "nothing").mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    env |= {"HOME": str(folder), "PATH": str(folder / "nothing"), "PYTHONPATH": str(folder)}
    # What zig has compiled of its own runtime serves again.
    env["ZIG_GLOBAL_CACHE_DIR"] = f"{cache}/zig"
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_torch_computes_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = run(sys.executable, tmp_path, "-c", HIDE_ZIG + FAITHFUL)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).startswith("torch")
    assert "torch computes the same bits, slowly: no C compiler" in done.stderr
    assert "pip install ziglang" in done.stderr


@pytest.mark.soak
def test_zig_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(find_zig(), tmp_path, "-m", "exact.native.build")
    assert done.returncode == 0, done.stderr
    file = Path(done.stdout.strip())
    assert file.parent == tmp_path / "exact/native/_build"
    assert_faithful(Library(file), monkeypatch)


@pytest.mark.soak
def test_zig_for_any_processor(tmp_path: Path) -> None:
    """The portable path has no instruction that only this processor has."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("no objdump")
    source = ROOT / "exact/native/path.c"
    words = [find_zig(), *get_zig_words("x86_64")[1:], "-O3", "-std=gnu11", "-ffp-contract=off"]
    target = tmp_path / "portable.o"
    subprocess.run(
        [*words, "-DPATH_NAME=run_portable", "-c", str(source), "-o", str(target)], check=True
    )
    text = subprocess.run(
        [objdump, "-d", str(target)], capture_output=True, text=True, check=True
    ).stdout
    assert "mulps" in text
    assert "ymm" not in text
    assert "zmm" not in text


def assert_faithful(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [name for name in library.path_names if library.has_path(name)] == PATHS
    for path in PATHS:
        assert paths.check_path(library, path) == paths.CHOSEN
