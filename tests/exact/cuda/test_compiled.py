"""The code that the kernels become for real GPUs, compiled where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[3]
# Shared memory of one program, bytes: compute capability 8.0 and 9.0.
SHARED_LIMITS = {80: 166_912, 90: 232_448}


def compile_kernels(*words: str) -> list[dict]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.exact.cuda.compile_kernels", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "num_kernels"),
    [
        (("fast", "int8", "90"), 18),
        pytest.param(("default", "llama", "fp16", "90"), 20, marks=pytest.mark.soak),
        pytest.param(("odd", "wide", "fp16", "80"), 15, marks=pytest.mark.soak),
    ],
)
def test_every_operation_is_rounded_once(words: tuple[str, ...], num_kernels: int) -> None:
    rows = compile_kernels(*words)
    assert len({row["kernel"] for row in rows}) >= num_kernels
    for row in rows:
        assert not row["wrong"], row
        assert row["shared"] <= SHARED_LIMITS[row["arch"]], row
    products = " ".join(word for row in rows for word in row["products"])
    assert ".f32.f16.f16" in products
    if "int8" in words:
        assert "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8" in products


def test_a_contracted_operation_would_be_seen() -> None:
    (plain, contracted) = compile_kernels("control", "90")
    assert not plain["wrong"]
    assert any("fma" in line for line in contracted["wrong"])
