"""Doors are started, started again when they end, and end with their node."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from node.doors.supervisor import (
    Door,
    DoorSupervisor,
    PortBusy,
    get_listen,
    is_port_free,
    list_comet_doors,
    list_doors,
)
from tests.support.devnet_node import DevnetNode, is_open, list_doors_of
from tests.support.ports import find_free_port

IDLE = "tests.doors.idle_door"
NODE = """
import sys, time
from pathlib import Path
from node.doors.supervisor import Door, DoorSupervisor
supervisor = DoorSupervisor(Path("."), [Door("idle", "tests.doors.idle_door", int(sys.argv[1]))])
supervisor.start()
assert supervisor.wait_ready()
print("ready", flush=True)
time.sleep(60)
"""


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[DoorSupervisor]:
    built = DoorSupervisor(tmp_path, [Door("idle", IDLE, find_free_port())], log_dir=tmp_path)
    yield built
    built.stop()


@pytest.mark.parametrize("module", [door.module for door in list_doors()])
def test_invalid_home_without_a_chain(tmp_path: Path, module: str) -> None:
    command = [sys.executable, "-m", module, "--home", str(tmp_path), "--port", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("door: ")
    assert "Traceback" not in ended.stderr


def test_default_ports() -> None:
    assert [door.port for door in list_doors()] == [9090, 26657, 9944, 1317]
    shifted = list_doors(get_listen(port_offset=3, node_index=2))
    assert [door.port for door in shifted] == [9113, 26680, 9967, 1340]


def test_listen_elsewhere() -> None:
    listen = {"rpc": ("0.0.0.0", 7), "substrate": ("192.0.2.1", 8)}
    assert [(door.host, door.port) for door in list_doors(listen)] == list(listen.values())
    (substrate,) = list_comet_doors(listen)
    assert substrate.arguments[-2:] == ("--engine-rpc", "127.0.0.1:7")


def test_start_and_stop(supervisor: DoorSupervisor) -> None:
    supervisor.start()
    assert supervisor.wait_ready()
    supervisor.stop()
    assert supervisor.processes[IDLE].poll() is not None
    assert is_port_free("127.0.0.1", supervisor.doors[0].port)


def test_killed_door_starts_again(supervisor: DoorSupervisor) -> None:
    supervisor.start()
    assert supervisor.wait_ready()
    first = supervisor.processes[IDLE].pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.processes[IDLE].pid != first)
    assert supervisor.wait_ready()


def test_door_ends_with_killed_node() -> None:
    port = find_free_port()
    with subprocess.Popen([sys.executable, "-c", NODE, str(port)], stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        assert node.stdout.readline() == b"ready\n"
        assert not is_port_free("127.0.0.1", port)
        node.kill()
    wait_until(lambda: is_port_free("127.0.0.1", port))


def test_invalid_busy_port(supervisor: DoorSupervisor) -> None:
    port = supervisor.doors[0].port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortBusy, match=rf"port {port} on 127.0.0.1 \(idle\).*--port-offset N"):
            supervisor.start()
    assert not supervisor.processes


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[DevnetNode]:
    node = DevnetNode(tmp_path / "home")
    node.start()
    yield node
    node.stop()


def test_crashed_doors_never_stop_the_node(own_node: DevnetNode) -> None:
    doors = list_doors_of(own_node)
    assert set(doors) == {door.module for door in list_doors()}
    height = own_node.get_height()
    for door in doors.values():
        door.kill()
    own_node.wait_until(lambda: own_node.get_height() > height + 2)
    own_node.wait_until(lambda: is_open(own_node.rpc_port))
    assert not {d.pid for d in doors.values()} & {d.pid for d in list_doors_of(own_node).values()}


def test_node_killed_and_started_again(own_node: DevnetNode) -> None:
    own_node.wait_for_height(2)
    height = own_node.get_height()
    own_node.kill()
    own_node.start()
    own_node.wait_until(lambda: own_node.get_height() > height)


def test_memory(own_node: DevnetNode) -> None:
    own_node.wait_for_height(3)
    assert own_node.process is not None
    doors = [door.memory_info().rss for door in list_doors_of(own_node).values()]
    assert max(doors) < 120 * 2**20
    assert psutil.Process(own_node.process.pid).memory_info().rss + sum(doors) < 450 * 2**20
