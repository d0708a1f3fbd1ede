"""The torch twin equals the definition bit for bit: operations, steps, losses, refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exact import state as exact_state
from exact.backends import load_backend
from exact.backends.base import Backend
from exact.backends.numpy_backend import NumpyBackend
from exact.config import ModelConfig
from exact.errors import ExactError, InvalidModel, InvalidState, InvalidStep, UnfaithfulDevice
from exact.families import build_program
from exact.program import TARGETS, TOKENS, Program
from tests.exact.helpers import CASES, CLIPPED, PLAIN, build_case


@pytest.fixture(scope="module")
def numpy_backend() -> Backend:
    return load_backend("numpy")


@pytest.fixture(scope="module")
def torch_backend() -> Backend:
    return load_backend("torch")


def assert_same(a: np.ndarray, b: np.ndarray, what: str) -> None:
    assert a.shape == b.shape, what
    assert a.dtype == b.dtype, what
    assert np.array_equal(a, b), f"{what}: {(a != b).sum()} of {a.size} differ"


def assert_ops_agree(
    program: Program,
    env: dict[str, np.ndarray],
    reference: Backend,
    twin: Backend,
) -> None:
    """Run the step's list by the definition and every operation of it by the twin."""
    reference._begin(program)
    twin._begin(program)
    for op in program.step_ops:
        inputs = [env[name] for name in op.inputs]
        wanted = reference._get_kernel(op.kind)(op.attributes, *inputs)
        tensors = [twin._to_tensor(np.asarray(x)) for x in inputs]
        results = twin._get_kernel(op.kind)(op.attributes, *tensors)
        for name, a, b in zip(op.outputs, wanted, results, strict=True):
            assert_same(np.asarray(a), twin._to_numpy(b), f"{op.kind} -> {name}")
            env[name] = a


@pytest.mark.parametrize("name", CASES)
def test_every_operation(name: str, numpy_backend: Backend, torch_backend: Backend) -> None:
    program, state, batches = build_case(*CASES[name], num_steps=3)
    state = numpy_backend.train_interval(program, state, batches[:2])
    env = {**state, TOKENS: batches[2][:, :-1], TARGETS: batches[2][:, 1:]}
    assert_ops_agree(program, env, numpy_backend, torch_backend)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_whole_interval(
    name: str, num_threads: int, numpy_backend: Backend, torch_backend: Backend
) -> None:
    program, state, batches = build_case(*CASES[name], num_steps=4)
    wanted = numpy_backend.train_interval(program, state, batches)
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        result = torch_backend.train_interval(program, state, batches)
    finally:
        torch.set_num_threads(before)
    assert exact_state.interval_root(result) == exact_state.interval_root(wanted)
    assert_same(torch_backend.losses, numpy_backend.losses, "losses")
    assert result["adam_t"] == 4
    sequences = batches.reshape(-1, batches.shape[-1])
    sums = numpy_backend.sequence_losses(program, wanted, sequences)
    assert_same(torch_backend.sequence_losses(program, result, sequences), sums, "sums")
    assert_same(torch_backend.sequence_losses(program, result, sequences[:1]), sums[:1], "alone")


@pytest.mark.parametrize("name", ["untied-clipped", "llama"])
def test_recompute_gives_the_same_bits(name: str, torch_backend: Backend) -> None:
    model, optimiser, batch_size = CASES[name]
    program, state, batches = build_case(*CASES[name], num_steps=2)
    again = build_program(model, optimiser, batch_size, recompute=True)
    kept = torch_backend.train_interval(program, state, batches)
    remade = torch_backend.train_interval(again, state, batches)
    assert exact_state.interval_root(remade) == exact_state.interval_root(kept)
    assert program.digest != again.digest
    # Inside a layer nothing is kept: no operation after the first pass reads what it wrote.
    last_forward = next(i for i, op in enumerate(again.step_ops) if op.kind == "cross_entropy")
    later = {name for op in again.step_ops[last_forward + 1 :] for name in op.inputs}
    assert not {n for n in later if n.startswith("layer") and not n.endswith("mlp/x")}


