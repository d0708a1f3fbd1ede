"""Operations whose elements need much, written as smaller ones whose elements need little.

`embed_grad` and `clip_scale` put all their terms on one grid, which depends on the largest of
them: an element needs a whole tensor. Products and sums down the columns of a tensor need a leaf
for every element. `expand_op` writes them as lists of operations that need a row or a piece each;
sums are of integers, so the bits are the same. Intermediate tensors are made on demand, by both
sides of a dispute, and opened like any others.

| kind               | inputs -> outputs                                              |
|--------------------|----------------------------------------------------------------|
| transpose          | x -> its last two axes swapped; `flatten`: as one matrix       |
| largest_pieces     | x -> the largest magnitude of every PIECE_SIZE elements        |
| square_pieces      | g -> the largest g * g of every PIECE_SIZE elements            |
| largest            | pieces ... -> the largest of all                               |
| embed_grad_on_grid | tokens, dx_CN, largest -> dtable                               |
| gain_grad_rows     | dz_CN, y_CN -> dweight                                         |
| square_sum_pieces  | g, largest -> int64 sums of g * g on the grid, a piece each    |
| clip_from_sums     | largest, sums ... -> min(1, clip / root of the sum)            |
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from exact.arithmetic import (
    F32,
    F64,
    I64,
    MAX_SUM_EXPONENT,
    MIN_SUM_EXPONENT,
    SUM_BITS,
    compute_exponent,
    power_of_two,
)
from exact.program import Op
from exact.referee.shapes import PIECE_SIZE, Shape


def expand_op(op: Op) -> tuple[Op, ...]:
    """Write an operation as smaller ones; one that is local already stays alone.

    The last operation writes the outputs of the first; names between them begin with its output.
    """
    return _EXPANSIONS[op.kind](op) if op.kind in _EXPANSIONS else (op,)


def _expand_embed_grad(op: Op) -> tuple[Op, ...]:
    at = op.outputs[0]
    tokens, dx = op.inputs
    turned, largest = _transpose(op, 1, True), f"{at}/largest"
    inputs = (tokens, turned.outputs[0], largest)
    return (
        turned,
        Op("largest_pieces", (dx,), (f"{at}/pieces",)),
        Op("largest", (f"{at}/pieces",), (largest,)),
        Op("embed_grad_on_grid", inputs, op.outputs, op.attributes),
    )


def _expand_gain_grad(op: Op) -> tuple[Op, ...]:
    turned = (_transpose(op, 0, True), _transpose(op, 1, True))
    return (*turned, Op("gain_grad_rows", tuple(t.outputs[0] for t in turned), op.outputs))


def _expand_matmul(op: Op) -> tuple[Op, ...]:
    parts: list[Op] = []
    inputs = list(op.inputs)
    for i, name in enumerate(("a_k_first", "b_k_first")):
        if op.attributes[name]:
            parts.append(_transpose(op, i, bool(op.attributes["flatten"])))
            inputs[i] = parts[-1].outputs[0]
    attributes = {**op.attributes, "a_k_first": False, "b_k_first": False}
    return (*parts, Op("matmul", tuple(inputs), op.outputs, attributes))


def _expand_clip_scale(op: Op) -> tuple[Op, ...]:
    at = op.outputs[0]
    pieces = [f"{at}/pieces/{g}" for g in op.inputs]
    sums = [f"{at}/sums/{g}" for g in op.inputs]
    largest = f"{at}/largest"
    return (
        *(Op("square_pieces", (g,), (p,)) for g, p in zip(op.inputs, pieces, strict=True)),
        Op("largest", tuple(pieces), (largest,)),
        *(
            Op("square_sum_pieces", (g, largest), (s,))
            for g, s in zip(op.inputs, sums, strict=True)
        ),
        Op("clip_from_sums", (largest, *sums), op.outputs, op.attributes),
    )


def _transpose(op: Op, index: int, is_flat: bool) -> Op:
    name = f"{op.outputs[0]}/transposed/{index}"
    return Op("transpose", (op.inputs[index],), (name,), {"flatten": is_flat})


_EXPANSIONS: dict[str, Callable[[Op], tuple[Op, ...]]] = {
    "embed_grad": _expand_embed_grad,
    "gain_grad": _expand_gain_grad,
    "matmul": _expand_matmul,
    "clip_scale": _expand_clip_scale,
}


def expand_step(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Expand every operation of a list: what a dispute bisects."""
    return tuple(part for op in ops for part in expand_op(op))


