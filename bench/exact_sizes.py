"""The models and formats that exact training is measured with."""

from typing import NamedTuple

from exact.config import ModelConfig


class Size(NamedTuple):
    """One model and how a step of it is measured.

    Attributes:
        model: shape; precision comes from a format.
        batch_size: sequences a step.
        num_steps: in one measurement.
        num_rounds: pairs of measurements.
    """

    model: ModelConfig
    batch_size: int
    num_steps: int
    num_rounds: int


SIZES = {
    "devnet": Size(ModelConfig(), 8, 20, 9),
    "3m": Size(ModelConfig(context_length=128, d_model=256, num_layers=4, num_heads=4), 16, 2, 7),
    "25m": Size(ModelConfig(context_length=256, d_model=512, num_layers=8, num_heads=8), 16, 1, 4),
}
# name -> changes to the model's precision
FORMATS: dict[str, dict[str, int]] = {
    "default": {"operand_max": 511},
    "fast": {"operand_max": 127, "softmax_max": 32_767},
}
