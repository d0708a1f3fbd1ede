"""Time an exact training step against ordinary torch fp32, interleaved in one process.

    python -m bench.exact_step [--sizes devnet 3m 25m] [--formats default fast] [--threads 1 2]
                               [--backend auto] [--device cpu] [--rounds N] [--quick]
                               [--compiled]

Prints a JSON document a line, as they are measured. A row is a size, a format and a number of
threads: milliseconds a step (the fastest of the rounds, and the median) and the ratio exact /
ordinary, from paired rounds, so that load on the machine falls on both. Ordinary is eager torch:
SDPA, library norms, AdamW; with --compiled also its loss and gradient through `torch.compile`,
whose compiler wants a minute or more before the first row. `replay` is an auditor's time for an
interval over the miner's, from paired rounds. `cpu` has the same ratios of processor time, which
other work on the machine disturbs less; with several threads it counts those that wait. The last
line has `root_ms`, the time of the root of parameters and moments.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.exact_sizes import FORMATS, SIZES
from bench.ordinary_gpt import CompiledGpt, OrdinaryGpt, train_steps
from exact.backends import AUTO, load_backend
from exact.backends.torch_backend import set_determinism
from exact.config import ModelConfig, OptimiserConfig
from exact.families import build_program, count_params, fresh_optimiser, init_params
from exact.state import interval_root

QUICK_ROUNDS = 2


def measure(
    model: ModelConfig,
    batch_size: int,
    num_rounds: int,
    num_steps: int,
    device: str = "cpu",
    backend_name: str = AUTO,
    with_compiled: bool = False,
) -> dict[str, Any]:
    """Time both steps.

    Args:
        model: the shape and precision.
        batch_size: sequences a step.
        num_rounds: pairs of measurements.
        num_steps: steps in a measurement.
        device: torch device.
        backend_name: as for `load_backend`.
        with_compiled: compare with `torch.compile` too.

    Returns:
        A row of the JSON document.
    """
    optimiser = OptimiserConfig()
    state = init_params(model, 0)
    state.update(fresh_optimiser(state))
    shape = (num_steps, batch_size, model.context_length + 1)
    batches = np.random.default_rng(0).integers(0, model.vocab_size, shape)
    program = build_program(model, optimiser, batch_size)
    backend = load_backend(backend_name, device)
    gpt = OrdinaryGpt(model, state, device=device)
    tensors = torch.from_numpy(batches).to(device)

    def run_exact() -> float:
        backend.train_interval(program, state, batches)
        return float(backend.losses[-1])

    def run_ordinary() -> float:
        return float(train_steps(gpt, optimiser, tensors)[-1].item())

    auditor = load_backend(backend_name, device)

    def run_replay() -> float:
        auditor.train_interval(program, state, batches)
        return 0.0

    def run_compiled() -> float:
        return float(train_steps(compiled, optimiser, tensors)[-1].item())

    runs: tuple[Callable[[], float], ...] = (run_exact, run_ordinary, run_replay)
    if with_compiled:
        compiled = CompiledGpt(model, state, device=device)
        runs = (*runs, run_compiled)
    first, times, cpu = _interleave(runs, num_rounds, num_steps)
    exact_ms, ordinary_ms, replay_ms = times[:3]
    row: dict[str, Any] = {
        "num_params": count_params(model),
        "tokens_a_step": batch_size * model.context_length,
        "num_threads": torch.get_num_threads(),
        "device": device,
        "backend": backend.description,
        "environment": set_determinism(),
        "exact_ms": _summarise(exact_ms),
        "ordinary_ms": _summarise(ordinary_ms),
        "ratio": _compare(exact_ms, ordinary_ms),
        "replay": _compare(replay_ms, exact_ms),
        "cpu": {"ratio": _compare(cpu[0], cpu[1]), "replay": _compare(cpu[2], cpu[0])},
        # After the steps of the first run, from the same first weights.
        "loss": {"exact": round(first[0], 5), "ordinary": round(first[1], 5)},
    }
    if with_compiled:
        row["compiled_ms"] = _summarise(times[3])
        row["ratio_compiled"] = _compare(exact_ms, times[3])
        row["cpu"]["ratio_compiled"] = _compare(cpu[0], cpu[3])
    return row


def _summarise(times: list[float]) -> dict[str, float]:
    return {"min": round(min(times), 3), "median": round(statistics.median(times), 3)}


def _compare(times: list[float], others: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(times, others, strict=True)]
    return {
        "min": round(min(times) / min(others), 3),
        "median": round(statistics.median(ratios), 3),
    }


def _interleave(
    runs: tuple[Callable[[], float], ...], num_rounds: int, num_steps: int
) -> tuple[list[float], list[list[float]], list[list[float]]]:
    """Return results of the first, unmeasured runs; milliseconds a step; those of processors."""
    first = [run() for run in runs]
    times: list[list[float]] = [[] for _ in runs]
    cpu: list[list[float]] = [[] for _ in runs]
    for _ in range(num_rounds):
        for run, target, cpu_target in zip(runs, times, cpu, strict=True):
            start, cpu_start = time.perf_counter(), time.process_time()
            run()
            target.append((time.perf_counter() - start) / num_steps * 1e3)
            cpu_target.append((time.process_time() - cpu_start) / num_steps * 1e3)
    return first, times, cpu


def measure_root(model: ModelConfig, num_rounds: int = 3) -> float:
    """Time the root of parameters and moments; the fastest of the rounds, in milliseconds."""
    state = init_params(model, 0)
    state.update(fresh_optimiser(state))
    times = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        interval_root(state)
        times.append((time.perf_counter() - start) * 1e3)
    return round(min(times), 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--backend", default=AUTO)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=0, help="pairs; a default for each size")
    parser.add_argument("--compiled", action="store_true", help="torch.compile as a baseline too")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    arguments = parser.parse_args()
    for size in arguments.sizes:
        model, batch_size, num_steps, num_rounds = SIZES[size]
        num_rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds or num_rounds
        for name in arguments.formats:
            for num_threads in arguments.threads:
                torch.set_num_threads(num_threads)
                row = measure(
                    replace(model, **FORMATS[name]),
                    batch_size,
                    num_rounds,
                    num_steps,
                    arguments.device,
                    arguments.backend,
                    arguments.compiled,
                )
                print(json.dumps({"size": size, "format": name, **row}), flush=True)
    last = arguments.sizes[-1]
    print(json.dumps({"size": last, "root_ms": measure_root(SIZES[last][0])}))


if __name__ == "__main__":
    main()
