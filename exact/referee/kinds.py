"""The rules of every kind of operation: which operands an element needs, and its value.

What the values are is defined by `backends/numpy_backend.py` for whole tensors; a test compares the
two on training steps. Here an operand is a short vector of what was opened.

Shape letters: B batch, H heads, T tokens, D head width, C width, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from exact.arithmetic import (
    F32,
    F64,
    I64,
    ensure_finite,
    exp2_on_grid,
    fixed_sum,
    log2,
    quantise,
    sigmoid,
    sum_weights,
)
from exact.backends.base import compute_adamw_constants
from exact.elementary import LN_2, LOG2_E, ROTARY_BASE, compute_rotary_table
from exact.program import Op
from exact.referee import reduce
from exact.referee.shapes import Index, Shape, get_matmul_sizes, ravel

Positions = list[np.ndarray]
Opened = Sequence[np.ndarray]
NOTHING = np.zeros(0, I64)


class Rule(NamedTuple):
    """What is known about a kind.

    Attributes:
        list_operands: (op, shapes, index, output index, opened so far) -> positions per input.
        compute: (op, shapes, index, output index, opened) -> the element.
    """

    list_operands: Callable[[Op, Sequence[Shape], Index, int, Opened], Positions]
    compute: Callable[[Op, Sequence[Shape], Index, int, Opened], Any]


def _at(*positions: int) -> np.ndarray:
    return np.array(sorted(positions), I64)


def _all(shape: Shape) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=I64)


def _row(index: Index, shape: Shape, length: int | None = None) -> np.ndarray:
    """Return the positions of the row (last axis) that holds an index, or of its beginning."""
    start = ravel((*index[:-1], 0), shape)
    return np.arange(start, start + (shape[-1] if length is None else length), dtype=I64)


def _has(opened: Opened, index: int) -> bool:
    return len(opened) > index and len(opened[index]) > 0


# ------------------------------------------------------------------------------- elementwise
def _list_same(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    """Every operand at the element's place; a shorter operand at the end of it, a scalar at 0."""
    return [_at(ravel(index[len(index) - len(s) :], s)) for s in shapes]


