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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import node
from node.settings import get_connect_host

PAUSE_FIRST_S, PAUSE_MAX_S = 0.2, 10.0
STABLE_S = 10.0  # a door that ran this long starts again after the first pause
STOP_WAIT_S = 3.0
# A door of a node that was just killed needs two seconds to leave its port, more on a busy machine.
PORT_WAIT_S = 5.0

GRPC_PORT, RPC_PORT, SUBSTRATE_PORT, REST_PORT = 9090, 26657, 9944, 1317
PORTS_PER_NODE = 10

logger = logging.getLogger(__name__)


class PortBusy(Exception):
    """Another program listens on a port that a door needs."""


Listen = Mapping[str, tuple[str, int]]  # door name -> host and port; absent: not run
Options = Mapping[str, Sequence[str]]  # door name -> arguments of its own


@dataclass(frozen=True)
class Door:
    """A door to run: `what` it is in words, its module, port and host, and more arguments."""

    what: str
    module: str
    port: int
    arguments: tuple[str, ...] = field(default=())
    host: str = "127.0.0.1"

    @property
    def name(self) -> str:
        """Short name: grpc, rpc, substrate."""
        return self.module.rpartition(".")[2].removesuffix("_door")

    def is_answering(self, timeout_s: float = 1.0) -> bool:
        """Tell whether it accepts connections."""
        try:
            address = (get_connect_host(self.host), self.port)
            socket.create_connection(address, timeout=timeout_s).close()
        except OSError:
            return False
        return True


# door name -> what it is in words, its module and its usual port
DOORS = {
    "grpc": ("Cosmos gRPC", "node.doors.grpc_door", GRPC_PORT),
    "rpc": ("CometBFT RPC", "node.doors.rpc_door", RPC_PORT),
    "substrate": ("Substrate JSON-RPC", "node.doors.substrate_door", SUBSTRATE_PORT),
    "rest": ("Cosmos REST", "node.doors.rest_door", REST_PORT),
}


def get_listen(port_offset: int = 0, node_index: int = 0) -> Listen:
    """Return where the doors listen unless told otherwise."""
    shift = port_offset + PORTS_PER_NODE * node_index
    return {name: ("127.0.0.1", port + shift) for name, (_, _, port) in DOORS.items()}


def list_doors(
    listen: Listen | None = None, udsc_per_million_gas: int = 0, options: Options | None = None
) -> list[Door]:
    """List the doors of a node.

    Args:
        listen: where each listens.
        udsc_per_million_gas: the node's lowest gas price.
        options: arguments of single doors, by their names.
    """
    price = ("--udsc-per-million-gas", str(udsc_per_million_gas))
    places, own = get_listen() if listen is None else listen, options or {}
    return [
        Door(what, module, places[name][1], (*price, *own.get(name, ())), host=places[name][0])
        for name, (what, module, _) in DOORS.items()
        if name in places
    ]


def list_comet_doors(
    listen: Listen | None = None, udsc_per_million_gas: int = 0, options: Options | None = None
) -> list[Door]:
    """List the doors beside CometBFT, which serves its own RPC on the usual port."""
    places = get_listen() if listen is None else listen
    host, port = places["rpc"]
    others = {name: place for name, place in places.items() if name != "rpc"}
    more = ("--engine-rpc", f"{get_connect_host(host)}:{port}")
    doors = list_doors(others, udsc_per_million_gas, options)
    return [replace(door, arguments=door.arguments + more) for door in doors]


def is_port_free(host: str, port: int) -> bool:
    """Tell whether a port can be bound.

    Raises:
        OSError: the host is not an address of this machine, or the port is not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def check_ports(doors: Sequence[Door], wait_s: float = PORT_WAIT_S) -> None:
    """Check that every door's port is free, before anything starts.

    Raises:
        PortBusy: names the port, the door and the flag that moves it, or says that the host is
            not an address of this machine.
    """
    deadline = time.monotonic() + wait_s
    for door in doors:
        while not _is_free(door):
            if time.monotonic() > deadline:
                raise PortBusy(
                    f"port {door.port} on {door.host} ({door.what}) is in use: stop what listens "
                    "there, or move every port with --port-offset N"
                )
            time.sleep(0.05)


def _is_free(door: Door) -> bool:
    try:
        return is_port_free(door.host, door.port)
    except OSError as error:
        raise PortBusy(
            f"cannot listen on {door.host}:{door.port} ({door.what}): {error.strerror or error}"
        ) from error


class DoorSupervisor:
    """Runs doors as child processes, each watched by a thread of its own.

    Args:
        home: the node's home directory.
        doors: what to run; `list_doors` gives the default.
        log_dir: a file a door is appended here; None lets them write to the node's stderr.
        arguments: more arguments of every door.

    `environment` is added to that of the doors that start from then on.
    """

    def __init__(
        self,
        home: Path,
        doors: Sequence[Door],
        *,
        moniker: str = "descent",
        log_dir: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.home = home
        self.doors = list(doors)
        self.moniker = moniker
        self.log_dir = log_dir
        self.arguments = tuple(arguments)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.num_restarts: Counter[str] = Counter()
        self.environment: dict[str, str] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Check the ports and start every door.

        Raises:
            PortBusy: see `check_ports`.
        """
        check_ports(self.doors)
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
            while not door.is_answering():
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

    def list_states(self) -> list[tuple[str, bool, int]]:
        """List (name, whether it answers, how often it was started again) of every door."""
        return [(d.name, d.is_answering(), self.num_restarts[d.module]) for d in self.doors]

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
            self.num_restarts[door.module] += 1

    def _spawn(self, door: Door) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", door.module, "--supervised"),
            *("--home", str(self.home), "--host", door.host, "--port", str(door.port)),
            *("--moniker", self.moniker, *self.arguments, *door.arguments),
        ]
        root = str(Path(node.__file__).resolve().parents[1])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {
            **os.environ,
            **self.environment,
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
