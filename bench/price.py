"""What an exact step costs against ordinary training on this machine: docs/price.md.

    python -m bench.price [--sizes 3m 25m] [--formats default fast] [--threads 1 2]
                          [--rounds N] [--report-only]

Runs `bench.exact_step --compiled` in a process for each row, again held to AVX2, and
`bench.exact_memory`. Every row is kept in docs/price.json as soon as it is measured and replaces
the one that was there. A quarter of an hour on two cores, which want to be quiet. Prints JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.exact_sizes import FORMATS, SIZES
from bench.machine import describe_machine
from bench.results import read_results, update_results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "price.json"
PATHS: dict[str, dict[str, str]] = {
    "auto": {},
    # Both sides, on a processor that may have more.
    "avx2": {
        "DESCENT_EXACT_PATH": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}
AIMS = {"default": 0.9, "fast": 0.7}
AVX2_AIM, MEMORY_AIM, REPLAY_AIM, ROOT_AIM_MS = 1.2, 1.1, 1.05, 500


def list_rows(
    sizes: list[str], formats: list[str], threads: list[int]
) -> Iterator[tuple[str, str, str, int]]:
    """List (path, size, format, threads) to measure; AVX2 with one thread only."""
    for size in sizes:
        for name in formats:
            for num_threads in threads:
                yield "auto", size, name, num_threads
    for size in sizes:
        for name in formats:
            yield "avx2", size, name, 1


def call_bench(name: str, flags: list[str], environment: Mapping[str, str]) -> str:
    """Run a bench in a process of its own; returns what it prints.

    Raises:
        subprocess.CalledProcessError: it failed; its words went to stderr.
    """
    return subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def measure_row(path: str, size: str, name: str, num_threads: int, rounds: int) -> dict[str, Any]:
    """Measure one row; adds the root's time and the path to what `bench.exact_step` prints."""
    flags = ["--sizes", size, "--formats", name, "--threads", str(num_threads)]
    if rounds:
        flags += ["--rounds", str(rounds)]
    if path == "auto":
        flags.append("--compiled")
    environment = {**PATHS[path], "OMP_NUM_THREADS": str(num_threads)}
    row, root = map(json.loads, call_bench("exact_step", flags, environment).splitlines())
    return {**row, "path": path, "root_ms": root["root_ms"], "machine": describe_machine()}


def write_page(results: Mapping[str, Any], path: Path) -> None:
    """Write the page with its tables."""
    order = ("path", "num_params", "format", "num_threads")
    rows = sorted(results["runs"].values(), key=lambda row: [row[name] for name in order])
    machine = rows[0]["machine"]
    lines = [
        "# What exact training costs",
        "",
        "Made by `python -m bench.price` (`docs/price.json`). Whole steps, forward, backward and",
        "AdamW, of the same gpt model on the same batch, interleaved in one process; ratios are",
        "medians of pairs, in brackets fastest over fastest. Eager is ordinary torch fp32 with",
        "SDPA and AdamW; compiled has its loss and gradient through `torch.compile`. Replay is an",
        "auditor's time for a miner's steps over the miner's.",
        "",
        f"Machine: {machine['processor']}, {machine['num_processors']} processors "
        f"({', '.join(machine['instruction_sets'])}), {machine['system']}, Python "
        f"{machine['python']}; load after each row "
        f"{min(row['machine']['load_1_minute'] for row in rows)} to "
        f"{max(row['machine']['load_1_minute'] for row in rows)}, the bench's own included.",
        "",
        "| parameters, tokens a step | format | path | threads | exact ms | eager ms | compiled ms "
        "| exact / eager | aim | exact / compiled | replay |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *map(_describe_row, rows),
        "",
        f"Aim of replay: {REPLAY_AIM}. `avx2` holds both sides to AVX2 on this processor; one that "
        "has nothing else was not measured.",
        "",
        "| parameters | root of parameters and moments, ms |",
        "|---|---|",
    ]
    for size in dict.fromkeys(row["size"] for row in rows):
        own = [row for row in rows if row["size"] == size]
        fastest = min(row["root_ms"] for row in own)
        lines.append(f"| {own[0]['num_params']:,} | {fastest:.0f} |")
    lines += [
        "",
        f"Aim: {ROOT_AIM_MS} ms at 25 million.",
        "",
        "| peak memory of two steps above the start | exact MiB | eager MiB | ratio | aim |",
        "|---|---|---|---|---|",
    ]
    for row in results.get("memory", []):
        exact, ordinary = row["exact"]["above_start_mib"], row["ordinary"]["above_start_mib"]
        ratio = row["ratio"]["above_start_mib"]
        lines.append(f"| {row['size']} | {exact} | {ordinary} | {ratio:.2f} | {MEMORY_AIM} |")
    lines += [
        "",
        "Not measured: a GPU (`python -m bench.cuda_check` does it where there is one), a",
        "processor with AVX-VNNI but without AVX-512, ARM.",
        "",
    ]
    path.write_text("\n".join(lines))


def _describe_row(row: Mapping[str, Any]) -> str:
    def give(name: str) -> str:
        return f"{row[name]['median']:.2f} ({row[name]['min']:.2f})" if name in row else ""

    compiled = f"{row['compiled_ms']['median']:,.0f}" if "compiled_ms" in row else ""
    aim = AIMS[row["format"]] if row["path"] == "auto" else AVX2_AIM
    cells = [
        f"{row['num_params']:,}, {row['tokens_a_step']:,}",
        row["format"],
        row["backend"] if row["path"] == "auto" else "avx2, held to it",
        str(row["num_threads"]),
        f"{row['exact_ms']['median']:,.0f}",
        f"{row['ordinary_ms']['median']:,.0f}",
        compiled,
        give("ratio"),
        str(aim),
        give("ratio_compiled"),
        give("replay"),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["3m", "25m"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=0, help="pairs; a default for each size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    if not options.report_only:
        for job in list_rows(options.sizes, options.formats, options.threads):
            row = measure_row(*job, options.rounds)
            update_results(options.results, {"runs": {"/".join(map(str, job)): row}})
        memory = call_bench("exact_memory", ["--sizes", *options.sizes], {})
        update_results(options.results, {"memory": json.loads(memory)})
    results = read_results(options.results)
    write_page(results, options.results.with_suffix(".md"))
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
