"""Golden traces: how they are computed; `test_golden.py` makes and checks them.

`tests/vectors/exact/traces.json` maps a case of `helpers.CASES` to the interval-state roots after
0, 1, 2 ... steps, the losses' float32 bytes and the sequence losses; `long_traces.json` maps one
case of each family to its roots after 0, 50 ... 200 steps. Made by the definition; they change only
with the definition, which every run on the chain depends on.
"""

import json
from pathlib import Path
from typing import Any

from exact.backends.base import Backend
from exact.state import compute_trace_root, interval_root
from tests.exact.helpers import CASES, build_case

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests/vectors/exact/traces.json"
LONG_VECTORS = ROOT / "tests/vectors/exact/long_traces.json"
NUM_STEPS = 3
LONG_CASES = ("untied-clipped", "llama")
NUM_LONG_STEPS = 200
LONG_INTERVAL = 50


def compute_trace(backend: Backend, name: str) -> dict[str, Any]:
    program, state, batches = build_case(*CASES[name], num_steps=NUM_STEPS)
    roots = [interval_root(state)]
    losses = b""
    for batch in batches:
        state = backend.train_interval(program, state, batch[None])
        roots.append(interval_root(state))
        losses += backend.losses.astype("<f4").tobytes()
    sums = backend.sequence_losses(program, state, batches[0])
    return {
        "roots": [root.hex() for root in roots],
        "trace_root": compute_trace_root(roots).hex(),
        "losses": losses.hex(),
        "nanonats": [int(total) for total in sums],
    }


def compute_long_trace(backend: Backend, name: str) -> list[str]:
    program, state, batches = build_case(*CASES[name], num_steps=NUM_LONG_STEPS)
    roots = [interval_root(state).hex()]
    for start in range(0, NUM_LONG_STEPS, LONG_INTERVAL):
        state = backend.train_interval(program, state, batches[start : start + LONG_INTERVAL])
        roots.append(interval_root(state).hex())
    return roots


def find_wrong_traces(backend: Backend, with_long: bool = True) -> list[str]:
    """Compute the golden traces; return the names of those that differ."""
    short, long = json.loads(VECTORS.read_text()), json.loads(LONG_VECTORS.read_text())
    wrong = [name for name in CASES if compute_trace(backend, name) != short[name]]
    if with_long:
        found = {name: compute_long_trace(backend, name) for name in LONG_CASES}
        wrong += [f"long {name}" for name in LONG_CASES if found[name] != long[name]]
    return wrong
