"""The parity study at a size that takes seconds: its statistics, its resumption, its report."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench import parity
from bench.parity_report import compute_interval, compute_t_quantile, get_loss
from bench.results import read_results, update_results

ROOT = Path(__file__).parents[2]


def run(results: Path, *arguments: str) -> tuple[dict, str]:
    command = [sys.executable, "-m", "bench.parity", "--sizes", "tiny", "--results", str(results)]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def test_study_is_resumed_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "parity.json"
    recipes = ("fp32", "default", "control")
    table, words = run(path, "--seeds", "1", "--recipes", *recipes)
    assert table["tiny"]["recipes"]["default"]["heldout"]["verdict"] == "too few pairs"
    first = json.loads(path.read_text())["runs"]
    assert len(first) == 3
    assert "3/3 tiny control seed 0 12/12" in words
    table, words = run(path, "--seeds", "1", "--first-seed", "1", "--recipes", *recipes)
    runs = json.loads(path.read_text())["runs"]
    assert len(runs) == 6
    assert all(runs[key] == value for key, value in first.items())
    assert "3/3 tiny control seed 1 12/12" in words
    assert "seed" not in run(path, "--seeds", "2", "--recipes", *recipes)[1]
    entry = table["tiny"]["recipes"]
    for metric in ("heldout", "unseen"):
        assert entry["default"][metric]["pairs"] == 2
        assert abs(entry["default"][metric]["mean_percent"]) < 0.2
        assert entry["nudge"][metric]["pairs"] == 0
    page = (tmp_path / "parity.md").read_text()
    assert "| control |" in page
    assert "+-0.3 %" in page
    assert (tmp_path / "parity.png").stat().st_size > 1000


def test_results_of_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"

    def add(number: int) -> None:
        for part in range(25):
            update_results(path, {"runs": {f"{number}/{part}": number}, "memory": [1]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    results = read_results(path)
    assert results["memory"] == [1]
    assert len(results["runs"]) == 100
    assert [item.name for item in path.parent.iterdir()] == ["results.json"]


def test_the_same_training_again_gives_the_same_loss(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(tmp_path / name / "parity.json", "--seeds", "1", "--recipes", "default")
    losses = [
        [entry["loss"] for entry in json.loads(path.read_text())["runs"].values()]
        for path in (tmp_path / "a/parity.json", tmp_path / "b/parity.json")
    ]
    assert losses[0] == losses[1]


def test_another_setting_is_another_training() -> None:
    small, medium = parity.STUDIES["small"], parity.STUDIES["medium"]
    keys = {
        parity.get_key(study, "small", recipe, 0)
        for study in (small, medium)
        for recipe in ("default", "fast")
    }
    assert len(keys) == 4
    assert 800_000 < parity.count_params(small.model) < 900_000
    assert 3_200_000 < parity.count_params(medium.model) < 3_500_000


@pytest.mark.parametrize(
    ("degrees", "wanted"), [(1, 6.3138), (2, 2.9200), (5, 2.0150), (9, 1.8331), (100, 1.6602)]
)
def test_t_quantile(degrees: int, wanted: float) -> None:
    assert compute_t_quantile(0.95, degrees) == pytest.approx(wanted, rel=2e-4)


def test_losses() -> None:
    run = {"loss": 3.0, "curve": [9.0] * 38 + [2.0, 1.0]}
    assert get_loss(run, "heldout") == 3.0
    assert get_loss(run, "unseen") == 1.5  # of a twentieth
    assert get_loss({"loss": 3.0, "curve": [9.0, 2.0]}, "unseen") == 2.0


def test_verdicts() -> None:
    assert compute_interval([0.1, 0.05, 0.0, 0.02])["verdict"] == "equivalent"
    assert compute_interval([0.9, 1.0, 1.1])["verdict"] == "different"
    assert compute_interval([-0.5, 0.5, 0.1])["verdict"] == "not shown"
    assert math.isnan(compute_interval([])["mean_percent"])
    # Textbook: n = 3, mean 1, standard deviation 1: 1 +- 2.92 / sqrt(3).
    low, high = compute_interval([0.0, 1.0, 2.0])["interval_percent"]
    assert (low, high) == (pytest.approx(-0.6859, abs=1e-3), pytest.approx(2.6859, abs=1e-3))
