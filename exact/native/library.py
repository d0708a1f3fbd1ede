"""The C library by ctypes: paths, contexts, lists of operations."""

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import numpy as np

from exact.errors import InvalidStep, UnfaithfulDevice

NUM_DIMS = 12
NUM_REALS = 4
MAX_THREADS = 64
# The layout of `struct op` in native.h.
OP_DTYPE = np.dtype(
    [
        ("code", "<i4"),
        ("flags", "<i4"),
        ("first_arg", "<i4"),
        ("num_args", "<i4"),
        ("dims", "<i8", (NUM_DIMS,)),
        ("reals", "<f4", (NUM_REALS,)),
    ],
    align=True,
)


class Code(IntEnum):
    """`enum op_code` of native.h."""

    EMBED = 1
    EMBED_GRAD = 2
    ADD = 3
    SCALE = 4
    RELU_SQUARE = 5
    RELU_SQUARE_GRAD = 6
    RMS_NORM = 7
    RMS_NORM_GRAD = 8
    MATMUL = 9
    SPLIT_HEADS = 10
    MERGE_HEADS = 11
    ROTATE = 12
    CAUSAL_SOFTMAX = 13
    CAUSAL_SOFTMAX_GRAD = 14
    CROSS_ENTROPY = 15
    CROSS_ENTROPY_GRAD = 16
    ADVANCE = 17
    CLIP_SCALE = 18
    ADAMW = 19
    ATTENTION = 20
    ATTENTION_GRAD = 21
    SILU_GATE = 22
    SILU_GATE_GRAD = 23
    GAIN = 24
    GAIN_GRAD = 25
    REPEAT_HEADS = 26
    REPEAT_HEADS_GRAD = 27
    COPY = 28
    JOIN = 29


class Flag(IntFlag):
    """`enum op_flag` of native.h."""

    A_K_FIRST = 1
    B_K_FIRST = 2
    A_RELU_SQUARE = 4
    B_RELU_SQUARE = 8
    PLUS_ADDEND = 16
    TIMES_RELU_GRAD = 32
    PACKED_QKV = 64


_DONE, _INVALID_STEP, _OUT_OF_MEMORY = 0, 1, 2


class Library:
    """A loaded library.

    Attributes:
        path_names: every path it was built with, fastest first.
    """

    def __init__(self, file: Path):
        """Load.

        Raises:
            UnfaithfulDevice: the file cannot be loaded.
        """
        try:
            self._dll = ctypes.CDLL(str(file))
        except OSError as error:
            raise UnfaithfulDevice(f"{file.name} cannot be loaded: {error}") from error
        self._dll.descent_get_path_name.restype = ctypes.c_char_p
        self._dll.descent_create.restype = ctypes.c_void_p
        self._dll.descent_destroy.argtypes = [ctypes.c_void_p]
        self.run = self._dll.descent_run
        self.run.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self.path_names: list[str] = [
            self._dll.descent_get_path_name(i).decode()
            for i in range(self._dll.descent_count_paths())
        ]

    def has_path(self, name: str) -> bool:
        """Whether this processor can execute a path."""
        return bool(self._dll.descent_has_path(self.path_names.index(name)))

    def create_context(self, name: str, num_threads: int) -> int:
        """Make a context; `destroy_context` frees it."""
        index = self.path_names.index(name)
        context = self._dll.descent_create(index, min(num_threads, MAX_THREADS))
        if not context:
            raise MemoryError("no memory for a native context")
        return int(context)

    def destroy_context(self, context: int) -> None:
        """Stop its threads and free its memory."""
        self._dll.descent_destroy(context)


@functools.cache
def load_library(file: Path) -> Library:
    """Load a library once."""
    return Library(file)


class Context:
    """Threads and scratch memory of one path; serves one thread at a time."""

    def __init__(self, library: Library, path_name: str, num_threads: int):
        """Start the threads."""
        self.num_threads = num_threads
        self.path_name = path_name
        self.process_id = os.getpid()
        self._library = library
        self._handle = library.create_context(path_name, num_threads)

    def run(self, ops: np.ndarray, args: np.ndarray, buffers: np.ndarray) -> None:
        """Execute a list.

        Args:
            ops: OP_DTYPE [n].
            args: int32, indices into buffers.
            buffers: uint64 addresses.

        Raises:
            InvalidStep: a NaN, an infinity or a magnitude that the definition refuses.
            MemoryError: scratch memory cannot be had.
        """
        status = self._library.run(
            self._handle, ops.ctypes.data, len(ops), args.ctypes.data, buffers.ctypes.data
        )
        if status == _INVALID_STEP:
            raise InvalidStep("a NaN, an infinity or a magnitude out of range")
        if status == _OUT_OF_MEMORY:
            raise MemoryError("no memory for packed operands: use smaller batches")
        assert status == _DONE, f"descent_run returned {status}"

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", 0), 0
        # In a forked child the threads that would have to stop are not there.
        if handle and self.process_id == os.getpid():
            self._library.destroy_context(handle)


def choose_num_threads() -> int:
    """Return torch's thread count if torch is loaded, else OMP_NUM_THREADS, else all cores."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    words = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if words.isdigit() and int(words) > 0:
        return int(words)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_address(array: np.ndarray) -> int:
    """Return where a contiguous array's first element is."""
    assert array.flags.c_contiguous, "a native buffer is not contiguous"
    return int(array.ctypes.data)


def build_op(
    code: Code,
    flags: int,
    first_arg: int,
    num_args: int,
    dims: Sequence[int],
    reals: Sequence[float],
) -> Any:
    """Build one record of OP_DTYPE."""
    record = np.zeros((), OP_DTYPE)
    record["code"], record["flags"] = code, flags
    record["first_arg"], record["num_args"] = first_arg, num_args
    record["dims"][: len(dims)] = dims
    record["reals"][: len(reals)] = reals
    return record
