"""Llama: RMSNorm with gain, rotary attention with grouped queries, SwiGLU MLP.

    x = embedding[tokens]
    each layer: x = x + attention(norm(x) * gain); x = x + mlp(norm(x) * gain)
    mlp(y) = (silu(y * gate^T) * (y * up^T)) * out^T
    logits = (norm(x) * gain) * head^T

Names and shapes map one to one to those of `transformers` (`exact/huggingface.py`): rotary pairs
are (i, i + D/2), and query head h reads the keys and values of head h // (H / G).

Shape letters: B batch, T tokens, C d_model, F MLP width, V vocabulary, H heads, G heads of keys
and values, D head width.
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
    width, hidden = model.d_model, model.hidden_width
    kv_width = model.kv_heads * model.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (model.vocab_size, width),
        "final_norm": (width,),
    }
    if not model.tied_head:
        shapes["head"] = (model.vocab_size, width)
    for i in range(model.num_layers):
        layer = f"layer{i:04d}"
        shapes[f"{layer}/attention_norm"] = (width,)
        shapes[f"{layer}/attention_q"] = (width, width)
        shapes[f"{layer}/attention_k"] = (kv_width, width)
        shapes[f"{layer}/attention_v"] = (kv_width, width)
        shapes[f"{layer}/attention_out"] = (width, width)
        shapes[f"{layer}/mlp_norm"] = (width,)
        shapes[f"{layer}/mlp_gate"] = (hidden, width)
        shapes[f"{layer}/mlp_up"] = (hidden, width)
        shapes[f"{layer}/mlp_out"] = (width, hidden)
    return dict(sorted(shapes.items()))


def build_forward(model: ModelConfig) -> list[list[Op]]:
    """Build the forward list: embedding, one segment a layer, head."""
    return build_decoder(model, _build_attention, _build_mlp, _build_final_norm)


def _build_final_norm(model: ModelConfig, x: str) -> list[Op]:
    return _build_gained_norm(model, x, "final", PARAM_PREFIX + "final_norm")


def _build_attention(model: ModelConfig, layer: str, x: str) -> list[Op]:
    at, weights = f"{layer}/attention", f"{PARAM_PREFIX}{layer}/attention"
    ops = _build_gained_norm(model, x, at, f"{weights}_norm")
    heads = {"q": model.num_heads, "k": model.kv_heads, "v": model.kv_heads}
    names = {}
    for part, num_heads in heads.items():
        ops.append(build_linear(model, f"{at}/z", f"{weights}_{part}", f"{at}/{part}_flat"))
        cut = {"num_heads": num_heads}
        names[part] = f"{at}/{part}_heads"
        ops.append(Op("merge_heads_grad", (f"{at}/{part}_flat",), (names[part],), cut))
        if part != "v":
            theta = {"theta": model.rotary_theta}
            ops.append(Op("rotate", (names[part],), (f"{at}/{part}_turned",), theta))
            names[part] = f"{at}/{part}_turned"
        if num_heads != model.num_heads:
            repeats = {"repeats": model.num_heads // num_heads}
            ops.append(Op("repeat_heads", (names[part],), (f"{at}/{part}_all",), repeats))
            names[part] = f"{at}/{part}_all"
    ops += build_attention_core(model, at, names["q"], names["k"], names["v"])
    ops.append(build_linear(model, f"{at}/merged", f"{weights}_out", f"{at}/out"))
    ops.append(Op("add", (x, f"{at}/out"), (f"{at}/x",)))
    return ops


def _build_mlp(model: ModelConfig, layer: str, x: str) -> list[Op]:
    at, weights = f"{layer}/mlp", f"{PARAM_PREFIX}{layer}/mlp"
    return [
        *_build_gained_norm(model, x, at, f"{weights}_norm"),
        build_linear(model, f"{at}/z", f"{weights}_gate", f"{at}/gate"),
        build_linear(model, f"{at}/z", f"{weights}_up", f"{at}/up"),
        Op("silu_gate", (f"{at}/gate", f"{at}/up"), (f"{at}/a",)),
        build_linear(model, f"{at}/a", f"{weights}_out", f"{at}/out"),
        Op("add", (x, f"{at}/out"), (f"{at}/x",)),
    ]


def _build_gained_norm(model: ModelConfig, x: str, at: str, weight: str) -> list[Op]:
    return [build_norm(model, x, at), Op("gain", (f"{at}/y", weight), (f"{at}/z",))]
