"""Rewrite a list of operations into fewer: the same bits, fewer tensors that exist.

Nothing here changes the definition: a pattern is fused only if nobody else reads what then no
longer exists, and every fused operation computes its members' roundings in their order.

| fused                | members                                                                  |
|----------------------|--------------------------------------------------------------------------|
| attention            | cutting heads, rotate, repeat_heads, matmul, causal_softmax, matmul,     |
|                      | merge_heads                                                              |
| attention_grad       | the backward operations of these                                         |
| cross_entropy        | with its gradient as an output instead of the probabilities              |
| matmul               | with relu_square of an operand; add or relu_square_grad of the result    |
| rms_norm_grad        | with an add of the result                                                |
| adamw                | with the scale of the gradient                                           |
"""

from collections.abc import Sequence

from exact.native.attention import fuse_attention
from exact.native.oplist import OpList
from exact.program import Op

# Attributes that only this file writes.
FUSED_RELU_A = "a_relu_square"
FUSED_RELU_B = "b_relu_square"
FUSED_END = "end"
END_ADD, END_RELU_GRAD = 1, 2
# 512 products of operands below 2^59 stay finite.
MAX_HEAD_DIM = 512


def fuse(ops: Sequence[Op], keep: set[str], head_dim: int) -> list[Op]:
    """Rewrite a list.

    Args:
        ops: from a program.
        keep: names that must exist afterwards.
        head_dim: of the model. In wide heads a masked product could overflow to infinity, which
            skipping it would hide.
    """
    items = OpList(ops, keep)
    for index, op in enumerate(items.ops):
        if op is not None and op.kind == "causal_softmax" and head_dim <= MAX_HEAD_DIM:
            fuse_attention(items, index)
    for rule in (_fuse_loss, _fuse_relu, _fuse_relu_grad, _fuse_add, _fuse_scale):
        for index in range(len(items.ops)):
            op = items.ops[index]
            if op is not None:
                rule(items, index, op)
    return [op for op in items.ops if op is not None]


# --------------------------------------------------------------------------------- small fusions
def _fuse_loss(items: OpList, index: int, op: Op) -> None:
    if op.kind != "cross_entropy" or not op.outputs[1]:
        return
    p = op.outputs[1]
    grad = items.get_reader(p, "cross_entropy_grad", 0)
    if grad is None or not items.is_private(p, {grad}):
        return
    if items.get(grad).inputs[1] != op.inputs[1]:
        return
    outputs = (op.outputs[0], "", items.get(grad).outputs[0])
    attributes = {**op.attributes, **items.get(grad).attributes}
    items.replace([index, grad], index, Op("cross_entropy", op.inputs, outputs, attributes))


def _fuse_relu(items: OpList, index: int, op: Op) -> None:
    if op.kind != "relu_square":
        return
    name = op.outputs[0]
    readers = sorted(set(items.readers.get(name, [])))
    if name in items.keep or not readers:
        return
    if any(items.get(r).kind != "matmul" for r in readers):
        return
    for reader in readers:
        product = items.get(reader)
        attributes = dict(product.attributes)
        for position, key in enumerate((FUSED_RELU_A, FUSED_RELU_B)):
            attributes[key] = product.inputs[position] == name
        inputs = tuple(op.inputs[0] if n == name else n for n in product.inputs)
        items.put(reader, Op("matmul", inputs, product.outputs, attributes))
    items.put(index, None)


def _is_open_product(items: OpList, index: int | None, reader: int) -> bool:
    """Whether a product's result goes to one reader only and nothing was put at its end."""
    if index is None:
        return False
    op = items.get(index)
    return FUSED_END not in op.attributes and items.is_private(op.outputs[0], {reader})


def _choose_place(items: OpList, writer: int, reader: int, other: str) -> int:
    """Return where the fused operation goes: early, so that its operands can die, if it can."""
    return writer if items.writer.get(other, -1) < writer else reader


def _fuse_relu_grad(items: OpList, index: int, op: Op) -> None:
    if op.kind != "relu_square_grad":
        return
    dy, x = op.inputs
    product = items.get_writer(dy, "matmul")
    if product is None or not _is_open_product(items, product, index) or dy == x:
        return
    before = items.get(product)
    attributes = {**before.attributes, FUSED_END: END_RELU_GRAD}
    fused = Op("matmul", (*before.inputs, x), op.outputs, attributes)
    items.replace([product, index], _choose_place(items, product, index, x), fused)


def _fuse_add(items: OpList, index: int, op: Op) -> None:
    if op.kind != "add" or op.inputs[0] == op.inputs[1]:
        return
    for name, other in (op.inputs[::-1], op.inputs):
        for kind in ("matmul", "rms_norm_grad"):
            writer = items.get_writer(name, kind)
            if writer is None or not _is_open_product(items, writer, index):
                continue
            before = items.get(writer)
            attributes = {**before.attributes, FUSED_END: END_ADD}
            inputs = (*before.inputs, other)
            fused = Op(kind, inputs, op.outputs, attributes)
            items.replace([writer, index], _choose_place(items, writer, index, other), fused)
            return


def _fuse_scale(items: OpList, index: int, op: Op) -> None:
    if op.kind != "adamw":
        return
    scale = items.get_writer(op.inputs[1], "scale")
    if scale is None or not items.is_private(op.inputs[1], {index}):
        return
    gradient, scalar = items.get(scale).inputs
    param, _, m, v, step = op.inputs
    fused = Op("adamw", (param, gradient, m, v, step, scalar), op.outputs, op.attributes)
    items.replace([scale, index], index, fused)
