"""The node's process with the real chain: starts, answers, is killed, goes on, stops on request."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.engine.blockstore import BlockStore
from node.engine.control import ControlClient, get_socket_path
from node.engine.errors import EngineUnreachable
from node.store.state import StateStore
from tests.engine.tiny_app import make_home
from tests.support.devnet_node import START_TIMEOUT_S, STOP_TIMEOUT_S, find_port_offset

APP_STATE: dict[str, object] = {"pallets": {}}


def make_command(home: Path, port_offset: int) -> list[str]:
    command = [sys.executable, "-m", "node.process", "--home", str(home)]
    return [*command, "--block-interval-ms", "20", "--port-offset", str(port_offset)]


@contextlib.contextmanager
def running(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a node; it answers on its control socket when this yields."""
    log = home / "node.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            make_command(home, find_port_offset()), stdout=output, stderr=output, text=True
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_answering(home):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def is_answering(home: Path) -> bool:
    try:
        with ControlClient(get_socket_path(home)) as client:
            return client.get_status()["height"] > 0
    except EngineUnreachable:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home", app_state=APP_STATE)


def test_kill_and_go_on(home: Path) -> None:
    height = 0
    for _ in range(3):
        with running(home) as process, ControlClient(get_socket_path(home)) as client:
            heights = client.follow_heights()
            seen = [next(heights) for _ in range(4)]
            assert seen[0] > height
            height = seen[-1]
            os.kill(process.pid, signal.SIGKILL)
        with (
            StateStore.open(home / "data" / "state", readonly=True) as state,
            BlockStore.open(home / "data" / "blocks", readonly=True) as blocks,
        ):
            assert height <= state.version <= blocks.height <= state.version + 1
            results = blocks.load_results(state.version)
            assert results.app_hash == state.app_hash


def test_stop_on_request(home: Path) -> None:
    with running(home) as process, ControlClient(get_socket_path(home)) as client:
        assert client.broadcast_tx(b"no transaction").code == 2
        heights = client.follow_heights()  # a subscriber that is there to the end
        next(heights)
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 0
    assert not get_socket_path(home).exists()
    assert "Traceback" not in (home / "node.log").read_text()


def test_memory(home: Path) -> None:
    with running(home) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        rss_kb = next(int(s.split()[1]) for s in status.splitlines() if s.startswith("VmRSS"))
    assert rss_kb < 200_000


def test_invalid_home(tmp_path: Path) -> None:
    command = make_command(tmp_path, find_port_offset())
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "initialise the home first" in done.stderr
