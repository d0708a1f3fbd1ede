"""What a plan fuses and what it leaves, and that memory is shared only by what never meets."""

from collections import Counter

import numpy as np
import pytest

from exact.backends.base import Backend
from exact.backends.native_backend import NativeBackend
from exact.families import build_program
from exact.native.fuse import fuse
from exact.program import LOSSES, NEXT_SUFFIX, Op, Program
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
