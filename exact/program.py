"""Programs: static lists of operations over named tensors, and their vector-Jacobian rules.

A training step is one list: forward, backward, optimiser. Every tensor is written once, so a list
can be replayed, cut and compared name by name. Backends execute lists; what each kind computes,
to the last bit, is defined by `backends/numpy_backend.py`.

| kind                  | inputs -> outputs                                                     |
|-----------------------|-----------------------------------------------------------------------|
| embed                 | tokens_BT, table_VC -> x_BTC                                          |
| embed_grad            | tokens_BT, dx_BTC -> dtable_VC                                        |
| add                   | a, b -> a + b                                                         |
| rms_norm              | x_BTC -> y_BTC, inverse_BT1                                           |
| rms_norm_grad         | dy, y, inverse -> dx                                                  |
| matmul                | a, b -> c = A * B^T; A is a [.., M, K] or [.., K, M], B likewise      |
| split_heads           | qkv_BT(3C) -> q_BHTD, k_BHTD, v_BHTD                                  |
| split_heads_grad      | dq, dk, dv -> dqkv                                                    |
| merge_heads           | x_BHTD -> x_BTC                                                       |
| merge_heads_grad      | x_BTC -> x_BHTD                                                       |
| rotate                | x_BHTD -> rotary position encoding of x                               |
| rotate_grad           | dy -> the inverse rotation of dy                                      |
| causal_softmax        | scores_BHTT -> p_BHTT                                                 |
| causal_softmax_grad   | dp, p -> dscores                                                      |
| relu_square           | x -> max(x, 0)^2                                                      |
| relu_square_grad      | dy, x -> dx                                                           |
| cross_entropy         | logits_BTV, targets_BT -> nanonats_BT (int64), p_BTV                  |
| cross_entropy_grad    | p_BTV, targets_BT -> dlogits of the mean                              |
| advance               | t -> t + 1                                                            |
| clip_scale            | gradients ... -> min(1, clip / global norm)                           |
| scale                 | gradient, scalar -> product                                           |
| adamw                 | param, gradient, m, v, t -> param, m, v                               |

Matmul attributes: `a_k_first` and `b_k_first` say that the contraction is the last axis but one
of that operand; `flatten` says that leading axes are rows of one matrix, not a batch. Quantising
is passed through by the gradient rules: they are those of the unquantised operation.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from exact.config import ModelConfig, OptimiserConfig
from exact.state import ADAM_M_PREFIX, ADAM_T_NAME, ADAM_V_PREFIX, PARAM_PREFIX

Attributes = Mapping[str, int | float | bool]

TOKENS = "tokens"
TARGETS = "targets"
LOSSES = "nanonats"
LOGITS = "logits"
NEXT_SUFFIX = "/next"


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        kind: a row of the table above.
        inputs: names read.
        outputs: names written; an empty name is an output nobody reads.
        attributes: constants of the operation.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """What backends execute for one model and optimiser.

    Attributes:
        model, optimiser: what it was built from.
        batch_size: sequences a training step.
        param_shapes: parameter name without prefix -> shape.
        evaluate_ops: tokens and targets -> logits, nanonats.
        step_ops: tokens, targets and a state -> the next state under names with NEXT_SUFFIX.
    """

    model: ModelConfig
    optimiser: OptimiserConfig
    batch_size: int
    param_shapes: Mapping[str, tuple[int, ...]]
    evaluate_ops: tuple[Op, ...]
    step_ops: tuple[Op, ...]

    @cached_property
    def state_layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name -> (dtype name, shape) of an interval state."""
        layout: dict[str, tuple[str, tuple[int, ...]]] = {ADAM_T_NAME: ("I64", ())}
        for name, shape in self.param_shapes.items():
            for prefix in (PARAM_PREFIX, ADAM_M_PREFIX, ADAM_V_PREFIX):
                layout[prefix + name] = ("F32", shape)
        return layout

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the step's listing: equal digests compute equal steps."""
        listing = [
            [op.kind, op.inputs, op.outputs, sorted(op.attributes.items())] for op in self.step_ops
        ]
        return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).digest()


def compute_last_uses(ops: Sequence[Op]) -> list[list[str]]:
    """Return, for each operation, the names that nothing after it reads."""
    seen: set[str] = set()
    dead: list[list[str]] = []
    for op in reversed(ops):
        names = sorted({n for n in (*op.inputs, *op.outputs) if n} - seen)
        seen.update(names)
        dead.append(names)
    return dead[::-1]


# ------------------------------------------------------------------------- vector-Jacobian rules
Rule = Callable[["Differentiator", Op, Sequence[str | None]], None]


