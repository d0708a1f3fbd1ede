"""Vector-Jacobian rules: the backward pass of a forward list, itself a list of operations.

`Differentiator` walks the forward segments from the last to the first. With `recompute`, the values
inside a layer are made again from the layer's input before its backward pass, under names with
AGAIN_PREFIX, so that no more than one layer's activations live at once; the bits are the same,
because the operations are.
"""

from collections.abc import Callable, Sequence

from exact.config import ModelConfig
from exact.program import Attributes, Op

AGAIN_PREFIX = "again/"

Rule = Callable[["Differentiator", Op, Sequence[str | None]], None]


class Differentiator:
    """Appends the backward pass of a forward list.

    Attributes:
        ops: what was emitted.

    Gradients of a tensor that is read more than once are added in the order in which the backward
    pass meets the readers, which is the reverse of the list: that order is part of the program.
    """

    def __init__(
        self,
        segments: Sequence[Sequence[Op]],
        frozen: set[str],
        model: ModelConfig,
        recompute: bool = False,
        num_parts: int = 1,
    ):
        """Prepare.

        Args:
            segments: the forward list, cut into embedding, layers and head; the head ends in a
                cross_entropy.
            frozen: names that get no gradient (tokens, targets).
            model: says how gradients are quantised.
            recompute: make a layer's values again instead of keeping them.
            num_parts: parts that a step's batch is cut into; the loss is the mean over all.
        """
        self._segments = segments
        self._recompute = recompute
        self.model = model
        self.num_parts = num_parts
        self._softmax_names: set[str] = set()
        self._frozen = frozen
        self._gradients: dict[str, str] = {}
        self._num_terms: dict[str, int] = {}
        self.ops: list[Op] = []

    def run(self) -> dict[str, str]:
        """Emit the backward pass.

        Returns:
            tensor name -> name of its gradient.
        """
        last = len(self._segments) - 1
        for index in range(last, -1, -1):
            if self._recompute and 0 < index < last:
                self._run_again(self._segments[index])
            else:
                self._run_segment(self._segments[index])
        return self._gradients

    def _run_segment(self, ops: Sequence[Op]) -> None:
        for op in reversed(ops):
            gradients = [self._gradients.get(_get_key(name)) for name in op.outputs]
            if op.kind == "cross_entropy" or any(gradients):
                _RULES[op.kind](self, op, gradients)

    def _run_again(self, ops: Sequence[Op]) -> None:
        """Put what a segment's backward pass reads before it, made from the segment's inputs."""
        made = {name for op in ops for name in op.outputs}
        again = [_rename(op, made) for op in ops]
        start = len(self.ops)
        self._run_segment(again)
        needed = {name for op in self.ops[start:] for name in op.inputs}
        kept: list[Op] = []
        for op in reversed(again):
            if needed.intersection(op.outputs):
                kept.append(op)
                needed.update(op.inputs)
        self.ops[start:start] = kept[::-1]

    def get_gradient_max(self, gradient: str) -> int:
        """Get the largest |q| of a gradient as a matmul operand."""
        role = "softmax" if gradient in self._softmax_names else "gradient"
        return self.model.get_operand_max(role)

    def mark_softmax(self, target: str) -> None:
        """Note that the gradient of `target` comes out of a softmax."""
        self._softmax_names.add(self._gradients[_get_key(target)])

    def emit(self, kind: str, inputs: Sequence[str], target: str, attributes: Attributes) -> None:
        """Append an operation whose only output is a gradient term of `target`."""
        self.emit_many(kind, inputs, [target], attributes)

    def emit_many(
        self, kind: str, inputs: Sequence[str], targets: Sequence[str], attributes: Attributes
    ) -> None:
        """Append an operation whose outputs are gradient terms of the targets, in order."""
        terms = [self._name_term(target) for target in targets]
        self.ops.append(Op(kind, tuple(inputs), tuple(terms), dict(attributes)))
        for target, term in zip(targets, terms, strict=True):
            self.accumulate(target, term)

    def accumulate(self, target: str, term: str) -> None:
        """Make `term` part of the gradient of `target`."""
        target = _get_key(target)
        if target in self._frozen:
            return
        if target not in self._gradients:
            self._gradients[target] = term
            return
        total = self._name_term(target)
        self.ops.append(Op("add", (self._gradients[target], term), (total,)))
        self._gradients[target] = total

    def _name_term(self, target: str) -> str:
        target = _get_key(target)
        count = self._num_terms[target] = self._num_terms.get(target, 0) + 1
        return f"grad/{target}" if count == 1 else f"grad/{target}/{count}"


