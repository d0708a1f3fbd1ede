"""The vector-Jacobian rules against torch autograd."""

import numpy as np
import pytest
import torch

from bench.ordinary_gpt import OrdinaryGpt
from bench.ordinary_llama import OrdinaryLlama
from exact.backends import load_backend, numpy_backend
from exact.config import ModelConfig
from exact.families import build_program
from exact.program import TARGETS, TOKENS
from exact.state import PARAM_PREFIX, State
from tests.exact.helpers import CASES, PLAIN, build_case

# Head width 16 makes the attention scale exact in float32.
MODELS = {
    "tied": ModelConfig(
        vocab_size=23, context_length=10, d_model=32, num_layers=2, num_heads=2, mlp_ratio=2
    ),
    "untied": ModelConfig(
        vocab_size=31,
        context_length=7,
        d_model=16,
        num_layers=1,
        num_heads=1,
        mlp_ratio=3,
        tied_head=False,
    ),
    "llama": ModelConfig(
        family="llama",
        vocab_size=29,
        context_length=9,
        d_model=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        mlp_width=24,
        tied_head=False,
    ),
    "llama-tied": ModelConfig(
        family="llama",
        vocab_size=21,
        context_length=6,
        d_model=16,
        num_layers=1,
        num_heads=1,
        mlp_ratio=2,
        rotary_theta=1000,
    ),
}


def make_everything_move(state: State) -> State:
    """Replace the constant first tensors, so that every gradient is non-zero."""
    rng = np.random.default_rng(3)
    return {
        name: (rng.standard_normal(t.shape) * 0.2).astype(np.float32)
        if name.startswith(PARAM_PREFIX) and not np.ptp(t)
        else t
        for name, t in state.items()
    }


def compute_gradients(backend, program, state: State, batch: np.ndarray) -> State:
    env = {n: backend._to_tensor(t) for n, t in state.items() if n.startswith(PARAM_PREFIX)}
    env |= {TOKENS: batch[:, :-1], TARGETS: batch[:, 1:]}
    updates = [op for op in program.step_ops if op.kind == "adamw"]
    names = {op.inputs[0]: op.inputs[1] for op in updates}
    ops = tuple(op for op in program.step_ops if op.kind not in ("adamw", "advance"))
    backend._execute(program, ops, env, set(names.values()))
    return {name: np.asarray(env[gradient]) for name, gradient in names.items()}


def compute_reference(model: ModelConfig, state: State, batch: np.ndarray) -> State:
    ordinary = OrdinaryLlama if model.family == "llama" else OrdinaryGpt
    gpt = ordinary(model, state, dtype=torch.float64)
    gpt.compute_mean_loss(torch.from_numpy(batch)).backward()
    return {
        PARAM_PREFIX + name: tensor.grad.numpy()
        for name, tensor in gpt.params.items()
        if tensor.grad is not None
    }


def use_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the definition into plain float64 arithmetic: only the rules remain."""

    def rotary(length: int, head_dim: int, base: int) -> tuple[np.ndarray, np.ndarray]:
        half = head_dim // 2
        angle = np.outer(np.arange(length), float(base) ** (-np.arange(half) / half))
        return np.cos(angle), np.sin(angle)

    replacements = {
        "F32": np.float64,
        "LOG2_E": 1 / np.log(2),
        "compute_rotary_table": rotary,
        "multiply": lambda a, b, *_: a @ b.swapaxes(-1, -2),
        "fixed_sum": lambda x, axes: x.sum(axis=axes, keepdims=True),
        "to_grid": lambda x, axes: (x, np.ones((1, 1))),
        "I64": np.float64,
        "exp2_on_grid": np.exp2,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "sum_weights": lambda w: w.sum(-1, keepdims=True),
    }
    for name, value in replacements.items():
        monkeypatch.setattr(numpy_backend, name, value)
    monkeypatch.setattr(numpy_backend.NumpyBackend, "_to_tensor", lambda self, a: a.astype(float))
    monkeypatch.setattr(numpy_backend, "log2", np.log2)


@pytest.mark.parametrize("num_parts", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_rules_in_float64(name: str, num_parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program, state, batches = build_case(MODELS[name], PLAIN, 4, num_steps=1)
    program = build_program(MODELS[name], PLAIN, 4, num_parts, recompute=num_parts > 1)
    state = make_everything_move(state)
    use_float64(monkeypatch)
    gradients = compute_gradients(load_backend("numpy"), program, state, batches[0])
    reference = compute_reference(MODELS[name], state, batches[0])
    assert gradients.keys() == reference.keys()
    for param, wanted in reference.items():
        # Constants of the program (epsilon, 1/C, 1/N) are float32: their rounding is the tolerance.
        np.testing.assert_allclose(gradients[param], wanted, rtol=1e-6, atol=1e-9, err_msg=param)


@pytest.mark.parametrize("name", ["untied-clipped", "long-int8", "llama", "llama-fast"])
def test_quantised_gradients_are_close(name: str) -> None:
    model, _, batch_size = CASES[name]
    program, state, batches = build_case(model, PLAIN, batch_size, num_steps=1)
    state = make_everything_move(state)
    gradients = compute_gradients(load_backend("numpy"), program, state, batches[0])
    reference = compute_reference(model, state, batches[0])
    tolerance = 0.02 if model.operand_max == 511 else 0.08
    if model.vocab_size == 256:
        tolerance = 0.06  # beside a target's -1, probabilities near 1/256 are two units of 511
    for param, wanted in reference.items():
        error = np.linalg.norm(gradients[param] - wanted) / np.linalg.norm(wanted)
        assert error < tolerance, (param, error)
