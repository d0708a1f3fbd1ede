"""What a node starts ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time

import psutil

from cli.devnet.processes import wait_gone
from node.engine.comet import tied

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, sys.argv[1], str(os.getpid()), "/bin/sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""
TIMEOUT_S = 30.0


def test_killed_with_its_parent() -> None:
    command = [sys.executable, "-c", PARENT, tied.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        deadline = time.monotonic() + TIMEOUT_S
        while child.name() != "sleep":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
        assert wait_gone([child], TIMEOUT_S) == []


def test_parent_gone_already() -> None:
    command = [sys.executable, tied.__file__, str(os.getpid() + 1), "/bin/echo", "started"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
