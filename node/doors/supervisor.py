"""Keep one process of each door running beside the node.

A door that ends is started again, after a pause that doubles while it keeps ending quickly. The
doors end with the node: at `stop`, and when the node is killed, because the pipe on their standard
input closes. Nothing a door does reaches the node.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import node

PAUSE_FIRST_S, PAUSE_MAX_S = 0.2, 10.0
STABLE_S = 10.0  # a door that ran this long starts again after the first pause
STOP_WAIT_S = 3.0
PORT_WAIT_S = 2.0  # a door of a node that was just killed needs a moment to leave its port

GRPC_PORT, RPC_PORT, SUBSTRATE_PORT = 9090, 26657, 9944
PORTS_PER_NODE = 10

logger = logging.getLogger(__name__)


class PortBusy(Exception):
    """Another program listens on a port that a door needs."""


@dataclass(frozen=True)
class Door:
    """A door to run: `what` it is in words, its module and port, and more arguments."""

    what: str
    module: str
    port: int
    arguments: tuple[str, ...] = field(default=())


def list_doors(
    port_offset: int = 0, node_index: int = 0, udsc_per_million_gas: int = 0
) -> list[Door]:
    """List the doors a node has by default, with their ports and the node's lowest gas price."""
    more = ("--udsc-per-million-gas", str(udsc_per_million_gas))
    shift = port_offset + PORTS_PER_NODE * node_index
    return [
        Door("Cosmos gRPC", "node.doors.grpc_door", GRPC_PORT + shift, more),
        Door("CometBFT RPC", "node.doors.rpc_door", RPC_PORT + shift, more),
        Door("Substrate JSON-RPC", "node.doors.substrate_door", SUBSTRATE_PORT + shift, more),
    ]


def list_comet_doors(
    port_offset: int = 0, node_index: int = 0, udsc_per_million_gas: int = 0
) -> list[Door]:
    """List the doors beside CometBFT, which serves its own RPC on the usual port."""
    grpc_door, rpc_door, *others = list_doors(port_offset, node_index, udsc_per_million_gas)
    more = ("--engine-rpc", f"127.0.0.1:{rpc_door.port}")
    return [replace(door, arguments=door.arguments + more) for door in (grpc_door, *others)]


def is_port_free(host: str, port: int) -> bool:
    """Tell whether a port can be bound.

    Raises:
        OSError: the host is not an address of this machine, or the port is not allowed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def check_ports(host: str, doors: Sequence[Door], wait_s: float = PORT_WAIT_S) -> None:
    """Check that every door's port is free, before anything starts.

    Raises:
        PortBusy: names the port, the door and the flag that moves it.
    """
    deadline = time.monotonic() + wait_s
    for door in doors:
        while not is_port_free(host, door.port):
            if time.monotonic() > deadline:
                raise PortBusy(
                    f"port {door.port} on {host} ({door.what}) is in use: stop what listens "
                    "there, or move every port with --port-offset N"
                )
            time.sleep(0.05)


class DoorSupervisor:
    """Runs doors as child processes, each watched by a thread of its own.

    Args:
        home: the node's home directory.
        doors: what to run; `list_doors` gives the default.
        log_dir: a file a door is appended here; None lets them write to the node's stderr.
    """

    def __init__(
        self,
        home: Path,
        doors: Sequence[Door],
        *,
        host: str = "127.0.0.1",
        moniker: str = "descent",
        log_dir: Path | None = None,
    ) -> None:
        self.home = home
        self.doors = list(doors)
        self.host = host
        self.moniker = moniker
        self.log_dir = log_dir
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.num_restarts = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Check the ports and start every door.

        Raises:
            PortBusy: see `check_ports`.
        """
        check_ports(self.host, self.doors)
        for door in self.doors:
            thread = threading.Thread(
                target=self._watch, args=(door,), name=door.module, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def wait_ready(self, timeout_s: float = 20.0) -> bool:
        """Wait until every door accepts connections; False if one does not in time."""
        deadline = time.monotonic() + timeout_s
        for door in self.doors:
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection((self.host, door.port), timeout=1.0).close()
                    break
                if time.monotonic() > deadline or self._stopping.is_set():
                    return False
                time.sleep(0.05)
        return True

    def stop(self) -> None:
        """Stop every door: ask first, kill after `STOP_WAIT_S`."""
        self._stopping.set()
        for process in list(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for thread in self._threads:
            thread.join(STOP_WAIT_S)
        for process in list(self.processes.values()):
            if process.poll() is None:
                process.kill()
                process.wait()

    def _watch(self, door: Door) -> None:
        pause_s = PAUSE_FIRST_S
        while not self._stopping.is_set():
            started = time.monotonic()
            process = self._spawn(door)
            self.processes[door.module] = process
            if self._stopping.is_set():
                process.terminate()
            code = process.wait()
            if process.stdin is not None:
                process.stdin.close()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > STABLE_S:
                pause_s = PAUSE_FIRST_S
            logger.warning(
                "the %s door ended with code %s; starting it again in %.1f s",
                door.what,
                code,
                pause_s,
            )
            self._stopping.wait(pause_s)
            pause_s = min(PAUSE_MAX_S, pause_s * 2)
            self.num_restarts += 1

    def _spawn(self, door: Door) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", door.module, "--supervised"),
            *("--home", str(self.home), "--host", self.host, "--port", str(door.port)),
            *("--moniker", self.moniker, *door.arguments),
        ]
        root = str(Path(node.__file__).resolve().parents[1])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        with contextlib.ExitStack() as stack:
            log = None
            if self.log_dir is not None:
                self.log_dir.mkdir(parents=True, exist_ok=True)
                name = door.module.rpartition(".")[2]
                log = stack.enter_context(open(self.log_dir / f"{name}.log", "ab"))
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
