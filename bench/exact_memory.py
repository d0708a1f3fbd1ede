"""Peak memory of an exact training step against ordinary torch fp32, each in its own process.

    python -m bench.exact_memory [--sizes 3m 25m] [--backend auto]

Prints one JSON document: MiB of the process at its peak, and above what it had before the first
weights were made; ratios exact / ordinary of both. Two steps each, so that moments exist.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.exact_sizes import SIZES

NUM_STEPS = 2
SIDES = ("exact", "ordinary")


def run_side(side: str, size: str, backend_name: str) -> dict[str, float]:
    """Train and measure, in this process.

    Args:
        side: "exact" or "ordinary".
        size: a key of `SIZES`.
        backend_name: of the exact side.
    """
    from exact.backends import load_backend
    from exact.config import OptimiserConfig
    from exact.families import build_program, fresh_optimiser, init_params

    model, batch_size, *_ = SIZES[size]
    shape = (NUM_STEPS, batch_size, model.context_length + 1)
    batches = np.random.default_rng(0).integers(0, model.vocab_size, shape)
    if side == "exact":
        backend = load_backend(backend_name)
        program = build_program(model, OptimiserConfig(), batch_size)
        before = _get_peak_mib()
        state = init_params(model, 0)
        state.update(fresh_optimiser(state))
        for batch in batches:
            state = backend.train_interval(program, state, batch[None])
    else:
        import torch

        from bench.ordinary_gpt import OrdinaryGpt, train_steps

        before = _get_peak_mib()
        gpt = OrdinaryGpt(model, init_params(model, 0))
        train_steps(gpt, OptimiserConfig(), torch.from_numpy(batches))
    peak = _get_peak_mib()
    return {"peak_mib": round(peak), "above_start_mib": round(peak - before)}


def _get_peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(size: str, backend_name: str) -> dict[str, Any]:
    """Run both sides in processes of their own and compare."""
    sides: dict[str, dict[str, float]] = {}
    for side in SIDES:
        command = [sys.executable, "-m", "bench.exact_memory", "--side", side]
        command += ["--sizes", size, "--backend", backend_name]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
        )
        sides[side] = json.loads(done.stdout)
    ratios = {key: round(sides["exact"][key] / sides["ordinary"][key], 3) for key in sides["exact"]}
    return {"size": size, **sides, "ratio": ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["3m", "25m"])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments.side, arguments.sizes[0], arguments.backend)))
        return
    print(json.dumps([measure(size, arguments.backend) for size in arguments.sizes], indent=1))


if __name__ == "__main__":
    main()
