"""Start, watch and stop the processes of a devnet.

A process is known by pid and start time, so a pid that the system gave to something else is never
signalled.
"""

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from cli.devnet.layout import ProcessPlan

STOP_SECONDS = 8.0
POLL_SECONDS = 0.05
CLOCK_SECONDS = 60.0  # a start is told by the clock, which may be set meanwhile


def start(process: ProcessPlan, logs: Path) -> dict[str, Any]:
    """Start a process in its own session, output to its log file.

    Returns:
        {pid, started, log} for devnet.json.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{process.name}.log"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",  # docs/log.md, 2026-11-21, memory
    }
    with log.open("ab") as handle:
        child = subprocess.Popen(
            process.command,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    return {"pid": child.pid, "started": psutil.Process(child.pid).create_time(), "log": str(log)}


def find(entry: dict[str, Any]) -> psutil.Process | None:
    """Return the living process of a devnet.json entry."""
    try:
        process = psutil.Process(entry["pid"])
        if is_alive(process) and abs(process.create_time() - entry["started"]) < CLOCK_SECONDS:
            return process
    except psutil.Error:
        pass
    return None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that nobody has waited for is dead all the same."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes are gone; return those that still run after `seconds`.

    Also where nobody waits for orphans, as in a container whose first process is a program like
    any other: `psutil.wait_procs` would count them among the living.
    """
    deadline = time.monotonic() + seconds
    while alive := [process for process in processes if is_alive(process)]:
        if time.monotonic() > deadline:
            return alive
        processes = alive
        time.sleep(POLL_SECONDS)
    return []


def is_running(entry: dict[str, Any]) -> bool:
    """Whether the process of an entry lives."""
    return find(entry) is not None


def stop(entries: Iterable[dict[str, Any]]) -> int:
    """Ask processes and their children to end; kill what has not after STOP_SECONDS.

    Returns:
        How many were running.
    """
    roots = [process for process in map(find, entries) if process is not None]
    everything: list[psutil.Process] = []
    for process in roots:
        try:
            everything += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    for process in roots:
        _signal(process, kill=False)
    alive = wait_gone(everything, STOP_SECONDS)
    for process in alive:
        _signal(process, kill=True)
    wait_gone(alive, STOP_SECONDS)
    return len(roots)


def read_tail(log: Path, num_lines: int) -> list[str]:
    """Return the last lines of a log file; empty if there is none."""
    try:
        with log.open("rb") as handle:
            handle.seek(0, os.SEEK_END)
            size = handle.tell()
            handle.seek(max(0, size - 65536))
            lines = handle.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[-num_lines:]


def measure_memory(entries: Iterable[dict[str, Any]]) -> int:
    """Add up the resident memory of processes and their children, bytes."""
    total = 0
    for process in map(find, entries):
        if process is None:
            continue
        try:
            for member in [process, *process.children(recursive=True)]:
                total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass
