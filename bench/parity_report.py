"""The parity study's statistics, plot and page, from its results file."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MARGIN_PERCENT = 0.3
COMPARED = ("nudge", "default", "fast", "control")
MEANING = {
    "nudge": "fp32, first weights moved by 1e-6",
    "default": "\\|q\\| <= 511, blocks of 64",
    "fast": "\\|q\\| <= 127, 15 bits after a softmax",
    "control": "\\|q\\| <= 31: must fail",
}
# What a difference is of: see `get_loss`.
METRICS = {"unseen": "unseen text", "heldout": "other files"}
TAIL = 20  # the last steps' part of all steps that counts
NOTES = {
    "small": " Unseen text was looked at after eleven pairs, when other files had shown their\n"
    "spread: the seeds from 11 on came after that choice.",
    "small-hot": " A first setting, kept as it came out: at this rate training is chaotic, a pair\n"
    "spreads as far as two seeds do, and nothing small can be shown.",
    "medium": " Both losses were chosen before its first pair; it was looked at\n"
    "after twelve pairs and after sixteen, and ended by the clock.",
    "medium-warm": " Given up after three pairs, which spread as far.",
    "medium-hot": " Given up after three pairs, as chaotic as `small-hot`.",
    "medium-early": " Given up after three pairs: so early not even the control can be told apart.",
}


def compute_t_quantile(probability: float, degrees: int) -> float:
    """Compute a quantile of Student's t by bisection on its integral.

    Args:
        probability: above 1/2.
        degrees: of freedom, >= 1.
    """
    norm = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    norm /= math.sqrt(degrees * math.pi)

    def integrate(end: float) -> float:
        # The substitution t = sqrt(n) tan(angle) makes the range finite.
        angle = np.linspace(0, math.atan(end / math.sqrt(degrees)), 4001)
        values = np.cos(angle) ** (degrees - 1)
        area = float(np.sum((values[1:] + values[:-1]) / 2) * (angle[1] - angle[0]))
        return 0.5 + norm * math.sqrt(degrees) * area

    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if integrate(middle) < probability else (low, middle)
    return high


def compute_interval(differences: list[float]) -> dict[str, Any]:
    """Compute mean, 90 % interval and verdict of paired differences in percent."""
    count = len(differences)
    mean = float(np.mean(differences)) if count else float("nan")
    summary: dict[str, Any] = {"pairs": count, "mean_percent": round(mean, 4)}
    if count < 2:
        return {**summary, "verdict": "too few pairs"}
    spread = float(np.std(differences, ddof=1))
    error = spread / math.sqrt(count)
    half = compute_t_quantile(0.95, count - 1) * error
    low, high = mean - half, mean + half
    if low > -MARGIN_PERCENT and high < MARGIN_PERCENT:
        verdict = "equivalent"
    elif low > MARGIN_PERCENT or high < -MARGIN_PERCENT:
        verdict = "different"
    else:
        verdict = "not shown"
    return {
        **summary,
        "spread_percent": round(spread, 4),
        "standard_error_percent": round(error, 4),
        "interval_percent": [round(low, 4), round(high, 4)],
        "verdict": verdict,
    }


def get_loss(run: Mapping[str, Any], metric: str) -> float:
    """Return how well a training did, in nats a byte.

    Args:
        run: as `bench.parity` keeps it.
        metric: "heldout", the last weights on files that were never trained on; or "unseen", the
            mean loss of the last twentieth of the steps, whose rate is nearly zero and whose
            sequences, of the training files, are used once.
    """
    if metric == "heldout":
        return float(run["loss"])
    return float(np.mean(run["curve"][-max(1, len(run["curve"]) // TAIL) :]))


def collect_pairs(
    results: Mapping[str, Any],
    study: Any,
    size: str,
    recipe: str,
    metric: str,
    get_key: Callable[..., str],
) -> list[tuple[int, float]]:
    """Collect (seed, relative difference to fp32 in percent) of finished pairs."""
    pairs = []
    for seed in range(1000):
        base = results["runs"].get(get_key(study, size, "fp32", seed))
        other = results["runs"].get(get_key(study, size, recipe, seed))
        if base is not None and other is not None:
            ratio = get_loss(other, metric) / get_loss(base, metric)
            pairs.append((seed, 100 * (ratio - 1)))
    return pairs


def summarise(
    results: Mapping[str, Any], studies: Mapping[str, Any], get_key: Callable[..., str]
) -> dict[str, Any]:
    """Compute the study's table.

    Returns:
        size -> {params, steps, fp32_loss, recipes: {recipe -> {metric -> interval and
        differences}}}.
    """
    table: dict[str, Any] = {}
    for size, study in studies.items():
        keys = [get_key(study, size, "fp32", seed) for seed in range(1000)]
        runs = [results["runs"][key] for key in keys if key in results["runs"]]
        if not runs:
            continue
        recipes: dict[str, dict[str, Any]] = {recipe: {} for recipe in COMPARED}
        for recipe, found in recipes.items():
            for metric in METRICS:
                pairs = collect_pairs(results, study, size, recipe, metric, get_key)
                found[metric] = {
                    **compute_interval([d for _, d in pairs]),
                    "differences_percent": {str(seed): round(d, 4) for seed, d in pairs},
                }
        table[size] = {
            "num_params": results.get("params", {}).get(size),
            "num_steps": study.num_steps,
            "learning_rate": study.learning_rate_ppb / 1e9,
            "fp32_loss_nats": {
                metric: round(float(np.mean([get_loss(run, metric) for run in runs])), 5)
                for metric in METRICS
            },
            "recipes": recipes,
        }
    return table


def draw_plot(
    results: Mapping[str, Any],
    studies: Mapping[str, Any],
    get_key: Callable[..., str],
    table: Mapping[str, Any],
    path: Path,
) -> None:
    """Draw curves of seed 0 and the intervals; nothing where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(table), 2, figsize=(10, 3.4 * len(table)), squeeze=False)
    for (left, right), (size, entry) in zip(axes, table.items(), strict=True):
        for recipe in ("fp32", *COMPARED):
            run = results["runs"].get(get_key(studies[size], size, recipe, 0))
            if run is not None:
                steps = np.linspace(0, studies[size].num_steps, len(run["curve"]) + 1)[1:]
                left.plot(steps, run["curve"], label=recipe, linewidth=1)
        left.set(title=f"{size}: training loss, seed 0", xlabel="step", ylabel="nats a byte")
        left.legend(fontsize=7)
        for number, recipe in enumerate(COMPARED):
            for shift, color, metric in ((-0.15, "C0", "unseen"), (0.15, "C1", "heldout")):
                found, place = entry["recipes"][recipe][metric], number + shift
                differences = list(found["differences_percent"].values())
                right.plot([place] * len(differences), differences, ".", color="lightgrey")
                if "interval_percent" in found:
                    low, high = found["interval_percent"]
                    middle = found["mean_percent"]
                    error = [[middle - low], [high - middle]]
                    right.errorbar(place, middle, error, fmt="o", capsize=4, color=color)
        for color, words in (("C0", METRICS["unseen"]), ("C1", METRICS["heldout"])):
            right.plot([], [], "o", color=color, label=words)
        right.axhspan(-MARGIN_PERCENT, MARGIN_PERCENT, color="green", alpha=0.15)
        right.set_xticks(range(len(COMPARED)), COMPARED)
        right.set(title=f"{size}: loss against fp32", ylabel="percent, 90 % interval")
        right.legend(fontsize=7)
        right.set_yscale("symlog", linthresh=1)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def write_page(table: Mapping[str, Any], machines: Mapping[str, Any], path: Path) -> None:
    """Write the page with its tables."""
    lines = [
        "# Does exact training learn as well as fp32?",
        "",
        "Made by `python -m bench.parity`; its head says how. Paired seeds: the same first weights",
        "and the same text in the same order; learning rate warmed up, then decayed to zero; loss",
        "of each recipe in its own arithmetic, relative to fp32. A recipe is *equivalent* when",
        f"the 90 % interval of the mean lies inside +-{MARGIN_PERCENT} % (two one-sided t tests at",
        "5 %), *different* when it lies outside, and *not shown* otherwise. Below zero it learnt",
        "better than fp32. The spread is one standard deviation of a pair.",
        "",
        "Two losses: on *unseen text*, the mean of the last twentieth of the steps, whose rate is",
        "nearly zero and whose sequences, of the training files, are used once; and on *other*",
        "*files*, the last weights on files that were never trained on. The second moves with the",
        "seed alone by 0.8 %, so it takes many more pairs to show as little.",
        "",
        f"![curves and intervals]({path.stem}.png)",
        "",
    ]
    for size, entry in table.items():
        machine = machines.get(size, {})
        lines += [
            f"## {size}: {entry['num_params']:,} parameters, {entry['num_steps']} steps, "
            f"highest rate {entry['learning_rate']:g}",
            "",
            "fp32 ends at "
            + " and ".join(
                f"{loss:.4f} nats a byte of {METRICS[metric]}"
                for metric, loss in entry["fp32_loss_nats"].items()
            )
            + ". Machine: "
            f"{machine.get('processor')}, {machine.get('num_processors')} processors."
            + NOTES.get(size, ""),
            "",
            "| recipe | | loss on | pairs | mean | spread | 90 % interval | verdict |",
            "|---|---|---|---|---|---|---|---|",
        ]
        recipes = {
            recipe: found for recipe, found in entry["recipes"].items() if found["unseen"]["pairs"]
        }
        for recipe, found in recipes.items():
            for metric, words in METRICS.items():
                cells = f"{recipe} | {MEANING[recipe]} | {words} | {_describe(found[metric])}"
                lines.append(f"| {cells} |")
        lines += ["", "Unseen text, other files:", ""]
        lines += ["| seed | " + " | ".join(recipes) + " |"]
        lines.append("|---|" + "---|" * len(recipes))
        pairs = {
            recipe: [found[metric]["differences_percent"] for metric in METRICS]
            for recipe, found in recipes.items()
        }
        for seed in sorted({int(seed) for both in pairs.values() for seed in both[0]}):
            cells = " | ".join(
                ", ".join(f"{one[str(seed)]:+.3f} %" for one in both if str(seed) in one)
                for both in pairs.values()
            )
            lines.append(f"| {seed} | {cells} |")
        lines.append("")
    path.write_text("\n".join(lines))


def _describe(found: Mapping[str, Any]) -> str:
    """Return pairs, mean, spread, interval and verdict as cells."""
    mean = f"{found['mean_percent']:+.3f} %" if found["pairs"] else ""
    spread = interval = ""
    if "interval_percent" in found:
        low, high = found["interval_percent"]
        spread = f"{found['spread_percent']:.2f} %"
        interval = f"{low:+.3f} .. {high:+.3f} %"
    return f"{found['pairs']} | {mean} | {spread} | {interval} | {found['verdict']}"


def write_report(
    results: Mapping[str, Any],
    studies: Mapping[str, Any],
    get_key: Callable[..., str],
    results_path: Path,
) -> dict[str, Any]:
    """Write page and plot beside the results file.

    Returns:
        The table (`summarise`).
    """
    table = summarise(results, studies, get_key)
    if table:
        draw_plot(results, studies, get_key, table, results_path.with_suffix(".png"))
        write_page(table, results["machines"], results_path.with_suffix(".md"))
    return table
