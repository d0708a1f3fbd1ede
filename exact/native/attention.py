"""Recognise attention in a list of operations, forward and backward, and fuse it.

    q, k, v = heads(qkv)  or  heads(q), heads(k), heads(v)
    q, k = rotate(q), rotate(k); k, v = repeat(k), repeat(v)      (repeat: grouped queries only)
    y = merge(softmax(q k^T) v)

Backward is what `exact/gradients.py` makes of it. A pattern that is not exactly this, or whose
inside somebody else reads, stays as it is.
"""

from dataclasses import dataclass, field

from exact.native.oplist import OpList
from exact.program import Attributes, Op

MIN_BLOCK, MAX_BLOCK = 16, 256


class _NoMatch(Exception):
    """The list holds something else."""


@dataclass
class _Match:
    """One attention.

    Attributes:
        members: operations of the pattern.
        inside: names that only members may read.
        sources: where q, k and v come from: three names, or one three times.
        results: names of their gradients.
    """

    forward: list[int] = field(default_factory=list)
    backward: list[int] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    sources: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def fuse_attention(items: OpList, softmax: int) -> None:
    """Fuse the attention around a causal_softmax, if it is one."""
    try:
        _fuse(items, softmax)
    except _NoMatch:
        return


def _fuse(items: OpList, softmax: int) -> None:
    match = _Match()
    forward = _Forward(items, softmax, match)
    attributes = forward.attributes
    backward = None
    if len(items.readers.get(forward.p, [])) > 1:
        backward = _Backward(items, forward, match)
        attributes["gradient_max"] = backward.gradient_max
    members = {*match.forward, *match.backward}
    if not all(items.is_private(name, members) for name in match.inside):
        raise _NoMatch
    stats = f"{forward.merged}/stats" if backward else ""
    whole = Op("attention", match.sources, (forward.merged, stats), attributes)
    if backward is not None:
        inputs = (*match.sources, stats, backward.dmerged)
        grad = Op("attention_grad", inputs, match.results, attributes)
        # As early as it can be: the projections' gradients are read before the pattern ends.
        items.replace(match.backward, min(match.backward), grad)
    items.replace(match.forward, max(match.forward), whole)


def _writer(items: OpList, name: str, kind: str) -> int:
    index = items.get_writer(name, kind)
    if index is None:
        raise _NoMatch
    return index


def _reader(items: OpList, name: str, kind: str, position: int = 0) -> int:
    index = items.get_reader(name, kind, position)
    if index is None:
        raise _NoMatch
    return index


def _product(items: OpList, a: str, b: str, a_k_first: bool, b_k_first: bool) -> int:
    """Find the one batched product of two names with these layouts."""
    found = [
        index
        for index in items.readers.get(a, [])
        if (op := items.ops[index]) is not None
        and op.kind == "matmul"
        and op.inputs == (a, b)
        and not op.attributes["flatten"]
        and (bool(op.attributes["a_k_first"]), bool(op.attributes["b_k_first"]))
        == (a_k_first, b_k_first)
    ]
    if len(found) != 1:
        raise _NoMatch
    return found[0]


def _ensure_same(values: list[int]) -> int:
    if len(set(values)) != 1:
        raise _NoMatch
    return values[0]


class _Forward:
    """The forward half: from heads to merged heads."""

    def __init__(self, items: OpList, softmax: int, match: _Match):
        self._items, self._match = items, match
        op = items.get(softmax)
        (scores,), (self.p,) = op.inputs, op.outputs
        product = _writer(items, scores, "matmul")
        self.q, self.k = items.get(product).inputs
        if _product(items, self.q, self.k, False, False) != product:
            raise _NoMatch
        values = _find_values(items, self.p)
        self.v = items.get(values).inputs[1]
        (o,) = items.get(values).outputs
        merge = _reader(items, o, "merge_heads")
        (self.merged,) = items.get(merge).outputs
        match.forward += [softmax, product, values, merge]
        match.inside += [scores, self.p, o]
        self.repeats = 1
        self.theta: Attributes = {}
        self.q0, self.k0 = self._undo_rotate(self.q, False), self._undo_rotate(self.k, True)
        self.v0 = self._undo_repeat(self.v)
        self.is_packed = items.get_writer(self.q0, "split_heads") is not None
        num_heads = self._undo_heads()
        self.product, self.mix = items.get(product).attributes, items.get(values).attributes
        self.attributes: dict[str, int | float | bool] = {
            **op.attributes,
            **self.theta,
            "num_heads": num_heads,
            "num_kv_heads": num_heads // self.repeats,
            "activation_max": self._get_activation_max(),
            "softmax_max": int(self.mix["a_max"]),
            "gradient_max": int(self.product["a_max"]),
            "block_size": self._get_block_size(),
            "packed": self.is_packed,
        }

    def _take(self, index: int) -> Op:
        op = self._items.get(index)
        self._match.forward.append(index)
        self._match.inside += op.outputs
        return op

    def _undo_repeat(self, name: str) -> str:
        index = self._items.get_writer(name, "repeat_heads")
        if index is None:
            if self.repeats != 1:
                raise _NoMatch
            return name
        op = self._take(index)
        repeats = int(op.attributes["repeats"])
        if self.repeats not in (1, repeats):
            raise _NoMatch
        self.repeats = repeats
        return op.inputs[0]

    def _undo_rotate(self, name: str, is_key: bool) -> str:
        op = self._take(_writer(self._items, self._undo_repeat(name) if is_key else name, "rotate"))
        if is_key and op.attributes != self.theta:
            raise _NoMatch
        self.theta = op.attributes
        return op.inputs[0]

    def _undo_heads(self) -> int:
        if self.is_packed:
            op = self._take(_writer(self._items, self.q0, "split_heads"))
            if op.outputs != (self.q0, self.k0, self.v0) or self.repeats != 1:
                raise _NoMatch
            self._match.sources = op.inputs * 3
            return int(op.attributes["num_heads"])
        sources, counts = [], []
        for name in (self.q0, self.k0, self.v0):
            op = self._take(_writer(self._items, name, "merge_heads_grad"))
            sources.append(op.inputs[0])
            counts.append(int(op.attributes["num_heads"]))
        if counts[1] != counts[2] or counts[0] != counts[1] * self.repeats:
            raise _NoMatch
        self._match.sources = tuple(sources)
        return counts[0]

    def _get_activation_max(self) -> int:
        names = [self.product["a_max"], self.product["b_max"], self.mix["b_max"]]
        return _ensure_same([int(value) for value in names])

    def _get_block_size(self) -> int:
        size = _ensure_same([int(self.product["block_size"]), int(self.mix["block_size"])])
        # Rows are taken by such blocks, of whole panels.
        if size % MIN_BLOCK or not MIN_BLOCK <= size <= MAX_BLOCK:
            raise _NoMatch
        return size


