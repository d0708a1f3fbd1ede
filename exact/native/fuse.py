"""Rewrite a list of operations into fewer: the same bits, fewer tensors that exist.

Nothing here changes the definition: a pattern is fused only if nobody else reads what then no
longer exists, and every fused operation computes its members' roundings in their order.

| fused                | members                                                                  |
|----------------------|--------------------------------------------------------------------------|
| attention            | split_heads, rotate (q, k), matmul, causal_softmax, matmul, merge_heads   |
| attention_grad       | their backward operations, from merge_heads_grad to split_heads_grad     |
| cross_entropy        | with its gradient as an output instead of the probabilities              |
| matmul               | with relu_square of an operand; add or relu_square_grad of the result    |
| rms_norm_grad        | with an add of the result                                                |
| adamw                | with the scale of the gradient                                           |
"""

from collections.abc import Sequence

from exact.program import Op

# Attributes that only this file writes.
FUSED_RELU_A = "a_relu_square"
FUSED_RELU_B = "b_relu_square"
FUSED_END = "end"
END_ADD, END_RELU_GRAD = 1, 2


class _List:
    """Operations with an index of readers and writers; removed ones are None."""

    def __init__(self, ops: Sequence[Op], keep: set[str]):
        self.ops: list[Op | None] = list(ops)
        self.keep = keep
        self.reindex()

    def reindex(self) -> None:
        self.writer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        for index, op in enumerate(self.ops):
            if op is None:
                continue
            for name in op.inputs:
                self.readers.setdefault(name, []).append(index)
            for name in op.outputs:
                if name:
                    self.writer[name] = index

    def get_writer(self, name: str, kind: str) -> int | None:
        """Return the index of the operation that writes a name, if it is of a kind."""
        index = self.writer.get(name)
        op = None if index is None else self.ops[index]
        return index if op is not None and op.kind == kind else None

    def get_reader(self, name: str, kind: str, position: int | None = None) -> int | None:
        """Return the only reader of a kind (at an input position), None if there is not one."""
        found = [
            index
            for index in self.readers.get(name, [])
            if (op := self.ops[index]) is not None
            and op.kind == kind
            and (position is None or op.inputs[position] == name)
        ]
        return found[0] if len(found) == 1 else None

    def is_private(self, name: str, members: set[int]) -> bool:
        """Whether only these operations read a name."""
        return name not in self.keep and set(self.readers.get(name, [])) <= members

    def replace(self, members: Sequence[int], at: int, op: Op) -> None:
        """Put one operation in the place of several."""
        for index in members:
            self.ops[index] = None
        self.ops[at] = op
        self.reindex()


def fuse(ops: Sequence[Op], keep: set[str], block_size: int) -> list[Op]:
    """Rewrite a list.

    Args:
        ops: from a program.
        keep: names that must exist afterwards.
        block_size: of the quantisation; attention is made by such blocks of rows.
    """
    items = _List(ops, keep)
    if block_size % 16 == 0 and 16 <= block_size <= 256:
        for index, op in enumerate(items.ops):
            if op is not None and op.kind == "causal_softmax":
                _fuse_attention(items, index)
    for rule in (_fuse_loss, _fuse_relu, _fuse_relu_grad, _fuse_add, _fuse_scale):
        for index in range(len(items.ops)):
            op = items.ops[index]
            if op is not None:
                rule(items, index, op)
    return [op for op in items.ops if op is not None]


# ------------------------------------------------------------------------------------ attention
def _get(items: _List, index: int | None) -> Op:
    assert index is not None
    op = items.ops[index]
    assert op is not None
    return op


def _is_product(op: Op, a_k_first: bool, b_k_first: bool) -> bool:
    attributes = op.attributes
    return (
        not attributes["flatten"]
        and bool(attributes["a_k_first"]) == a_k_first
        and bool(attributes["b_k_first"]) == b_k_first
    )


