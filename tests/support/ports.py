"""Ports for what a test starts.

A port that is free when a test looks may be taken before the test's process listens there: by a
client's connection, which the system gives a port from 32768 up, and by a test of another worker
that looked at the same moment. So these lie below, and a process claims what it chose, while it
lives, by a lock on byte N of a common file for port N.
"""

from __future__ import annotations

import fcntl
import functools
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from node.doors.supervisor import is_port_free

FIRST_OFFSET, END_OFFSET = 500, 6_000  # the highest port of a node is below 26700
FIRST_PORT, END_PORT = 10_000, 32_768
NUM_TRIES = 500


def find_free_port() -> int:
    """Find a port that nothing listens on; no other process of tests is given it."""
    return FIRST_PORT + _find(lambda offset: [FIRST_PORT + offset], 0, END_PORT - FIRST_PORT)


def find_offset(list_ports: Callable[[int], Sequence[int]]) -> int:
    """Find an offset with which some ports are free; no other process of tests is given them."""
    return _find(list_ports, FIRST_OFFSET, END_OFFSET)


def _find(list_ports: Callable[[int], Sequence[int]], first: int, end: int) -> int:
    for _ in range(NUM_TRIES):
        offset = random.randrange(first, end)
        ports = list_ports(offset)
        if all(map(_claim, ports)) and all(is_port_free("127.0.0.1", port) for port in ports):
            return offset
    raise AssertionError("no free ports")


def _claim(port: int) -> bool:
    """Claim a port, unless another process has."""
    assert port < END_PORT, port
    try:
        fcntl.lockf(_open_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@functools.cache
def _open_claims() -> int:
    """Open the common file; closing any descriptor of it would end all claims of the process."""
    path = Path(tempfile.gettempdir()) / f"descent-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
