"""From roots and openings to a verdict about one element of one operation.

Two sides that disagree about a round find, by comparing roots, the first interval, step and
operation where they differ: everything before is agreed. The operands of that operation lie under
agreed roots, its output under a claimed one. Opening one element that is wrong, with its operands,
decides: `judge_element`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exact.errors import InvalidProof
from exact.program import NEXT_SUFFIX, TARGETS, TOKENS, Op
from exact.referee.elements import gather_operands, recompute_element
from exact.referee.errors import UnknownOperation, WrongElement
from exact.referee.openings import Layout, read_elements
from exact.state import LeafOpening

STATE = -1
DATA = -2


@dataclass(frozen=True)
class StepRoots:
    """What is known of a step.

    Attributes:
        state: root of the interval state before it (`exact.state.interval_root`).
        data: root of {tokens, targets} as [B, T] int64, which everybody can make.
        operations: operation index -> root of its outputs; those of earlier operations are agreed,
            that of the disputed one is claimed.
    """

    state: bytes
    data: bytes
    operations: Mapping[int, bytes]


@dataclass(frozen=True)
class ElementEvidence:
    """One element of one operation, opened with everything it is made of.

    Attributes:
        op_index: in the expanded list.
        output_index: which output.
        element_index: position in it, C order.
        claim: the leaf that holds the claimed element.
        operands: for each input the leaves that hold the operands, ascending.
    """

    op_index: int
    output_index: int
    element_index: int
    claim: tuple[LeafOpening, ...]
    operands: tuple[tuple[LeafOpening, ...], ...]


def locate_operands(ops: Sequence[Op], op_index: int) -> list[int]:
    """Find where an operation's inputs were written.

    Returns:
        For each input the index of the operation that wrote it, or STATE, or DATA.
    """
    writers = {name: i for i, op in enumerate(ops[:op_index]) for name in op.outputs if name}
    return [
        DATA if name in (TOKENS, TARGETS) else writers.get(name, STATE)
        for name in ops[op_index].inputs
    ]


def select_layout(ops: Sequence[Op], layouts: Layout, source: int) -> Layout:
    """Return the layout of what lies under the root of a source."""
    if source == DATA:
        return {name: layouts[name] for name in (TOKENS, TARGETS)}
    if source == STATE:
        written = {name for op in ops for name in op.outputs}
        return {n: e for n, e in layouts.items() if n not in written and n not in (TOKENS, TARGETS)}
    return {name: layouts[name] for name in ops[source].outputs if name}


def judge_element(
    ops: Sequence[Op], layouts: Layout, roots: StepRoots, evidence: ElementEvidence
) -> np.ndarray:
    """Judge a claimed element.

    Args:
        ops: the step's expanded list (`reduce.expand_step`).
        layouts: dtype and shape of all its tensors (`shapes.compute_layouts`).
        roots: agreed, and claimed for the disputed operation.
        evidence: the element with its operands.

    Returns:
        The element, which is as claimed.

    Raises:
        WrongElement: the operation gives another value: the claim is refuted.
        InvalidProof: an opening does not lead to its root: the evidence is void.
        UnknownOperation: there is no such operation, output or element.
        InvalidStep: the operands make the step invalid: no claim can be right.
    """
    if not 0 <= evidence.op_index < len(ops):
        raise UnknownOperation(f"the step has no operation {evidence.op_index}")
    op = ops[evidence.op_index]
    shapes = [layouts[name][1] for name in op.inputs]
    sources = locate_operands(ops, evidence.op_index)
    if len(evidence.operands) != len(op.inputs):
        raise InvalidProof(f"{op.kind} has {len(op.inputs)} inputs")

    def read(index: int, positions: np.ndarray) -> np.ndarray:
        source = sources[index]
        layout = select_layout(ops, layouts, source)
        root = _get_root(roots, source)
        return read_elements(root, layout, op.inputs[index], positions, evidence.operands[index])

    args = (op, shapes, evidence.element_index, evidence.output_index)
    opened = gather_operands(*args, read)
    name = op.outputs[evidence.output_index]
    if not name:
        raise UnknownOperation(f"output {evidence.output_index} of {op.kind} is not kept")
    claimed = read_elements(
        _get_root(roots, evidence.op_index),
        select_layout(ops, layouts, evidence.op_index),
        name,
        np.array([evidence.element_index]),
        evidence.claim,
    )[0]
    value = recompute_element(op, evidence.element_index, opened, shapes, evidence.output_index)
    if value.tobytes() != claimed.tobytes():
        raise WrongElement(
            f"{op.kind} gives {value!r} for element {evidence.element_index} of {name}, "
            f"{claimed!r} is claimed"
        )
    return value


def judge_next_state(
    ops: Sequence[Op],
    layouts: Layout,
    roots: StepRoots,
    next_root: bytes,
    name: str,
    element_index: int,
    written: Sequence[LeafOpening],
    claimed: Sequence[LeafOpening],
) -> None:
    """Judge whether the state after a step holds what its last operations wrote.

    Args:
        name: of a tensor of the state.
        next_root: claimed root of the state after the step.
        written: the leaf of the operation that wrote name + NEXT_SUFFIX.
        claimed: the leaf of the state after the step.

    Raises:
        WrongElement: they differ.
        InvalidProof: an opening does not lead to its root.
    """
    output = name + NEXT_SUFFIX
    source = next(i for i, op in enumerate(ops) if output in op.outputs)
    at = np.array([element_index])
    layout = select_layout(ops, layouts, source)
    value = read_elements(_get_root(roots, source), layout, output, at, written)[0]
    state_layout = select_layout(ops, layouts, STATE)
    stated = read_elements(next_root, state_layout, name, at, claimed)[0]
    if value.tobytes() != stated.tobytes():
        raise WrongElement(f"the step writes {value!r} to {name}, the next state has {stated!r}")


def _get_root(roots: StepRoots, source: int) -> bytes:
    if source == STATE:
        return roots.state
    if source == DATA:
        return roots.data
    if source not in roots.operations:
        raise InvalidProof(f"no root of operation {source} is known")
    return roots.operations[source]
