"""`descent exact`: does this machine compute the golden bits, by which kernels, how fast?"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import HOME, Context, command, new_group
from cli.output import JSON, CommandFailed, VerificationFailed, say

app = new_group("Exact training on this machine: is it faithful, is it fast?")
ROOT = Path(__file__).parents[1]


@command(app, "probe", needs=HOME)
def probe(
    context: Context,
    backend: Annotated[str, typer.Option(help="auto, native, triton, torch or numpy.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> Any:
    """Say which kernels compute here and whether they give the golden bits."""
    from exact.backends import AUTO
    from exact.errors import UnfaithfulDevice
    from exact.probe import ensure_faithful, load_faithful_backend

    reasons = {}
    if device == "cpu" and backend in (AUTO, "native"):
        reasons = _list_paths()
    elif backend in (AUTO, "triton"):
        reasons = _list_cuda_paths(device)
    try:
        found = load_faithful_backend(backend, device)
        started = time.perf_counter()
        root = ensure_faithful(found)
    except UnfaithfulDevice as error:
        raise VerificationFailed(
            str(error), hint="this machine cannot take part in exact runs with this backend"
        ) from error
    seconds = time.perf_counter() - started
    if context.output != JSON and found.name == "torch" and backend == AUTO:
        say("no native kernels here: torch computes the same bits, slowly")
    return {
        "backend": found.description,
        "golden_bits": True,
        "trace_root": root,
        "milliseconds": round(seconds * 1e3),
        "paths": [{"path": name, "verdict": reason} for name, reason in reasons.items()],
    }


def _list_paths() -> dict[str, str]:
    """Every native path with what became of it, or why there are none."""
    from exact.errors import UnfaithfulDevice
    from exact.native.paths import CHOSEN, NOT_TRIED, check_path, choose_path

    try:
        choice = choose_path()
    except UnfaithfulDevice as error:
        return {"native": str(error)}
    reasons = dict(choice.reasons)
    for name, reason in reasons.items():
        if reason == NOT_TRIED:
            verdict = check_path(choice.library, name)
            reasons[name] = f"faithful, {NOT_TRIED}" if verdict == CHOSEN else verdict
    return reasons


def _list_cuda_paths(device: str) -> dict[str, str]:
    """Every path of the Triton kernels with what became of it, or why there are none."""
    from exact.backends import load_backend
    from exact.errors import UnfaithfulDevice

    try:
        return dict(getattr(load_backend("triton", device), "reasons", {}))
    except UnfaithfulDevice as error:
        return {"triton": str(error)}


@command(app, "bench", needs=HOME)
def bench(
    context: Context,
    size: Annotated[
        list[str] | None, typer.Option(help="devnet, 3m, 25m; may be repeated.")
    ] = None,
    threads: Annotated[list[int] | None, typer.Option(help="May be repeated.", min=1)] = None,
    backend: Annotated[str, typer.Option(help="auto, native, triton, torch or numpy.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    rounds: Annotated[int, typer.Option(help="Pairs of measurements.", min=1)] = 5,
) -> Any:
    """Time exact steps against ordinary torch on this machine; needs torch and a checkout."""
    if not (ROOT / "bench" / "exact_step.py").exists():
        raise CommandFailed("bench/ is not installed", hint="run this in a checkout of the source")
    flags = ["--sizes", *(size or ["devnet", "3m"]), "--threads", *map(str, threads or [1])]
    flags += ["--backend", backend, "--device", device, "--rounds", str(rounds)]
    memory_flags = ["--sizes", *(size or ["devnet", "3m"]), "--backend", backend]
    *rows, root = map(json.loads, _run_bench("exact_step", flags).splitlines())
    document = {"rows": rows, "root_ms": root["root_ms"]}
    if device == "cpu":
        document["memory"] = json.loads(_run_bench("exact_memory", memory_flags))
    if context.output == JSON:
        return document
    return _summarise(document)


def _run_bench(name: str, flags: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise CommandFailed(f"bench.{name} failed: {lines[-1] if lines else done.returncode}")
    return done.stdout


def _summarise(document: dict[str, Any]) -> dict[str, Any]:
    """Return rows for people: milliseconds a step and ratios to ordinary torch."""
    steps = [
        {
            "parameters": row["num_params"],
            "format": row["format"],
            "threads": row["num_threads"],
            "backend": row["backend"],
            "exact ms": row["exact_ms"]["median"],
            "ordinary ms": row["ordinary_ms"]["median"],
            "ratio": row["ratio"]["median"],
            "replay": row["replay"]["median"],
            "exact loss": row["loss"]["exact"],
            "ordinary loss": row["loss"]["ordinary"],
        }
        for row in document["rows"]
    ]
    memory = [
        {
            "size": row["size"],
            "exact MiB": row["exact"]["above_start_mib"],
            "ordinary MiB": row["ordinary"]["above_start_mib"],
            "ratio": row["ratio"]["above_start_mib"],
        }
        for row in document.get("memory", [])
    ]
    return {"steps": steps, "memory": memory, "root ms": document["root_ms"]}
