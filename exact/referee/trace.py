"""A step recorded operation by operation: its roots, and evidence about any element.

Made when somebody asks: it holds every tensor of a step in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exact.backends.base import Backend
from exact.program import TARGETS, TOKENS, Op, Program
from exact.referee.dispute import DATA, STATE, ElementEvidence, StepRoots, locate_operands
from exact.referee.elements import gather_operands
from exact.referee.openings import open_elements
from exact.referee.reduce import expand_op, run_intermediate
from exact.referee.shapes import compute_layouts
from exact.state import State, compute_state_root, compute_trace_root, get_layout, select_interval


@dataclass(frozen=True)
class StepTrace:
    """Every tensor of one step.

    Attributes:
        ops: the expanded list.
        state: the interval state before the step.
        data: tokens and targets.
        outputs: for each operation its outputs by name.
    """

    ops: tuple[Op, ...]
    state: State
    data: State
    outputs: tuple[State, ...]

    @property
    def layouts(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Dtype and shape of every tensor."""
        return compute_layouts(self.ops, {**get_layout(self.state), **get_layout(self.data)})

    def compute_operation_roots(self) -> list[bytes]:
        """Compute the root of each operation's outputs."""
        return [compute_state_root(outputs) for outputs in self.outputs]

    def compute_root(self) -> bytes:
        """Compute the step's root: over the roots of its operations."""
        return compute_trace_root(self.compute_operation_roots())

    def compute_roots(self, operation_roots: Sequence[bytes] | None = None) -> StepRoots:
        """Compute what a judge needs to know."""
        roots = self.compute_operation_roots() if operation_roots is None else operation_roots
        return StepRoots(
            compute_state_root(self.state), compute_state_root(self.data), dict(enumerate(roots))
        )

    def get_source(self, source: int) -> State:
        """Return the tensors under the root of a source."""
        if source == STATE:
            return self.state
        return self.data if source == DATA else self.outputs[source]

    def open_element(
        self, op_index: int, element_index: int, output_index: int = 0
    ) -> ElementEvidence:
        """Open one element with everything it is made of."""
        op = self.ops[op_index]
        sources = [self.get_source(source) for source in locate_operands(self.ops, op_index)]
        shapes = [sources[i][name].shape for i, name in enumerate(op.inputs)]
        positions: list[np.ndarray] = [np.zeros(0, np.int64)] * len(op.inputs)

        def read(index: int, wanted: np.ndarray) -> np.ndarray:
            positions[index] = wanted
            values: np.ndarray = sources[index][op.inputs[index]].reshape(-1)[wanted]
            return values

        gather_operands(op, shapes, element_index, output_index, read)
        name = op.outputs[output_index]
        return ElementEvidence(
            op_index,
            output_index,
            element_index,
            open_elements(self.outputs[op_index], name, np.array([element_index])),
            tuple(
                open_elements(sources[i], input_name, positions[i])
                for i, input_name in enumerate(op.inputs)
            ),
        )


def record_step(backend: Backend, program: Program, state: State, batch: np.ndarray) -> StepTrace:
    """Run one step and keep every tensor of it.

    Args:
        backend: any; all give the same bits.
        program: from `build_program`.
        state: an interval state.
        batch: integers [B, L + 1].

    Raises:
        InvalidStep: a NaN or an infinity appeared.
    """
    before = select_interval(state)
    batch = np.asarray(batch, np.int64)
    data = {TOKENS: batch[:, :-1].copy(), TARGETS: batch[:, 1:].copy()}
    env: State = {**before, **data}
    ops: list[Op] = []
    outputs: list[State] = []
    steps = backend.trace_step(program, before, batch)
    for op, made in zip(program.step_ops, steps, strict=True):
        parts = expand_op(op)
        between = run_intermediate(op, {name: env[name] for name in op.inputs})
        outputs += [{name: between[name] for name in part.outputs} for part in parts[:-1]]
        outputs.append(made)
        ops += parts
        env.update(made)
    return StepTrace(tuple(ops), before, data, tuple(outputs))
