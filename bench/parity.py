"""Does exact training learn as well as ordinary fp32 training? Paired seeds, with controls.

    python -m bench.parity [--sizes small medium] [--seeds 8] [--first-seed 0] [--device cpu]
                           [--max-seconds 0] [--report-only]

Every seed gives first weights and an order of the text, the same for all recipes:

- `fp32`: ordinary torch, what the others are compared with;
- `nudge`: fp32 again, the first weights times 1 + 1e-6 n: how much of a difference is noise;
- `default`: |q| <= 511, blocks of 64; `fast`: |q| <= 127, 15 bits where a softmax comes out;
- `control`: |q| <= 31 everywhere, which must fail.

The learning rate warms up and then falls to zero, so that the end point is quiet. A recipe is
equivalent when the 90 % interval of the mean relative difference of loss lies inside +-0.3 % (two
one-sided t tests at 5 %), on unseen text or on other files (`parity_report.METRICS`). Finished
trainings are kept in the results file: started again, the study goes on, and several processes may
share it, each with other seeds. Writes docs/parity.json, docs/parity.png, docs/parity.md; prints
JSON.
"""

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.exact_sizes import FORMATS
from bench.machine import describe_machine
from bench.ordinary_gpt import OrdinaryGpt, iterate_steps
from bench.parity_report import write_report
from bench.results import read_results, update_results
from exact.backends import Backend, load_backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.counter import compute_normal, derive_key
from exact.data.corpus import collect_stdlib_files
from exact.data.pack import Dataset, build_dataset
from exact.data.sampling import KeyedPermutation, count_sequences, gather
from exact.errors import UnfaithfulDevice
from exact.families import build_program, count_params, fresh_optimiser, init_params
from exact.state import State

DOCS = Path(__file__).parents[1] / "docs"
RECIPES: dict[str, dict[str, int]] = {
    "fp32": {},
    "default": FORMATS["default"],
    "nudge": {},
    "fast": FORMATS["fast"],
    "control": {"operand_max": 31},
}
ORDINARY = ("fp32", "nudge")
NUDGE = 1e-6
CURVE_STEPS = 20


@dataclass(frozen=True)
class Study:
    """One size of model and how it is trained.

    Attributes:
        model: shape; precision comes from the recipe.
        learning_rate_ppb: at its highest.
        num_steps: the rate is zero after them.
        batch_size: sequences a step.
        num_heldout: sequences of the final evaluation.
    """

    model: ModelConfig
    learning_rate_ppb: int
    num_steps: int
    batch_size: int = 8
    num_heldout: int = 1024

    @property
    def optimiser(self) -> OptimiserConfig:
        """AdamW with a short warm-up and a linear decay to zero."""
        return OptimiserConfig(
            learning_rate=to_float32(self.learning_rate_ppb),
            beta1=to_float32(900_000_000),
            beta2=to_float32(950_000_000),
            warmup_steps=self.num_steps // 20,
            decay_steps=self.num_steps,
        )


SMALL = ModelConfig(context_length=128, d_model=128, num_layers=4, num_heads=4, tied_head=False)
MEDIUM = ModelConfig(context_length=128, d_model=256, num_layers=4, num_heads=8, tied_head=False)
STUDIES = {
    "tiny": Study(
        ModelConfig(context_length=16, d_model=16, num_layers=1, num_heads=2),
        2_000_000,
        num_steps=12,
        num_heldout=8,
    ),
    "small": Study(SMALL, 2_000_000, num_steps=2000),
    # At the edge of stability, where a rounding error decides as much as a seed does.
    "small-hot": Study(SMALL, 3_000_000, num_steps=1000),
    "medium": Study(MEDIUM, 1_000_000, num_steps=1600),
    "medium-warm": Study(MEDIUM, 1_500_000, num_steps=1200),
    "medium-hot": Study(MEDIUM, 2_000_000, num_steps=1200),
    # Before the control can be told apart.
    "medium-early": Study(MEDIUM, 1_000_000, num_steps=400),
}


# ---------------------------------------------------------------------------------- training
def draw_batches(study: Study, dataset: Dataset, seed: int) -> np.ndarray:
    """Draw the training sequences of a seed: int64 [steps, B, L + 1], none twice."""
    length = study.model.context_length
    key = hashlib.sha256(b"parity" + seed.to_bytes(4, "big")).digest()
    permutation = KeyedPermutation(key, count_sequences(len(dataset.train), length))
    indices = permutation(np.arange(study.num_steps * study.batch_size))
    tokens = gather(dataset.train, indices, length).astype(np.int64)
    return tokens.reshape(study.num_steps, study.batch_size, length + 1)


def draw_heldout(study: Study, dataset: Dataset) -> np.ndarray:
    """Draw the held-out sequences, the same for all seeds: int64 [n, L + 1]."""
    length = study.model.context_length
    key = hashlib.sha256(b"parity/heldout").digest()
    permutation = KeyedPermutation(key, count_sequences(len(dataset.heldout), length))
    indices = permutation(np.arange(study.num_heldout))
    return gather(dataset.heldout, indices, length).astype(np.int64)


def make_first_weights(study: Study, seed: int, is_nudged: bool) -> State:
    """Make a seed's first weights."""
    params = init_params(study.model, seed)
    if not is_nudged:
        return params
    return {
        name: tensor * (1 + compute_normal(derive_key(seed, f"nudge/{name}"), tensor.shape, NUDGE))
        for name, tensor in params.items()
    }


