"""Programs: static lists of operations over named tensors, and their vector-Jacobian rules.

A training step is one list: forward, backward, optimiser. Every tensor is written once, so a list
can be replayed, cut and compared name by name. Backends execute lists; what each kind computes,
to the last bit, is defined by `backends/numpy_backend.py`.

| kind                  | inputs -> outputs                                                     |
|-----------------------|-----------------------------------------------------------------------|
| embed                 | tokens_BT, table_VC -> x_BTC                                          |
| embed_grad            | tokens_BT, dx_BTC -> dtable_VC                                        |
| add                   | a, b -> a + b                                                         |
| silu_gate             | gate, up -> silu(gate) * up                                           |
| silu_gate_grad        | da, gate, up -> dgate, dup                                            |
| rms_norm              | x_BTC -> y_BTC, inverse_BT1                                           |
| rms_norm_grad         | dy, y, inverse -> dx                                                  |
| gain                  | y_BTC, weight_C -> y * weight                                         |
| gain_grad             | dz, y -> dweight                                                      |
| matmul                | a, b -> c = A * B^T; A is a [.., M, K] or [.., K, M], B likewise      |
| split_heads           | qkv_BT(3C) -> q_BHTD, k_BHTD, v_BHTD                                  |
| split_heads_grad      | dq, dk, dv -> dqkv                                                    |
| merge_heads           | x_BHTD -> x_BTC                                                       |
| merge_heads_grad      | x_BTC -> x_BHTD; forward too, where q, k and v are projected apart     |
| repeat_heads          | x_BGTD -> x_BHTD: each head `repeats` times in a row                  |
| repeat_heads_grad     | dy_BHTD -> dx_BGTD                                                    |
| rotate                | x_BHTD -> rotary position encoding of x                               |
| rotate_grad           | dy -> the inverse rotation of dy                                      |
| causal_softmax        | scores_BHTT -> p_BHTT                                                 |
| causal_softmax_grad   | dp, p -> dscores                                                      |
| relu_square           | x -> max(x, 0)^2                                                      |
| relu_square_grad      | dy, x -> dx                                                           |
| cross_entropy         | logits_BTV, targets_BT -> nanonats_BT (int64), p_BTV                  |
| cross_entropy_grad    | p_BTV, targets_BT -> dlogits of the mean                              |
| take_sequences        | x_B.. -> `count` sequences from `first` on                            |
| join_sequences        | parts -> one tensor                                                   |
| advance               | t -> t + 1                                                            |
| clip_scale            | gradients ... -> min(1, clip / global norm)                           |
| scale                 | gradient, scalar -> product                                           |
| adamw                 | param, gradient, m, v, t -> param, m, v                               |

Matmul attributes: `a_k_first` and `b_k_first` say that the contraction is the last axis but one
of that operand; `flatten` says that leading axes are rows of one matrix, not a batch; `a_max` and
`b_max` are the largest |q| of the quantised operands, `block_size` the elements of the contraction
that share a scale. Quantising is passed through by the gradient rules (`gradients.py`): they are
those of the unquantised operation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
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
