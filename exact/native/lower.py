"""Turn operations into the library's: shapes, dimensions, constants, which output may overwrite
which input.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from exact.elementary import LOG2_E, ROTARY_BASE, compute_rotary_table
from exact.native.fuse import END_ADD, END_RELU_GRAD, FUSED_END, FUSED_RELU_A, FUSED_RELU_B
from exact.native.library import Code, Flag
from exact.program import Attributes, Op

Shape = tuple[int, ...]
F32 = "float32"
I64 = "int64"


@dataclass(frozen=True)
class Constants:
    """AdamW's constants of one step; filled before each run.

    Attributes:
        attributes: of the operation.
        step_name: tensor that holds the step.
    """

    attributes: Attributes
    step_name: str


Args: TypeAlias = list[str | np.ndarray | Constants | None]


@dataclass
class Instruction:
    """One operation of the library, its arguments still names.

    Attributes:
        args: tensor names, constant arrays, Constants, or None.
        overwrites: (output, input): the output may take the input's memory.
    """

    code: Code
    args: Args
    dims: list[int]
    reals: list[float] = field(default_factory=list)
    flags: int = 0
    overwrites: list[tuple[str, str]] = field(default_factory=list)


def round_f32(x: float) -> float:
    """Round to the nearest float32."""
    return float(np.float32(x))


class Lowering:
    """Lowers operations in order, keeping the shapes of what they write.

    Attributes:
        layout: name -> (dtype name, shape).
    """

    def __init__(self, layout: Mapping[str, tuple[str, Shape]]):
        """Start from the shapes of the inputs."""
        self.layout = dict(layout)

    def lower(self, op: Op) -> Instruction | None:
        """Return an operation's instruction, None if the library has none.

        The layout of the outputs is recorded in either case of an instruction.
        """
        method: Callable[[Op], Instruction] | None = getattr(self, f"_lower_{op.kind}", None)
        return None if method is None else method(op)

    def _shape(self, name: str) -> Shape:
        return self.layout[name][1]

    def _size(self, name: str) -> int:
        return math.prod(self._shape(name))

    def _write(self, name: str, shape: Sequence[int], dtype: str = F32) -> None:
        if name:
            self.layout[name] = (dtype, tuple(shape))

    def _rows(self, name: str) -> list[int]:
        shape = self._shape(name)
        return [math.prod(shape[:-1]), shape[-1]]

    # --------------------------------------------------------------------------- elementwise
    def _lower_flat(self, op: Op, code: Code) -> Instruction:
        self._write(op.outputs[0], self._shape(op.inputs[0]))
        overwrites = [
            (op.outputs[0], name)
            for name in op.inputs
            if self._shape(name) == self._shape(op.inputs[0])
        ]
        return Instruction(
            code, [*op.inputs, op.outputs[0]], [self._size(op.inputs[0])], overwrites=overwrites
        )

    def _lower_add(self, op: Op) -> Instruction | None:
        if self._shape(op.inputs[0]) != self._shape(op.inputs[1]):
            return None
        return self._lower_flat(op, Code.ADD)

    def _lower_scale(self, op: Op) -> Instruction:
        return self._lower_flat(op, Code.SCALE)

    def _lower_relu_square(self, op: Op) -> Instruction:
        return self._lower_flat(op, Code.RELU_SQUARE)

    def _lower_relu_square_grad(self, op: Op) -> Instruction:
        return self._lower_flat(op, Code.RELU_SQUARE_GRAD)

    def _lower_silu_gate(self, op: Op) -> Instruction:
        return self._lower_flat(op, Code.SILU_GATE)

    def _lower_silu_gate_grad(self, op: Op) -> Instruction:
        for name in op.outputs:
            self._write(name, self._shape(op.inputs[0]))
        da, _, up = op.inputs
        overwrites = [(op.outputs[0], da), (op.outputs[1], up)]
        dims = [self._size(da)]
        return Instruction(
            Code.SILU_GATE_GRAD, [*op.inputs, *op.outputs], dims, overwrites=overwrites
        )

    def _lower_gain(self, op: Op) -> Instruction:
        y = op.inputs[0]
        self._write(op.outputs[0], self._shape(y))
        return Instruction(
            Code.GAIN,
            [*op.inputs, *op.outputs],
            self._rows(y),
            overwrites=[(op.outputs[0], y)],
        )

    def _lower_gain_grad(self, op: Op) -> Instruction:
        y = op.inputs[1]
        self._write(op.outputs[0], self._shape(y)[-1:])
        return Instruction(Code.GAIN_GRAD, [*op.inputs, *op.outputs], self._rows(y))

    # --------------------------------------------------------------------------- copying
    def _lower_take_sequences(self, op: Op) -> Instruction:
        (x,) = op.inputs
        dtype, shape = self.layout[x]
        first, count = int(op.attributes["first"]), int(op.attributes["count"])
        self._write(op.outputs[0], (count, *shape[1:]), dtype)
        row = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        return Instruction(Code.COPY, [x, op.outputs[0]], [count * row, first * row])

    def _lower_join_sequences(self, op: Op) -> Instruction:
        dtype, shape = self.layout[op.inputs[0]]
        rows = sum(self._shape(name)[0] for name in op.inputs)
        self._write(op.outputs[0], (rows, *shape[1:]), dtype)
        args: Args = []
        for name in op.inputs:
            args += [name, np.array([self._size(name) * np.dtype(dtype).itemsize], np.int64)]
        return Instruction(Code.JOIN, [*args, op.outputs[0]], [1])

    def _lower_repeat_heads(self, op: Op) -> Instruction:
        batch, heads, *rest = self._shape(op.inputs[0])
        repeats = int(op.attributes["repeats"])
        self._write(op.outputs[0], (batch, heads * repeats, *rest))
        dims = [batch * heads * repeats, repeats, math.prod(rest)]
        return Instruction(Code.REPEAT_HEADS, [*op.inputs, *op.outputs], dims)

    def _lower_repeat_heads_grad(self, op: Op) -> Instruction:
        batch, heads, *rest = self._shape(op.inputs[0])
        repeats = int(op.attributes["repeats"])
        self._write(op.outputs[0], (batch, heads // repeats, *rest))
        dims = [batch * heads // repeats, repeats, math.prod(rest)]
        return Instruction(Code.REPEAT_HEADS_GRAD, [*op.inputs, *op.outputs], dims)

    # --------------------------------------------------------------------------- embedding
    def _lower_embed(self, op: Op) -> Instruction:
        tokens, table = op.inputs
        width = self._shape(table)[-1]
        self._write(op.outputs[0], (*self._shape(tokens), width))
        return Instruction(Code.EMBED, [*op.inputs, *op.outputs], [self._size(tokens), width])

    def _lower_embed_grad(self, op: Op) -> Instruction:
        tokens, dx = op.inputs
        width, vocab_size = self._shape(dx)[-1], int(op.attributes["vocab_size"])
        self._write(op.outputs[0], (vocab_size, width))
        dims = [self._size(tokens), width, vocab_size]
        return Instruction(Code.EMBED_GRAD, [*op.inputs, *op.outputs], dims)

    # --------------------------------------------------------------------------- norms
    def _lower_rms_norm(self, op: Op) -> Instruction:
        (x,) = op.inputs
        shape = self._shape(x)
        self._write(op.outputs[0], shape)
        self._write(op.outputs[1], (*shape[:-1], 1))
        reals = [round_f32(1.0 / shape[-1]), float(op.attributes["epsilon"])]
        overwrites = [(op.outputs[0], x)]
        args: Args = [
            x,
            *(name or None for name in op.outputs),
        ]
        return Instruction(Code.RMS_NORM, args, self._rows(x), reals, overwrites=overwrites)

    def _lower_rms_norm_grad(self, op: Op) -> Instruction:
        dy, y, inverse, *addend = op.inputs
        self._write(op.outputs[0], self._shape(dy))
        reals = [round_f32(1.0 / self._shape(y)[-1])]
        return Instruction(
            Code.RMS_NORM_GRAD,
            [dy, y, inverse, op.outputs[0], *addend],
            self._rows(dy),
            reals,
            Flag.PLUS_ADDEND if addend else 0,
            [(op.outputs[0], name) for name in (*addend, dy)],
        )

    # --------------------------------------------------------------------------- matmul
    def _lower_matmul(self, op: Op) -> Instruction:
        a, b, *extra = op.inputs
        attributes = op.attributes
        shape_a, shape_b = self._shape(a), self._shape(b)
        lead, batch = shape_a[:-1], math.prod(shape_a[:-2])
        if attributes["flatten"]:
            shape_a, shape_b = tuple(self._rows(a)), tuple(self._rows(b))
            batch = 1
        elif shape_a[:-2] != shape_b[:-2]:
            raise ValueError(f"the batches of {op} are {shape_a} and {shape_b}")
        a_first, b_first = bool(attributes["a_k_first"]), bool(attributes["b_k_first"])
        rows, length = (shape_a[-1], shape_a[-2]) if a_first else shape_a[-2:]
        columns = shape_b[-1] if b_first else shape_b[-2]
        shape = (*shape_a[:-2], rows, columns)
        if attributes["flatten"] and not a_first:
            shape = (*lead, columns)
        self._write(op.outputs[0], shape)
        flags = Flag.A_K_FIRST * a_first | Flag.B_K_FIRST * b_first
        flags |= Flag.A_RELU_SQUARE * bool(attributes.get(FUSED_RELU_A))
        flags |= Flag.B_RELU_SQUARE * bool(attributes.get(FUSED_RELU_B))
        end = attributes.get(FUSED_END)
        flags |= Flag.PLUS_ADDEND * (end == END_ADD)
        flags |= Flag.TIMES_RELU_GRAD * (end == END_RELU_GRAD)
        sizes = [int(attributes[name]) for name in ("a_max", "b_max", "block_size")]
        dims = [batch, rows, columns, length, *sizes]
        overwrites = [(op.outputs[0], name) for name in extra]
        return Instruction(
            Code.MATMUL, [a, b, op.outputs[0], *extra], dims, [], int(flags), overwrites
        )

    # --------------------------------------------------------------------------- heads
    def _lower_split_heads(self, op: Op) -> Instruction:
        batch, length, width = self._shape(op.inputs[0])
        heads = int(op.attributes["num_heads"])
        head_dim = width // (3 * heads)
        for name in op.outputs:
            self._write(name, (batch, heads, length, head_dim))
        args: Args = [*op.inputs, *op.outputs]
        return Instruction(Code.SPLIT_HEADS, args, [batch, length, heads, head_dim])

    def _lower_split_heads_grad(self, op: Op) -> Instruction:
        return self._lower_merge(op)

    def _lower_merge_heads(self, op: Op) -> Instruction:
        return self._lower_merge(op)

    def _lower_merge(self, op: Op) -> Instruction:
        batch, heads, length, head_dim = self._shape(op.inputs[0])
        self._write(op.outputs[0], (batch, length, len(op.inputs) * heads * head_dim))
        dims = [batch, length, heads, head_dim]
        return Instruction(Code.MERGE_HEADS, [*op.inputs, *op.outputs], dims)

    def _lower_merge_heads_grad(self, op: Op) -> Instruction:
        batch, length, width = self._shape(op.inputs[0])
        heads = int(op.attributes["num_heads"])
        self._write(op.outputs[0], (batch, heads, length, width // heads))
        dims = [batch, length, heads, width // heads]
        return Instruction(Code.SPLIT_HEADS, [*op.inputs, *op.outputs], dims)

    def _lower_rotate(self, op: Op, is_grad: bool = False) -> Instruction:
        shape = self._shape(op.inputs[0])
        self._write(op.outputs[0], shape)
        cos, sin = _get_table(shape[-2], shape[-1], _get_theta(op))
        dims = [math.prod(shape[:-1]), shape[-2], shape[-1], int(is_grad)]
        overwrites = [(op.outputs[0], op.inputs[0])]
        args: Args = [op.inputs[0], cos, sin, op.outputs[0]]
        return Instruction(Code.ROTATE, args, dims, overwrites=overwrites)

    def _lower_rotate_grad(self, op: Op) -> Instruction:
        return self._lower_rotate(op, is_grad=True)

    def _lower_causal_softmax(self, op: Op) -> Instruction:
        return self._lower_softmax(op, Code.CAUSAL_SOFTMAX, _compute_factor(op.attributes))

    def _lower_causal_softmax_grad(self, op: Op) -> Instruction:
        return self._lower_softmax(op, Code.CAUSAL_SOFTMAX_GRAD, float(op.attributes["scale"]))

    def _lower_softmax(self, op: Op, code: Code, real: float) -> Instruction:
        self._write(op.outputs[0], self._shape(op.inputs[0]))
        overwrites = [(op.outputs[0], op.inputs[0])]
        args: Args = [*op.inputs, *op.outputs]
        return Instruction(code, args, self._rows(op.inputs[0]), [real], overwrites=overwrites)

    def _lower_attention(self, op: Op) -> Instruction:
        merged, stats = op.outputs
        dims = self._get_attention_dims(op)
        batch, length, heads, _, head_dim = dims[:5]
        self._write(merged, (batch, length, heads * head_dim))
        self._write(stats, (batch, heads, length, 2))
        cos, sin = _get_table(length, head_dim, _get_theta(op))
        reals = [_compute_factor(op.attributes), float(op.attributes["scale"])]
        args: Args = [*op.inputs, cos, sin, merged, stats or None]
        flags = Flag.PACKED_QKV * bool(op.attributes["packed"])
        return Instruction(Code.ATTENTION, args, dims, reals, int(flags))

    def _lower_attention_grad(self, op: Op) -> Instruction:
        *sources, stats, dmerged = op.inputs
        dims = self._get_attention_dims(op)
        for source, gradient in zip(sources, op.outputs, strict=True):
            self._write(gradient, self._shape(source))
        cos, sin = _get_table(dims[1], dims[4], _get_theta(op))
        reals = [_compute_factor(op.attributes), float(op.attributes["scale"])]
        args: Args = [*sources, cos, sin, dmerged, stats, *op.outputs]
        flags = Flag.PACKED_QKV * bool(op.attributes["packed"])
        return Instruction(Code.ATTENTION_GRAD, args, dims, reals, int(flags))

    def _get_attention_dims(self, op: Op) -> list[int]:
        batch, length, width = self._shape(op.inputs[0])
        attributes = op.attributes
        heads = int(attributes["num_heads"])
        head_dim = width // (heads * (3 if attributes["packed"] else 1))
        precision = ("activation_max", "softmax_max", "gradient_max", "block_size")
        sizes = [int(attributes[name]) for name in precision]
        return [batch, length, heads, int(attributes["num_kv_heads"]), head_dim, *sizes]

    # --------------------------------------------------------------------------- loss
    def _lower_cross_entropy(self, op: Op) -> Instruction:
        logits, targets = op.inputs
        nanonats, p, *gradient = op.outputs
        self._write(nanonats, self._shape(targets), I64)
        outputs = [p, *(gradient or [""])]
        for name in outputs:
            self._write(name, self._shape(logits))
        return Instruction(
            Code.CROSS_ENTROPY,
            [logits, targets, nanonats, *(name or None for name in outputs)],
            self._rows(logits),
            [round_f32(1.0 / (self._size(targets) * int(op.attributes.get("parts", 1))))],
            overwrites=[(name, logits) for name in outputs if name],
        )

    def _lower_cross_entropy_grad(self, op: Op) -> Instruction:
        p, targets = op.inputs
        self._write(op.outputs[0], self._shape(p))
        return Instruction(
            Code.CROSS_ENTROPY_GRAD,
            [p, targets, op.outputs[0]],
            self._rows(p),
            [round_f32(1.0 / (self._size(targets) * int(op.attributes.get("parts", 1))))],
            overwrites=[(op.outputs[0], p)],
        )

    # --------------------------------------------------------------------------- optimiser
    def _lower_advance(self, op: Op) -> Instruction:
        self._write(op.outputs[0], (), I64)
        overwrites = [(op.outputs[0], op.inputs[0])]
        return Instruction(Code.ADVANCE, [*op.inputs, *op.outputs], [1], overwrites=overwrites)

    def _lower_clip_scale(self, op: Op) -> Instruction:
        args: Args = []
        for name in op.inputs:
            args += [name, np.array([self._size(name)], np.int64)]
        self._write(op.outputs[0], ())
        clip = float(op.attributes["gradient_clip"])
        return Instruction(Code.CLIP_SCALE, [*args, op.outputs[0]], [len(op.inputs)], [clip])

    def _lower_adamw(self, op: Op) -> Instruction:
        param, gradient, m, v, step, *scalar = op.inputs
        for name in op.outputs:
            self._write(name, self._shape(param))
        constants = Constants(op.attributes, step)
        args: Args = [param, gradient, m, v, constants]
        return Instruction(
            Code.ADAMW,
            [*args, *op.outputs, *scalar],
            [self._size(param)],
            overwrites=list(zip(op.outputs, (param, m, v), strict=True)),
        )


def _compute_factor(attributes: Attributes) -> float:
    return float(np.float32(attributes["scale"]) * np.float32(LOG2_E))


def _get_theta(op: Op) -> int:
    return int(op.attributes.get("theta", ROTARY_BASE))


@functools.lru_cache(maxsize=8)
def _get_table(length: int, head_dim: int, theta: int) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = compute_rotary_table(length, head_dim, theta)
    return np.ascontiguousarray(cos), np.ascontiguousarray(sin)
