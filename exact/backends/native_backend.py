"""The C library's backend: the definition's bits by kernels for this processor, no torch needed.

A program's list is fused and planned once (`exact/native/plan.py`); a step is then one call. Which
instruction-set path is used is decided at load by `exact/native/paths.py`.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exact.backends.base import Backend, Environment
from exact.native.library import Context, choose_num_threads
from exact.native.paths import Choice, choose_path
from exact.native.plan import Arena, Plan
from exact.program import LOSSES, NEXT_SUFFIX, Attributes, Op, Program
from exact.state import State

# Plans of programs, batch shapes and lists that are kept.
MAX_PLANS = 16
_NUM_OUTPUTS = {
    "rms_norm": 2,
    "cross_entropy": 2,
    "silu_gate_grad": 2,
    "split_heads": 3,
    "adamw": 3,
}


class NativeBackend(Backend):
    """Executes programs by the C library.

    Attributes:
        choice: which path serves, and why the others do not.
    """

    name = "native"

    def __init__(self, path: str | None = None, num_threads: int | None = None):
        """Build the library if need be, and choose a path.

        Args:
            path: only this one; the fastest faithful one when not given (or $DESCENT_EXACT_PATH).
            num_threads: follows torch, OMP_NUM_THREADS or the cores when not given.

        Raises:
            UnfaithfulDevice: no compiler, or no path gives the known answers.
        """
        super().__init__()
        self.choice: Choice = choose_path(path)
        self._num_threads = num_threads
        self._context: Context | None = None
        self._arena = Arena()
        # The arena and the scratch memory serve one list at a time.
        self._lock = threading.Lock()
        self._plans: dict[Any, tuple[Program, Sequence[Op], Plan]] = {}

    @property
    def description(self) -> str:
        """The path that computes."""
        return f"{self.name} {self.choice.path_name}"

    def get_context(self) -> Context:
        """Return the context with the number of threads that is wanted now."""
        num_threads = self._num_threads or choose_num_threads()
        known = self._context and (self._context.num_threads, self._context.process_id)
        if self._context is None or known != (num_threads, os.getpid()):
            self._context = Context(self.choice.library, self.choice.path_name, num_threads)
        return self._context

    def _to_tensor(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, order="C")

    def _to_numpy(self, tensor: np.ndarray) -> np.ndarray:
        return np.array(tensor)

    # ------------------------------------------------------------------------------ executing
    def _train(
        self, program: Program, interval: State, batches: np.ndarray
    ) -> tuple[State, list[np.ndarray]]:
        current = {name: self._to_tensor(tensor) for name, tensor in interval.items()}
        keep = {name + NEXT_SUFFIX for name in current} | {LOSSES}
        nanonats = []
        for batch in batches:
            env = {**current, **self._load_tokens(batch[:, :-1], batch[:, 1:])}
            results = self._run(program, program.step_ops, env, keep, set(current))
            nanonats.append(results[LOSSES])
            current = {name: results[name + NEXT_SUFFIX] for name in current}
        return current, nanonats

    def _execute(
        self, program: Program, ops: Sequence[Op], env: Environment, keep: set[str]
    ) -> None:
        env.update(self._run(program, ops, env, keep - set(env), set()))

    def _run(
        self,
        program: Program,
        ops: Sequence[Op],
        env: Environment,
        keep: set[str],
        donated: set[str],
    ) -> dict[str, np.ndarray]:
        with self._lock:
            plan = self._get_plan(program, ops, env, keep, donated)
            return plan.run(self.get_context(), self._arena, env)

    def _get_plan(
        self,
        program: Program,
        ops: Sequence[Op],
        env: Environment,
        keep: set[str],
        donated: set[str],
    ) -> Plan:
        layout = {name: (str(array.dtype), array.shape) for name, array in env.items()}
        key = (id(program), id(ops), tuple(layout.items()), frozenset(keep), bool(donated))
        found = self._plans.get(key)
        if found is None:
            while len(self._plans) >= MAX_PLANS:
                self._plans.pop(next(iter(self._plans)))
            plan = Plan(program, ops, layout, keep, donated)
            found = self._plans[key] = (program, ops, plan)
        return found[2]

    # -------------------------------------------------------------------------- one operation
    def _begin(self, program: Program) -> None:
        super()._begin(program)
        self._program = program

    def _get_kernel(self, kind: str) -> Callable[..., tuple[np.ndarray, ...]]:
        """Return one operation as a function of arrays, for tests and self-tests."""

        def kernel(attributes: Attributes, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            inputs = tuple(f"in{i}" for i in range(len(arrays)))
            outputs = tuple(f"out{i}" for i in range(_NUM_OUTPUTS.get(kind, 1)))
            op = Op(kind, inputs, outputs, attributes)
            env = {
                name: np.array(array, order="C") for name, array in zip(inputs, arrays, strict=True)
            }
            return tuple(self.run_ops(self._program, [op], env, outputs).values())

        return kernel

    def run_ops(
        self, program: Program, ops: Sequence[Op], env: Environment, keep: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run a list of operations once.

        Args:
            program: whose model gives the precision.
            ops: the list.
            env: contiguous inputs.
            keep: names to return, in order.

        Raises:
            InvalidStep: a NaN, an infinity or a magnitude that the definition refuses.
        """
        layout = {name: (str(array.dtype), array.shape) for name, array in env.items()}
        plan = Plan(program, ops, layout, set(keep), set())
        with self._lock:
            results = plan.run(self.get_context(), self._arena, env)
        return {name: results[name] for name in keep}
