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
NOTES = {
    "small-hot": " A first setting, kept as it came out: at this rate training is chaotic, a pair\n"
    "spreads as far as two seeds do, and nothing small can be shown.",
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


def collect_pairs(
    results: Mapping[str, Any],
    study: Any,
    size: str,
    recipe: str,
    get_key: Callable[..., str],
) -> list[tuple[int, float]]:
    """Collect (seed, relative difference to fp32 in percent) of finished pairs."""
    pairs = []
    for seed in range(1000):
        base = results["runs"].get(get_key(study, size, "fp32", seed))
        other = results["runs"].get(get_key(study, size, recipe, seed))
        if base is not None and other is not None:
            pairs.append((seed, 100 * (other["loss"] / base["loss"] - 1)))
    return pairs


def summarise(
    results: Mapping[str, Any], studies: Mapping[str, Any], get_key: Callable[..., str]
) -> dict[str, Any]:
    """Compute the study's table.

    Returns:
        size -> {params, steps, fp32_loss, recipes: {recipe -> interval and differences}}.
    """
    table: dict[str, Any] = {}
    for size, study in studies.items():
        keys = [get_key(study, size, "fp32", seed) for seed in range(1000)]
        losses = [results["runs"][key]["loss"] for key in keys if key in results["runs"]]
        if not losses:
            continue
        recipes = {}
        for recipe in COMPARED:
            pairs = collect_pairs(results, study, size, recipe, get_key)
            recipes[recipe] = {
                **compute_interval([d for _, d in pairs]),
                "differences_percent": {str(seed): round(d, 4) for seed, d in pairs},
            }
        table[size] = {
            "num_params": results.get("params", {}).get(size),
            "num_steps": study.num_steps,
            "learning_rate": study.learning_rate_ppb / 1e9,
            "fp32_loss_nats": round(float(np.mean(losses)), 5),
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
        for place, recipe in enumerate(COMPARED):
            found = entry["recipes"][recipe]
            differences = list(found["differences_percent"].values())
            right.plot([place] * len(differences), differences, ".", color="grey")
            if "interval_percent" in found:
                low, high = found["interval_percent"]
                middle = found["mean_percent"]
                right.errorbar(place, middle, [[middle - low], [high - middle]], fmt="o", capsize=4)
        right.axhspan(-MARGIN_PERCENT, MARGIN_PERCENT, color="green", alpha=0.15)
        right.set_xticks(range(len(COMPARED)), COMPARED)
        right.set(title=f"{size}: held-out loss against fp32", ylabel="percent, 90 % interval")
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
        "and the same text in the same order; learning rate warmed up, then decayed to zero; final",
        "held-out loss of each recipe in its own arithmetic, relative to fp32. A recipe is",
        f"*equivalent* when the 90 % interval of the mean lies inside +-{MARGIN_PERCENT} % (two",
        "one-sided t tests at 5 %), *different* when it lies outside, and *not shown* otherwise.",
        "Below zero it learnt better than fp32. The spread is one standard deviation of a pair.",
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
            f"fp32 ends at {entry['fp32_loss_nats']:.4f} nats a byte. Machine: "
            f"{machine.get('processor')}, {machine.get('num_processors')} processors."
            + NOTES.get(size, ""),
            "",
            "| recipe | | pairs | mean | spread | 90 % interval | verdict |",
            "|---|---|---|---|---|---|---|",
        ]
        for recipe, found in entry["recipes"].items():
            lines.append(f"| {recipe} | {MEANING[recipe]} | {_describe(found)} |")
        lines += ["", "| seed | " + " | ".join(entry["recipes"]) + " |"]
        lines.append("|---|" + "---|" * len(entry["recipes"]))
        seeds = sorted(
            {int(s) for f in entry["recipes"].values() for s in f["differences_percent"]}
        )
        for seed in seeds:
            cells = [
                f"{found['differences_percent'][str(seed)]:+.3f} %"
                if str(seed) in found["differences_percent"]
                else ""
                for found in entry["recipes"].values()
            ]
            lines.append(f"| {seed} | " + " | ".join(cells) + " |")
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
