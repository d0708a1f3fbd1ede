"""What a plan fuses and what it leaves, and that memory is shared only by what never meets."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact.backends.base import Backend
from exact.backends.native_backend import NativeBackend
from exact.config import ModelConfig
from exact.families import build_program
from exact.native.fuse import fuse
from exact.native.plan import Plan, place_tensors
from exact.program import LOSSES, NEXT_SUFFIX, TARGETS, TOKENS, Op, Program
from exact.state import interval_root
from tests.exact.helpers import CASES, PLAIN, build_case
from tests.exact.native.conftest import PATHS, Open


def fuse_step(program: Program) -> list[Op]:
    keep = {name + NEXT_SUFFIX for name in program.state_layout} | {LOSSES}
    return fuse(program.step_ops, keep, program.model.head_dim)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["untied-clipped", "llama", "llama-tied", "gpt-fast"])
def test_attention_is_fused(name: str, recompute: bool) -> None:
    model, optimiser, batch_size = CASES[name]
    program = build_program(model, optimiser, batch_size, recompute=recompute)
    kinds = Counter(op.kind for op in fuse_step(program))
    assert kinds["attention"] == model.num_layers * (1 + recompute)
    assert kinds["attention_grad"] == model.num_layers
    for gone in ("causal_softmax", "rotate", "split_heads", "repeat_heads", "cross_entropy_grad"):
        assert not kinds[gone], gone
    assert not kinds["scale"]


def test_what_is_read_outside_is_not_fused() -> None:
    program, _, _ = build_case(*CASES["untied-clipped"], num_steps=1)
    probabilities = next(
        op.outputs[0] for op in program.evaluate_ops if op.kind == "causal_softmax"
    )
    fused = fuse(program.evaluate_ops, {LOSSES, probabilities}, program.model.head_dim)
    kinds = Counter(op.kind for op in fused)
    assert kinds["causal_softmax"] == 1
    assert kinds["attention"] == program.model.num_layers - 1


def test_fusing_keeps_the_bits(open_path: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    program, state, batches = build_case(*CASES["llama"], num_steps=2)
    wanted = interval_root(open_path(PATHS[0], 1).train_interval(program, state, batches))
    monkeypatch.setattr("exact.native.plan.fuse", lambda ops, keep, head_dim: list(ops))
    unfused = NativeBackend(PATHS[0], 1)
    assert interval_root(unfused.train_interval(program, state, batches)) == wanted


def test_unknown_operations_go_to_the_definition(
    definition: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan with holes: norms by the definition, the rest by the library."""
    monkeypatch.delattr("exact.native.lower.Lowering._lower_rms_norm")
    program, state, batches = build_case(*CASES["tied"], num_steps=2)
    native = NativeBackend(PATHS[0], 1)
    result = native.train_interval(program, state, batches)
    ((_, _, plan),) = native._plans.values()
    assert plan.num_fallbacks == 2 * program.model.num_layers + 1
    wanted = definition.train_interval(program, state, batches)
    assert interval_root(result) == interval_root(wanted)


@pytest.mark.parametrize("name", ["untied-clipped", "llama"])
def test_memory_of_the_living_is_never_shared(name: str, open_path: Open) -> None:
    """Garbage in all memory before a run changes nothing."""
    program, state, batches = build_case(*CASES[name], num_steps=1)
    native = NativeBackend(PATHS[0], 1)
    first = interval_root(native.train_interval(program, state, batches))
    native._arena.get(1).fill(0xFF)
    assert interval_root(native.train_interval(program, state, batches)) == first


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(0, 50)), max_size=40))
def test_places_of_the_living_do_not_overlap(tensors: list[tuple[int, int, int]]) -> None:
    names = [str(i) for i in range(len(tensors))]
    lifetimes = {
        n: (first, first + length) for n, (first, length, _) in zip(names, tensors, strict=True)
    }
    sizes = {n: size * 64 for n, (_, _, size) in zip(names, tensors, strict=True)}
    offsets, end = place_tensors(lifetimes, sizes)
    for index, a in enumerate(names):
        assert offsets[a] + sizes[a] <= end
        for b in names[:index]:
            if lifetimes[a][0] <= lifetimes[b][1] and lifetimes[b][0] <= lifetimes[a][1]:
                apart = offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]
                assert apart or not sizes[a] or not sizes[b]
    most = max(
        (
            sum(sizes[n] for n in names if lifetimes[n][0] <= t <= lifetimes[n][1])
            for t in range(43)
        ),
        default=0,
    )
    assert most <= end <= sum(sizes.values())


def test_parts_need_little_memory() -> None:
    """Sixteen parts with recomputation: the gradients, and one layer of one part."""
    model = ModelConfig(context_length=64, d_model=64, num_layers=4)
    program = build_program(model, PLAIN, 16, num_parts=16, recompute=True)
    layout = {
        name: ({"F32": "float32", "I64": "int64"}[dtype], shape)
        for name, (dtype, shape) in program.state_layout.items()
    }
    layout[TOKENS] = layout[TARGETS] = ("int64", (16, 64))
    keep = {name + NEXT_SUFFIX for name in program.state_layout} | {LOSSES}
    plan = Plan(program, program.step_ops, layout, keep, set(program.state_layout))
    gradients = sum(int(np.prod(shape)) * 4 for shape in program.param_shapes.values())
    assert plan.arena_bytes < 1.5 * gradients


def test_an_arena_is_smaller_than_all_tensors(open_path: Open) -> None:
    model = CASES["untied-clipped"][0]
    program = build_program(model, PLAIN, 3)
    _, state, batches = build_case(model, PLAIN, 3, num_steps=1)
    native = NativeBackend(PATHS[0], 1)
    native.train_interval(program, state, batches)
    ((_, _, plan),) = native._plans.values()
    total = sum(
        int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in plan.layout.values()
    )
    assert plan.arena_bytes < total / 2


def test_the_callers_state_is_not_changed(open_path: Open) -> None:
    program, state, batches = build_case(*CASES["tied"], num_steps=2)
    before = interval_root(state)
    native = open_path(PATHS[0], 1)
    result = native.train_interval(program, state, batches)
    assert interval_root(state) == before
    kept = interval_root(result)
    native.train_interval(program, result, batches)
    assert interval_root(result) == kept


def test_a_forked_child_makes_its_own_threads() -> None:
    program, state, batches = build_case(*CASES["untied-clipped"], num_steps=1)
    native = NativeBackend(PATHS[0], 2)
    wanted = interval_root(native.train_interval(program, state, batches))
    child = os.fork()
    if child == 0:
        result = interval_root(native.train_interval(program, state, batches))
        os._exit(0 if result == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert interval_root(native.train_interval(program, state, batches)) == wanted


def test_two_callers_at_once() -> None:
    """A validator judges and audits with one backend, in threads."""
    native = NativeBackend(PATHS[0], 1)
    work = [build_case(*CASES[name], num_steps=20) for name in ("untied-clipped", "llama")]
    wanted = [interval_root(native.train_interval(*case)) for case in work]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda case: interval_root(native.train_interval(*case)), work * 3))
    assert found == wanted * 3
