"""Models whose steps are compiled for a GPU: shapes as they are trained, and odd ones."""

from exact.config import ModelConfig, OptimiserConfig
from tests.exact.helpers import CASES

CLIPPED = OptimiserConfig(gradient_clip=1.0)
LARGE = {"context_length": 256, "d_model": 512, "num_layers": 1, "num_heads": 8}

MODELS: dict[str, tuple[ModelConfig, OptimiserConfig, int]] = {
    "default": (ModelConfig(**LARGE), CLIPPED, 16),
    "fast": (ModelConfig(**LARGE, operand_max=127, softmax_max=32_767), CLIPPED, 16),
    "llama": (
        ModelConfig(**LARGE, family="llama", num_kv_heads=2, mlp_width=1376, tied_head=False),
        CLIPPED,
        16,
    ),
    "odd": CASES["small-blocks"],
    "wide": (ModelConfig(operand_max=4_095, num_layers=1), CLIPPED, 2),
}
