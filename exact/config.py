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
MAX_MLP_WIDTH = 1 << 18
MAX_OPERAND = (1 << 15) - 1
# A block's integer dot product fits an int32; up to 2^24 an fp32 accumulator holds it exactly.
ACCUMULATOR_LIMIT = (1 << 31) - 1
FLOAT32_ACCUMULATOR_LIMIT = 1 << 24
DEFAULT_ROTARY_THETA = 10_000
DEFAULT_NORM_EPSILON_PPB = 1_000
FAMILIES = ("gpt", "llama")
ROLES = ("weight", "activation", "gradient", "softmax")
# Which roles meet in a product; the logits' gradient comes out of a softmax.
_ROLE_PAIRS = (
    ("activation", "weight"),
    ("activation", "activation"),
    ("gradient", "weight"),
    ("gradient", "activation"),
    ("softmax", "weight"),
    ("softmax", "activation"),
    ("softmax", "gradient"),
)


def to_float32(ppb: int) -> float:
    """Convert parts per 10^9 to the nearest float32, by way of one float64 division."""
    return float(np.float32(np.float64(ppb) / np.float64(PPB)))


def is_float32(value: float) -> bool:
    """Whether a number is a float32 value."""
    return float(np.float32(value)) == value


@dataclass(frozen=True)
class ModelConfig:
    """Shape and operand precision of a decoder-only transformer.

    Attributes:
        vocab_size: token ids are 0 .. vocab_size - 1; 256 for bytes.
        context_length: longest sequence in tokens.
        d_model: width of the residual stream; a multiple of 2 * num_heads.
        num_layers: blocks of attention and MLP.
        num_heads: attention heads.
        mlp_ratio: MLP hidden width / d_model, where mlp_width is 0.
        tied_head: the output projection is the embedding table.
        operand_max: largest |q| of a quantised matmul operand; 2^b - 1, b in 2..15.
        block_size: elements along a contraction that share one power-of-two scale.
        family: name of the program builder.
        num_kv_heads: llama's heads of keys and values, a divisor of num_heads; 0 = num_heads.
        mlp_width: llama's MLP hidden width; 0 = d_model * mlp_ratio.
        rotary_theta: base of the rotary angles.
        norm_epsilon: a float32 added to the mean square in a norm.
        weight_max, activation_max, gradient_max, softmax_max: operand_max of one role, 0 = the
            common one. Softmax: attention's probabilities and the logits' gradient.
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
    num_kv_heads: int = 0
    mlp_width: int = 0
    rotary_theta: int = DEFAULT_ROTARY_THETA
    norm_epsilon: float = to_float32(DEFAULT_NORM_EPSILON_PPB)
    weight_max: int = 0
    activation_max: int = 0
    gradient_max: int = 0
    softmax_max: int = 0

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
        _ensure_range("block_size", self.block_size, 1, 1 << 16)
        _ensure_range("rotary_theta", self.rotary_theta, 2, 1 << 40)
        if not 0 < self.norm_epsilon <= 1 or not is_float32(self.norm_epsilon):
            raise InvalidModel(f"norm_epsilon = {self.norm_epsilon} is no float32 in (0, 1]")
        if self.d_model % (2 * self.num_heads):
            raise InvalidModel(f"d_model {self.d_model} is no multiple of 2 * {self.num_heads}")
        self._ensure_family()
        self._ensure_precision()

    def _ensure_family(self) -> None:
        if self.family not in FAMILIES:
            raise InvalidModel(f"unknown model family {self.family!r}")
        if self.family == "llama":
            _ensure_range("mlp_width", self.hidden_width, 1, MAX_MLP_WIDTH)
            _ensure_range("num_kv_heads", self.kv_heads, 1, self.num_heads)
            if self.num_heads % self.kv_heads:
                raise InvalidModel(
                    f"num_heads {self.num_heads} is no multiple of num_kv_heads {self.kv_heads}"
                )
            return
        for name in ("num_kv_heads", "mlp_width", "rotary_theta", "norm_epsilon"):
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise InvalidModel(f"{name} = {getattr(self, name)} is only for family llama")

    def _ensure_precision(self) -> None:
        _ensure_operand("operand_max", self.operand_max)
        for role in ROLES:
            _ensure_operand(f"{role}_max", self.get_operand_max(role))
        if self.largest_dot > ACCUMULATOR_LIMIT:
            raise InvalidModel(
                f"a block's product can reach {self.largest_dot}, above {ACCUMULATOR_LIMIT}: "
                f"smaller operands or blocks are needed"
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
            num_kv_heads=model.num_kv_heads,
            mlp_width=model.mlp_width,
            rotary_theta=model.rotary_theta or DEFAULT_ROTARY_THETA,
            norm_epsilon=to_float32(model.norm_epsilon_ppb or DEFAULT_NORM_EPSILON_PPB),
            weight_max=precision.weight_max,
            activation_max=precision.activation_max,
            gradient_max=precision.gradient_max,
            softmax_max=precision.softmax_max,
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def hidden_width(self) -> int:
        """Width of the MLP's hidden layer."""
        return self.mlp_width or self.d_model * self.mlp_ratio

    def get_operand_max(self, role: str) -> int:
        """Get the largest |q| of operands of a role.

        Args:
            role: one of ROLES.
        """
        return int(getattr(self, f"{role}_max")) or self.operand_max

    @property
    def largest_dot(self) -> int:
        """Largest magnitude of a block's integer dot product."""
        largest = {role: self.get_operand_max(role) for role in ROLES}
        return max(largest[a] * largest[b] for a, b in _ROLE_PAIRS) * self.block_size


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with decoupled weight decay, linear warm-up and an optional clip of the global norm.

    Attributes:
        learning_rate: after warm-up; every real is a float32 value.
        beta1, beta2: decay of the first and second moment, in [0, 1).
        epsilon: added to the root of the second moment.
        weight_decay: times learning rate, taken off every parameter at every step.
        warmup_steps: step t uses min(t / warmup_steps, 1) of the learning rate.
        decay_steps: and 1 - (t - 1) / decay_steps of it, 0 from step decay_steps + 1 on; 0 = all.
        gradient_clip: largest global L2 norm of the gradient, 0 = no clip.
    """

    learning_rate: float = to_float32(4_000_000)
    beta1: float = to_float32(800_000_000)
    beta2: float = to_float32(950_000_000)
    epsilon: float = to_float32(10)
    weight_decay: float = 0.0
    warmup_steps: int = 0
    gradient_clip: float = 0.0
    decay_steps: int = 0

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
        _ensure_range("decay_steps", self.decay_steps, 0, 1 << 31)

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
            decay_steps=inner.decay_steps,
        )

    def _ensure_real(self, name: str, largest: float) -> None:
        value = getattr(self, name)
        if not 0 <= value <= largest or not is_float32(value):
            raise InvalidModel(f"{name} = {value} is no float32 in [0, {largest}]")


def _ensure_range(name: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise InvalidModel(f"{name} = {value} is not in {smallest}..{largest}")


def _ensure_operand(name: str, value: int) -> None:
    _ensure_range(name, value, 3, MAX_OPERAND)
    if value & (value + 1):
        raise InvalidModel(f"{name} {value} is not 2^b - 1")
