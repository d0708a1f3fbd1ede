"""Decoder-only transformer: RMSNorm without gain, rotary causal attention, ReLU^2 MLP.

    x = embedding[tokens]
    each layer: x = x + attention(norm(x)); x = x + mlp(norm(x))
    logits = norm(x) * head^T

Projections back into the residual stream start at zero, so every layer starts as the identity.
No biases and no gains: fewer sums to define, and nothing is lost at these sizes.

Shape letters: B batch, T tokens, C d_model, F MLP width, V vocabulary.
"""

from exact.config import ModelConfig
from exact.families.parts import (
    build_attention_core,
    build_decoder,
    build_linear,
    build_norm,
)
from exact.program import Op
from exact.state import PARAM_PREFIX


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


def build_forward(model: ModelConfig) -> list[list[Op]]:
    """Build the forward list: embedding, one segment a layer, head."""
    return build_decoder(model, _build_attention, _build_mlp, _build_final_norm)


def _build_final_norm(model: ModelConfig, x: str) -> list[Op]:
    return [build_norm(model, x, "final")]


def _build_attention(model: ModelConfig, layer: str, x: str) -> list[Op]:
    at = f"{layer}/attention"
    head = {"num_heads": model.num_heads}
    return [
        build_norm(model, x, at),
        build_linear(model, f"{at}/y", f"{PARAM_PREFIX}{layer}/attention_in", f"{at}/qkv"),
        Op("split_heads", (f"{at}/qkv",), (f"{at}/q0", f"{at}/k0", f"{at}/v"), head),
        Op("rotate", (f"{at}/q0",), (f"{at}/q",)),
        Op("rotate", (f"{at}/k0",), (f"{at}/k",)),
        *build_attention_core(model, at, f"{at}/q", f"{at}/k", f"{at}/v"),
        build_linear(model, f"{at}/merged", f"{PARAM_PREFIX}{layer}/attention_out", f"{at}/out"),
        Op("add", (x, f"{at}/out"), (f"{at}/x",)),
    ]


def _build_mlp(model: ModelConfig, layer: str, x: str) -> list[Op]:
    at = f"{layer}/mlp"
    return [
        build_norm(model, x, at),
        build_linear(model, f"{at}/y", f"{PARAM_PREFIX}{layer}/mlp_in", f"{at}/h"),
        Op("relu_square", (f"{at}/h",), (f"{at}/a",)),
        build_linear(model, f"{at}/a", f"{PARAM_PREFIX}{layer}/mlp_out", f"{at}/out"),
        Op("add", (x, f"{at}/out"), (f"{at}/x",)),
    ]