def run_intermediate(op: Op, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute the tensors between an operation's inputs and its outputs.

    Args:
        op: the operation; one that is local has none.
        inputs: its inputs by name.

    Returns:
        What all operations of `expand_op` but the last write.

    Raises:
        InvalidStep: a NaN, an infinity or a magnitude that the definition refuses.
    """
    env = dict(inputs)
    made: dict[str, np.ndarray] = {}
    for part in expand_op(op)[:-1]:
        if part.kind == "transpose":
            x = env[part.inputs[0]]
            x = x.reshape(-1, x.shape[-1]) if part.attributes["flatten"] else x
            value = np.ascontiguousarray(x.swapaxes(-1, -2))
        else:
            opened = [np.asarray(env[name]).reshape(-1) for name in part.inputs]
            value = np.asarray(WHOLE[part.kind](part, opened))
        env[part.outputs[0]] = made[part.outputs[0]] = value
    return made


def get_piece(piece_index: int, shape: Shape) -> np.ndarray:
    """Return the positions of one piece."""
    start = piece_index * PIECE_SIZE
    end = min(start + PIECE_SIZE, int(np.prod(shape, dtype=np.int64)))
    return np.arange(start, end, dtype=I64)


# ------------------------------------------------------------------------------------- sums
def sum_on_grid(x: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Sum terms on the grid of a given largest magnitude, and round once."""
    terms, grid = _to_grid(x, largest)
    return np.asarray(terms.sum(dtype=I64).astype(F32) * grid)


def _to_grid(x: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exponent = compute_exponent(
        np.asarray(largest, F32).reshape(1), MIN_SUM_EXPONENT, MAX_SUM_EXPONENT
    )
    grid = power_of_two(exponent - SUM_BITS)[0]
    return np.rint(x.astype(F64) / F64(grid)).astype(I64), grid


def _cut(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + PIECE_SIZE] for start in range(0, len(x), PIECE_SIZE)]


def _largest_pieces(op: Op, opened: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.abs(piece).max() for piece in _cut(opened[0])], F32)


def _square_pieces(op: Op, opened: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([(piece * piece).max() for piece in _cut(opened[0])], F32)


def _largest(op: Op, opened: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.concatenate(opened).max())


def _square_sum_pieces(op: Op, opened: Sequence[np.ndarray]) -> np.ndarray:
    g, largest = opened
    pieces = [_to_grid(p * p, largest[0])[0].sum(dtype=I64) for p in _cut(g)]
    return np.array(pieces, I64)


def _clip_from_sums(op: Op, opened: Sequence[np.ndarray]) -> Any:
    largest, *sums = opened
    _, grid = _to_grid(largest, largest[0])
    total = np.concatenate(sums).sum(dtype=I64)
    norm = np.sqrt(total.astype(F32) * grid)
    return np.minimum(F32(op.attributes["gradient_clip"]) / norm, F32(1))


# kind -> (op, opened operands, flat) -> the output, flat
WHOLE: dict[str, Callable[[Op, Sequence[np.ndarray]], Any]] = {
    "largest_pieces": _largest_pieces,
    "square_pieces": _square_pieces,
    "largest": _largest,
    "square_sum_pieces": _square_sum_pieces,
    "clip_from_sums": _clip_from_sums,
}
