"""The node's process with the real chain: starts, answers, is killed, goes on, stops on request."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.engine.blockstore import BlockStore
from node.engine.control import ControlClient, get_socket_path
from node.store.state import StateStore
from tests.engine.tiny_app import make_home

APP_STATE: dict[str, object] = {"pallets": {}}


@contextlib.contextmanager
def running(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "node.engine.process", "--home", str(home)]
    command += ["--block-interval-ms", "20"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready"), process.stderr.read()
            yield process
        finally:
            process.kill()


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
    with running(home) as process:
        with ControlClient(get_socket_path(home)) as client:
            assert client.broadcast_tx(b"no transaction").code == 2
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert not get_socket_path(home).exists()


def test_memory(home: Path) -> None:
    with running(home) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        rss_kb = next(int(s.split()[1]) for s in status.splitlines() if s.startswith("VmRSS"))
    assert rss_kb < 200_000


def test_invalid_home(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.engine.process", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "initialise the home first" in done.stderr
