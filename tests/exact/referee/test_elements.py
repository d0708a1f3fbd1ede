"""One recomputed element equals the definition's tensor, for every operation of real steps."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exact.backends import load_backend
from exact.backends.numpy_backend import NumpyBackend
from exact.errors import InvalidStep
from exact.families import build_program
from exact.program import Op
from exact.referee.dispute import locate_operands
from exact.referee.elements import gather_operands, list_operands, recompute_element
from exact.referee.errors import UnknownOperation, WrongOperands
from exact.referee.kinds import RULES
from exact.referee.reduce import expand_op
from exact.referee.shapes import compute_output_shapes
from exact.referee.trace import StepTrace, record_step
from tests.exact.helpers import build_case
from tests.exact.referee.steps import MODELS, OPTIMISER, record

NUM_ELEMENTS = 12


def list_inputs(trace: StepTrace, op_index: int) -> list[np.ndarray]:
    op = trace.ops[op_index]
    sources = locate_operands(trace.ops, op_index)
    return [trace.get_source(s)[n] for s, n in zip(sources, op.inputs, strict=True)]


def recompute(op: Op, inputs: list[np.ndarray], element: int, output: int) -> np.ndarray:
    shapes = [x.shape for x in inputs]
    opened = gather_operands(
        op, shapes, element, output, lambda i, positions: inputs[i].reshape(-1)[positions]
    )
    return recompute_element(op, element, opened, shapes, output)


def assert_elements(op: Op, inputs: list[np.ndarray], outputs: list[np.ndarray | None]) -> int:
    """Compare the first, the last and random elements of every output; return how many."""
    rng = np.random.default_rng(len(op.inputs) + len(op.kind))
    count = 0
    shapes = compute_output_shapes(op, [x.shape for x in inputs])
    for output, (wanted, shape) in enumerate(zip(outputs, shapes, strict=True)):
        if wanted is None:
            continue
        assert wanted.shape == shape, op.kind
        flat = (wanted + wanted.dtype.type(0)).reshape(-1)
        chosen = {0, flat.size - 1, *rng.integers(0, flat.size, NUM_ELEMENTS).tolist()}
        for element in sorted(chosen):
            value = recompute(op, inputs, element, output)
            assert value.dtype == flat.dtype, op.kind
            assert value.tobytes() == flat[element].tobytes(), (op.kind, output, element)
        count += len(chosen)
    return count


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_operation_of_a_step(name: str, is_cut: bool) -> None:
    trace = record(name, is_cut)
    count = 0
    for index, op in enumerate(trace.ops):
        outputs = [trace.outputs[index].get(n) if n else None for n in op.outputs]
        count += assert_elements(op, list_inputs(trace, index), outputs)
    assert count > 1000


@pytest.mark.parametrize("name", MODELS)
def test_operations_that_are_expanded_are_judged_whole_too(name: str) -> None:
    """As the program has them: an element from a whole tensor, or from columns."""
    program, state, batches = build_case(MODELS[name], OPTIMISER, 4, num_steps=1)
    backend = load_backend("numpy")
    env = {**state, "tokens": batches[0][:, :-1], "targets": batches[0][:, 1:]}
    seen = set()
    for op, made in zip(
        program.step_ops, backend.trace_step(program, state, batches[0]), strict=True
    ):
        if len(expand_op(op)) > 1:
            assert_elements(op, [env[n] for n in op.inputs], [made[op.outputs[0]]])
            seen.add(op.kind)
        env.update(made)
    assert seen >= {"embed_grad", "matmul", "clip_scale"}


def test_every_kind_is_covered() -> None:
    kinds = {op.kind for name in MODELS for cut in (False, True) for op in record(name, cut).ops}
    assert kinds | {"embed_grad", "gain_grad", "clip_scale"} == set(RULES)
    defined = {n.removeprefix("op_") for n in vars(NumpyBackend) if n.startswith("op_")}
    assert defined <= set(RULES)


@pytest.mark.parametrize("name", MODELS)
def test_operands_are_local(name: str) -> None:
    """Nothing needs more than a row, a column or a piece; most need a handful."""
    trace = record(name)
    for index, op in enumerate(trace.ops):
        assert not op.attributes.get("a_k_first")
        assert not op.attributes.get("b_k_first")
        inputs = list_inputs(trace, index)
        shapes = [x.shape for x in inputs]
        opened = gather_operands(
            op, shapes, 0, 0, lambda i, positions, x=inputs: x[i].reshape(-1)[positions]
        )
        for values, positions in zip(opened, list_operands(op, shapes, 0, 0, opened), strict=True):
            assert len(values) == len(positions)
            assert (np.diff(positions) > 0).all()
        assert sum(map(len, opened)) <= 4096 + 1, op.kind
        leaves = sum(
            len(np.unique(p // (4096 // x.itemsize)))
            for p, x in zip(list_operands(op, shapes, 0, 0, opened), inputs, strict=True)
        )
        assert leaves <= 2 * len(inputs) + sum(map(len, opened)) * 4 // 4096, op.kind


@pytest.mark.parametrize("backend", ["numpy", "torch", "native"])
def test_backends_record_the_same_step(backend: str) -> None:
    program, state, batches = build_case(MODELS["llama"], OPTIMISER, 4, num_steps=3)
    program = build_program(MODELS["llama"], OPTIMISER, 4, num_parts=2, recompute=True)
    one = load_backend(backend)
    state = one.train_interval(program, state, batches[:2])
    trace = record_step(one, program, state, batches[2])
    assert trace.compute_root() == record("llama").compute_root()


def test_masked_keys_need_nothing() -> None:
    op = Op("causal_softmax", ("s",), ("p",), {"scale": 0.25})
    assert [len(p) for p in list_operands(op, [(1, 1, 4, 4)], 1)] == [0]
    assert recompute_element(op, 1, [np.zeros(0)], [(1, 1, 4, 4)]) == 0
    assert [len(p) for p in list_operands(op, [(1, 1, 4, 4)], 9)] == [3]


def test_invalid_requests() -> None:
    op = Op("add", ("a", "b"), ("c",))
    shapes = [(2, 3), (2, 3)]
    one = np.ones(1, np.float32)
    with pytest.raises(UnknownOperation, match="no element 6"):
        list_operands(op, shapes, 6)
    with pytest.raises(UnknownOperation, match="no output 1"):
        list_operands(op, shapes, 0, 1)
    with pytest.raises(UnknownOperation, match="no operation 'conv'"):
        list_operands(Op("conv", ("a",), ("b",)), [(1,)], 0)
    for wrong in ([one], [one, one, one], [one, np.ones(2, np.float32)]):
        with pytest.raises(WrongOperands):
            recompute_element(op, 0, wrong, shapes)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**60])
def test_invalid_operands_make_the_step_invalid(value: float) -> None:
    precision = {"a_max": 511, "b_max": 511, "block_size": 64}
    layout = {"a_k_first": False, "b_k_first": False, "flatten": True}
    op = Op("matmul", ("a", "b"), ("c",), {**precision, **layout})
    row = np.ones(5, np.float32)
    bad = row.copy()
    bad[3] = value
    assert recompute_element(op, 0, [row, row], [(2, 5), (3, 5)]) == 5
    with pytest.raises(InvalidStep):
        recompute_element(op, 0, [row, bad], [(2, 5), (3, 5)])


def test_expansion_of_a_local_operation_is_itself() -> None:
    op = Op("add", ("a", "b"), ("c",))
    assert expand_op(op) == (op,)


def test_a_node_can_import_the_referee() -> None:
    """Numpy is all that a verdict needs."""
    script = (
        "import sys; from exact.referee import dispute, elements, openings; "
        "assert 'torch' not in sys.modules and 'proto' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
