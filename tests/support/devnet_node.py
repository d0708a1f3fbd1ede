"""A node with its doors as real processes on free ports, for tests with real clients.

The fixture `devnet_node` (in `tests/doors/conftest.py`) starts one a session. Its genesis is the
devnet preset; accounts go by their devnet names.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
from cosmos.base.node.v1beta1 import query_pb2 as node_query
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.keypairs import PrivateKey

from cli.devnet.processes import wait_gone
from genesis.devnet import get_account, init_devnet_home
from node.chain import CHAIN_ID
from node.doors.grpc_services import HEIGHT_HEADER
from node.doors.supervisor import get_listen, list_doors
from node.operation import MONITOR_PORT
from tests.support.ports import find_free_port, find_offset
from tests.support.transfers import build_send

ROOT = Path(__file__).resolve().parents[2]
BLOCK_INTERVAL_MS = "250"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
GENESIS_TIME_NS = 1_767_225_600 * 10**9


def find_port_offset() -> int:
    """Find an offset with which every port of a node is free."""

    def list_ports(offset: int) -> list[int]:
        return [port for _, port in get_listen(offset).values()] + [MONITOR_PORT + offset]

    return find_offset(list_ports)


@contextlib.contextmanager
def open_another_door(module: str, home: Path, *flags: str) -> Iterator[int]:
    """Start one more door on a home, as an operator may; yields its port once it listens.

    Args:
        module: for example `node.doors.rest_door`.
        home: of a node that runs.
        flags: of the door, beside `--home` and `--port`.
    """
    port = find_free_port()
    command = [sys.executable, "-m", module, "--home", str(home), "--port", str(port), *flags]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_open(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    """Tell whether something listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def list_doors_of(node: DevnetNode) -> dict[str, psutil.Process]:
    """List the doors of a node that run, by their modules."""
    assert node.process is not None
    modules = [door.module for door in list_doors()]
    found = {}
    for child in psutil.Process(node.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            line = child.cmdline()
            found |= {module: child for module in modules if module in line}
    return found


def ensure_gone(children: list[psutil.Process], seconds: float) -> None:
    """Wait until what killed nodes have started is gone, too; kill what is not, and fail."""
    alive = wait_gone(children, seconds)
    for process in alive:
        process.kill()
    assert not alive, f"still running after the node was killed: {alive}"


def kill_door(node: DevnetNode, module: str) -> int:
    """Kill a door, and wait until it is gone; returns its process id."""
    node.wait_until(lambda: module in list_doors_of(node))
    door = list_doors_of(node)[module]
    door.kill()
    door.wait(STOP_TIMEOUT_S)
    return door.pid


def get_secret(name: str) -> bytes:
    """Get the published private key of a devnet account."""
    return get_account(name).secret


class DevnetNode:
    """A node process with its doors."""

    def __init__(self, home: Path, params: dict[str, dict[str, Any]] | None = None) -> None:
        self.home = home
        self.chain_id = CHAIN_ID
        self.port_offset = find_port_offset()
        ports = {name: port for name, (_, port) in get_listen(self.port_offset).items()}
        self.grpc_port, self.rpc_port = ports["grpc"], ports["rpc"]
        self.substrate_port, self.rest_port = ports["substrate"], ports["rest"]
        self.monitor_port = MONITOR_PORT + self.port_offset
        self.process: subprocess.Popen[bytes] | None = None
        init_devnet_home(home, time_ns=GENESIS_TIME_NS, onion_seed=b"\x07" * 32, params=params)

    def start(self) -> None:
        """Start the node and wait until every door answers."""
        command = [
            *(sys.executable, "-m", "node.process", "--home", str(self.home)),
            *("--block-interval-ms", BLOCK_INTERVAL_MS, "--port-offset", str(self.port_offset)),
        ]
        with open(self.home / "node.log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.wait_until(lambda: self.get_height() >= 1, START_TIMEOUT_S)
        for port in (self.rpc_port, self.substrate_port, self.rest_port):
            self.wait_until(lambda port=port: is_open(port), START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the node as an operator does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STOP_TIMEOUT_S)
            self.process = None

    def kill(self) -> None:
        """Kill the node, as a power cut does, and wait until its doors are gone, too."""
        assert self.process is not None
        doors = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)
        self.process = None
        ensure_gone(doors, STOP_TIMEOUT_S)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait for a condition; fails with the node's log."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            is_over = self.process is not None and self.process.poll() is not None
            if is_over or time.monotonic() > deadline:
                raise AssertionError(self.read_logs())
            time.sleep(0.05)

    def read_logs(self) -> str:
        """Read the end of the log of node and doors."""
        return (self.home / "node.log").read_text()[-4000:]

    def ask(self, path: str, request: Any, response_class: Any, height: int = 0) -> Any:
        """Ask the gRPC door one question, of a height or of the newest."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            method = channel.unary_unary(
                path, lambda message: message.SerializeToString(), response_class.FromString
            )
            metadata = ((HEIGHT_HEADER, str(height)),) if height else None
            return method(request, metadata=metadata, timeout=15)

    def get_height(self) -> int:
        """Get the newest height, 0 while nothing answers."""
        try:
            answer = self.ask(
                "/cosmos.base.node.v1beta1.Service/Status",
                node_query.StatusRequest(),
                node_query.StatusResponse,
            )
        except grpc.RpcError:
            return 0
        return int(answer.height)

    def wait_for_height(self, height: int) -> None:
        """Wait until a height is committed."""
        self.wait_until(lambda: self.get_height() >= height)

    def get_address(self, name: str) -> str:
        """Get the address of a named account."""
        return get_account(name).address

    def build_wallet(self, name: str) -> LocalWallet:
        """Build cosmpy's wallet of a named account."""
        return LocalWallet(PrivateKey(get_secret(name)), prefix="descent")

    def build_send(self, sender: str, receiver: str, amount: int) -> bytes:
        """Build a signed transfer from a named account to one, or to an address, in udsc."""
        return build_send(self.ask, sender, receiver, amount)
