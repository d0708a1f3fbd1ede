"""Model families: builders of programs and of first weights.

gpt.py      decoder-only transformer on bytes or tokens (RMSNorm, rotary attention, ReLU^2)
llama.py    Llama (RMSNorm with gain, rotary attention with grouped queries, SwiGLU)
parts.py    pieces of forward lists that families share
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exact.config import ModelConfig, OptimiserConfig
from exact.counter import compute_normal, derive_key
from exact.errors import InvalidModel
from exact.families import gpt, llama
from exact.program import LOSSES, Op, Program
from exact.state import (
    ADAM_M_PREFIX,
    ADAM_T_NAME,
    ADAM_V_PREFIX,
    FEEDBACK_PREFIX,
    PARAM_PREFIX,
    State,
    strip_prefix,
)
from exact.step import build_step_ops

if TYPE_CHECKING:
    from proto.descent.runs.v1 import runs_pb2

__all__ = [
    "ModelConfig",
    "OptimiserConfig",
    "Program",
    "build_program",
    "comes_from_seed",
    "compute_param_shapes",
    "count_params",
    "fresh_optimiser",
    "init_params",
]


_FAMILIES = {"gpt": gpt, "llama": llama}
EMBEDDING_STD = 0.5
# Logits of a tied head begin with this standard deviation: 0.8 learned fastest of 0.16 .. 1.2.
TIED_LOGIT_STD = 0.8


def build_program(
    model: ModelConfig,
    optimiser: OptimiserConfig,
    batch_size: int,
    num_parts: int = 1,
    recompute: bool = False,
) -> Program:
    """Build the evaluation and the training step of a model.

    Args:
        model: its family names the builder.
        optimiser: AdamW's numbers.
        batch_size: sequences a training step, >= 1.
        num_parts: parts a batch is cut into; their gradients are accumulated.
        recompute: make a layer's activations again in the backward pass; the same bits.

    Raises:
        InvalidModel: no sequences, or parts of different sizes.
    """
    if batch_size < 1:
        raise InvalidModel(f"batch_size = {batch_size} is below 1")
    if num_parts < 1 or batch_size % num_parts:
        raise InvalidModel(f"batch_size = {batch_size} is no multiple of {num_parts} parts")
    shapes = compute_param_shapes(model)
    segments = _FAMILIES[model.family].build_forward(model)
    forward_ops = [op for segment in segments for op in segment]
    last = forward_ops[-1]
    evaluate_ops = (*forward_ops[:-1], Op(last.kind, last.inputs, (LOSSES, ""), last.attributes))
    return Program(
        model=model,
        optimiser=optimiser,
        batch_size=batch_size,
        param_shapes=shapes,
        evaluate_ops=evaluate_ops,
        step_ops=build_step_ops(
            segments, list(shapes), model, optimiser, batch_size, num_parts, recompute
        ),
    )


def compute_param_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return parameter name (no prefix) -> shape, in name order."""
    return _FAMILIES[model.family].compute_param_shapes(model)


def init_params(model: ModelConfig, seed: int) -> State:
    """Make first weights from counter-based integers.

    Gains are one; what writes into the residual stream, and the head, is zero; the rest is near
    normal.

    Args:
        model: the shape.
        seed: 0 <= seed < 2^64.

    Returns:
        `param/<name>` -> float32 array.
    """
    params: State = {}
    for name, shape in compute_param_shapes(model).items():
        if name.endswith("_norm"):
            tensor = np.ones(shape, np.float32)
        elif name.endswith("_out") or name == "head":
            tensor = np.zeros(shape, np.float32)
        else:
            tensor = compute_normal(derive_key(seed, name), shape, _get_std(model, name))
        params[PARAM_PREFIX + name] = tensor
    return params


def comes_from_seed(spec: runs_pb2.RunSpec, root: bytes) -> bool:
    """Tell whether the weights with a root are made from a run's seed.

    They are while they are the run's first, and these neither a parent's nor imported. After rounds
    without work the newest checkpoint may still be the first: nobody need have it.
    """
    return root == spec.initial_root and not (spec.HasField("parent") or spec.imported_weights)


def _get_std(model: ModelConfig, name: str) -> float:
    if name == "embedding":
        return TIED_LOGIT_STD / math.sqrt(model.d_model) if model.tied_head else EMBEDDING_STD
    return 1.0 / math.sqrt(model.d_model)


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
    return sum(int(np.prod(shape)) for shape in compute_param_shapes(model).values())