class Differentiator:
    """Appends the backward pass of a forward list.

    Gradients of a tensor that is read more than once are added in the order in which the backward
    pass meets the readers, which is the reverse of the list: that order is part of the program.
    """

    def __init__(self, forward_ops: Sequence[Op], frozen: set[str]):
        """Prepare.

        Args:
            forward_ops: ends in a cross_entropy.
            frozen: names that get no gradient (tokens, targets).
        """
        self._forward_ops = forward_ops
        self._frozen = frozen
        self._gradients: dict[str, str] = {}
        self._num_terms: dict[str, int] = {}
        self.ops: list[Op] = []

    def run(self) -> dict[str, str]:
        """Emit the backward pass.

        Returns:
            tensor name -> name of its gradient.
        """
        for op in reversed(self._forward_ops):
            gradients = [self._gradients.get(name) for name in op.outputs]
            if op.kind == "cross_entropy" or any(gradients):
                _RULES[op.kind](self, op, gradients)
        return self._gradients

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
        if target in self._frozen:
            return
        if target not in self._gradients:
            self._gradients[target] = term
            return
        total = self._name_term(target)
        self.ops.append(Op("add", (self._gradients[target], term), (total,)))
        self._gradients[target] = total

    def _name_term(self, target: str) -> str:
        count = self._num_terms[target] = self._num_terms.get(target, 0) + 1
        return f"grad/{target}" if count == 1 else f"grad/{target}/{count}"


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
    flatten = bool(op.attributes["flatten"])

    def emit(left: str, left_first: bool, right: str, right_first: bool, target: str) -> None:
        attributes = {"a_k_first": left_first, "b_k_first": right_first, "flatten": flatten}
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


def _cross_entropy_rule(d: Differentiator, op: Op, gradients: Sequence[str | None]) -> None:
    logits, targets = op.inputs
    d.emit("cross_entropy_grad", (op.outputs[1], targets), logits, op.attributes)


_RULES: dict[str, Rule] = {
    "embed": _embed_rule,
    "add": _add_rule,
    "rms_norm": _rms_norm_rule,
    "matmul": _matmul_rule,
    "split_heads": _inverse_rule("split_heads_grad"),
    "merge_heads": _inverse_rule("merge_heads_grad"),
    "rotate": _inverse_rule("rotate_grad"),
    "causal_softmax": _causal_softmax_rule,
    "relu_square": _relu_square_rule,
    "cross_entropy": _cross_entropy_rule,
}


# ------------------------------------------------------------------------------- training step
def build_step_ops(
    forward_ops: Sequence[Op], param_names: Sequence[str], optimiser: OptimiserConfig
) -> tuple[Op, ...]:
    """Extend a forward list with its backward pass and the optimiser.

    Args:
        forward_ops: reads `param/<name>`, tokens and targets; ends in a cross_entropy.
        param_names: without prefix; every one is updated, in this order.
        optimiser: AdamW's numbers.

    Returns:
        The whole step; outputs are the state's names with NEXT_SUFFIX.
    """
    differentiator = Differentiator(forward_ops, {TOKENS, TARGETS})
    gradients = differentiator.run()
    ops = [*forward_ops, *differentiator.ops]
    names = {name: gradients[PARAM_PREFIX + name] for name in param_names}
    if optimiser.gradient_clip:
        clip = {"gradient_clip": optimiser.gradient_clip}
        ops.append(Op("clip_scale", tuple(names.values()), ("clip_scale",), clip))
        for name, gradient in names.items():
            names[name] = f"clipped/{name}"
            ops.append(Op("scale", (gradient, "clip_scale"), (names[name],)))
    ops.append(Op("advance", (ADAM_T_NAME,), (ADAM_T_NAME + NEXT_SUFFIX,)))
    ops.extend(_build_adamw(name, gradient, optimiser) for name, gradient in names.items())
    return tuple(ops)


def _build_adamw(name: str, gradient: str, optimiser: OptimiserConfig) -> Op:
    param, m, v = PARAM_PREFIX + name, ADAM_M_PREFIX + name, ADAM_V_PREFIX + name
    return Op(
        "adamw",
        (param, gradient, m, v, ADAM_T_NAME + NEXT_SUFFIX),
        (param + NEXT_SUFFIX, m + NEXT_SUFFIX, v + NEXT_SUFFIX),
        {
            "learning_rate": optimiser.learning_rate,
            "beta1": optimiser.beta1,
            "beta2": optimiser.beta2,
            "epsilon": optimiser.epsilon,
            "weight_decay": optimiser.weight_decay,
            "warmup_steps": optimiser.warmup_steps,
        },
    )