def _get_key(name: str) -> str:
    return name.removeprefix(AGAIN_PREFIX)


def _rename(op: Op, made: set[str]) -> Op:
    inputs = tuple(AGAIN_PREFIX + name if name in made else name for name in op.inputs)
    outputs = tuple(AGAIN_PREFIX + name if name else name for name in op.outputs)
    return Op(op.kind, inputs, outputs, op.attributes)


def _get(gradient: str | None) -> str:
    assert gradient is not None, "an output without a gradient reached its rule"
    return gradient


def _embed_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    tokens, table = op.inputs
    d.emit("embed_grad", (tokens, _get(gradients[0])), table, op.attributes)


def _add_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    for name in op.inputs:
        d.accumulate(name, _get(gradients[0]))


def _rms_norm_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    d.emit("rms_norm_grad", (_get(gradients[0]), *op.outputs), op.inputs[0], op.attributes)


def _matmul_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    a, b = op.inputs
    dc = _get(gradients[0])
    a_first, b_first = bool(op.attributes["a_k_first"]), bool(op.attributes["b_k_first"])
    largest = {a: op.attributes["a_max"], b: op.attributes["b_max"], dc: d.get_gradient_max(dc)}

    def emit(left: str, left_first: bool, right: str, right_first: bool, target: str) -> None:
        attributes = {
            "a_k_first": left_first,
            "b_k_first": right_first,
            "flatten": op.attributes["flatten"],
            "a_max": largest[left],
            "b_max": largest[right],
            "block_size": op.attributes["block_size"],
        }
        d.emit("matmul", (left, right), target, attributes)

    # dA = dC * B over the rows of B; dB = dC^T * A over the rows of A; stored as A and B are.
    if a_first:
        emit(b, not b_first, dc, False, a)
    else:
        emit(dc, False, b, not b_first, a)
    if b_first:
        emit(a, not a_first, dc, True, b)
    else:
        emit(dc, True, a, not a_first, b)


def _inverse_rule(kind: str) -> Rule:
    def rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
        d.emit_many(kind, [_get(g) for g in gradients], op.inputs, op.attributes)

    return rule


def _causal_softmax_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    inputs = (_get(gradients[0]), op.outputs[0])
    d.emit("causal_softmax_grad", inputs, op.inputs[0], op.attributes)


def _relu_square_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    d.emit("relu_square_grad", (_get(gradients[0]), op.inputs[0]), op.inputs[0], op.attributes)


def _silu_gate_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    d.emit_many("silu_gate_grad", (_get(gradients[0]), *op.inputs), op.inputs, op.attributes)


def _gain_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    y, weight = op.inputs
    dz = _get(gradients[0])
    d.emit("gain", (dz, weight), y, op.attributes)
    d.emit("gain_grad", (dz, y), weight, op.attributes)


def _cross_entropy_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    logits, targets = op.inputs
    attributes = {"parts": d.num_parts} if d.num_parts > 1 else {}
    d.emit("cross_entropy_grad", (op.outputs[1], targets), logits, attributes)
    d.mark_softmax(logits)


_RULES: dict[str, Rule] = {
    "embed": _embed_rule,
    "add": _add_rule,
    "silu_gate": _silu_gate_rule,
    "rms_norm": _rms_norm_rule,
    "gain": _gain_rule,
    "matmul": _matmul_rule,
    "split_heads": _inverse_rule("split_heads_grad"),
    "merge_heads": _inverse_rule("merge_heads_grad"),
    "merge_heads_grad": _inverse_rule("merge_heads"),
    "repeat_heads": _inverse_rule("repeat_heads_grad"),
    "rotate": _inverse_rule("rotate_grad"),
    "causal_softmax": _causal_softmax_rule,
    "relu_square": _relu_square_rule,
    "cross_entropy": _cross_entropy_rule,
}
