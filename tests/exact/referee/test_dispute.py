"""From a committed trace root down to one element: openings at every level, every flipped bit."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from exact.errors import ExactError, InvalidProof
from exact.referee.dispute import (
    ElementEvidence,
    StepRoots,
    judge_element,
    judge_next_state,
)
from exact.referee.errors import UnknownOperation, WrongElement
from exact.referee.openings import (
    list_leaves,
    open_elements,
    open_root,
    read_elements,
    verify_root,
)
from exact.referee.trace import StepTrace
from exact.state import (
    LeafOpening,
    State,
    compute_state_root,
    compute_trace_root,
    get_layout,
    interval_root,
)
from tests.exact.referee.steps import MODELS, record


def flip(data: bytes, bit: int) -> bytes:
    """Flip one bit of a string."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def pick_ops(trace: StepTrace) -> list[int]:
    """Pick one operation of every kind."""
    return list({op.kind: i for i, op in enumerate(trace.ops)}.values())


def judge(trace: StepTrace, roots: StepRoots, evidence: ElementEvidence) -> np.ndarray:
    return judge_element(trace.ops, trace.layouts, roots, evidence)


def choose_element(trace: StepTrace, op_index: int, rng: np.random.Generator) -> tuple[int, int]:
    op = trace.ops[op_index]
    output = int(rng.choice([i for i, name in enumerate(op.outputs) if name]))
    return output, int(rng.integers(trace.outputs[op_index][op.outputs[output]].size))


@pytest.mark.parametrize("name", MODELS)
def test_true_elements_of_every_kind(name: str) -> None:
    trace, rng = record(name), np.random.default_rng(4)
    roots = trace.compute_roots()
    for index in pick_ops(trace):
        output, element = choose_element(trace, index, rng)
        judge(trace, roots, trace.open_element(index, element, output))


@pytest.mark.parametrize("name", MODELS)
def test_any_flipped_bit_of_an_opened_operand_is_found(name: str) -> None:
    """Bits of every opened leaf, claimed and operands, and of its path."""
    trace, rng = record(name), np.random.default_rng(5)
    roots = trace.compute_roots()
    for index in pick_ops(trace):
        output, element = choose_element(trace, index, rng)
        evidence = trace.open_element(index, element, output)
        for change in list_changes(evidence, rng):
            with pytest.raises(ExactError) as raised:
                judge(trace, roots, change)
            assert isinstance(raised.value, InvalidProof), trace.ops[index].kind


def list_changes(evidence: ElementEvidence, rng: np.random.Generator) -> list[ElementEvidence]:
    """List copies of evidence with one bit flipped somewhere: in each leaf, in a path."""
    changed = []

    def vary(openings: tuple[LeafOpening, ...], put: Callable[..., ElementEvidence]) -> None:
        for i in sorted({0, len(openings) - 1} if openings else set()):
            leaf = openings[i]
            bits = {0, 8 * len(leaf.leaf) - 1, int(rng.integers(8 * len(leaf.leaf)))}
            others = [dataclasses.replace(leaf, leaf=flip(leaf.leaf, bit)) for bit in bits]
            if leaf.path:
                path = (flip(leaf.path[0], int(rng.integers(256))), *leaf.path[1:])
                others.append(dataclasses.replace(leaf, path=path))
            changed.extend(put((*openings[:i], other, *openings[i + 1 :])) for other in others)

    vary(evidence.claim, lambda o: dataclasses.replace(evidence, claim=o))
    for k, operand in enumerate(evidence.operands):
        vary(
            operand,
            lambda o, k=k: dataclasses.replace(
                evidence, operands=(*evidence.operands[:k], o, *evidence.operands[k + 1 :])
            ),
        )
    return changed