@pytest.mark.parametrize("name", ["untied-clipped", "llama"])
def test_accumulation(name: str, numpy_backend: Backend, torch_backend: Backend) -> None:
    model, optimiser, _ = CASES[name]
    program, state, batches = build_case(model, optimiser, 6, num_steps=2)
    parts = build_program(model, optimiser, 6, num_parts=3, recompute=True)
    wanted = numpy_backend.train_interval(parts, state, batches)
    result = torch_backend.train_interval(parts, state, batches)
    assert exact_state.interval_root(result) == exact_state.interval_root(wanted)
    assert_same(torch_backend.losses, numpy_backend.losses, "losses")
    # The same gradient, added in another order and with other blocks along the tokens.
    whole = torch_backend.train_interval(program, state, batches[:1])
    part = torch_backend.train_interval(parts, state, batches[:1])
    for key in exact_state.select(state, "adam_m/"):
        scale = np.abs(whole[key]).max()
        np.testing.assert_allclose(part[key], whole[key], rtol=0, atol=0.02 * scale + 1e-12)
    with pytest.raises(InvalidModel, match="no multiple of 4 parts"):
        build_program(model, optimiser, 6, num_parts=4)


def test_a_device_without_wide_products_refuses_wide_operands(torch_backend: Backend) -> None:
    fast, wide = CASES["tied"][0], CASES["gpt-fast"][0]
    narrow = type(torch_backend)("cpu")
    narrow.largest_exact_dot = 1 << 24
    narrow.ensure_precision(fast)
    with pytest.raises(UnfaithfulDevice, match="the run's precision needs 266330176"):
        narrow.ensure_precision(wide)
    torch_backend.ensure_precision(wide)


def test_an_interval_is_its_steps(torch_backend: Backend) -> None:
    program, state, batches = build_case(*CASES["untied-clipped"], num_steps=4)
    whole = torch_backend.train_interval(program, state, batches)
    half = torch_backend.train_interval(program, state, batches[:2])
    assert exact_state.interval_root(
        torch_backend.train_interval(program, half, batches[2:])
    ) == exact_state.interval_root(whole)


shapes = st.fixed_dictionaries(
    {
        "vocab_size": st.integers(2, 70),
        "context_length": st.integers(2, 70),
        "num_layers": st.integers(1, 2),
        "num_heads": st.integers(1, 3),
        "mlp_ratio": st.integers(1, 3),
        "tied_head": st.booleans(),
        "operand_max": st.sampled_from([31, 127, 511]),
        "block_size": st.sampled_from([8, 32, 64]),
        "softmax_max": st.sampled_from([0, 2_047, 32_767]),
        "family": st.sampled_from(["gpt", "llama"]),
    }
)


@settings(max_examples=12)
@given(shape=shapes, half_head=st.integers(1, 12), clipped=st.booleans(), batch=st.integers(1, 3))
def test_random_models(
    shape: dict[str, Any],
    half_head: int,
    clipped: bool,
    batch: int,
    numpy_backend: Backend,
    torch_backend: Backend,
) -> None:
    kv_heads = {"num_kv_heads": 1} if shape["family"] == "llama" and batch > 1 else {}
    model = ModelConfig(**shape, **kv_heads, d_model=2 * half_head * shape["num_heads"])
    optimiser = CLIPPED if clipped else PLAIN
    program, state, batches = build_case(model, optimiser, batch, num_steps=2)
    wanted = numpy_backend.train_interval(program, state, batches)
    result = torch_backend.train_interval(program, state, batches)
    assert exact_state.interval_root(result) == exact_state.interval_root(wanted)
    assert_same(torch_backend.losses, numpy_backend.losses, "losses")