def _elementwise(function: Callable[..., Any]) -> Rule:
    def compute(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
        result = function(*opened)
        return (result[out] if isinstance(result, tuple) else result)[0]

    return Rule(_list_same, compute)


def _silu_gate_grad(da: Any, gate: Any, up: Any) -> Any:
    s = sigmoid(gate)
    slope = s * (gate * (F32(1) - s) + F32(1))
    return (da * up) * slope, da * (gate * s)


def _relu_square(x: Any) -> Any:
    positive = np.maximum(x, F32(0))
    return positive * positive


def _compute_adamw(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    param, gradient, m, v, step = (values[0] for values in opened)
    c = {n: F32(x) for n, x in compute_adamw_constants(op.attributes, int(step)).items()}
    m = m * c["beta1"] + gradient * c["one_minus_beta1"]
    v = v * c["beta2"] + (gradient * gradient) * c["one_minus_beta2"]
    root = np.sqrt(v) * c["root_scale"] + c["epsilon"]
    update = (m * c["rate"]) / root
    return (param * c["keep"] - update, m, v)[out]


# --------------------------------------------------------------------------------- embedding
def _list_embed(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Positions:
    token = _at(ravel(index[:-1], shapes[0]))
    if not _has(opened, 0):
        return [token, NOTHING]
    return [token, _at(ravel((int(opened[0][0]), index[-1]), shapes[1]))]


def _list_embed_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Positions:
    return [_all(shapes[0]), _all(shapes[1])]


def _compute_embed_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    tokens, dx = opened
    column = dx.reshape(-1, shapes[1][-1])[:, index[1]]
    return reduce.sum_on_grid(column[tokens == index[0]], np.abs(dx).max())


def _list_embed_grad_on_grid(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Positions:
    hits = NOTHING
    if _has(opened, 0):
        places = np.flatnonzero(np.asarray(opened[0]) == index[0]).astype(I64)
        hits = index[1] * shapes[1][-1] + places
    return [_all(shapes[0]), hits, _at(0)]


def _compute_embed_grad_on_grid(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    return reduce.sum_on_grid(opened[1], opened[2][0])


# ------------------------------------------------------------------------------------- norms
def _list_rms_norm(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    return [_row(index, shapes[0])]


def _compute_rms_norm(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    x = opened[0]
    mean = fixed_sum(x * x, (-1,)) * F32(1.0 / len(x))
    inverse = F32(1) / np.sqrt(mean + F32(op.attributes["epsilon"]))
    return inverse[0] if out else x[index[-1]] * inverse[0]


def _list_rms_norm_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    row = _row(index, shapes[0])
    return [row, row, _at(ravel((*index[:-1], 0), shapes[2]))]


def _compute_rms_norm_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    dy, y, inverse = opened
    mean = fixed_sum(dy * y, (-1,)) * F32(1.0 / len(y))
    at = index[-1]
    return (dy[at] - y[at] * mean[0]) * inverse[0]


def _list_gain_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    column = np.arange(index[0], math.prod(shapes[0]), shapes[0][-1], dtype=I64)
    return [column, column]


def _list_gain_grad_rows(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    row = _row((index[0], 0), shapes[0])
    return [row, row]


def _compute_gain_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    return fixed_sum(opened[0] * opened[1], (0,))[0]


# ------------------------------------------------------------------------------------ matmul
def _list_matmul(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    batch, m, n, k = get_matmul_sizes(op, shapes)
    at, column = divmod(ravel(index, _get_matmul_shape(op, shapes, batch, m, n)), n)
    group, row = divmod(at, m)
    steps = np.arange(k, dtype=I64)
    a = steps * m + row if op.attributes["a_k_first"] else row * k + steps
    b = steps * n + column if op.attributes["b_k_first"] else column * k + steps
    return [group * m * k + a, group * n * k + b]


def _get_matmul_shape(op: Op, shapes: Sequence[Shape], batch: int, m: int, n: int) -> Shape:
    if not op.attributes["flatten"]:
        return (*shapes[0][:-2], m, n)
    return (m, n) if op.attributes["a_k_first"] else (*shapes[0][:-1], n)


def _compute_matmul(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    """Multiply two rows; all whole blocks at once, then what is left, blocks added in order."""
    a_max, b_max, size = (int(op.attributes[n]) for n in ("a_max", "b_max", "block_size"))
    a, b = opened
    whole = len(a) - len(a) % size
    total = None
    for start, end, width in ((0, whole, size), (whole, len(a), len(a) - whole)):
        if start == end:
            continue
        qa, scale_a = quantise(a[start:end].reshape(-1, width), a_max)
        qb, scale_b = quantise(b[start:end].reshape(-1, width), b_max)
        dots = (qa * qb).sum(axis=1, dtype=I64).astype(F32)
        for block in dots * (scale_a * scale_b)[:, 0]:
            total = block if total is None else total + block
    assert total is not None, "a contraction over nothing"
    return total


def _list_transpose(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    if op.attributes["flatten"]:
        return [_at(index[1] * shapes[0][-1] + index[0])]
    return [_at(ravel((*index[:-2], index[-1], index[-2]), shapes[0]))]


# --------------------------------------------------------------------------------- attention
def _list_split_heads(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, h, t, d = index
    width = shapes[0][-1] // 3
    head_dim = width // int(op.attributes["num_heads"])
    return [_at(ravel((b, t, out * width + h * head_dim + d), shapes[0]))]


def _list_split_heads_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, t, c = index
    _, heads, _, head_dim = shapes[0]
    part, rest = divmod(c, heads * head_dim)
    positions = [NOTHING] * 3
    positions[part] = _at(ravel((b, rest // head_dim, t, rest % head_dim), shapes[0]))
    return positions


def _list_merge_heads(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, t, c = index
    head_dim = shapes[0][-1]
    return [_at(ravel((b, c // head_dim, t, c % head_dim), shapes[0]))]


def _list_merge_heads_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, h, t, d = index
    head_dim = shapes[0][-1] // int(op.attributes["num_heads"])
    return [_at(ravel((b, t, h * head_dim + d), shapes[0]))]


def _list_repeat_heads(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, h, t, d = index
    return [_at(ravel((b, h // int(op.attributes["repeats"]), t, d), shapes[0]))]


def _list_repeat_heads_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    b, g, t, d = index
    repeats = int(op.attributes["repeats"])
    return [_at(*(ravel((b, g * repeats + i, t, d), shapes[0]) for i in range(repeats)))]


def _compute_copy(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    return next(values[0] for values in reversed(opened) if len(values))


def _compute_sum_in_order(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    total = opened[0][0]
    for value in opened[0][1:]:
        total = total + value
    return total


def _list_rotate(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    half = shapes[0][-1] // 2
    pair = index[-1] % half
    start = ravel((*index[:-1], 0), shapes[0])
    return [_at(start + pair, start + pair + half)]


def _compute_rotate(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    length, width = shapes[0][-2:]
    table = compute_rotary_table(length, width, int(op.attributes.get("theta", ROTARY_BASE)))
    cos, sin = (part[index[-2], index[-1] % (width // 2)] for part in table)
    first, second = opened[0]
    is_first = index[-1] < width // 2
    if op.kind == "rotate":
        return first * cos - second * sin if is_first else second * cos + first * sin
    return first * cos + second * sin if is_first else second * cos - first * sin


def _list_causal_softmax(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    i, j = index[-2:]
    return [_row(index, shapes[0], i + 1) if j <= i else NOTHING]


def _compute_causal_softmax(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    scores = opened[0]
    if not len(scores):
        return F32(0)
    y = scores * F32(F32(op.attributes["scale"]) * F32(LOG2_E))
    largest = y.max()
    ensure_finite(largest)
    weights = exp2_on_grid(y - largest)
    return weights[index[-1]] / sum_weights(weights)[0].astype(F32)


def _list_rows(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    row = _row(index, shapes[0])
    return [row, row]


def _compute_causal_softmax_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    dp, p = opened
    total = fixed_sum(dp * p, (-1,))
    at = index[-1]
    return ((dp[at] - total[0]) * p[at]) * F32(op.attributes["scale"])


# -------------------------------------------------------------------------------------- loss
def _list_cross_entropy(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    if out:
        return [_row(index, shapes[0]), NOTHING]
    return [_row((*index, 0), shapes[0]), _at(ravel(index, shapes[1]))]


def _compute_cross_entropy(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    y = opened[0] * F32(LOG2_E)
    largest = y.max()
    ensure_finite(largest)
    weights = exp2_on_grid(y - largest)
    total = sum_weights(weights)
    if out:
        return weights[index[-1]] / total[0].astype(F32)
    gap = largest.astype(F64) - y[int(opened[1][0])].astype(F64)
    return np.rint(((log2(total)[0] + gap) * LN_2) * 1e9).astype(I64)


def _list_cross_entropy_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened
) -> Positions:
    return [_at(ravel(index, shapes[0])), _at(ravel(index[:-1], shapes[1]))]


def _compute_cross_entropy_grad(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    p, target = opened[0][0], int(opened[1][0])
    gradient = p - F32(1) if target == index[-1] else p
    num_tokens = math.prod(shapes[1]) * int(op.attributes.get("parts", 1))
    return gradient * F32(1.0 / num_tokens)


# ------------------------------------------------------------------------------ accumulation
def _list_take(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    return [_at(ravel((index[0] + int(op.attributes["first"]), *index[1:]), shapes[0]))]


def _list_join(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    positions, first = [NOTHING] * len(shapes), index[0]
    for i, shape in enumerate(shapes):
        if 0 <= first < shape[0]:
            positions[i] = _at(ravel((first, *index[1:]), shape))
        first -= shape[0]
    return positions


# ------------------------------------------------------------------------ whole-tensor sums
def _list_all(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    return [_all(shape) for shape in shapes]


def _compute_clip_scale(
    op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened
) -> Any:
    squares = np.concatenate([g * g for g in opened])
    norm = np.sqrt(fixed_sum(squares, (0,))[0])
    return np.minimum(F32(op.attributes["gradient_clip"]) / norm, F32(1))


def _list_piece(op: Op, shapes: Sequence[Shape], index: Index, out: int, _: Opened) -> Positions:
    return [reduce.get_piece(index[0], shapes[0]), *([_at(0)] * (len(shapes) - 1))]


def _compute_piece(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    return reduce.WHOLE[op.kind](op, opened)[0]


def _compute_whole(op: Op, shapes: Sequence[Shape], index: Index, out: int, opened: Opened) -> Any:
    return reduce.WHOLE[op.kind](op, opened)


RULES: dict[str, Rule] = {
    "embed": Rule(_list_embed, _compute_copy),
    "embed_grad": Rule(_list_embed_grad, _compute_embed_grad),
    "add": _elementwise(lambda a, b: a + b),
    "scale": _elementwise(lambda a, b: a * b),
    "gain": _elementwise(lambda y, w: y * w),
    "silu_gate": _elementwise(lambda gate, up: (gate * sigmoid(gate)) * up),
    "silu_gate_grad": _elementwise(_silu_gate_grad),
    "relu_square": _elementwise(_relu_square),
    "relu_square_grad": _elementwise(lambda dy, x: (np.maximum(x, F32(0)) * F32(2)) * dy),
    "advance": _elementwise(lambda step: step + I64(1)),
    "adamw": Rule(_list_same, _compute_adamw),
    "rms_norm": Rule(_list_rms_norm, _compute_rms_norm),
    "rms_norm_grad": Rule(_list_rms_norm_grad, _compute_rms_norm_grad),
    "gain_grad": Rule(_list_gain_grad, _compute_gain_grad),
    "transpose": Rule(_list_transpose, _compute_copy),
    "gain_grad_rows": Rule(_list_gain_grad_rows, _compute_gain_grad),
    "matmul": Rule(_list_matmul, _compute_matmul),
    "split_heads": Rule(_list_split_heads, _compute_copy),
    "split_heads_grad": Rule(_list_split_heads_grad, _compute_copy),
    "merge_heads": Rule(_list_merge_heads, _compute_copy),
    "merge_heads_grad": Rule(_list_merge_heads_grad, _compute_copy),
    "repeat_heads": Rule(_list_repeat_heads, _compute_copy),
    "repeat_heads_grad": Rule(_list_repeat_heads_grad, _compute_sum_in_order),
    "rotate": Rule(_list_rotate, _compute_rotate),
    "rotate_grad": Rule(_list_rotate, _compute_rotate),
    "causal_softmax": Rule(_list_causal_softmax, _compute_causal_softmax),
    "causal_softmax_grad": Rule(_list_rows, _compute_causal_softmax_grad),
    "cross_entropy": Rule(_list_cross_entropy, _compute_cross_entropy),
    "cross_entropy_grad": Rule(_list_cross_entropy_grad, _compute_cross_entropy_grad),
    "take_sequences": Rule(_list_take, _compute_copy),
    "join_sequences": Rule(_list_join, _compute_copy),
    "clip_scale": Rule(_list_all, _compute_clip_scale),
    "largest_pieces": Rule(_list_piece, _compute_piece),
    "square_pieces": Rule(_list_piece, _compute_piece),
    "square_sum_pieces": Rule(_list_piece, _compute_piece),
    "largest": Rule(_list_all, _compute_whole),
    "clip_from_sums": Rule(_list_all, _compute_whole),
    "embed_grad_on_grid": Rule(_list_embed_grad_on_grid, _compute_embed_grad_on_grid),
}