@pytest.mark.parametrize("name", MODELS)
def test_any_flipped_bit_of_a_committed_result_is_found(name: str) -> None:
    """A cheat that commits to a wrong tensor, with proofs that fit it, is refuted."""
    trace, rng = record(name), np.random.default_rng(6)
    honest = trace.compute_operation_roots()
    for index in pick_ops(trace):
        output, element = choose_element(trace, index, rng)
        tensor_name = trace.ops[index].outputs[output]
        tensor = trace.outputs[index][tensor_name]
        for bit in sorted({0, 1, int(rng.integers(8 * tensor.itemsize))}):
            forged = tensor.copy()
            data = forged.reshape(-1).view(np.uint8).reshape(-1)
            data[element * tensor.itemsize + bit // 8] ^= 1 << bit % 8
            try:
                cheat = replace_output(trace, index, {tensor_name: forged})
                roots = [*honest]
                roots[index] = compute_state_root(cheat.outputs[index])
            except ExactError:
                continue  # no finite number any more: it cannot be committed to
            if roots[index] == honest[index]:
                continue  # the sign of a zero
            with pytest.raises(WrongElement, match="is claimed"):
                judge(trace, trace.compute_roots(roots), cheat.open_element(index, element, output))


def replace_output(trace: StepTrace, index: int, tensors: State) -> StepTrace:
    outputs = list(trace.outputs)
    outputs[index] = {**outputs[index], **tensors}
    return dataclasses.replace(trace, outputs=tuple(outputs))


def test_from_the_trace_root_to_an_element() -> None:
    """Interval, step, operation, tensor, leaf: each level opened against the one above."""
    trace = record("llama")
    interval_roots = [interval_root(trace.state), b"\x07" * 32, b"\x08" * 32]
    step_roots = [interval_root(trace.state), b"\x01" * 32, b"\x07" * 32]
    trace_root, steps_root = compute_trace_root(interval_roots), compute_trace_root(step_roots)
    start = verify_root(trace_root, 3, open_root(interval_roots, 0))
    assert verify_root(steps_root, 3, open_root(step_roots, 0)) == start
    index = next(i for i, op in enumerate(trace.ops) if op.kind == "silu_gate_grad")
    operation_roots = trace.compute_operation_roots()
    num_ops = len(trace.ops)
    opened = verify_root(trace.compute_root(), num_ops, open_root(operation_roots, index))
    roots = dataclasses.replace(
        trace.compute_roots(), state=start, operations=dict(enumerate(operation_roots))
    )
    assert roots.operations[index] == opened
    judge(trace, roots, trace.open_element(index, 5, 1))
    opening = open_root(operation_roots, index)
    for wrong in (
        dataclasses.replace(opening, index=index + 1),
        dataclasses.replace(opening, num_roots=opening.num_roots - 1),
        dataclasses.replace(opening, root=flip(opening.root, 77)),
        dataclasses.replace(opening, root=opening.root[:31]),
        dataclasses.replace(opening, path=opening.path[1:]),
    ):
        with pytest.raises(InvalidProof):
            verify_root(trace.compute_root(), num_ops, wrong)


def test_the_next_state_is_what_the_step_wrote() -> None:
    trace = record("gpt")
    name, element = "param/layer0001/mlp_in", 100
    index, written = next(
        (i, made[name + "/next"]) for i, made in enumerate(trace.outputs) if name + "/next" in made
    )
    after = dict(trace.state)
    for made in trace.outputs:
        after.update({n.removesuffix("/next"): t for n, t in made.items() if n.endswith("/next")})
    at = np.array([element])
    opened = open_elements(trace.outputs[index], name + "/next", at)
    args = (trace.ops, trace.layouts, trace.compute_roots())
    true = open_elements(after, name, at)
    judge_next_state(*args, interval_root(after), name, element, opened, true)
    after[name] = written.copy()
    after[name].reshape(-1)[element] += 1
    false = open_elements(after, name, at)
    with pytest.raises(WrongElement, match="the next state has"):
        judge_next_state(*args, interval_root(after), name, element, opened, false)


def test_missing_or_foreign_leaves() -> None:
    rng = np.random.default_rng(0)
    tensors = {"a": rng.random((40, 60), np.float32), "b": np.arange(900)}
    root, layout = compute_state_root(tensors), get_layout(tensors)
    at = np.array([3, 1030, 2399])
    openings = open_elements(tensors, "a", at)
    assert list_leaves(layout, "a", at) == [1, 2, 3]
    values = read_elements(root, layout, "a", at, openings)
    assert np.array_equal(values, tensors["a"].reshape(-1)[at])
    assert open_elements(tensors, "a", at[:0]) == ()
    integers = read_elements(root, layout, "b", at[:1], open_elements(tensors, "b", at[:1]))
    assert integers.tolist() == [3]
    for wrong in (openings[:2], openings[::-1], open_elements(tensors, "b", at[:1]), ()):
        with pytest.raises(InvalidProof):
            read_elements(root, layout, "a", at, wrong)


def test_evidence_that_does_not_fit() -> None:
    trace = record("gpt")
    roots = trace.compute_roots()
    evidence = trace.open_element(3, 0)
    with pytest.raises(UnknownOperation):
        judge(trace, roots, dataclasses.replace(evidence, op_index=len(trace.ops)))
    with pytest.raises(InvalidProof):
        judge(trace, roots, dataclasses.replace(evidence, operands=()))
    with pytest.raises(InvalidProof):
        judge(trace, dataclasses.replace(roots, operations={}), evidence)
    with pytest.raises(InvalidProof):
        judge(trace, roots, dataclasses.replace(evidence, element_index=2000))
