"""Processes of a devnet, found again and waited for."""

import os
import subprocess
import sys

import psutil

from cli.devnet.processes import find, is_alive, wait_gone

# Its child ends at once and is never waited for.
NEGLIGENT = """
import subprocess, sys
child = subprocess.Popen(["/bin/true"])
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_dead_though_nobody_waited_for_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NEGLIGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert wait_gone([child], 20) == []
        assert child.status() == psutil.STATUS_ZOMBIE
        assert is_alive(psutil.Process(parent.pid))
        assert wait_gone([psutil.Process(parent.pid)], 0.2) != []
        parent.stdin.close()


def test_found_though_the_clock_was_set() -> None:
    started = psutil.Process().create_time()
    assert find({"pid": os.getpid(), "started": started - 5}) is not None
    assert find({"pid": os.getpid(), "started": started - 3600}) is None
