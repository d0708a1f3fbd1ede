"""A NaN, an infinity or a magnitude out of range makes a step invalid, whoever computes it."""

import importlib.util

import numpy as np
import pytest

from exact.backends import load_backend
from exact.backends.base import Backend
from exact.backends.native_backend import NativeBackend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import ExactError, InvalidStep
from exact.state import interval_root
from tests.exact.helpers import build_case
from tests.exact.native.conftest import PATHS

MODEL = ModelConfig(vocab_size=11, context_length=9, d_model=8, num_layers=1, num_heads=2)
NAMES = ["numpy", "torch", *PATHS, "triton"]
OPENED: dict[str, Backend] = {}


def open_backend(name: str) -> Backend:
    if name == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    if name not in OPENED:
        is_path = name in PATHS
        OPENED[name] = NativeBackend(name, 1) if is_path else load_backend(name, "cpu")
    return OPENED[name]


def get_outcome(backend: Backend, name: str, value: float) -> str:
    """Root of one step from a poisoned state, or the name of the refusal."""
    program, state, batches = build_case(MODEL, OptimiserConfig(), 1, num_steps=1)
    state[name] = np.full_like(state[name], 0.25)
    state[name].reshape(-1)[3] = value
    try:
        return interval_root(backend.train_interval(program, state, batches)).hex()
    except ExactError as error:
        return type(error).__name__


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("backend", NAMES)
def test_not_finite(backend: str, value: float) -> None:
    tensors = ["param/embedding", "param/layer0000/attention_in", "adam_m/layer0000/mlp_in"]
    if backend in ("numpy", "torch"):
        tensors += ["param/layer0000/mlp_out", "adam_v/layer0000/mlp_in"]
    for name in tensors[: 1 if backend == "triton" and value < 0 else None]:
        assert get_outcome(open_backend(backend), name, value) == "InvalidStep", name


@pytest.mark.parametrize("backend", NAMES[1:])
def test_out_of_range(backend: str) -> None:
    found = [
        get_outcome(one, "param/layer0000/mlp_in", 2.0**60)
        for one in (open_backend("numpy"), open_backend(backend))
    ]
    assert found == ["InvalidStep"] * 2


def test_no_loss_of_an_invalid_state() -> None:
    program, state, batches = build_case(MODEL, OptimiserConfig(), 1, num_steps=1)
    state["param/embedding"].reshape(-1)[0] = np.nan
    tokens = np.zeros_like(batches[0])
    for name in NAMES[:-1]:
        with pytest.raises(InvalidStep):
            open_backend(name).sequence_losses(program, state, tokens)