class Trainer:
    """Trains one recipe at a time and says how far it is."""

    def __init__(self, dataset: Dataset, backend: Backend, device: str):
        self._dataset = dataset
        self._device = device
        self._backend = backend
        self._compute_total: Callable[[np.ndarray], float] = lambda tokens: float("nan")

    def run(self, study: Study, recipe: str, seed: int, label: str) -> dict[str, Any]:
        """Train and evaluate once.

        Returns:
            loss (held-out, nats a token), curve (mean training loss of every CURVE_STEPS steps),
            seconds.
        """
        started = time.monotonic()
        batches = draw_batches(study, self._dataset, seed)
        params = make_first_weights(study, seed, recipe == "nudge")
        heldout = draw_heldout(study, self._dataset)
        train = self._train_ordinary if recipe in ORDINARY else self._train_exact
        losses: list[float] = []
        training = train(replace(study.model, **RECIPES[recipe]), study, params, batches)
        for chunk in training:
            losses += chunk
            _draw_bar(label, len(losses), study.num_steps, started)
        curve = np.array_split(losses, study.num_steps // CURVE_STEPS or 1)
        return {
            "loss": self._evaluate(heldout),
            "curve": [round(float(np.mean(part)), 5) for part in curve],
            "seconds": round(time.monotonic() - started, 1),
        }

    def _train_ordinary(
        self, model: ModelConfig, study: Study, params: State, batches: np.ndarray
    ) -> Iterator[list[float]]:
        gpt = OrdinaryGpt(model, params, device=self._device)
        tokens = torch.from_numpy(batches).to(self._device)
        steps = iterate_steps(gpt, study.optimiser, tokens)
        while chunk := list(itertools.islice(steps, CURVE_STEPS)):
            yield [float(loss) for loss in chunk]

        def evaluate(tokens: np.ndarray) -> float:
            with torch.no_grad():
                parts = torch.from_numpy(tokens).to(self._device).split(16)
                return sum(float(gpt.compute_losses(part).double().sum()) for part in parts)

        self._compute_total = evaluate

    def _train_exact(
        self, model: ModelConfig, study: Study, params: State, batches: np.ndarray
    ) -> Iterator[list[float]]:
        program = build_program(model, study.optimiser, study.batch_size)
        state = {**params, **fresh_optimiser(params)}
        for start in range(0, study.num_steps, CURVE_STEPS):
            part = batches[start : start + CURVE_STEPS]
            state = self._backend.train_interval(program, state, part)
            yield [float(loss) for loss in self._backend.losses]

        def evaluate(tokens: np.ndarray) -> float:
            return float(self._backend.sequence_losses(program, state, tokens).sum() / 1e9)

        self._compute_total = evaluate

    def _evaluate(self, tokens: np.ndarray) -> float:
        """Compute the mean loss in the arithmetic of what was trained last, nats a token."""
        return self._compute_total(tokens) / tokens[:, 1:].size


def _draw_bar(label: str, done: int, total: int, started: float) -> None:
    width = 30
    filled = width * done // total
    seconds = time.monotonic() - started
    bar = "#" * filled + "." * (width - filled)
    end = "\n" if done >= total else ""
    print(f"\r[{bar}] {label} {done}/{total} {seconds:.0f} s", end=end, file=sys.stderr, flush=True)


# ----------------------------------------------------------------------------------- results
def get_key(study: Study, size: str, recipe: str, seed: int) -> str:
    """Name one training; another setting has another name."""
    settings = json.dumps([asdict(study), RECIPES[recipe]], sort_keys=True)
    return f"{size}/{recipe}/{seed}/{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def list_jobs(sizes: list[str], seeds: range, recipes: list[str]) -> list[tuple[str, str, int]]:
    """List the trainings, seed by seed, so that pairs are whole early."""
    return [(s, r, seed) for seed in seeds for s in sizes for r in recipes]


def load_fastest(device: str) -> Backend:
    """Load the native backend, or torch where it cannot be built or another device is wanted."""
    if device != "cpu":
        return load_backend("torch", device)
    try:
        return load_backend("native")
    except UnfaithfulDevice as error:
        print(f"no native library ({error}); torch computes the same bits", file=sys.stderr)
        return load_backend("torch")


def run_jobs(
    path: Path, jobs: list[tuple[str, str, int]], max_seconds: float, device: str = "cpu"
) -> None:
    """Run what the results file lacks, until the time is up."""
    finished = read_results(path)["runs"]
    todo = [job for job in jobs if get_key(STUDIES[job[0]], *job) not in finished]
    started, longest = time.monotonic(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        dataset = build_dataset(collect_stdlib_files(), Path(folder))
        trainer = Trainer(dataset, load_fastest(device), device)
        for index, (size, recipe, seed) in enumerate(todo):
            spent = time.monotonic() - started
            if max_seconds and spent + longest > max_seconds:
                print(f"{len(todo) - index} trainings are left", file=sys.stderr)
                return
            label = f"{index + 1}/{len(todo)} {size} {recipe} seed {seed}"
            study = STUDIES[size]
            run = trainer.run(study, recipe, seed, label)
            longest = max(longest, run["seconds"])
            added = {
                "runs": {get_key(study, size, recipe, seed): run},
                "machines": {size: describe_machine()},
                "params": {size: count_params(study.model)},
            }
            update_results(path, added)


def main() -> None:
    """Run the study and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=list(STUDIES), default=["small", "medium"])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="of both sides, for example cuda")
    parser.add_argument("--max-seconds", type=float, default=0.0, help="0 = until all is done")
    parser.add_argument("--results", type=Path, default=DOCS / "parity.json")
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = list_jobs(options.sizes, seeds, options.recipes)
    if not options.report_only:
        run_jobs(options.results, jobs, options.max_seconds, options.device)
    results = read_results(options.results)
    print(json.dumps(write_report(results, STUDIES, get_key, options.results), indent=1))


if __name__ == "__main__":
    main()
