"""The whole matrix: compilers, levels, paths, threads, torch versions, sanitizers.

`make test` compares every path of the usual build (test_traces.py) and probes other builds; here
each build gives all golden traces, of 200 steps too. `-rP` prints the counts.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from exact import probe
from exact.backends.native_backend import NativeBackend
from exact.native import build, paths
from exact.native.library import Library
from tests.exact.helpers import CASES
from tests.exact.native.conftest import PATHS
from tests.exact.native.products import compare_products
from tests.exact.native.zig import find_zig
from tests.exact.traces import LONG_CASES, ROOT, find_wrong_traces

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
NUM_PRODUCTS = 500
# A Python with another torch, where somebody has made one.
OTHER_PYTHON = "DESCENT_OTHER_PYTHON"


def get_words(compiler: str) -> tuple[str, ...]:
    if compiler == "zig":
        return (find_zig(), *build.get_zig_words(build.get_machine())[1:])
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    return (compiler,)


def compare(library: Library, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Compare golden traces and products of paths; returns the number of comparisons."""
    for name in names:
        assert paths.check_path(library, name) == paths.CHOSEN
        for num_threads in (1, 2):
            choice = paths.Choice(library, name, {})
            monkeypatch.setattr("exact.backends.native_backend.choose_path", lambda _, c=choice: c)
            backend = NativeBackend(name, num_threads)
            probe.ensure_faithful(backend)
            assert find_wrong_traces(backend) == [], (name, num_threads)
    num_traces = len(names) * 2 * (len(CASES) + len(LONG_CASES))
    return num_traces + compare_products(library, names, NUM_PRODUCTS, 4)


@pytest.mark.parametrize("level", ["-O1", "-O3"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig"])
def test_builds(compiler: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(build.ensure_built(level, get_words(compiler)))
    num = compare(library, PATHS, monkeypatch)
    print(f"{compiler} {level}: {num} comparisons on {', '.join(PATHS)}, 0 mismatches")


def test_avx_vnni_by_its_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The avx-vnni path with AVX-512's encoding of the same instruction, where that is there."""
    if "avx512-vnni" not in PATHS or "avx-vnni" in PATHS:
        pytest.skip("no AVX-512-VNNI here, or AVX-VNNI itself")
    folder = tmp_path / "native"
    shutil.copytree(build.FOLDER, folder, ignore=shutil.ignore_patterns("_*"))
    for name, old, new in (
        ("gemm.h", "%{vex%}", "%{evex%}"),
        ("library.c", "return has_avx2() && BITS(get_features().extended_a, AVX_VNNI)", "return 1"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    monkeypatch.setattr(build, "FOLDER", folder)
    library = Library(build.compile_library(get_words("gcc"), "-O3", tmp_path))
    print(compare(library, ["avx-vnni"], monkeypatch), "comparisons, 0 mismatches")


SANITIZED = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import exact.backends.native_backend as native
from exact.native import paths
from exact.native.library import Library
from tests.exact.native.products import compare_products
from tests.exact.traces import find_wrong_traces
library = Library(Path(sys.argv[1]))
for name in library.path_names:
    if not library.has_path(name):
        continue
    assert paths.check_path(library, name) == paths.CHOSEN, name
    native.choose_path = lambda _: paths.Choice(library, name, {})
    for num_threads in (1, 2):
        assert not find_wrong_traces(native.NativeBackend(name, num_threads), False), name
    compare_products(library, [name], 200, 5)
    print(name, "clean")
"""


def test_sanitizers(tmp_path: Path) -> None:
    words = get_words("gcc")
    extra = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    library = build.compile_library(words, "-O1", tmp_path, extra=extra)
    runtimes = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    env = {**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"}
    text = run_script(sys.executable, SANITIZED, env, str(library))
    assert text.split() == [word for name in PATHS for word in (name, "clean")]


OTHER_TORCH = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from exact import probe
from exact.backends import load_backend
from tests.exact.traces import find_wrong_traces
for num_threads in (1, 2):
    torch.set_num_threads(num_threads)
    backend = load_backend("torch")
    probe.ensure_faithful(backend)
    assert not find_wrong_traces(backend)
print(torch.__version__)
"""


def test_another_torch() -> None:
    """Golden traces by another version of torch than the pinned one."""
    torch = pytest.importorskip("torch")
    python = os.environ.get(OTHER_PYTHON)
    if not python:
        pytest.skip(f"{OTHER_PYTHON} names no Python with another torch")
    version = run_script(python, OTHER_TORCH, dict(os.environ)).strip()
    assert version.split("+")[0] != torch.__version__.split("+")[0]
    print(f"torch {version}: all golden traces")


def run_script(python: str, script: str, env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [python, "-c", script, *arguments],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
