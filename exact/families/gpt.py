"""Decoder-only transformer: RMSNorm without gain, rotary causal attention, ReLU^2 MLP.

    x = embedding[tokens]
    each layer: x = x + attention(norm(x)); x = x + mlp(norm(x))
    logits = norm(x) * head^T

Projections back into the residual stream start at zero, so every layer starts as the identity.
No biases and no gains: fewer sums to define, and nothing is lost at these sizes.

Shape letters: B batch, T tokens, C d_model, F MLP width, V vocabulary.
"""

import math

import numpy as np

from exact.config import ModelConfig, OptimiserConfig
from exact.counter import compute_normal, derive_key
from exact.program import LOGITS, LOSSES, TARGETS, TOKENS, Op, Program, build_step_ops
from exact.state import PARAM_PREFIX, State

NORM_EPSILON = float(np.float32(1e-6))
EMBEDDING_STD = 0.5
# Logits of a tied head begin with this standard deviation: 0.8 learned fastest of 0.16 .. 1.2.
TIED_LOGIT_STD = 0.8


def compute_param_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return parameter name (no prefix) -> shape, outputs first, in name order."""
    width, hidden = model.d_model, model.d_model * model.mlp_ratio
    shapes: dict[str, tuple[int, ...]] = {"embedding": (model.vocab_size, width)}
    if not model.tied_head:
        shapes["head"] = (model.vocab_size, width)
    for i in range(model.num_layers):
        shapes[f"layer{i:04d}/attention_in"] = (3 * width, width)
        shapes[f"layer{i:04d}/attention_out"] = (width, width)
        shapes[f"layer{i:04d}/mlp_in"] = (hidden, width)
        shapes[f"layer{i:04d}/mlp_out"] = (width, hidden)
    return dict(sorted(shapes.items()))


def init_params(model: ModelConfig, seed: int) -> State:
    """Make first weights: near-normal, or zero for what writes into the residual stream.

    Args:
        model: the shape.
        seed: 0 <= seed < 2^64.

    Returns:
        `param/<name>` -> float32 array.
    """
    params: State = {}
    for name, shape in compute_param_shapes(model).items():
        if name.endswith("_out") or name == "head":
            tensor = np.zeros(shape, np.float32)
        else:
            tensor = compute_normal(derive_key(seed, name), shape, _get_std(model, name))
        params[PARAM_PREFIX + name] = tensor
    return params


def _get_std(model: ModelConfig, name: str) -> float:
    if name == "embedding":
        return TIED_LOGIT_STD / math.sqrt(model.d_model) if model.tied_head else EMBEDDING_STD
    return 1.0 / math.sqrt(model.d_model)


def build_program(model: ModelConfig, optimiser: OptimiserConfig, batch_size: int) -> Program:
    """Build the evaluation and the training step.

    Args:
        model: the shape.
        optimiser: AdamW's numbers.
        batch_size: sequences a training step.
    """
    shapes = compute_param_shapes(model)
    forward_ops = _build_forward(model)
    last = forward_ops[-1]
    evaluate_ops = (*forward_ops[:-1], Op(last.kind, last.inputs, (LOSSES, ""), last.attributes))
    return Program(
        model=model,
        optimiser=optimiser,
        batch_size=batch_size,
        param_shapes=shapes,
        evaluate_ops=evaluate_ops,
        step_ops=build_step_ops(forward_ops, list(shapes), optimiser),
    )


def _build_forward(model: ModelConfig) -> list[Op]:
    table = PARAM_PREFIX + "embedding"
    vocab = {"vocab_size": model.vocab_size}
    ops = [Op("embed", (TOKENS, table), ("x0",), vocab)]
    x = "x0"
    for i in range(model.num_layers):
        x = _append_attention(ops, model, f"layer{i:04d}", x)
        x = _append_mlp(ops, f"layer{i:04d}", x)
    ops.append(_build_norm(x, "final"))
    head = table if model.tied_head else PARAM_PREFIX + "head"
    ops.append(_build_linear("final/y", head, LOGITS))
    ops.append(Op("cross_entropy", (LOGITS, TARGETS), (LOSSES, "probabilities")))
    return ops


def _append_attention(ops: list[Op], model: ModelConfig, layer: str, x: str) -> str:
    at = f"{layer}/attention"
    head = {"num_heads": model.num_heads}
    scale = {"scale": float(np.float32(1.0 / math.sqrt(model.head_dim)))}
    batched = {"a_k_first": False, "b_k_first": False, "flatten": False}
    ops += [
        _build_norm(x, at),
        _build_linear(f"{at}/y", f"{PARAM_PREFIX}{layer}/attention_in", f"{at}/qkv"),
        Op("split_heads", (f"{at}/qkv",), (f"{at}/q0", f"{at}/k0", f"{at}/v"), head),
        Op("rotate", (f"{at}/q0",), (f"{at}/q",)),
        Op("rotate", (f"{at}/k0",), (f"{at}/k",)),
        Op("matmul", (f"{at}/q", f"{at}/k"), (f"{at}/scores",), batched),
        Op("causal_softmax", (f"{at}/scores",), (f"{at}/p",), scale),
        Op("matmul", (f"{at}/p", f"{at}/v"), (f"{at}/o",), {**batched, "b_k_first": True}),
        Op("merge_heads", (f"{at}/o",), (f"{at}/merged",), head),
        _build_linear(f"{at}/merged", f"{PARAM_PREFIX}{layer}/attention_out", f"{at}/out"),
        Op("add", (x, f"{at}/out"), (f"{at}/x",)),
    ]
    return f"{at}/x"


def _append_mlp(ops: list[Op], layer: str, x: str) -> str:
    at = f"{layer}/mlp"
    ops += [
        _build_norm(x, at),
        _build_linear(f"{at}/y", f"{PARAM_PREFIX}{layer}/mlp_in", f"{at}/h"),
        Op("relu_square", (f"{at}/h",), (f"{at}/a",)),
        _build_linear(f"{at}/a", f"{PARAM_PREFIX}{layer}/mlp_out", f"{at}/out"),
        Op("add", (x, f"{at}/out"), (f"{at}/x",)),
    ]
    return f"{at}/x"


def _build_norm(x: str, at: str) -> Op:
    return Op("rms_norm", (x,), (f"{at}/y", f"{at}/inverse"), {"epsilon": NORM_EPSILON})


def _build_linear(x: str, weight: str, y: str) -> Op:
    attributes = {"a_k_first": False, "b_k_first": False, "flatten": True}
    return Op("matmul", (x, weight), (y,), attributes)
