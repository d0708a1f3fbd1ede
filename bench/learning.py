"""Four miners with compressed updates against training alone, on the same number of tokens.

    python -m bench.learning [--rounds 30] [--miners 4] [--plot docs/learning.png]

Three curves of held-out loss (bits a byte) over trained tokens, all with the default devnet spec:

- `miners`: rounds of H steps on each of n miners, payloads as sent, exact outer step;
- `uncompressed`: the same rounds, the mean of the whole parameter changes instead;
- `alone`: one process, the same number of AdamW steps as all miners together.

Prints JSON. The plot needs matplotlib.
"""

import argparse
import hashlib
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from exact import codec, state
from exact.backends import AUTO, load_backend
from exact.data.sampling import gather, heldout_draw
from exact.state import State
from miner.dataset import build_local_dataset
from miner.setup import RunSetup
from miner.work import compute_next_checkpoint, get_batches, train_round
from proto.descent.runs.v1 import runs_pb2

NUM_EVALUATED = 256
NANONATS_PER_BIT = math.log(2) * 1e9
LABELS = {
    "miners": "{n} miners, payloads as sent",
    "uncompressed": "{n} miners, whole changes averaged",
    "alone": "one process, same tokens",
}


def make_setup(folder: Path, overrides: dict[str, int]) -> RunSetup:
    """Build the default devnet run with some numbers changed."""
    from cli.spec_file import default_devnet_spec

    sections: dict[str, dict[str, int]] = {}
    for path, value in overrides.items():
        part, name = path.split(".")
        sections.setdefault(part, {})[name] = value
    spec = default_devnet_spec(datasets_dir=folder, overrides=sections)
    dataset = build_local_dataset(folder, None)
    run = runs_pb2.Run(id=1, spec=spec.SerializeToString(deterministic=True))
    return RunSetup.create(run, dataset, load_backend(AUTO))


def beacon(round_index: int) -> bytes:
    """Stand in for the chain's beacon."""
    return hashlib.sha256(b"bench" + round_index.to_bytes(4, "big")).digest()


def evaluate(setup: RunSetup, theta: State) -> float:
    """Measure held-out loss on one fixed draw, bits a byte."""
    indices = heldout_draw(setup.num_heldout_sequences, 0, 0, bytes(32), NUM_EVALUATED)
    tokens = gather(setup.dataset.heldout, indices, setup.context_length)
    losses = setup.compute_losses(theta, tokens)
    return int(losses.sum()) / (NUM_EVALUATED * setup.context_length) / NANONATS_PER_BIT


def run_miners(
    setup: RunSetup, num_rounds: int, num_miners: int, *, is_compressed: bool
) -> list[float]:
    """Train rounds with several miners; held-out loss after each."""
    theta = setup.make_initial_params()
    optimisers = [setup.make_fresh_optimiser() for _ in range(num_miners)]
    curve = [evaluate(setup, theta)]
    for index in range(num_rounds):
        updates: dict[int, codec.SparseUpdate] = {}
        finals = []
        for uid in range(num_miners):
            header = codec.PayloadHeader(run_id=1, round=index, uid=uid)
            batches = get_batches(setup, index, beacon(index), uid)
            work = train_round(setup, theta, optimisers[uid], batches, header)
            optimisers[uid] = work.optimiser
            finals.append(work.interval_states[-1])
            updates[uid] = codec.decode(
                work.payload, setup.param_layout, setup.codec, expect=header
            )
        if is_compressed:
            theta = compute_next_checkpoint(setup, theta, updates)
        else:
            theta = {
                name: np.mean([final[name] for final in finals], axis=0, dtype=np.float32)
                for name in theta
            }
        curve.append(evaluate(setup, theta))
        print(f"round {index}: {curve[-1]:.4f}", file=sys.stderr)
    return curve


def run_alone(setup: RunSetup, num_rounds: int, num_miners: int) -> list[float]:
    """Train one process on the same number of tokens; held-out loss after each round's worth."""
    current = state.select_interval({**setup.make_initial_params(), **setup.make_fresh_optimiser()})
    curve = [evaluate(setup, current)]
    for index in range(num_rounds):
        for uid in range(num_miners):
            current, _ = setup.train_interval(
                current, get_batches(setup, index, beacon(index), uid)
            )
        curve.append(evaluate(setup, current))
    return curve


def plot(
    curves: dict[str, list[float]], tokens_per_round: int, num_miners: int, target: Path
) -> None:
    """Draw the curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for name, curve in curves.items():
        tokens = [i * tokens_per_round / 1e6 for i in range(len(curve))]
        label = LABELS[name].format(n=num_miners)
        axes.plot(tokens, curve, label=f"{label}: {curve[-1]:.2f} at the end")
    axes.set_xlabel("tokens trained, millions")
    axes.set_ylabel("held-out loss, bits a byte")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--miners", type=int, default=4)
    parser.add_argument("--only", choices=("miners", "uncompressed", "alone"))
    parser.add_argument("--set", action="append", default=[], metavar="PART.NAME=INT")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    overrides = {name: int(value) for name, value in (item.split("=") for item in options.set)}
    with tempfile.TemporaryDirectory() as folder:
        setup = make_setup(Path(folder), overrides)
        work = setup.spec.work
        tokens = options.miners * work.inner_steps * work.batch_size * setup.context_length
        curves: dict[str, list[float]] = {}
        started = time.monotonic()
        for name in ("miners", "uncompressed", "alone"):
            if options.only not in (None, name):
                continue
            if name == "alone":
                curves[name] = run_alone(setup, options.rounds, options.miners)
            else:
                curves[name] = run_miners(
                    setup, options.rounds, options.miners, is_compressed=name == "miners"
                )
        if options.plot is not None:
            plot(curves, tokens, options.miners, options.plot)
        result = {
            "rounds": options.rounds,
            "miners": options.miners,
            "tokens_per_round": tokens,
            "seconds": round(time.monotonic() - started, 1),
            "curves_bits_per_byte": {
                name: [round(loss, 4) for loss in curve] for name, curve in curves.items()
            },
            "final_bits_per_byte": {name: round(curve[-1], 4) for name, curve in curves.items()},
        }
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
