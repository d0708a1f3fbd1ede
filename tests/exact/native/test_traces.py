"""Golden traces under every path, thread count, optimisation level and compiler there is."""

import json
import shutil
from pathlib import Path

import pytest

from exact import probe
from exact.backends.native_backend import NativeBackend
from exact.native import paths
from exact.native.build import ensure_built
from exact.native.library import Library
from exact.state import compute_trace_root
from tests.exact.helpers import CASES
from tests.exact.native.conftest import PATHS, Open
from tests.exact.traces import (
    LONG_CASES,
    LONG_VECTORS,
    VECTORS,
    compute_long_trace,
    compute_trace,
)

GOLDEN_ROOT = compute_trace_root([bytes.fromhex(root) for root in probe.GOLDEN_STEP_ROOTS])
BUILDS = [("-O1", ("cc",)), ("-O2", ("cc",)), ("-O3", ("clang",)), ("-O0", ("cc",))]


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CASES)
def test_golden_trace(name: str, path: str, num_threads: int, open_path: Open) -> None:
    golden = json.loads(Path(VECTORS).read_text())[name]
    assert compute_trace(open_path(path, num_threads), name) == golden


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", LONG_CASES)
def test_long_trace(name: str, path: str, num_threads: int, open_path: Open) -> None:
    golden = json.loads(Path(LONG_VECTORS).read_text())[name]
    assert compute_long_trace(open_path(path, num_threads), name) == golden


@pytest.mark.parametrize("path", PATHS)
def test_probe(path: str, open_path: Open) -> None:
    assert probe.ensure_faithful(open_path(path, 2)) == GOLDEN_ROOT


@pytest.mark.parametrize(("level", "compiler"), BUILDS)
def test_other_builds(
    level: str, compiler: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]} here")
    library = Library(ensure_built(level, compiler))
    for path in PATHS:
        assert paths.check_path(library, path) == paths.CHOSEN
        choice = paths.Choice(library, path, {})
        monkeypatch.setattr("exact.backends.native_backend.choose_path", lambda _, c=choice: c)
        assert probe.ensure_faithful(NativeBackend(path, 2)) == GOLDEN_ROOT
