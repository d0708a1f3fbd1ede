"""What a program is built from: the model's shape and precision, and the optimiser's numbers.

Reals arrive from a run spec as integers in parts per 10^9 and become float32 once, here, so that
every participant computes with the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exact.errors import InvalidModel

if TYPE_CHECKING:
    from proto.descent.runs.v1 import runs_pb2

PPB = 1_000_000_000
MAX_VOCAB_SIZE = 1 << 20
MAX_CONTEXT_LENGTH = 1 << 16
MAX_D_MODEL = 1 << 15
MAX_LAYERS = 1 << 10
MAX_MLP_RATIO = 64
# Largest operands whose block product still fits an fp32 accumulator: 511 * 511 * 64 < 2^24.
ACCUMULATOR_BITS = 24


def to_float32(ppb: int) -> float:
    """Convert parts per 10^9 to the nearest float32, by way of one float64 division."""
    return float(np.float32(np.float64(ppb) / np.float64(PPB)))


@dataclass(frozen=True)
class ModelConfig:
    """Shape and operand precision of a decoder-only transformer.

    Attributes:
        vocab_size: token ids are 0 .. vocab_size - 1; 256 for bytes.
        context_length: longest sequence in tokens.
        d_model: width of the residual stream; a multiple of 2 * num_heads.
        num_layers: blocks of attention and MLP.
        num_heads: attention heads.
        mlp_ratio: MLP hidden width / d_model.
        tied_head: the output projection is the embedding table.
        operand_max: largest |q| of a quantised matmul operand; 2^b - 1, b in 2..11.
        block_size: elements along a contraction that share one power-of-two scale.
        family: name of the program builder.
    """

    vocab_size: int = 256
    context_length: int = 64
    d_model: int = 64
    num_layers: int = 2
    num_heads: int = 4
    mlp_ratio: int = 4
    tied_head: bool = True
    operand_max: int = 511
    block_size: int = 64
    family: str = "gpt"

    def __post_init__(self) -> None:
        """Refuse sizes outside the bounds.

        Raises:
            InvalidModel: a field is out of bounds or two fields do not fit together.
        """
        _ensure_range("vocab_size", self.vocab_size, 2, MAX_VOCAB_SIZE)
        _ensure_range("context_length", self.context_length, 1, MAX_CONTEXT_LENGTH)
        _ensure_range("d_model", self.d_model, 2, MAX_D_MODEL)
        _ensure_range("num_layers", self.num_layers, 1, MAX_LAYERS)
        _ensure_range("num_heads", self.num_heads, 1, self.d_model)
        _ensure_range("mlp_ratio", self.mlp_ratio, 1, MAX_MLP_RATIO)
        _ensure_range("operand_max", self.operand_max, 3, 2047)
        _ensure_range("block_size", self.block_size, 1, 1 << 16)
        if self.d_model % (2 * self.num_heads):
            raise InvalidModel(f"d_model {self.d_model} is no multiple of 2 * {self.num_heads}")
        if self.operand_max & (self.operand_max + 1):
            raise InvalidModel(f"operand_max {self.operand_max} is not 2^b - 1")
        if self.operand_max**2 * self.block_size > 1 << ACCUMULATOR_BITS:
            raise InvalidModel(
                f"operand_max {self.operand_max} with blocks of {self.block_size} "
                f"needs more than {ACCUMULATOR_BITS} bits"
            )

    @classmethod
    def from_spec(cls, spec: runs_pb2.RunSpec) -> ModelConfig:
        """Read a run spec's model and precision.

        Raises:
            InvalidModel: a field is out of bounds.
        """
        model, precision = spec.model, spec.precision
        return cls(
            vocab_size=model.vocab_size,
            context_length=model.context_length,
            d_model=model.d_model,
            num_layers=model.num_layers,
            num_heads=model.num_heads,
            mlp_ratio=model.mlp_ratio,
            tied_head=model.tied_head,
            operand_max=precision.operand_max or 511,
            block_size=precision.block_size or 64,
            family=model.family or "gpt",
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.num_heads

    @property
    def operand_bits(self) -> int:
        """b of operand_max = 2^b - 1."""
        return self.operand_max.bit_length()


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with decoupled weight decay, linear warm-up and an optional clip of the global norm.

    Attributes:
        learning_rate: after warm-up; every real is a float32 value.
        beta1, beta2: decay of the first and second moment, in [0, 1).
        epsilon: added to the root of the second moment.
        weight_decay: times learning rate, taken off every parameter at every step.
        warmup_steps: step t uses min(t / warmup_steps, 1) of the learning rate.
        gradient_clip: largest global L2 norm of the gradient, 0 = no clip.
    """

    learning_rate: float = to_float32(4_000_000)
    beta1: float = to_float32(800_000_000)
    beta2: float = to_float32(950_000_000)
    epsilon: float = to_float32(10)
    weight_decay: float = 0.0
    warmup_steps: int = 0
    gradient_clip: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers outside the bounds.

        Raises:
            InvalidModel: a number is out of bounds or is no float32.
        """
        for name in ("learning_rate", "epsilon", "weight_decay", "gradient_clip"):
            self._ensure_real(name, 1e6)
        for name in ("beta1", "beta2"):
            self._ensure_real(name, 1 - 2**-24)
        if self.epsilon <= 0:
            raise InvalidModel("epsilon must be above 0")
        _ensure_range("warmup_steps", self.warmup_steps, 0, 1 << 31)

    @classmethod
    def from_spec(cls, spec: runs_pb2.RunSpec) -> OptimiserConfig:
        """Read a run spec's inner optimiser.

        Raises:
            InvalidModel: a field is out of bounds.
        """
        inner = spec.inner
        return cls(
            learning_rate=to_float32(inner.learning_rate_ppb),
            beta1=to_float32(inner.beta1_ppb),
            beta2=to_float32(inner.beta2_ppb),
            epsilon=to_float32(inner.epsilon_ppb),
            weight_decay=to_float32(inner.weight_decay_ppb),
            warmup_steps=inner.warmup_steps,
            gradient_clip=to_float32(inner.gradient_clip_ppb),
        )

    def _ensure_real(self, name: str, largest: float) -> None:
        value = getattr(self, name)
        if not 0 <= value <= largest or float(np.float32(value)) != value:
            raise InvalidModel(f"{name} = {value} is no float32 in [0, {largest}]")


def _ensure_range(name: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise InvalidModel(f"{name} = {value} is not in {smallest}..{largest}")
