"""Time an exact training step against ordinary torch fp32, interleaved in one process.

    python -m bench.exact_step [--d-model 64 --layers 2 --heads 4 --context 64 --batch 8 --rounds 7]

Prints one JSON document: milliseconds a step (the fastest of the rounds, and the median) and the
ratio exact / ordinary, from paired rounds, so that load on the machine falls on both.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.ordinary_gpt import OrdinaryGpt, train_steps
from exact.backends import load_backend
from exact.backends.torch_backend import set_determinism
from exact.config import ModelConfig, OptimiserConfig
from exact.families import build_program, count_params, fresh_optimiser, init_params


def measure(
    model: ModelConfig, batch_size: int, num_rounds: int, num_steps: int, device: str = "cpu"
) -> dict[str, Any]:
    """Time both steps.

    Args:
        model: the shape.
        batch_size: sequences a step.
        num_rounds: pairs of measurements.
        num_steps: steps in a measurement.
        device: torch device.

    Returns:
        What the JSON document holds.
    """
    optimiser = OptimiserConfig()
    state = init_params(model, 0)
    state.update(fresh_optimiser(state))
    shape = (num_steps, batch_size, model.context_length + 1)
    batches = np.random.default_rng(0).integers(0, model.vocab_size, shape)
    program = build_program(model, optimiser, batch_size)
    backend = load_backend("native", device)
    gpt = OrdinaryGpt(model, state, device=device)
    tensors = torch.from_numpy(batches).to(device)

    def run_exact() -> None:
        backend.train_interval(program, state, batches)

    def run_ordinary() -> None:
        train_steps(gpt, optimiser, tensors)[-1].item()

    exact_ms, ordinary_ms = _interleave(run_exact, run_ordinary, num_rounds, num_steps)
    ratios = [a / b for a, b in zip(exact_ms, ordinary_ms, strict=True)]
    return {
        "num_params": count_params(model),
        "tokens_a_step": batch_size * model.context_length,
        "num_threads": torch.get_num_threads(),
        "device": device,
        "environment": set_determinism(),
        "exact_ms": {"min": min(exact_ms), "median": statistics.median(exact_ms)},
        "ordinary_ms": {"min": min(ordinary_ms), "median": statistics.median(ordinary_ms)},
        "ratio": {"min": min(exact_ms) / min(ordinary_ms), "median": statistics.median(ratios)},
    }


def _interleave(
    first: Callable[[], None], second: Callable[[], None], num_rounds: int, num_steps: int
) -> tuple[list[float], list[float]]:
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(num_rounds):
        for run, target in zip((first, second), times, strict=True):
            start = time.perf_counter()
            run()
            target.append((time.perf_counter() - start) / num_steps * 1e3)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d-model", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = ModelConfig(
        context_length=arguments.context,
        d_model=arguments.d_model,
        num_layers=arguments.layers,
        num_heads=arguments.heads,
    )
    result = measure(model, arguments.batch, arguments.rounds, arguments.steps)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
