"""Check and time exact training on a CUDA device.

    python -m bench.cuda_check [--out FILE]

Prints one JSON document: whether the golden traces and larger intervals have the CPU's roots (by
the Triton kernels, and by torch), what became of the kernels' paths, which matrix modes are exact
on this device, and time and peak memory of a step in both formats against ordinary torch (fp32,
bf16 autocast, bf16 compiled) at a few sizes. Exit code 0 only if every root is equal.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.exact_sizes import FORMATS
from bench.ordinary_gpt import OrdinaryGpt
from exact import probe
from exact.backends import AUTO, load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import ExactError
from exact.families import build_program, count_params, fresh_optimiser, init_params
from exact.state import interval_root

SIZES = {
    "devnet": (ModelConfig(), 8),
    "small": (ModelConfig(context_length=256, d_model=512, num_layers=8, num_heads=8), 32),
    "medium": (ModelConfig(context_length=512, d_model=1024, num_layers=12, num_heads=16), 32),
}
# Intervals whose difference is the time of steps.
SHORT_STEPS, LONG_STEPS = 4, 16
CASES: dict[str, dict[str, Any]] = {
    "default": {"tied_head": False},
    "fast": FORMATS["fast"],
    "wide": {"operand_max": 4_095},
    "llama": {"family": "llama", "num_kv_heads": 2, "mlp_width": 500},
}


def check_golden(backend_name: str, device: str) -> dict[str, Any]:
    """Run the probe; the error's text tells what differs. Triton also says what became of paths."""
    try:
        backend = load_backend(backend_name, device)
        root = probe.ensure_faithful(backend).hex()
    except ExactError as error:
        return {"equal": False, "error": str(error)}
    paths = getattr(backend, "reasons", {})
    return {"equal": True, "root": root, "backend": backend.description, "paths": paths}


