"""Compile every kernel of a training step for a GPU that need not be there, and look at the code.

    python -m tests.exact.cuda.compile_kernels MODEL.. PATH.. ARCH..    or    control ARCH

Prints a JSON document: for every kernel and set of constants its shared memory, and what in its PTX
is not a single correctly rounded operation. Must run without TRITON_INTERPRET.
"""

import json
import re
import sys
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_source

from exact.backends import triton_backend
from exact.cuda.launch import recording
from exact.cuda.selftest import PATHS
from exact.families import build_program, fresh_optimiser, init_params
from tests.exact.cuda.models import MODELS

TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.int8: "*i8",
    torch.int16: "*i16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
# Every float operation names its rounding; no fused, approximate or flushed one is wanted.
WRONG = re.compile(
    r"\b(fma|mad)\.(?!lo|hi|wide)|\.ftz|\.approx|\.full\.f|tf32|"
    r"\b(add|sub|mul|div|sqrt)\.f(32|64)|(atom|red)\S*\.f(16|32|64)|mma\S*k\d+(\.row\.col)?\.f16"
)
PRODUCT = re.compile(r"w?g?mma\S*\.(?:s32\.s8\.s8|f32\.f16\.f16)\S*")


@triton.jit
def control(x, out):
    """Operations that a compiler likes to contract."""
    a = tl.load(x)
    tl.store(out, a * a + a)


class DryBackend(triton_backend.TritonBackend):
    """Goes through a step without starting a kernel, on tensors of the CPU."""

    def _ensure_kernels(self, device: str) -> None:
        pass

    def _ensure_exact_products(self) -> None:
        self.use_path("int8")


def describe(kernel: Any, args: Any) -> dict[str, str]:
    """Types of a launch's arguments; the launch names them in the kernel's order."""
    names = [p.name for p in kernel.params if not p.is_constexpr]
    types = {}
    for name, arg in zip(names, args, strict=True):
        if isinstance(arg, torch.Tensor):
            types[name] = TYPES[arg.dtype]
        else:
            types[name] = "fp32" if isinstance(arg, float) else "i32"
    return types


def record_step(name: str, path: str) -> dict[str, Any]:
    """List the distinct launches of a training step and an evaluation."""
    model, optimiser, batch_size = MODELS[name]
    program = build_program(model, optimiser, batch_size)
    state = init_params(model, 0)
    state.update(fresh_optimiser(state))
    found: dict[str, Any] = {}

    def record(kernel: Any, args: Any, constants: Any, num_warps: int, num_stages: int) -> None:
        types = describe(kernel, args)
        # Sizes that divide by 16 are told to the compiler, as at a real launch.
        aligned = [
            i
            for i, (arg, kind) in enumerate(zip(args, types.values(), strict=True))
            if kind[0] == "*" or (kind == "i32" and arg % 16 == 0)
        ]
        key = repr((kernel.__name__, types, constants, aligned, num_warps))
        found[key] = (kernel, types, constants, aligned, num_warps, num_stages)

    with recording(record, is_dry=True):
        backend = DryBackend("cpu")
        backend.use_path(path)
        batch = np.zeros((1, batch_size, model.context_length + 1), np.int64)
        backend._train(program, state, batch)
        backend._evaluate(
            program, backend._load_params(program, state), batch[0, :, :-1], batch[0, :, 1:]
        )
    return found


def compile_launch(launch: Any, arch: int, is_contracted: bool = False) -> dict[str, Any]:
    """Compile one launch and list suspicious instructions."""
    kernel, types, constants, aligned, num_warps, num_stages = launch
    signature = {**types, **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(
        kernel,
        {p.name: signature[p.name] for p in kernel.params},
        {(kernel.arg_names.index(name),): value for name, value in constants.items()},
        {(i,): [["tt.divisibility", 16]] for i in aligned},
    )
    options = {
        "num_warps": num_warps,
        "num_stages": num_stages,
        "enable_fp_fusion": is_contracted,
    }
    compiled = compile_source(source, target=GPUTarget("cuda", arch, 32), options=options)
    lines = [line.strip() for line in compiled.asm["ptx"].splitlines()]
    code = [line for line in lines if not line.startswith(("//", ".", "$"))]
    return {
        "kernel": kernel.__name__,
        "arch": arch,
        "shared": compiled.metadata.shared,
        "products": sorted(set(PRODUCT.findall("\n".join(code)))),
        "wrong": sorted({line for line in code if WRONG.search(line)}),
    }


def main() -> None:
    """Compile and print."""
    words = sys.argv[1:]
    archs = [int(word) for word in words if word.isdigit()]
    if "control" in words:
        launch = (control, {"x": "*fp32", "out": "*fp32"}, {}, [], 1, 1)
        rows = [compile_launch(launch, archs[0], fused) for fused in (False, True)]
    else:
        launches: dict[str, Any] = {}
        for name in MODELS:
            for path in PATHS:
                if name in words and path in words:
                    launches.update(record_step(name, path))
        rows = [compile_launch(launch, arch) for launch in launches.values() for arch in archs]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
