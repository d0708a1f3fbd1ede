"""Plan a list of operations once: fuse it, lower it, give every tensor its place in one block of
memory. A step is then one call of the library.

Operations the library does not have are computed by the definition, between calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exact.backends.base import ADAMW_CONSTANTS, compute_adamw_constants
from exact.backends.numpy_backend import NumpyBackend
from exact.native.fuse import fuse
from exact.native.library import OP_DTYPE, Context, build_op, get_address
from exact.native.lower import Constants, Instruction, Lowering, Shape
from exact.program import Op, Program

ALIGNMENT = 64
Layout = Mapping[str, tuple[str, Shape]]


@dataclass
class _Step:
    """An operation with its instruction, or without: then the definition computes it."""

    op: Op
    instruction: Instruction | None
    dead: list[str]


@dataclass
class _Segment:
    """Consecutive instructions, or one operation of the definition."""

    ops: np.ndarray
    op: Op | None = None


class Plan:
    """A list of operations ready to run on inputs of one layout.

    Attributes:
        arena_bytes: memory of everything that is neither input nor kept.
        num_fallbacks: operations that the definition computes.
    """

    def __init__(
        self,
        program: Program,
        ops: Sequence[Op],
        layout: Layout,
        keep: set[str],
        donated: set[str],
    ):
        """Plan.

        Args:
            program: whose model gives the precision.
            ops: the list.
            layout: of every input.
            keep: names to return.
            donated: inputs that may be overwritten.
        """
        self._program = program
        self._keep = keep
        self._definition = NumpyBackend()
        self._definition._begin(program)
        self._lowering = Lowering(layout)
        self.layout = self._lowering.layout
        self._inputs = set(layout)
        self._donated = donated
        self._slots: list[str | np.ndarray] = []
        self._slot_index: dict[object, int] = {}
        self._constants: list[tuple[Constants, np.ndarray]] = []
        # An output that took an input's memory -> that input, which was dead by then.
        self._alias: dict[str, str] = {}
        self._passed_on: set[str] = set()
        self._offsets: dict[str, int] = {}
        fused = fuse(ops, keep, program.model.head_dim)
        self._steps = [_Step(op, self._lower(op), []) for op in fused]
        self._advanced = {op.outputs[0]: op.inputs[0] for op in ops if op.kind == "advance"}
        self._find_deaths()
        self.arena_bytes = self._place()
        self.num_fallbacks = sum(step.instruction is None for step in self._steps)
        self._segments = self._encode()

    # ------------------------------------------------------------------------------- planning
    def _lower(self, op: Op) -> Instruction | None:
        instruction = self._lowering.lower(op)
        if instruction is None:
            zeros = [np.zeros(self.layout[n][1], self.layout[n][0]) for n in op.inputs]
            with np.errstate(all="ignore"):
                results = self._definition._get_kernel(op.kind)(op.attributes, *zeros)
            for name, result in zip(op.outputs, results, strict=True):
                if name:
                    self.layout[name] = (str(result.dtype), result.shape)
        return instruction

    def _find_deaths(self) -> None:
        seen: set[str] = set()
        for step in reversed(self._steps):
            names = {n for n in (*step.op.inputs, *step.op.outputs) if n}
            step.dead = sorted(names - seen - self._keep)
            seen |= names

    def _resolve(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def _place(self) -> int:
        """Give every tensor an offset, or the memory of an input of its operation."""
        lifetimes: dict[str, tuple[int, int]] = {}
        for index, step in enumerate(self._steps):
            taken: set[str] = set()
            for output in filter(None, step.op.outputs):
                if not self._overwrite(step, output, taken) and output not in self._keep:
                    self._offsets[output] = 0
                    lifetimes[output] = (index, len(self._steps))
            for name in step.dead:
                owner = self._resolve(name)
                if name not in self._passed_on and owner in self._offsets:
                    lifetimes[owner] = (lifetimes[owner][0], index)
        sizes = {name: self._count_bytes(name) for name in lifetimes}
        self._offsets, end = place_tensors(lifetimes, sizes)
        return end

    def _overwrite(self, step: _Step, output: str, taken: set[str]) -> bool:
        overwrites = step.instruction.overwrites if step.instruction else []
        for wanted, source in overwrites:
            if wanted != output or source not in step.dead or source in taken:
                continue
            if step.op.inputs.count(source) > 1 or self.layout[source] != self.layout[output]:
                continue
            owner = self._resolve(source)
            is_ours = owner in self._offsets
            if is_ours and output in self._keep:
                continue
            if not is_ours and (owner not in self._inputs or owner not in self._donated):
                continue
            self._alias[output] = source
            self._passed_on.add(source)
            taken.add(source)
            return True
        return False

    def _count_bytes(self, name: str) -> int:
        dtype, shape = self.layout[name]
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return -(-size // ALIGNMENT) * ALIGNMENT

    # ------------------------------------------------------------------------------- encoding
    def _encode(self) -> list[_Segment]:
        args: list[int] = []
        segments: list[_Segment] = []
        records: list[np.ndarray] = []

        def close() -> None:
            if records:
                segments.append(_Segment(np.array(records, OP_DTYPE)))
                records.clear()

        for step in self._steps:
            instruction = step.instruction
            if instruction is None:
                close()
                segments.append(_Segment(np.zeros(0, OP_DTYPE), step.op))
                for name in (*step.op.inputs, *step.op.outputs):
                    self._get_slot(name) if name else None
                continue
            first = len(args)
            args += [self._get_slot(arg) for arg in instruction.args]
            records.append(
                build_op(
                    instruction.code,
                    instruction.flags,
                    first,
                    len(instruction.args),
                    instruction.dims,
                    instruction.reals,
                )
            )
        close()
        self._args = np.array(args, np.int32)
        return segments

    def _get_slot(self, arg: str | np.ndarray | Constants | None) -> int:
        if arg is None:
            return -1
        key: object
        value: str | np.ndarray
        if isinstance(arg, str):
            key = value = self._resolve(arg)
        elif isinstance(arg, Constants):
            key, value = self._find_constants(arg)
        else:
            key, value = id(arg), arg
        if key not in self._slot_index:
            self._slot_index[key] = len(self._slots)
            self._slots.append(value)
        return self._slot_index[key]

    def _find_constants(self, wanted: Constants) -> tuple[int, np.ndarray]:
        for constants, array in self._constants:
            if constants == wanted:
                return id(array), array
        array = np.zeros(len(ADAMW_CONSTANTS), np.float32)
        self._constants.append((wanted, array))
        return id(array), array

    # -------------------------------------------------------------------------------- running
    def run(
        self, context: Context, arena: "Arena", env: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Execute the list.

        Args:
            context: threads and scratch.
            arena: memory, shared by plans that run one after another.
            env: contiguous inputs of the planned layout; donated ones are overwritten.

        Returns:
            name -> array of what was kept, in donated memory where it could.

        Raises:
            InvalidStep: a NaN, an infinity or a magnitude that the definition refuses.
            MemoryError: no memory.
        """
        self._fill_constants(env)
        arrays = self._bind(arena.get(self.arena_bytes), env)
        addresses = [slot if isinstance(slot, np.ndarray) else arrays[slot] for slot in self._slots]
        buffers = np.array([get_address(array) for array in addresses], np.uint64)
        for segment in self._segments:
            if segment.op is None:
                context.run(segment.ops, self._args, buffers)
            else:
                self._run_definition(segment.op, arrays)
        return {name: self._view(name, arrays) for name in self._keep if name in self.layout}

    def _fill_constants(self, env: Mapping[str, np.ndarray]) -> None:
        for constants, array in self._constants:
            name = constants.step_name
            step = int(env[name]) if name in env else int(env[self._advanced[name]]) + 1
            values = compute_adamw_constants(constants.attributes, step)
            array[:] = [values[key] for key in ADAMW_CONSTANTS]

    def _bind(self, memory: np.ndarray, env: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for slot in self._slots:
            if not isinstance(slot, str):
                continue
            dtype, shape = self.layout[slot]
            if slot in self._offsets:
                size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
                begin = self._offsets[slot]
                arrays[slot] = memory[begin : begin + size].view(dtype).reshape(shape)
            elif slot in self._inputs:
                arrays[slot] = env[slot]
            else:
                arrays[slot] = np.empty(shape, dtype)
        return arrays

    def _view(self, name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return arrays[self._resolve(name)].reshape(self.layout[name][1])

    def _run_definition(self, op: Op, arrays: dict[str, np.ndarray]) -> None:
        inputs = [self._view(name, arrays) for name in op.inputs]
        with np.errstate(all="ignore"):
            results = self._definition._get_kernel(op.kind)(op.attributes, *inputs)
        for name, result in zip(op.outputs, results, strict=True):
            if name:
                self._view(name, arrays)[...] = result


class Arena:
    """A block of memory that grows to what is asked for."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def get(self, num_bytes: int) -> np.ndarray:
        """Return at least so many bytes, aligned; contents are not kept."""
        if self._memory.size < num_bytes + ALIGNMENT:
            self._memory = np.empty(0, np.uint8)
            self._memory = np.empty(num_bytes + ALIGNMENT, np.uint8)
        start = -self._memory.ctypes.data % ALIGNMENT
        return self._memory[start:]


def place_tensors(
    lifetimes: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]
) -> tuple[dict[str, int], int]:
    """Give tensors places in one block such that none that live at the same time overlap.

    The largest comes first, among equals the longest living; each takes the lowest place that is
    free for its whole life.

    Args:
        lifetimes: name -> (first, last) step, both included.
        sizes: name -> bytes.

    Returns:
        (name -> offset, bytes of the block).
    """
    order = sorted(
        lifetimes, key=lambda n: (-sizes[n], lifetimes[n][0] - lifetimes[n][1], lifetimes[n][0])
    )
    count = len(order)
    begins, ends = np.zeros(count, np.int64), np.zeros(count, np.int64)
    firsts, lasts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    offsets: dict[str, int] = {}
    for index, name in enumerate(order):
        first, last = lifetimes[name]
        meets = (firsts[:index] <= last) & (lasts[:index] >= first)
        taken = np.flatnonzero(meets)
        taken = taken[np.argsort(begins[taken], kind="stable")]
        # Where the places up to each one end: a gap is wide enough, or the end is taken.
        reached = np.maximum.accumulate(np.concatenate([[0], ends[taken]]))
        gaps = np.flatnonzero(begins[taken] - reached[:-1] >= sizes[name])
        offset = int(reached[gaps[0]] if gaps.size else reached[-1])
        begins[index], ends[index] = offset, offset + sizes[name]
        firsts[index], lasts[index] = first, last
        offsets[name] = offset
    return offsets, int(ends.max()) if count else 0
