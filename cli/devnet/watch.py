"""Show a devnet until it is stopped, or until a condition holds."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

from cli.context import join_endpoints
from cli.devnet import layout, processes
from cli.output import CommandFailed, emit, say

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 2.0


async def watch(
    home: Path, document: layout.DevnetFile, condition: Any, started: float, output: str
) -> None:
    """Show the devnet until it is interrupted, stopped from elsewhere, or the condition holds.

    Args:
        home: folder of the devnet.
        document: its `devnet.json`.
        condition: an `until.Until`, or None.
        started: `time.monotonic()` when the command began.
        output: form of the document printed when the condition holds.

    Raises:
        CommandFailed: the devnet was stopped from elsewhere before the condition held, or it
            never will hold, because the owner could not create the run.
    """
    from chain_client.client import ChainClient
    from chain_client.errors import NodeUnreachable
    from cli.devnet import screen, until
    from cli.devnet.view import DevnetView, Viewer

    _end_on_sigterm()
    view = DevnetView(height=0)
    with _Display() as display:
        nodes = join_endpoints(document.endpoints, "grpc")
        async with ChainClient.connect(nodes, retry_for_s=2.0) as client:
            viewer = Viewer(client, layout.RUN_ID, home)
            while True:
                notes = list_notes(document, view)
                has_no_owner = _has_ended(document, "owner")
                try:
                    view = await viewer.look()
                    if condition is not None and has_no_owner and view.run_status == "none":
                        raise _explain_missing_run(document)
                except NodeUnreachable:
                    if not any(map(processes.is_running, document.processes.values())):
                        break
                    notes.append("the node does not answer")
                display.show(view, notes)
                if condition is not None and await until.is_reached(
                    condition, view, client, layout.RUN_ID
                ):
                    break
                await asyncio.sleep(display.pause_seconds if condition is None else REFRESH_SECONDS)
    if not any(map(processes.is_running, document.processes.values())):
        raise CommandFailed("the devnet was stopped", hint="`descent devnet up` goes on with it")
    seconds = time.monotonic() - started
    say(f"{condition.kind} reached after {seconds:.1f} s: {screen.describe(view)}")
    emit(
        {
            "reached": condition.kind,
            "seconds": f"{seconds:.1f}",
            "height": view.height,
            "round": view.round_index,
            "losses_bits_per_byte": [f"{loss:.4f}" for _, loss in view.losses],
            "memory_bytes": processes.measure_memory(document.processes.values()),
        },
        output,
    )


def list_notes(document: layout.DevnetFile, view: Any) -> list[str]:
    """Say which processes are not running that should be."""
    states = describe_processes(document, view)
    stopped = [name for name, state in states.items() if state == "not running"]
    notes = [f"not running: {', '.join(sorted(stopped))}"] if stopped else []
    if "owner" in stopped:
        tail = processes.read_tail(Path(document.processes["owner"]["log"]), 3)
        notes.append("the owner did not create the run: " + " ".join(tail))
    return notes


def describe_processes(document: layout.DevnetFile, view: Any) -> dict[str, str]:
    """Return name -> running, done (its work is over) or not running."""
    is_over = view.run_status in ("completed", "halted")
    states = {}
    for name, entry in document.processes.items():
        if processes.is_running(entry):
            states[name] = "running"
        elif (name == "owner" and view.run_status != "none") or (
            is_over and not name.startswith("node")
        ):
            states[name] = "done"
        else:
            states[name] = "not running"
    return states


def _has_ended(document: layout.DevnetFile, name: str) -> bool:
    entry = document.processes.get(name)
    return entry is not None and not processes.is_running(entry)


def _explain_missing_run(document: layout.DevnetFile) -> CommandFailed:
    log = Path(document.processes["owner"]["log"])
    tail = "\n".join(processes.read_tail(log, 5))
    return CommandFailed(f"the owner did not create the run; its log ends with:\n{tail}")


class _Display:
    """The live screen at a terminal, and now and then a line elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.pause_seconds = PLAIN_SECONDS if self._live is None else REFRESH_SECONDS
        self._last_line = 0.0

    def __enter__(self) -> "_Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, view: Any, notes: list[str]) -> None:
        """Show the newest view."""
        from cli.devnet import screen

        if self._live is not None:
            self._live.update(screen.render(view, notes), refresh=True)
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._last_line = time.monotonic()
            say("  ".join([screen.describe(view), *notes]))


def _end_on_sigterm() -> None:
    """Make SIGTERM end the watch as Ctrl-C does, so that children are stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