def _find_values(items: OpList, p: str) -> int:
    found = [
        index
        for index in items.readers.get(p, [])
        if (op := items.ops[index]) is not None
        and op.kind == "matmul"
        and op.inputs[0] == p
        and not op.attributes["a_k_first"]
        and op.attributes["b_k_first"]
        and not op.attributes["flatten"]
    ]
    if len(found) != 1:
        raise _NoMatch
    return found[0]


class _Backward:
    """The backward half: from the gradient of the merged heads to those of q, k and v."""

    def __init__(self, items: OpList, forward: _Forward, match: _Match):
        self._items, self._match = items, match
        softmax = _reader(items, forward.p, "causal_softmax_grad", 1)
        dp = items.get(softmax).inputs[0]
        (dscores,) = items.get(softmax).outputs
        to_dp = _writer(items, dp, "matmul")
        do = items.get(to_dp).inputs[0]
        merge = _writer(items, do, "merge_heads_grad")
        (self.dmerged,) = items.get(merge).inputs
        products = {
            "dp": _product(items, do, forward.v, False, False),
            "dv": _product(items, forward.p, do, True, True),
            "dq": _product(items, dscores, forward.k, False, True),
            "dk": _product(items, dscores, forward.q, True, True),
        }
        if products["dp"] != to_dp:
            raise _NoMatch
        match.backward += [softmax, merge, *products.values()]
        match.inside += [dp, dscores, do]
        self.gradient_max = self._check_precision(forward, products)
        dq, dk, dv = (self._result(products[name]) for name in ("dq", "dk", "dv"))
        repeats = forward.repeats
        dq = self._follow(dq, "rotate_grad", forward.theta)
        dk = self._follow(self._follow_repeat(dk, repeats), "rotate_grad", forward.theta)
        dv = self._follow_repeat(dv, repeats)
        if forward.is_packed:
            split = _reader(items, dq, "split_heads_grad")
            if items.get(split).inputs != (dq, dk, dv):
                raise _NoMatch
            match.backward.append(split)
            match.results = items.get(split).outputs * 3
            match.inside += [dq, dk, dv]
            return
        match.results = tuple(self._follow(name, "merge_heads", None) for name in (dq, dk, dv))
        match.inside = [name for name in match.inside if name not in match.results]

    def _check_precision(self, forward: _Forward, products: dict[str, int]) -> int:
        attributes = {name: self._items.get(index).attributes for name, index in products.items()}
        activation = forward.attributes["activation_max"]
        wanted = [
            attributes["dp"]["b_max"] == activation,
            attributes["dq"]["b_max"] == activation,
            attributes["dk"]["b_max"] == activation,
            attributes["dv"]["a_max"] == forward.attributes["softmax_max"],
            all(a["block_size"] == forward.attributes["block_size"] for a in attributes.values()),
        ]
        if not all(wanted):
            raise _NoMatch
        gradients = [("dp", "a_max"), ("dq", "a_max"), ("dk", "a_max"), ("dv", "b_max")]
        return _ensure_same([int(attributes[name][key]) for name, key in gradients])

    def _result(self, index: int) -> str:
        (name,) = self._items.get(index).outputs
        self._match.inside.append(name)
        return name

    def _follow(self, name: str, kind: str, attributes: Attributes | None) -> str:
        index = _reader(self._items, name, kind)
        op = self._items.get(index)
        if attributes is not None and op.attributes != attributes:
            raise _NoMatch
        self._match.backward.append(index)
        self._match.inside.append(op.outputs[0])
        return op.outputs[0]

    def _follow_repeat(self, name: str, repeats: int) -> str:
        if repeats == 1:
            return name
        return self._follow(name, "repeat_heads_grad", {"repeats": repeats})
