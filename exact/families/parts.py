"""Pieces of forward lists that families share.

Shape letters: B batch, H heads, T tokens, D head width, C d_model.
"""

import math

import numpy as np

from exact.config import ModelConfig
from exact.program import LOGITS, LOSSES, TARGETS, Op


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


def build_cross_entropy() -> Op:
    """Build the loss."""
    return Op("cross_entropy", (LOGITS, TARGETS), (LOSSES, "probabilities"))


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
