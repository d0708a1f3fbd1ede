"""Shapes of an operation's outputs from those of its inputs, and positions in C order."""

import math
from collections.abc import Callable, Mapping, Sequence

from exact.program import Op
from exact.referee.errors import UnknownOperation

Shape = tuple[int, ...]
Index = tuple[int, ...]

# Elements of a piece of a whole-tensor reduction: 16 KiB of float32.
PIECE_SIZE = 4096


def unravel(position: int, shape: Shape) -> Index:
    """Turn a position in C order into an index."""
    index = []
    for size in reversed(shape):
        position, rest = divmod(position, size)
        index.append(rest)
    return tuple(reversed(index))


def ravel(index: Index, shape: Shape) -> int:
    """Turn an index into a position in C order."""
    position = 0
    for at, size in zip(index, shape, strict=True):
        position = position * size + at
    return position


def count_pieces(shape: Shape) -> int:
    """Count the pieces of a tensor in a whole-tensor reduction."""
    return -(-math.prod(shape) // PIECE_SIZE)


def compute_output_shapes(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    """Compute an operation's output shapes.

    Args:
        op: the operation.
        shapes: of its inputs, in order.

    Raises:
        UnknownOperation: no such kind.
    """
    rule = _RULES.get(op.kind)
    if rule is None:
        raise UnknownOperation(f"no operation {op.kind!r}")
    return rule(op, shapes)


def compute_layouts(
    ops: Sequence[Op], given: Mapping[str, tuple[str, Shape]]
) -> dict[str, tuple[str, Shape]]:
    """Compute dtype and shape of every tensor of a list.

    Args:
        ops: the list.
        given: name -> (dtype name, shape) of what it reads from outside: state, tokens, targets.
    """
    layouts = dict(given)
    for op in ops:
        outputs = compute_output_shapes(op, [layouts[name][1] for name in op.inputs])
        for index, (name, shape) in enumerate(zip(op.outputs, outputs, strict=True)):
            if not name:
                continue
            dtype = "I64" if (op.kind, index) in _INTEGERS else "F32"
            if op.kind in _COPIES:
                dtype = layouts[op.inputs[0]][0]
            layouts[name] = (dtype, shape)
    return layouts


# (kind, output) that are integers, and kinds whose outputs are of their inputs' dtype
_INTEGERS = {("cross_entropy", 0), ("advance", 0), ("square_sum_pieces", 0)}
_COPIES = {"take_sequences", "join_sequences"}


def get_matmul_sizes(op: Op, shapes: Sequence[Shape]) -> tuple[int, int, int, int]:
    """Return (batch, M, N, K) of a matmul."""
    a, b = shapes
    is_flat = bool(op.attributes["flatten"])
    batch = 1 if is_flat else math.prod(a[:-2])
    rows_a, rows_b = (math.prod(s[:-1]) if is_flat else s[-2] for s in (a, b))
    k, m = (rows_a, a[-1]) if op.attributes["a_k_first"] else (a[-1], rows_a)
    n = b[-1] if op.attributes["b_k_first"] else rows_b
    return batch, m, n, k


def _matmul(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    _, m, n, _ = get_matmul_sizes(op, shapes)
    if not op.attributes["flatten"]:
        return [(*shapes[0][:-2], m, n)]
    return [(m, n) if op.attributes["a_k_first"] else (*shapes[0][:-1], n)]


def _like(index: int, count: int = 1) -> Callable[[Op, Sequence[Shape]], list[Shape]]:
    return lambda op, shapes: [shapes[index]] * count


def _split_heads(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    batch, length, width = shapes[0]
    heads = int(op.attributes["num_heads"])
    return [(batch, heads, length, width // (3 * heads))] * 3


def _merge(factor: int) -> Callable[[Op, Sequence[Shape]], list[Shape]]:
    def rule(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
        batch, heads, length, width = shapes[0]
        return [(batch, length, factor * heads * width)]

    return rule


def _cut_heads(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    batch, length, width = shapes[0]
    heads = int(op.attributes["num_heads"])
    return [(batch, heads, length, width // heads)]


def _repeat_heads(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    batch, heads, length, width = shapes[0]
    return [(batch, heads * int(op.attributes["repeats"]), length, width)]


def _repeat_heads_grad(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    batch, heads, length, width = shapes[0]
    return [(batch, heads // int(op.attributes["repeats"]), length, width)]


def _transpose(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    shape = shapes[0]
    if op.attributes["flatten"]:
        return [(shape[-1], math.prod(shape[:-1]))]
    return [(*shape[:-2], shape[-1], shape[-2])]


def _embed_grad(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    return [(int(op.attributes["vocab_size"]), shapes[1][-1])]


_RULES: dict[str, Callable[[Op, Sequence[Shape]], list[Shape]]] = {
    "embed": lambda op, shapes: [(*shapes[0], shapes[1][-1])],
    "embed_grad": _embed_grad,
    "add": _like(0),
    "scale": _like(0),
    "silu_gate": _like(0),
    "silu_gate_grad": _like(1, 2),
    "relu_square": _like(0),
    "relu_square_grad": _like(0),
    "rms_norm": lambda op, shapes: [shapes[0], (*shapes[0][:-1], 1)],
    "rms_norm_grad": _like(0),
    "gain": _like(0),
    "gain_grad": lambda op, shapes: [(shapes[1][-1],)],
    "matmul": _matmul,
    "split_heads": _split_heads,
    "split_heads_grad": _merge(3),
    "merge_heads": _merge(1),
    "merge_heads_grad": _cut_heads,
    "repeat_heads": _repeat_heads,
    "repeat_heads_grad": _repeat_heads_grad,
    "rotate": _like(0),
    "rotate_grad": _like(0),
    "causal_softmax": _like(0),
    "causal_softmax_grad": _like(0),
    "cross_entropy": lambda op, shapes: [shapes[1], shapes[0]],
    "cross_entropy_grad": _like(0),
    "take_sequences": lambda op, shapes: [(int(op.attributes["count"]), *shapes[0][1:])],
    "join_sequences": lambda op, shapes: [(sum(s[0] for s in shapes), *shapes[0][1:])],
    "advance": _like(0),
    "clip_scale": lambda op, shapes: [()],
    "adamw": _like(0, 3),
    "transpose": _transpose,
    "gain_grad_rows": lambda op, shapes: [shapes[0][:1]],
    "largest_pieces": lambda op, shapes: [(count_pieces(shapes[0]),)],
    "square_pieces": lambda op, shapes: [(count_pieces(shapes[0]),)],
    "largest": lambda op, shapes: [()],
    "embed_grad_on_grid": lambda op, shapes: [(int(op.attributes["vocab_size"]), shapes[1][0])],
    "square_sum_pieces": lambda op, shapes: [(count_pieces(shapes[0]),)],
    "clip_from_sums": lambda op, shapes: [()],
}
