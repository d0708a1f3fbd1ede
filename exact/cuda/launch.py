"""Start kernels: contraction is off in every one of them, and floats keep their subnormals."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import triton

Tensor = torch.Tensor
Recorder = Callable[[Any, Sequence[Any], dict[str, Any], int, int], None]

_recorders: list[Recorder] = []
_is_dry = False


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter (TRITON_INTERPRET=1)."""
    return bool(triton.knobs.runtime.interpret)


def launch(
    kernel: Any,
    grid: Sequence[int],
    *args: Any,
    num_warps: int = 4,
    num_stages: int = 3,
    **constants: Any,
) -> None:
    """Start a kernel.

    Args:
        kernel: a jitted function.
        grid: one to three numbers of programs; nothing is started if one is 0.
        args: tensors and numbers; the first is a tensor, on the device that computes.
        num_warps, num_stages: of the device's program.
        constants: compile-time arguments.
    """
    if 0 in grid:
        return
    for record in _recorders:
        record(kernel, args, constants, num_warps, num_stages)
    if _is_dry:
        return
    # The current device belongs to a thread, and work moves between threads.
    with np.errstate(all="ignore"), torch.cuda.device_of(args[0]):
        kernel[tuple(grid)](
            *args,
            **constants,
            num_warps=num_warps,
            num_stages=num_stages,
            enable_fp_fusion=False,
        )


@contextmanager
def recording(record: Recorder, is_dry: bool = False) -> Iterator[None]:
    """Tell `record` of every launch inside the block; dry: start none of them."""
    global _is_dry
    _recorders.append(record)
    before, _is_dry = _is_dry, is_dry
    try:
        yield
    finally:
        _recorders.remove(record)
        _is_dry = before


def next_power(number: int, smallest: int = 1) -> int:
    """Smallest power of two that is at least both numbers."""
    return max(smallest, 1 << max(0, number - 1).bit_length())


def choose_warps(width: int) -> int:
    """Number of warps for a program that works on a row of `width` elements."""
    return 1 if width <= 256 else 4 if width <= 4096 else 8 if width <= 16384 else 16
