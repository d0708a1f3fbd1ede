"""Every operation of every path equals the definition bit for bit, and refuses what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact.backends.base import Backend
from exact.backends.native_backend import NativeBackend
from exact.config import ModelConfig
from exact.errors import InvalidStep
from exact.families import build_program
from exact.program import TARGETS, TOKENS, Attributes, Program
from exact.state import interval_root
from tests.exact.helpers import CASES, CLIPPED, PLAIN, build_case
from tests.exact.native.conftest import PATHS, Open
from tests.exact.test_backends import HOSTILE, assert_ops_agree, assert_same, draw_hostile, shapes

# (a_max, b_max, block_size)
FORMATS = [
    (511, 511, 64),
    (127, 127, 64),
    (32_767, 127, 64),
    (4_095, 4_095, 100),
    (2_047, 31, 16),
    (3, 3, 4_000),
    (127, 511, 7),
]


def build_product(
    a_k_first: bool, b_k_first: bool, a_max: int, b_max: int, block_size: int
) -> dict[str, int]:
    return {
        "a_k_first": a_k_first,
        "b_k_first": b_k_first,
        "flatten": False,
        "a_max": a_max,
        "b_max": b_max,
        "block_size": block_size,
    }


def run(backend: Backend, kind: str, attributes: Attributes, *inputs: np.ndarray) -> list | None:
    """Run one operation; None where it refuses."""
    with np.errstate(all="ignore"):
        try:
            return list(backend._get_kernel(kind)(attributes, *inputs))
        except InvalidStep:
            return None


def assert_equal(
    program: Program,
    definition: Backend,
    native: Backend,
    kind: str,
    attributes: Attributes,
    *inputs: np.ndarray,
) -> None:
    for backend in (definition, native):
        backend._begin(program)
    wanted = run(definition, kind, attributes, *inputs)
    results = run(native, kind, attributes, *inputs)
    assert (wanted is None) == (results is None), f"{kind}: only one refuses"
    for a, b in zip(wanted or [], results or [], strict=True):
        assert_same(np.asarray(b), np.asarray(a), kind)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CASES)
def test_every_operation(name: str, path: str, definition: Backend, open_path: Open) -> None:
    program, state, batches = build_case(*CASES[name], num_steps=3)
    state = definition.train_interval(program, state, batches[:2])
    env = {**state, TOKENS: batches[2][:, :-1], TARGETS: batches[2][:, 1:]}
    assert_ops_agree(program, env, definition, open_path(path, 2))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_matmul_hostile(kind: str, path: str, definition: Backend, open_path: Open) -> None:
    rng = np.random.default_rng(1)
    native = open_path(path, 1)
    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    for a_max, b_max, block_size in FORMATS:
        for rows, columns, length in ((5, 7, 150), (64, 17, 64), (1, 1, 1), (33, 100, 129)):
            for a_first in (False, True):
                for b_first in (False, True):
                    a = draw_hostile(kind, (2, rows, length), rng)
                    b = draw_hostile(kind, (2, columns, length), rng)
                    a = a.swapaxes(1, 2).copy() if a_first else a
                    b = b.swapaxes(1, 2).copy() if b_first else b
                    attributes = build_product(a_first, b_first, a_max, b_max, block_size)
                    assert_equal(program, definition, native, "matmul", attributes, a, b)
                    attributes["flatten"] = True
                    if not (a_first or b_first):
                        assert_equal(program, definition, native, "matmul", attributes, a, b)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("width", [72, 5])
def test_sums_hostile(
    kind: str, width: int, path: str, definition: Backend, open_path: Open
) -> None:
    rng = np.random.default_rng(2)
    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    x = draw_hostile(kind, (2, 16, width), rng)
    dy = draw_hostile("normal", (2, 16, width), rng)
    inverse = draw_hostile("normal", (2, 16, 1), rng)
    tokens, targets = rng.integers(0, 11, (2, 16)), rng.integers(0, width, (2, 16))
    scores = draw_hostile(kind, (2, 1, 33, 33), rng)
    moments = [draw_hostile(kind, (500,), rng) for _ in range(3)]
    adamw = {
        "learning_rate": CLIPPED.learning_rate,
        "beta1": CLIPPED.beta1,
        "beta2": CLIPPED.beta2,
        "epsilon": CLIPPED.epsilon,
        "weight_decay": CLIPPED.weight_decay,
        "warmup_steps": 3,
        "decay_steps": 0,
    }
    calls = [
        ("rms_norm", {"epsilon": float(np.float32(1e-6))}, (x,)),
        ("rms_norm_grad", {}, (dy, x, inverse)),
        ("rms_norm_grad", {}, (x, dy, inverse)),
        ("embed_grad", {"vocab_size": 11}, (tokens, x)),
        ("causal_softmax", {"scale": 0.25}, (scores,)),
        ("causal_softmax_grad", {"scale": 0.25}, (scores, np.abs(scores))),
        ("cross_entropy", {}, (x, targets)),
        ("cross_entropy_grad", {}, (x, targets)),
        ("clip_scale", {"gradient_clip": 1.0}, (x, dy)),
        ("relu_square", {}, (x,)),
        ("relu_square_grad", {}, (dy, x)),
        ("silu_gate", {}, (x, dy)),
        ("silu_gate_grad", {}, (dy, x, dy)),
        ("silu_gate_grad", {}, (x, dy, x)),
        ("gain", {}, (x, dy[0, 0].copy())),
        ("gain_grad", {}, (dy, x)),
        ("repeat_heads", {"repeats": 3}, (scores,)),
        ("repeat_heads_grad", {"repeats": 3}, (scores.reshape(2, 3, 11, 33),)),
        ("take_sequences", {"first": 1, "count": 1}, (x,)),
        ("take_sequences", {"first": 0, "count": 1}, (tokens,)),
        ("join_sequences", {}, (x, dy, x)),
        ("join_sequences", {}, (tokens, targets)),
        ("add", {}, (x, dy)),
        ("scale", {}, (x, dy.reshape(-1)[:1])),
        ("rotate", {}, (scores[..., :32],)),
        ("rotate_grad", {}, (scores[..., :32],)),
        ("adamw", adamw, (*moments, np.abs(moments[0]), np.array(2))),
    ]
    for name, attributes, inputs in calls:
        assert_equal(program, definition, open_path(path, 2), name, attributes, *inputs)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**60, 2.0**126])
def test_invalid_element(value: float, path: str, definition: Backend, open_path: Open) -> None:
    """One bad element anywhere, in the vector part of a row and in its rest."""
    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    rng = np.random.default_rng(3)
    product = {**build_product(False, False, 511, 511, 64), "flatten": True}
    for at in (0, 17, 35, 36):
        x = rng.standard_normal((3, 37)).astype(np.float32)
        dy = rng.standard_normal((3, 37)).astype(np.float32)
        x[1, at] = value
        calls = [
            ("matmul", product, (x, dy)),
            ("matmul", {**product, "a_k_first": True, "b_k_first": True}, (dy, x)),
            ("rms_norm", {"epsilon": 1e-6}, (x,)),
            ("rms_norm_grad", {}, (dy, x, dy[:, :1].copy())),
            ("embed_grad", {"vocab_size": 2}, (np.array([0, 1, 0]), x)),
            ("cross_entropy", {}, (x, np.array([1, 2, 3]))),
            ("clip_scale", {"gradient_clip": 1.0}, (dy, x)),
        ]
        for name, attributes, inputs in calls:
            assert_equal(program, definition, open_path(path, 1), name, attributes, *inputs)


@settings(max_examples=10)
@given(shape=shapes, half_head=st.integers(1, 12), clipped=st.booleans(), batch=st.integers(1, 3))
def test_random_models(
    shape: dict[str, Any],
    half_head: int,
    clipped: bool,
    batch: int,
    definition: Backend,
    open_path: Open,
) -> None:
    kv_heads = {"num_kv_heads": 1} if shape["family"] == "llama" and batch > 1 else {}
    model = ModelConfig(**shape, **kv_heads, d_model=2 * half_head * shape["num_heads"])
    program, state, batches = build_case(model, CLIPPED if clipped else PLAIN, batch, num_steps=2)
    wanted = definition.train_interval(program, state, batches)
    for path in PATHS:
        native = open_path(path, 1)
        result = native.train_interval(program, state, batches)
        assert interval_root(result) == interval_root(wanted), path
        assert_same(native.losses, definition.losses, "losses")


@pytest.mark.parametrize("length", [1, 15, 16, 17, 63, 64, 65, 130])
def test_attention_lengths(length: int, definition: Backend, open_path: Open) -> None:
    model = ModelConfig(
        vocab_size=31, context_length=length, d_model=36, num_layers=1, num_heads=3, mlp_ratio=1
    )
    if length < 2:
        return
    program, state, batches = build_case(model, PLAIN, 2, num_steps=2)
    wanted = interval_root(definition.train_interval(program, state, batches))
    for path in PATHS:
        assert interval_root(open_path(path, 2).train_interval(program, state, batches)) == wanted


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["untied-clipped", "llama", "gpt-fast", "llama-fast"])
def test_parts_and_recompute(
    name: str, recompute: bool, definition: Backend, open_path: Open
) -> None:
    model, optimiser, _ = CASES[name]
    _, state, batches = build_case(model, optimiser, 6, num_steps=2)
    program = build_program(model, optimiser, 6, num_parts=3, recompute=recompute)
    wanted = definition.train_interval(program, state, batches)
    for path in PATHS:
        native = open_path(path, 2)
        result = native.train_interval(program, state, batches)
        assert interval_root(result) == interval_root(wanted), path
        assert_same(native.losses, definition.losses, "losses")


def test_float_environment_is_put_back(open_path: Open) -> None:
    """A caller that flushes subnormals gets the same bits, and its own setting afterwards."""
    import torch

    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    native: NativeBackend = open_path(PATHS[0], 1)
    native._begin(program)
    tiny = np.full(64, 1e-41, np.float32)
    kernel = native._get_kernel("add")
    torch.set_flush_denormal(True)
    try:
        (result,) = kernel({}, tiny, np.zeros(64, np.float32))
        is_flushing = float(torch.tensor(1e-41) * 1.0) == 0.0
    finally:
        torch.set_flush_denormal(False)
    assert_same(result, tiny, "add")
    assert is_flushing
