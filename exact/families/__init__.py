"""Model families: builders of programs and of first weights.

gpt.py    decoder-only transformer on bytes or tokens (RMSNorm, rotary attention, ReLU^2)
"""

import numpy as np

from exact.config import ModelConfig, OptimiserConfig
from exact.errors import InvalidModel
from exact.families import gpt
from exact.program import Program
from exact.state import (
    ADAM_M_PREFIX,
    ADAM_T_NAME,
    ADAM_V_PREFIX,
    FEEDBACK_PREFIX,
    PARAM_PREFIX,
    State,
    strip_prefix,
)

__all__ = [
    "ModelConfig",
    "OptimiserConfig",
    "Program",
    "build_program",
    "count_params",
    "fresh_optimiser",
    "init_params",
]


def build_program(model: ModelConfig, optimiser: OptimiserConfig, batch_size: int) -> Program:
    """Build the program of a model.

    Args:
        model: its family names the builder.
        optimiser: AdamW's numbers.
        batch_size: sequences a training step, >= 1.

    Raises:
        InvalidModel: unknown family or no sequences.
    """
    _ensure_family(model)
    if batch_size < 1:
        raise InvalidModel(f"batch_size = {batch_size} is below 1")
    return gpt.build_program(model, optimiser, batch_size)


def init_params(model: ModelConfig, seed: int) -> State:
    """Make first weights from counter-based integers.

    Args:
        model: the shape.
        seed: 0 <= seed < 2^64.

    Returns:
        `param/<name>` -> float32 array.

    Raises:
        InvalidModel: unknown family.
    """
    _ensure_family(model)
    return gpt.init_params(model, seed)


def fresh_optimiser(params: State) -> State:
    """Make the optimiser state of a participant's first round: all zeros.

    Args:
        params: a state with `param/` names.

    Returns:
        adam_m/..., adam_v/..., feedback/... like the params, and adam_t = 0.
    """
    state: State = {ADAM_T_NAME: np.array(0, np.int64)}
    for name, tensor in strip_prefix(params, PARAM_PREFIX).items():
        for prefix in (ADAM_M_PREFIX, ADAM_V_PREFIX, FEEDBACK_PREFIX):
            state[prefix + name] = np.zeros_like(tensor)
    return state


def count_params(model: ModelConfig) -> int:
    """Count a model's parameters."""
    _ensure_family(model)
    return sum(int(np.prod(shape)) for shape in gpt.compute_param_shapes(model).values())


def _ensure_family(model: ModelConfig) -> None:
    if model.family != "gpt":
        raise InvalidModel(f"unknown model family {model.family!r}")