# ---------------------------------------------------------------------------- hostile magnitudes
def draw_hostile(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(shape)
    signs = rng.choice([-1.0, 1.0], shape)
    values = {
        "normal": normal,
        "wide": normal * np.exp2(rng.integers(-40, 40, shape)),
        "saturated": signs * 511.9,
        "wide saturated": signs * 32_767.9,
        "maximal": np.full(shape, 1.0 - 2.0**-24),
        "halves": (rng.integers(-2000, 2000, shape) + 0.5) / 4,
        "tiny": normal * 1e-30,
        "subnormal": normal * 1e-41,
        "zeros": np.where(rng.random(shape) < 0.5, 0.0, -0.0),
        "large": normal * 2.0**55,
    }
    return values[kind].astype(np.float32)


HOSTILE = [
    "normal",
    "wide",
    "saturated",
    "wide saturated",
    "maximal",
    "halves",
    "tiny",
    "subnormal",
    "zeros",
    "large",
]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(("a_max", "b_max"), [(511, 511), (32_767, 127), (4_095, 4_095)])
@pytest.mark.parametrize(
    ("a_shape", "b_shape", "a_k_first", "b_k_first", "flatten"),
    [
        ((2, 5, 150), (7, 150), False, False, True),
        ((2, 75, 6), (2, 75, 9), True, True, True),
        ((3, 4, 130), (3, 130, 5), False, True, False),
        ((3, 64, 4), (3, 5, 64), True, False, False),
    ],
)
def test_matmul_hostile(
    kind: str,
    a_max: int,
    b_max: int,
    a_shape: tuple[int, ...],
    b_shape: tuple[int, ...],
    a_k_first: bool,
    b_k_first: bool,
    flatten: bool,
    numpy_backend: Backend,
    torch_backend: Backend,
) -> None:
    rng = np.random.default_rng(1)
    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    a, b = draw_hostile(kind, a_shape, rng), draw_hostile(kind, b_shape, rng)
    attributes = {
        "a_k_first": a_k_first,
        "b_k_first": b_k_first,
        "flatten": flatten,
        "a_max": a_max,
        "b_max": b_max,
        "block_size": 64,
    }
    for backend in (numpy_backend, torch_backend):
        backend._begin(program)
    (wanted,) = numpy_backend._get_kernel("matmul")(attributes, a, b)
    tensors = [torch_backend._to_tensor(x) for x in (a, b)]
    (result,) = torch_backend._get_kernel("matmul")(attributes, *tensors)
    assert_same(torch_backend._to_numpy(result), wanted, kind)
    if kind == "normal":
        left = a.reshape(-1, a.shape[-1]) if flatten else a
        right = b.reshape(-1, b.shape[-1]) if flatten else b
        left = left.swapaxes(-1, -2) if a_k_first else left
        right = right.swapaxes(-1, -2) if b_k_first else right
        true = left.astype(np.float64) @ right.astype(np.float64).swapaxes(-1, -2)
        error = np.abs(wanted.reshape(true.shape) - true).max() / np.abs(true).max()
        assert error < 4 / min(a_max, b_max)


@pytest.mark.parametrize("kind", HOSTILE)
def test_sums_hostile(kind: str, numpy_backend: Backend, torch_backend: Backend) -> None:
    rng = np.random.default_rng(2)
    program, _, _ = build_case(*CASES["tied"], num_steps=1)
    x, dy = draw_hostile(kind, (2, 16, 72), rng), draw_hostile("normal", (2, 16, 72), rng)
    tokens = rng.integers(0, 11, (2, 16))
    scores = draw_hostile(kind, (2, 1, 16, 16), rng)
    calls = [
        ("rms_norm", {"epsilon": float(np.float32(1e-6))}, (x,)),
        ("rms_norm_grad", {}, (dy, x, draw_hostile("normal", (2, 16, 1), rng))),
        ("embed_grad", {"vocab_size": 11}, (tokens, x)),
        ("causal_softmax", {"scale": 0.25}, (scores,)),
        ("causal_softmax_grad", {"scale": 0.25}, (scores, np.abs(scores))),
        ("cross_entropy", {}, (x, tokens)),
        ("clip_scale", {"gradient_clip": 1.0}, (x, dy)),
        ("relu_square", {}, (x,)),
        ("silu_gate", {}, (x, dy)),
        ("silu_gate_grad", {}, (dy, x, dy)),
        ("gain", {}, (x, dy[0, 0])),
        ("gain_grad", {}, (dy, x)),
    ]
    for name, attributes, inputs in calls:
        numpy_backend._begin(program)
        with np.errstate(all="ignore"):
            try:
                wanted = numpy_backend._get_kernel(name)(attributes, *inputs)
            except InvalidStep:
                wanted = None
        tensors = [torch_backend._to_tensor(i) for i in inputs]
        results = torch_backend._get_kernel(name)(attributes, *tensors)
        arrays = [torch_backend._to_numpy(r) for r in results]
        if wanted is None:
            assert any(np.isnan(r).any() for r in arrays if r.dtype.kind == "f"), name
        else:
            for a, b in zip(wanted, arrays, strict=True):
                assert_same(b, a, f"{name} of {kind}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**60])
@pytest.mark.parametrize("name", ["embedding", "layer0000/mlp_in", "layer0000/attention_in"])
def test_invalid_step(
    name: str, value: float, numpy_backend: Backend, torch_backend: Backend
) -> None:
    program, state, batches = build_case(*CASES["tied"], num_steps=3)
    state = torch_backend.train_interval(program, state, batches[:2])
    poisoned = {**state, f"param/{name}": state[f"param/{name}"].copy()}
    poisoned[f"param/{name}"].reshape(-1)[3] = value
    outcomes = []
    for backend in (numpy_backend, torch_backend):
        try:
            result = backend.train_interval(program, poisoned, batches[2:])
            outcomes.append(exact_state.interval_root(result).hex())
        except ExactError as error:
            outcomes.append(type(error).__name__)
    assert outcomes[0] == outcomes[1]
    if not np.isfinite(value) or name != "embedding":
        assert outcomes[0] == "InvalidStep"


def test_invalid_inputs(torch_backend: Backend) -> None:
    program, state, batches = build_case(*CASES["tied"], num_steps=1)
    floats = batches.astype(np.float32)
    for bad in (batches + 256, ~batches, batches[0], floats, batches[:, :1]):
        with pytest.raises(InvalidState):
            torch_backend.train_interval(program, state, bad)
    with pytest.raises(InvalidState):
        torch_backend.train_interval(program, {**state, "param/x": state["adam_t"]}, batches)
    del state["adam_t"]
    with pytest.raises(InvalidState):
        torch_backend.train_interval(program, state, batches)
    with pytest.raises(InvalidState):
        torch_backend.sequence_losses(program, {}, batches[0])


def test_empty_interval_and_draw(torch_backend: Backend, numpy_backend: Backend) -> None:
    program, state, batches = build_case(*CASES["tied"], num_steps=1)
    for backend in (torch_backend, numpy_backend):
        result = backend.train_interval(program, state, batches[:0])
        assert exact_state.interval_root(result) == exact_state.interval_root(state)
        assert backend.losses.size == 0
        assert backend.sequence_losses(program, state, batches[0][:0]).shape == (0,)


def test_generate(torch_backend: Backend, numpy_backend: Backend) -> None:
    program, state, _ = build_case(*CASES["tied"], num_steps=1)
    arguments = (program, state, b"import ", 24, 9)
    text = torch_backend.generate(*arguments)
    assert len(text) == 24
    assert text == numpy_backend.generate(*arguments)
    assert text != torch_backend.generate(program, state, b"import ", 24, 10)
    greedy = torch_backend.generate(program, state, b"", 3, 0, top_k=1)
    assert greedy == torch_backend.generate(program, state, b"", 3, 1, top_k=1)


def test_unknown_backends() -> None:
    with pytest.raises(UnfaithfulDevice, match="unknown backend"):
        load_backend("jax")
    with pytest.raises(UnfaithfulDevice, match="no torch device"):
        load_backend("torch", "nowhere")


def test_the_definition_needs_no_torch() -> None:
    assert not any("torch" in name for name in vars(NumpyBackend))