def _fuse_attention(items: _List, softmax: int) -> None:
    forward = _match_forward(items, softmax)
    if forward is None:
        return
    backward = _match_backward(items, forward)
    members = {*forward.values(), *(backward or {}).values()}
    split, rotate_q, rotate_k = (_get(items, forward[n]) for n in ("split", "rotate_q", "rotate_k"))
    scores, p = _get(items, softmax).inputs[0], _get(items, softmax).outputs[0]
    inside = [*split.outputs, rotate_q.outputs[0], rotate_k.outputs[0], scores, p]
    inside.append(_get(items, forward["values"]).outputs[0])
    if backward is not None:
        inside += [
            name
            for key, index in backward.items()
            if key != "split"
            for name in _get(items, index).outputs
        ]
    if not all(items.is_private(name, members) for name in inside):
        return
    attributes = {**split.attributes, **_get(items, softmax).attributes}
    merge = _get(items, forward["merge"])
    stats = f"{merge.outputs[0]}/stats" if backward else ""
    whole = Op("attention", split.inputs, (merge.outputs[0], stats), attributes)
    if backward is not None:
        inputs = (split.inputs[0], stats, _get(items, backward["merge"]).inputs[0])
        last = backward["split"]
        grad = Op("attention_grad", inputs, _get(items, last).outputs, attributes)
        items.replace(list(backward.values()), last, grad)
    items.replace(list(forward.values()), forward["merge"], whole)


def _match_forward(items: _List, softmax: int) -> dict[str, int] | None:
    op = _get(items, softmax)
    product = items.get_writer(op.inputs[0], "matmul")
    found: dict[str, int | None] = {"product": product, "softmax": softmax}
    if product is None or not _is_product(_get(items, product), False, False):
        return None
    q, k = _get(items, product).inputs
    found["rotate_q"], found["rotate_k"] = (items.get_writer(n, "rotate") for n in (q, k))
    if found["rotate_q"] is None or found["rotate_k"] is None:
        return None
    q0, k0 = (_get(items, found[n]).inputs[0] for n in ("rotate_q", "rotate_k"))
    found["split"] = items.get_writer(q0, "split_heads")
    values = _find_product(items, op.outputs[0], False, True)
    if found["split"] is None or values is None:
        return None
    found["values"] = values
    found["merge"] = items.get_reader(_get(items, values).outputs[0], "merge_heads")
    v = _get(items, values).inputs[1]
    if found["merge"] is None or _get(items, found["split"]).outputs != (q0, k0, v):
        return None
    return {name: index for name, index in found.items() if index is not None}


def _find_product(items: _List, left: str, a_k_first: bool, b_k_first: bool) -> int | None:
    found = [
        index
        for index in items.readers.get(left, [])
        if (op := items.ops[index]) is not None
        and op.kind == "matmul"
        and op.inputs[0] == left
        and _is_product(op, a_k_first, b_k_first)
    ]
    return found[0] if len(found) == 1 else None


def _match_backward(items: _List, forward: dict[str, int]) -> dict[str, int] | None:
    p = _get(items, forward["softmax"]).outputs[0]
    q, k = _get(items, forward["product"]).inputs
    v = _get(items, forward["values"]).inputs[1]
    softmax = items.get_reader(p, "causal_softmax_grad", 1)
    dv = _find_product(items, p, True, True)
    if softmax is None or dv is None:
        return None
    dp, dscores, dy = (
        _get(items, softmax).inputs[0],
        _get(items, softmax).outputs[0],
        _get(items, dv).inputs[1],
    )
    found: dict[str, int | None] = {"softmax": softmax, "dv": dv}
    found["dp"] = items.get_writer(dp, "matmul")
    found["merge"] = items.get_writer(dy, "merge_heads_grad")
    found["dq"] = _find_product(items, dscores, False, True)
    found["dk"] = _find_product(items, dscores, True, True)
    if any(index is None for index in found.values()):
        return None
    if not _is_product(_get(items, found["dp"]), False, False):
        return None
    wanted = {"dp": (dy, v), "dq": (dscores, k), "dk": (dscores, q), "dv": (p, dy)}
    if any(_get(items, found[name]).inputs != inputs for name, inputs in wanted.items()):
        return None
    names = [_get(items, found[name]).outputs[0] for name in ("dq", "dk")]
    found["rotate_q"], found["rotate_k"] = (items.get_reader(n, "rotate_grad") for n in names)
    if found["rotate_q"] is None or found["rotate_k"] is None:
        return None
    turned = tuple(_get(items, found[n]).outputs[0] for n in ("rotate_q", "rotate_k"))
    found["split"] = items.get_reader(turned[0], "split_heads_grad")
    wanted_inputs = (*turned, _get(items, dv).outputs[0])
    if found["split"] is None or _get(items, found["split"]).inputs != wanted_inputs:
        return None
    return {name: index for name, index in found.items() if index is not None}


