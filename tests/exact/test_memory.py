"""What a step takes: counted, bounded by recomputation and parts, and said when it does not fit."""

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import OutOfMemory
from exact.families import build_program
from exact.memory import check_fit, compute_peak_bytes, describe_needs, format_bytes
from tests.exact.helpers import build_case

ROOT = Path(__file__).parents[2]
DEEP = {"context_length": 64, "d_model": 32, "num_heads": 4, "vocab_size": 64}


def get_model(num_layers: int, family: str = "llama") -> ModelConfig:
    return ModelConfig(family=family, num_layers=num_layers, **DEEP)


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_recomputing_keeps_one_layer(family: str) -> None:
    def measure(num_layers: int, recompute: bool) -> int:
        model = get_model(num_layers, family)
        program = build_program(model, OptimiserConfig(), 8, recompute=recompute)
        return compute_peak_bytes(program)

    kept = measure(8, False) - measure(4, False)
    remade = measure(8, True) - measure(4, True)
    # What four more layers add: everything inside them, or their inputs and the parameters.
    assert remade < kept / 5


def test_parts_divide_it() -> None:
    model = get_model(4)
    whole = compute_peak_bytes(build_program(model, OptimiserConfig(), 8))
    parts = compute_peak_bytes(build_program(model, OptimiserConfig(), 8, num_parts=8))
    assert parts < whole / 4


@pytest.mark.parametrize("recompute", [False, True])
def test_the_count_is_what_numpy_takes(recompute: bool) -> None:
    model = get_model(6)
    _, state, batches = build_case(model, OptimiserConfig(), 8, num_steps=1)
    program = build_program(model, OptimiserConfig(), 8, recompute=recompute)
    backend = load_backend("numpy")
    backend.train_interval(program, state, batches)
    tracemalloc.start()
    backend.train_interval(program, state, batches)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = compute_peak_bytes(program)
    # On top comes what one operation needs inside: int64 copies of a few operands.
    assert 0.9 * counted < peak < counted + 40 * 8 * 64 * 64 * 4 * 4


SCRIPT = """
import resource, sys
from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import OutOfMemory
from tests.exact.helpers import build_case
backend = load_backend(sys.argv[1])
model = ModelConfig(family="llama", context_length=512, d_model=64, num_layers=4)
program, state, batches = build_case(model, OptimiserConfig(), 32, num_steps=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
try:
    backend.train_interval(program, state, batches)
except OutOfMemory as error:
    print(error)
"""


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_out_of_memory_says_what_would_fit(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "out of memory: a step of this run takes about 1." in done.stdout
    assert "with work.recompute" in done.stdout
    assert "with work.num_parts = 16 and work.recompute" in done.stdout


def test_the_fit_is_known_before_training() -> None:
    program = build_program(get_model(4), OptimiserConfig(), 8)
    state = 3 * 4 * sum(math.prod(shape) for shape in program.param_shapes.values()) + 8
    assert check_fit(program, state + compute_peak_bytes(program)) == ""
    warning = check_fit(program, state + compute_peak_bytes(program) - 1)
    assert "are free, and a step of this run takes about" in warning
    assert "with work.recompute" in warning
    check_fit(program, 2 * state)
    with pytest.raises(OutOfMemory, match="a smaller model would fit"):
        check_fit(program, 2 * state - 1)
    assert load_backend("numpy").get_free_bytes() > 1 << 20


def test_words() -> None:
    assert format_bytes(3 << 29) == "1.5 GiB"
    assert format_bytes(5 << 20) == "5.0 MiB"
    assert format_bytes(512) == "0.5 KiB"
    assert "num_parts" not in describe_needs(build_program(get_model(1), OptimiserConfig(), 1))
