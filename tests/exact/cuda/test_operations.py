"""Kernels in Triton's interpreter equal the definition bit for bit, and refuse what it refuses."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("triton")

from exact import probe
from exact.backends.base import Backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.cuda.formats import choose_format
from exact.errors import InvalidStep
from exact.families import build_program
from exact.program import TARGETS, TOKENS
from exact.state import interval_root
from tests.exact.helpers import CASES, build_case
from tests.exact.test_backends import HOSTILE, assert_ops_agree, assert_same, draw_hostile

CLIPPED = OptimiserConfig(
    learning_rate=to_float32(20_000_000),
    weight_decay=to_float32(100_000_000),
    gradient_clip=to_float32(300_000_000),
)
SIZES = {"vocab_size": 19, "context_length": 20, "d_model": 24, "num_layers": 1, "block_size": 16}
# Several blocks along tokens and widths, and no multiple of them; wide operands; grouped queries.
SMALL: dict[str, tuple[ModelConfig, OptimiserConfig, int]] = {
    "gpt": (ModelConfig(**SIZES, num_heads=2, mlp_ratio=2), CLIPPED, 2),
    "gpt-wide": (
        ModelConfig(**SIZES, num_heads=1, mlp_ratio=1, operand_max=127, softmax_max=32_767),
        OptimiserConfig(),
        1,
    ),
    "llama": (
        ModelConfig(
            **SIZES, num_heads=4, num_kv_heads=2, mlp_width=20, family="llama", tied_head=False
        ),
        CLIPPED,
        1,
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_steps(name: str, definition: Backend, kernels: Backend) -> None:
    program, state, batches = build_case(*SMALL[name], num_steps=2)
    # The first step leaves no weight at zero.
    state = definition.train_interval(program, state, batches[:1])
    wanted = definition.train_interval(program, state, batches[1:])
    result = kernels.train_interval(program, state, batches[1:])
    assert interval_root(result) == interval_root(wanted)
    assert_same(kernels.losses, definition.losses, "losses")
    sequences = batches[0]
    sums = definition.sequence_losses(program, wanted, sequences)
    assert_same(kernels.sequence_losses(program, result, sequences), sums, "sums")
    fused = {op.kind for ops, listed in kernels._fused.values() for op in listed}
    assert {"attention", "attention_grad"} <= fused


@pytest.mark.parametrize("name", ["gpt-wide", "llama"])
def test_every_operation(name: str, definition: Backend, kernels: Backend) -> None:
    program, state, batches = build_case(*SMALL[name], num_steps=2)
    state = definition.train_interval(program, state, batches[:1])
    env = {**state, TOKENS: batches[1][:, :-1], TARGETS: batches[1][:, 1:]}
    assert_ops_agree(program, env, definition, kernels)


def test_two_steps_in_parts_with_recomputation(definition: Backend, kernels: Backend) -> None:
    model, optimiser, _ = SMALL["gpt"]
    _, state, batches = build_case(model, optimiser, 2, num_steps=2)
    program = build_program(model, optimiser, 2, num_parts=2, recompute=True)
    wanted = definition.train_interval(program, state, batches)
    assert interval_root(kernels.train_interval(program, state, batches)) == interval_root(wanted)


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
def test_larger_steps(name: str, definition: Backend, kernels: Backend) -> None:
    program, state, batches = build_case(*CASES[name], num_steps=3)
    wanted = definition.train_interval(program, state, batches)
    assert interval_root(kernels.train_interval(program, state, batches)) == interval_root(wanted)


@pytest.mark.soak
@pytest.mark.parametrize("family", probe.GOLDEN)
def test_golden_trace(family: str, kernels: Backend) -> None:
    probe._ensure_family(kernels, family)


# ---------------------------------------------------------------------------- hostile magnitudes
LAYOUTS = [
    ((2, 5, 150), (7, 150), False, False, True),
    ((2, 75, 6), (2, 75, 9), True, True, True),
    ((3, 64, 4), (3, 5, 64), True, False, False),
]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("maxima", [(511, 511), (32_767, 127), (127, 127), (4_095, 4_095)])
def test_products(
    kind: str, maxima: tuple[int, int], definition: Backend, kernels: Backend
) -> None:
    layout = LAYOUTS[(HOSTILE.index(kind) + maxima[0]) % len(LAYOUTS)]
    a_shape, b_shape, a_k_first, b_k_first, flatten = layout
    rng = np.random.default_rng(1)
    a, b = draw_hostile(kind, a_shape, rng), draw_hostile(kind, b_shape, rng)
    attributes = {
        "a_k_first": a_k_first,
        "b_k_first": b_k_first,
        "flatten": flatten,
        "a_max": maxima[0],
        "b_max": maxima[1],
        "block_size": 64,
    }
    (wanted,), (result,) = (run(x, "matmul", attributes, a, b) for x in (definition, kernels))
    assert_same(result, wanted, kind)


@pytest.mark.parametrize(
    ("a_max", "b_max", "block"),
    [(2_047, 31, 16), (3, 3, 400), (127, 511, 7), (32_767, 1_023, 64), (2_047, 2_047, 100)],
)
def test_formats(a_max: int, b_max: int, block: int, definition: Backend, kernels: Backend) -> None:
    rng = np.random.default_rng(3)
    a, b = draw_hostile("saturated", (9, 450), rng), draw_hostile("maximal", (5, 450), rng)
    a[0] = 1.0
    attributes = {"a_k_first": False, "b_k_first": False, "flatten": True}
    attributes |= {"a_max": a_max, "b_max": b_max, "block_size": block}
    (wanted,), (result,) = (run(x, "matmul", attributes, a, b) for x in (definition, kernels))
    assert_same(result, wanted, "product")


def test_the_format_of_a_product() -> None:
    assert choose_format(511, 511, 64, 64, True).mode == 1
    assert choose_format(127, 127, 64, 64, True).mode == 0
    assert choose_format(127, 127, 64, 64, False).mode == 1
    wide = choose_format(32_767, 127, 64, 64, True)
    assert (wide.mode, wide.a_wide, wide.b_wide) == (2, True, False)
    # A product of two planes never sums beyond what float32 holds.
    for bits_a in range(2, 16):
        for bits_b in range(2, 16):
            a, b = 2**bits_a - 1, 2**bits_b - 1
            for block in (16, 64, 128):
                if a * b * block < 2**31:
                    choose_format(a, b, block, min(64, block), True)
                    choose_format(a, b, block, block, False)


def run(backend: Backend, kind: str, attributes: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    """Run one operation on arrays."""
    backend._begin(build_program(*SMALL["gpt"]))
    with np.errstate(all="ignore"):
        results = backend._get_kernel(kind)(attributes, *(backend._to_tensor(x) for x in inputs))
    return [backend._to_numpy(result) for result in results]


@pytest.mark.parametrize("kind", HOSTILE)
def test_sums(kind: str, definition: Backend, kernels: Backend) -> None:
    rng = np.random.default_rng(2)
    x, dy = draw_hostile(kind, (2, 9, 72), rng), draw_hostile("normal", (2, 9, 72), rng)
    tokens = rng.integers(0, 11, (2, 9))
    calls = [
        ("rms_norm", {"epsilon": float(np.float32(1e-6))}, (x,)),
        ("rms_norm_grad", {}, (dy, x, draw_hostile("normal", (2, 9, 1), rng))),
        ("embed_grad", {"vocab_size": 11}, (tokens, x)),
        ("cross_entropy", {}, (x, tokens)),
        ("clip_scale", {"gradient_clip": 1.0}, (x, dy)),
        ("relu_square", {}, (x,)),
        ("silu_gate", {}, (x, dy)),
        ("silu_gate_grad", {}, (dy, x, dy)),
        ("gain", {}, (x, dy[0, 0])),
        ("gain_grad", {}, (dy, x)),
    ]
    for name, attributes, inputs in calls:
        try:
            wanted = run(definition, name, attributes, *inputs)
        except InvalidStep:
            wanted = None
        results = run(kernels, name, attributes, *inputs)
        if wanted is None:
            assert any(np.isnan(r).any() for r in results if r.dtype.kind == "f"), name
        else:
            for a, b in zip(wanted, results, strict=True):
                assert_same(np.asarray(b).reshape(np.shape(a)), a, f"{name} of {kind}")