# --------------------------------------------------------------------------------- small fusions
def _fuse_loss(items: _List, index: int, op: Op) -> None:
    if op.kind != "cross_entropy" or not op.outputs[1]:
        return
    p = op.outputs[1]
    grad = items.get_reader(p, "cross_entropy_grad", 0)
    if grad is None or not items.is_private(p, {grad}):
        return
    if _get(items, grad).inputs[1] != op.inputs[1]:
        return
    outputs = (op.outputs[0], "", _get(items, grad).outputs[0])
    items.replace([index, grad], index, Op("cross_entropy", op.inputs, outputs, op.attributes))


def _fuse_relu(items: _List, index: int, op: Op) -> None:
    if op.kind != "relu_square":
        return
    name = op.outputs[0]
    readers = sorted(set(items.readers.get(name, [])))
    if name in items.keep or not readers:
        return
    if any(_get(items, r).kind != "matmul" for r in readers):
        return
    for reader in readers:
        product = _get(items, reader)
        attributes = dict(product.attributes)
        for position, key in enumerate((FUSED_RELU_A, FUSED_RELU_B)):
            attributes[key] = product.inputs[position] == name
        inputs = tuple(op.inputs[0] if n == name else n for n in product.inputs)
        items.ops[reader] = Op("matmul", inputs, product.outputs, attributes)
    items.ops[index] = None
    items.reindex()


def _is_open_product(items: _List, index: int | None, reader: int) -> bool:
    """Whether a product's result goes to one reader only and nothing was put at its end."""
    if index is None:
        return False
    op = _get(items, index)
    return FUSED_END not in op.attributes and items.is_private(op.outputs[0], {reader})


def _fuse_relu_grad(items: _List, index: int, op: Op) -> None:
    if op.kind != "relu_square_grad":
        return
    dy, x = op.inputs
    product = items.get_writer(dy, "matmul")
    if product is None or not _is_open_product(items, product, index) or dy == x:
        return
    before = _get(items, product)
    attributes = {**before.attributes, FUSED_END: END_RELU_GRAD}
    items.replace(
        [product, index], index, Op("matmul", (*before.inputs, x), op.outputs, attributes)
    )


def _fuse_add(items: _List, index: int, op: Op) -> None:
    if op.kind != "add" or op.inputs[0] == op.inputs[1]:
        return
    for name, other in (op.inputs[::-1], op.inputs):
        for kind in ("matmul", "rms_norm_grad"):
            writer = items.get_writer(name, kind)
            if writer is None or not _is_open_product(items, writer, index):
                continue
            before = _get(items, writer)
            attributes = {**before.attributes, FUSED_END: END_ADD}
            inputs = (*before.inputs, other)
            items.replace([writer, index], index, Op(kind, inputs, op.outputs, attributes))
            return


def _fuse_scale(items: _List, index: int, op: Op) -> None:
    if op.kind != "adamw":
        return
    scale = items.get_writer(op.inputs[1], "scale")
    if scale is None or not items.is_private(op.inputs[1], {index}):
        return
    gradient, scalar = _get(items, scale).inputs
    param, _, m, v, step = op.inputs
    fused = Op("adamw", (param, gradient, m, v, step, scalar), op.outputs, op.attributes)
    items.replace([scale, index], index, fused)
