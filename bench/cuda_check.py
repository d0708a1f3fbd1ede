"""Check and time exact training on a CUDA device.

    python -m bench.cuda_check [--out FILE]

Prints one JSON document: whether the golden trace and a larger interval have the CPU's roots,
which faster matrix modes stay exact on this device, and the time of a step against ordinary torch
(fp32, and bf16 autocast) at a few sizes. Exit code 0 only if every root is equal.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.exact_step import measure
from bench.ordinary_gpt import OrdinaryGpt
from exact import probe
from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import ExactError
from exact.families import build_program, fresh_optimiser, init_params
from exact.state import interval_root

SIZES = {
    "devnet": (ModelConfig(), 8),
    "small": (ModelConfig(context_length=256, d_model=512, num_layers=8, num_heads=8), 32),
    "medium": (ModelConfig(context_length=512, d_model=1024, num_layers=12, num_heads=16), 32),
}


def check_golden(device: str) -> dict[str, Any]:
    """Run the probe; the error's text tells the first step that differs."""
    try:
        return {"equal": True, "root": probe.ensure_faithful(load_backend("torch", device)).hex()}
    except ExactError as error:
        return {"equal": False, "error": str(error)}


def check_interval(device: str) -> dict[str, Any]:
    """Compare four steps and the losses of a model whose every width needs several blocks."""
    model = ModelConfig(context_length=160, d_model=192, num_layers=3, num_heads=4, tied_head=False)
    program = build_program(model, OptimiserConfig(gradient_clip=1.0), 4)
    state = init_params(model, 11)
    state.update(fresh_optimiser(state))
    batches = np.random.default_rng(1).integers(0, 256, (4, 4, model.context_length + 1))
    roots, sums = [], []
    for name in ("cpu", device):
        backend = load_backend("torch", name)
        result = backend.train_interval(program, state, batches)
        roots.append(interval_root(result).hex())
        sums.append(backend.sequence_losses(program, result, batches[0]).tolist())
    return {"equal": roots[0] == roots[1] and sums[0] == sums[1], "roots": roots, "sums": sums}


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


def measure_bf16(model: ModelConfig, batch_size: int, device: str) -> float:
    """Time an ordinary step under bf16 autocast with fused AdamW, in milliseconds."""
    gpt = OrdinaryGpt(model, init_params(model, 0), device=device)
    params = list(gpt.params.values())
    adamw = torch.optim.AdamW(params, lr=1e-3, fused=device != "cpu")
    shape = (batch_size, model.context_length + 1)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape)).to(device)

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = gpt.compute_mean_loss(tokens)
        loss.backward()
        adamw.step()
        adamw.zero_grad()

    return _time(step, device)


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
        "golden": check_golden(device),
        "interval": check_interval(device),
        "elementwise_wrong_of_4194304": check_elementwise(device),
        "matrix_modes": check_matrix_modes(device),
        "steps": {},
    }
    if device.startswith("cuda"):
        result["device"] = torch.cuda.get_device_name()
    for name in filter(None, arguments.sizes.split(",")):
        model, batch_size = SIZES[name]
        timing = measure(model, batch_size, num_rounds=5, num_steps=5, device=device)
        timing["bf16_autocast_ms"] = measure_bf16(model, batch_size, device)
        timing["ratio_bf16"] = timing["exact_ms"]["min"] / timing["bf16_autocast_ms"]
        result["steps"][name] = timing
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return 0 if result["golden"]["equal"] and result["interval"]["equal"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
