"""kill -9 between any two steps of a block, and a full disk: the chain goes on as if nothing was.

The undisturbed run has the same clock, so block ids and app hashes must be the same byte for byte.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.engine.embedded import EngineOptions
from tests.engine.tiny_app import Node, make_home, run_blocks

LAST = 8
STEPS = ("block_saved", "block_finalized", "results_saved", "app_committed")

RUNNER = """
import os, resource, signal, sys
from pathlib import Path
from node.store.errors import StoreFull
from tests.engine.tiny_app import Node, run_blocks
from tests.engine.test_crash import make_options

def stop(step, height):
    if [step, str(height)] == sys.argv[2:4]:
        os.kill(os.getpid(), signal.SIGKILL)
    if step == "app_committed":
        print(height, flush=True)

if len(sys.argv) > 4:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    node = Node(Path(sys.argv[1]), make_options(stop))
    run_blocks(node, 10**6 if len(sys.argv) > 4 else 8)
except StoreFull as error:
    print(error)
"""


def make_options(on_step):
    """Make options with a clock that stands still: time moves a millisecond a block."""
    return EngineOptions(clock=lambda: 0, on_step=on_step)


def ignore(step: str, height: int) -> None:
    pass


def run_child(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUNNER, str(home), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple[bytes, bytes]]:
    home = make_home(tmp_path_factory.mktemp("undisturbed") / "home")
    with Node(home, make_options(ignore)) as node:
        run_blocks(node, LAST)
        return list_hashes(node)


def list_hashes(node: Node) -> list[tuple[bytes, bytes]]:
    blocks = node.engine.blocks
    return [
        (blocks.load_block_id(h).hash, blocks.load_results(h).app_hash)
        for h in range(1, blocks.height + 1)
    ]


@pytest.mark.parametrize("height", [1, 2, 6])
@pytest.mark.parametrize("step", STEPS)
def test_kill_between_steps(tmp_path: Path, undisturbed, step: str, height: int) -> None:
    home = make_home(tmp_path / "home")
    killed = run_child(home, step, str(height))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Node(home, make_options(ignore)) as node:
        # A block that was saved is kept: what was decided once is never decided again.
        assert node.engine.state.height == node.app.store.version == height
        run_blocks(node, LAST)
        assert list_hashes(node) == undisturbed
        assert node.app.store.app_hash == undisturbed[-1][1]


def test_kill_at_random_moments(tmp_path: Path, undisturbed) -> None:
    home = make_home(tmp_path / "home")
    command = [sys.executable, "-c", RUNNER, str(home), "-", "-", str(1 << 30)]
    for lines in (1, 3, 2, 5, 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
    with Node(home, make_options(ignore)) as node:
        assert node.engine.state.height == node.app.store.version
        assert list_hashes(node)[:LAST] == undisturbed


def test_full_disk(tmp_path: Path, undisturbed) -> None:
    home = make_home(tmp_path / "home")
    full = run_child(home, "-", "-", str(200 << 10))
    *heights, message = full.stdout.splitlines()
    assert heights, full.stderr
    assert "no room left on the disk" in message
    assert "make room and start the node again" in message
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with Node(home, make_options(ignore)) as node:
        run_blocks(node, int(heights[-1]) + 5)
        assert list_hashes(node)[:LAST] == undisturbed
