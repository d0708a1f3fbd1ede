"""How much memory a training step takes, and what would take less.

Counted from the program: a tensor lives from the operation that writes it to the last that reads
it. Backends that fuse operations take less, library workspaces a little more.
"""

import math
from collections.abc import Iterator

from exact.errors import OutOfMemory
from exact.families import build_program
from exact.program import TARGETS, TOKENS, Program, compute_last_uses
from exact.referee.shapes import compute_layouts

_BYTES = {"F32": 4, "I64": 8}
MAX_SUGGESTED_PARTS = 16


def compute_peak_bytes(program: Program) -> int:
    """Compute the most bytes that live at once in a step, beside the state it starts from."""
    tokens = ("I64", (program.batch_size, program.model.context_length))
    given = {**program.state_layout, TOKENS: tokens, TARGETS: tokens}
    layouts = compute_layouts(program.step_ops, given)
    sizes = {name: _BYTES[dtype] * math.prod(shape) for name, (dtype, shape) in layouts.items()}
    kept = {name for name in sizes if name.endswith("/next")} | set(given)
    living = peak = 0
    for op, dead in zip(program.step_ops, compute_last_uses(program.step_ops), strict=True):
        living += sum(sizes[name] for name in op.outputs if name)
        peak = max(peak, living)
        living -= sum(sizes[name] for name in dead if name not in kept)
    return peak


def describe_needs(program: Program) -> str:
    """Say what a step of a program takes, and what would take less: for an error's text."""
    words = [f"a step of this run takes about {format_bytes(compute_peak_bytes(program))}"]
    for name, other in _list_smaller(program):
        words.append(f"with {name} {format_bytes(compute_peak_bytes(other))}")
    return "; ".join(words)


def check_fit(program: Program, free_bytes: int) -> str:
    """Compare a step's needs with what is free, before anything is trained.

    Args:
        program: from `build_program`.
        free_bytes: of the device that computes.

    Returns:
        Empty if all fits; else a warning: a backend that fuses operations may still manage.

    Raises:
        OutOfMemory: not even the state before a step and the one after it fit.
    """
    state = sum(_BYTES[d] * math.prod(shape) for d, shape in program.state_layout.values())
    free = format_bytes(free_bytes)
    if 2 * state > free_bytes:
        raise OutOfMemory(
            f"out of memory: parameters and moments of this run, before and after a step, take "
            f"{format_bytes(2 * state)}, and {free} are free: a smaller model would fit"
        )
    if state + compute_peak_bytes(program) <= free_bytes:
        return ""
    return f"{free} are free, and {describe_needs(program)}"


def _list_smaller(program: Program) -> Iterator[tuple[str, Program]]:
    """List programs that take less: the work's own number of parts is not known here."""
    model, optimiser, size = program.model, program.optimiser, program.batch_size
    yield "work.recompute", build_program(model, optimiser, size, recompute=True)
    parts = max(n for n in range(1, min(size, MAX_SUGGESTED_PARTS) + 1) if size % n == 0)
    if parts > 1:
        name = f"work.num_parts = {parts} and work.recompute"
        yield name, build_program(model, optimiser, size, parts, recompute=True)


def format_bytes(num_bytes: int) -> str:
    """Write bytes with a binary unit."""
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if num_bytes >= 1 << shift:
            return f"{num_bytes / (1 << shift):.1f} {unit}"
    return f"{num_bytes / 1024:.1f} KiB"
