"""Golden traces: both backends, thread counts and instruction sets give the published roots."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from exact import probe
from exact.backends import load_backend
from exact.errors import UnfaithfulDevice
from exact.program import Attributes
from exact.state import compute_trace_root
from tests.exact.helpers import CASES
from tests.exact.traces import (
    LONG_CASES,
    LONG_INTERVAL,
    LONG_VECTORS,
    NUM_LONG_STEPS,
    ROOT,
    VECTORS,
    compute_long_trace,
    compute_trace,
)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", LONG_CASES)
def test_long_trace(name: str, backend: str) -> None:
    golden = json.loads(LONG_VECTORS.read_text())[name]
    assert len(set(golden)) == 1 + NUM_LONG_STEPS // LONG_INTERVAL
    assert compute_long_trace(load_backend(backend), name) == golden


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_golden_trace(name: str, backend: str) -> None:
    golden = json.loads(VECTORS.read_text())[name]
    assert compute_trace(load_backend(backend), name) == golden


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_probe(backend: str) -> None:
    root = probe.ensure_faithful(load_backend(backend))
    assert root == compute_trace_root([bytes.fromhex(r) for r in probe.GOLDEN_STEP_ROOTS])


@pytest.mark.parametrize(
    ("kind", "error", "where"),
    [("add", 0.0, "of gpt: step 1 gives"), ("silu_gate", 1.0, "of llama: step 2 gives")],
)
def test_invalid_device(
    kind: str, error: float, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_backend("numpy")
    original = backend._get_kernel(kind)

    def compute_wrongly(attributes: Attributes, a: Any, b: Any) -> Any:
        (c,) = original(attributes, a, b)
        c.reshape(-1)[0] = np.nextafter(c.reshape(-1)[0] + np.float32(error), np.float32(9))
        return (c,)

    # The head begins at zero, so layers learn from the second step on.
    monkeypatch.setattr(backend, f"op_{kind}", compute_wrongly)
    with pytest.raises(UnfaithfulDevice, match=where):
        probe.ensure_faithful(backend)


ENVIRONMENTS = {
    "one-thread": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "two-threads": {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
    "baseline": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "2"},
    "numpy-baseline": {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL "
        "AVX512_ICL AVX512_SPR AVX2 FMA3 X86_V3 X86_V4",
        "OPENBLAS_CORETYPE": "Prescott",
    },
    "openblas-haswell": {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2"},
}

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from exact import probe
from exact.backends import load_backend
from tests.exact.traces import compute_long_trace, compute_trace
backend = load_backend(sys.argv[1])
root = probe.ensure_faithful(backend).hex()
short = {name: compute_trace(backend, name) for name in ("gpt-fast", "llama-tied", "llama-fast")}
long = compute_long_trace(backend, "llama")
print(json.dumps([root, short, long]))
"""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_other_instruction_sets(name: str) -> None:
    backend = "numpy" if name.startswith(("numpy", "openblas")) else "torch"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENTS[name], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    golden = compute_trace_root([bytes.fromhex(r) for r in probe.GOLDEN_STEP_ROOTS])
    root, short, long = json.loads(done.stdout.splitlines()[-1])
    assert root == golden.hex()
    assert long == json.loads(LONG_VECTORS.read_text())["llama"]
    vectors = json.loads(VECTORS.read_text())
    assert short == {name: vectors[name] for name in short}


def write_vectors() -> None:
    """Make the vectors again from the definition: `python -m tests.exact.test_golden`."""
    backend = load_backend("numpy")
    traces = {name: compute_trace(backend, name) for name in CASES}
    VECTORS.parent.mkdir(parents=True, exist_ok=True)
    VECTORS.write_text(json.dumps(traces, indent=1) + "\n")
    longs = {name: compute_long_trace(backend, name) for name in LONG_CASES}
    LONG_VECTORS.write_text(json.dumps(longs, indent=1) + "\n")


if __name__ == "__main__":
    write_vectors()
