"""Pieces of forward lists that families share.

Shape letters: B batch, H heads, T tokens, D head width, C d_model.
"""

import math
from collections.abc import Callable

import numpy as np

from exact.config import ModelConfig
from exact.program import LOGITS, LOSSES, TARGETS, TOKENS, Op
from exact.state import PARAM_PREFIX


def build_decoder(
    model: ModelConfig,
    build_attention: Callable[[ModelConfig, str, str], list[Op]],
    build_mlp: Callable[[ModelConfig, str, str], list[Op]],
    build_final_norm: Callable[[ModelConfig, str], list[Op]],
) -> list[list[Op]]:
    """Build embedding, one segment a layer, and head with the loss.

    Args:
        build_attention, build_mlp: (model, name of the layer, x) -> operations that add to x.
        build_final_norm: (model, x) -> operations; the last one's output goes into the head.
    """
    table = PARAM_PREFIX + "embedding"
    vocab = {"vocab_size": model.vocab_size}
    segments = [[Op("embed", (TOKENS, table), ("x0",), vocab)]]
    x = "x0"
    for i in range(model.num_layers):
        layer = f"layer{i:04d}"
        attention = build_attention(model, layer, x)
        mlp = build_mlp(model, layer, attention[-1].outputs[0])
        segments.append(attention + mlp)
        x = mlp[-1].outputs[0]
    norm = build_final_norm(model, x)
    head = table if model.tied_head else PARAM_PREFIX + "head"
    logits = build_linear(model, norm[-1].outputs[0], head, LOGITS)
    loss = Op("cross_entropy", (LOGITS, TARGETS), (LOSSES, "probabilities"))
    return [*segments, [*norm, logits, loss]]


def build_norm(model: ModelConfig, x: str, at: str) -> Op:
    """Build the norm of x_BTC without gain, as `at`/y."""
    return Op("rms_norm", (x,), (f"{at}/y", f"{at}/inverse"), {"epsilon": model.norm_epsilon})


def build_linear(model: ModelConfig, x: str, weight: str, y: str) -> Op:
    """Build y = x * weight^T over rows of tokens."""
    return Op("matmul", (x, weight), (y,), _build_product(model, "activation", "weight", True))


def build_attention_core(model: ModelConfig, at: str, q: str, k: str, v: str) -> list[Op]:
    """Build causal attention over q, k, v of [B, H, T, D], as `at`/merged of [B, T, C]."""
    scale = {"scale": float(np.float32(1.0 / math.sqrt(model.head_dim)))}
    scores = _build_product(model, "activation", "activation", False)
    mix = _build_product(model, "softmax", "activation", False)
    return [
        Op("matmul", (q, k), (f"{at}/scores",), scores),
        Op("causal_softmax", (f"{at}/scores",), (f"{at}/p",), scale),
        Op("matmul", (f"{at}/p", v), (f"{at}/o",), {**mix, "b_k_first": True}),
        Op("merge_heads", (f"{at}/o",), (f"{at}/merged",), {"num_heads": model.num_heads}),
    ]


def _build_product(
    model: ModelConfig, a_role: str, b_role: str, is_flat: bool
) -> dict[str, int | float | bool]:
    return {
        "a_k_first": False,
        "b_k_first": False,
        "flatten": is_flat,
        "a_max": model.get_operand_max(a_role),
        "b_max": model.get_operand_max(b_role),
        "block_size": model.block_size,
    }