def check_interval(device: str, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Compare four steps and the losses of a model whose every width needs several blocks.

    Args:
        device: of the second side; the first is what computes on this CPU.
        name: of the case.
        changes: to the model.
    """
    shape = {"context_length": 160, "d_model": 192, "num_layers": 3, "num_heads": 4}
    model = ModelConfig(**shape, **changes)
    program = build_program(model, OptimiserConfig(gradient_clip=1.0), 4)
    state = init_params(model, 11)
    state.update(fresh_optimiser(state))
    batches = np.random.default_rng(1).integers(0, 256, (4, 4, model.context_length + 1))
    roots, sums = [], []
    for where in ("cpu", device):
        try:
            backend = load_backend(AUTO, where)
            result = backend.train_interval(program, state, batches)
        except (ExactError, RuntimeError) as error:
            return {"name": name, "equal": False, "error": str(error)}
        roots.append(interval_root(result).hex())
        sums.append(backend.sequence_losses(program, result, batches[0]).tolist())
    equal = roots[0] == roots[1] and sums[0] == sums[1]
    return {"name": name, "equal": equal, "roots": roots}


def check_elementwise(device: str) -> dict[str, int]:
    """Count float32 results that are not correctly rounded, out of 4 194 304 each."""
    rng = np.random.default_rng(0)
    x = np.exp2(rng.uniform(-40, 40, 1 << 22)).astype(np.float32)
    y = np.exp2(rng.uniform(-40, 40, 1 << 22)).astype(np.float32)
    a, b = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    results = {
        "multiply": (a * b, x * y),
        "add": (a + b, x + y),
        "divide": (a / b, x / y),
        "reciprocal": (a.reciprocal(), np.float32(1) / x),
        "sqrt": (a.sqrt(), np.sqrt(x)),
        "sqrt_by_float64": (a.double().sqrt().float(), np.sqrt(x)),
        "multiply_then_add": (a * b + b, x * y + y),
    }
    return {name: int((t.cpu().numpy() != w).sum()) for name, (t, w) in results.items()}


def check_matrix_modes(device: str, block: int = 64) -> dict[str, Any]:
    """Test saturated 9-bit operands of one block in fp32, TF32 and fp16, and time 4096^3."""
    rng = np.random.default_rng(0)
    a = rng.choice([-511, 511], (512, block))
    b = rng.integers(-511, 512, (512, block))
    a[0], b[0] = 511, 511
    wanted = a @ b.T
    modes: dict[str, Any] = {}
    for mode, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("fp16", torch.float16)):
        torch.backends.cuda.matmul.allow_tf32 = mode == "tf32"
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        left, right = (torch.from_numpy(x).to(device, dtype) for x in (a, b))
        try:
            # fp16 operands need the fp32 accumulator itself, not its rounding to fp16.
            if dtype == torch.float16:
                product = torch.mm(left, right.T, out_dtype=torch.float32)
            else:
                product = left @ right.T
            wrong = int((product.double().cpu().numpy() != wanted).sum())
        except (RuntimeError, TypeError) as error:
            modes[mode] = {"error": str(error).splitlines()[0]}
            continue
        big = torch.ones(4096, 4096, device=device, dtype=dtype)
        modes[mode] = {"wrong_of_262144": wrong, "ms_4096": _time(lambda m=big: m @ m, device)}
    torch.backends.cuda.matmul.allow_tf32 = False
    return modes


def measure_exact(model: ModelConfig, batch_size: int, device: str) -> dict[str, float]:
    """Time a step on the device, and its peak memory there.

    The state's way to the device and back belongs to the interval: two intervals of different
    lengths tell the step apart from it.
    """
    backend = load_backend(AUTO, device)
    program = build_program(model, OptimiserConfig(), batch_size)
    state = init_params(model, 0)
    state.update(fresh_optimiser(state))
    shape = (LONG_STEPS, batch_size, model.context_length + 1)
    batches = np.random.default_rng(0).integers(0, 256, shape)
    backend.train_interval(program, state, batches[:2])
    _reset_peak(device)
    times = {}
    for num_steps in (SHORT_STEPS, LONG_STEPS):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            backend.train_interval(program, state, batches[:num_steps])
            seconds.append(time.perf_counter() - start)
        times[num_steps] = min(seconds)
    step = (times[LONG_STEPS] - times[SHORT_STEPS]) / (LONG_STEPS - SHORT_STEPS)
    return {"ms": step * 1e3, "peak_mib": _get_peak(device)}


def measure_ordinary(
    model: ModelConfig, batch_size: int, device: str, is_bf16: bool, is_compiled: bool = False
) -> dict[str, float]:
    """Time an ordinary step with fused AdamW: fp32, or under bf16 autocast; eager or compiled."""
    gpt = OrdinaryGpt(model, init_params(model, 0), device=device)
    compute = torch.compile(gpt.compute_mean_loss) if is_compiled else gpt.compute_mean_loss
    params = list(gpt.params.values())
    adamw = torch.optim.AdamW(params, lr=1e-3, fused=device != "cpu")
    shape = (batch_size, model.context_length + 1)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape)).to(device)

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_bf16):
            loss = compute(tokens)
        loss.backward()
        adamw.step()
        adamw.zero_grad()

    _reset_peak(device)
    return {"ms": _time(step, device), "peak_mib": _get_peak(device)}


def measure_size(model: ModelConfig, batch_size: int, device: str) -> dict[str, Any]:
    """Time exact formats and ordinary training at one size; ratios to bf16 autocast."""
    row: dict[str, Any] = {
        "num_params": count_params(model),
        "tokens_a_step": batch_size * model.context_length,
        "fp32": measure_ordinary(model, batch_size, device, False),
        "bf16": measure_ordinary(model, batch_size, device, True),
    }
    if device.startswith("cuda"):
        row["bf16_compiled"] = measure_ordinary(model, batch_size, device, True, True)
    for name, changes in FORMATS.items():
        exact = measure_exact(replace(model, **changes), batch_size, device)
        ratio = {"ratio_bf16": exact["ms"] / row["bf16"]["ms"]}
        if row["bf16"]["peak_mib"]:
            ratio["ratio_memory"] = exact["peak_mib"] / row["bf16"]["peak_mib"]
        row[f"exact_{name}"] = {**exact, **ratio}
    return row


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _get_peak(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if device.startswith("cuda") else 0.0


def _time(run: Any, device: str, repeats: int = 10) -> float:
    synchronise = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)
    for _ in range(3):
        run()
    synchronise()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronise()
    return (time.perf_counter() - start) / repeats * 1e3


def main() -> int:
    """Check, measure, print; 0 when every root is equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sizes", default=",".join(SIZES))
    arguments = parser.parse_args()
    device = arguments.device
    result: dict[str, Any] = {
        "golden": {name: check_golden(name, device) for name in (AUTO, "torch")},
        "intervals": [check_interval(device, *case) for case in CASES.items()],
        "elementwise_wrong_of_4194304": check_elementwise(device),
        "matrix_modes": check_matrix_modes(device),
        "steps": {},
    }
    if device.startswith("cuda"):
        result["device"] = torch.cuda.get_device_name()
    for name in filter(None, arguments.sizes.split(",")):
        model, batch_size = SIZES[name]
        result["steps"][name] = measure_size(model, batch_size, device)
        print(json.dumps({name: result["steps"][name]}), file=sys.stderr, flush=True)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    checks = [*result["golden"].values(), *result["intervals"]]
    return 0 if all(check["equal"] for check in checks) else 1


if __name__ == "__main__":
    raise SystemExit(main())
