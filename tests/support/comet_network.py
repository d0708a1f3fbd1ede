"""Nodes on the real CometBFT as real processes on free ports; the first is asked unless told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from genesis.devnet import init_devnet_homes
from node.doors.supervisor import PORTS_PER_NODE, RPC_PORT, get_listen
from node.engine.comet.build import find_binary
from node.engine.comet.config import P2P_PORT
from node.engine.keys import load_node_id
from node.operation import MONITOR_PORT
from tests.support.devnet_node import ensure_gone
from tests.support.monitors import ask_monitor
from tests.support.ports import find_offset

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0  # a node gives CometBFT ten seconds, and its doors three each
BLOCK_INTERVAL_MS = "250"
needs_cometbft = pytest.mark.skipif(
    find_binary() is None, reason="no CometBFT here: `make cometbft` builds it"
)


def find_port_offset(num_nodes: int) -> int:
    """Find an offset with which every port of all nodes is free."""

    def list_ports(offset: int) -> list[int]:
        doors = [port for _, port in get_listen(offset).values()]
        return [
            port + PORTS_PER_NODE * index
            for index in range(num_nodes)
            for port in (*doors, P2P_PORT + offset, MONITOR_PORT + offset)
        ]

    return find_offset(list_ports)


class CometNetwork:
    """`num_nodes` validators of equal power under `folder`; a context manager that kills them."""

    def __init__(
        self, folder: Path, num_nodes: int = 1, params: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.homes = [folder / f"node-{index}" for index in range(num_nodes)]
        self.offset = find_port_offset(num_nodes + 1)  # and one that is added
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        seeds = [bytes((index + 1,)) * 32 for index in range(num_nodes)]
        init_devnet_homes(self.homes, time_ns=time.time_ns(), onion_seeds=seeds, params=params)
        self._ids = [load_node_id(home / "config" / "node_key.json") for home in self.homes]

    def __enter__(self) -> CometNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        children = [child for index in self.processes for child in self.list_family(index)[1:]]
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(STOP_TIMEOUT_S)
        self.processes.clear()
        ensure_gone(children, STOP_TIMEOUT_S)

    def add_node(self, twin_of: int | None = None) -> int:
        """Make the home of a node that is no validator; returns its index.

        Args:
            twin_of: a node whose key the new one signs with, too.
        """
        home = self.homes[0].parent / f"node-{len(self.homes)}"
        (home / "config").mkdir(parents=True)
        shutil.copy(self.homes[0] / "config" / "genesis.json", home / "config")
        if twin_of is not None:
            shutil.copy(self.homes[twin_of] / "config" / "priv_validator_key.json", home / "config")
        return self.adopt(home)

    def adopt(self, home: Path) -> int:
        """Take a home that was made already; returns its index."""
        self.homes.append(home)
        self._ids.append(load_node_id(home / "config" / "node_key.json"))
        return len(self.homes) - 1

    def get_port(self, base: int, index: int = 0) -> int:
        """Get a port of a node."""
        return base + self.offset + PORTS_PER_NODE * index

    # Processes

    def start(self, index: int = 0, module: str = "node.process", more: Sequence[str] = ()) -> None:
        """Start a node; `module` is what runs it, for one that misbehaves."""
        command = [sys.executable, "-m", module, "--home", str(self.homes[index])]
        command += ["--engine", "cometbft", "--block-interval-ms", BLOCK_INTERVAL_MS]
        command += ["--port-offset", str(self.offset + PORTS_PER_NODE * index), *more]
        for other, node_id in enumerate(self._ids):
            if other != index:
                command += ["--peer", f"{node_id}@127.0.0.1:{self.get_port(P2P_PORT, other)}"]
        with open(self.homes[index] / "node.log", "ab") as log:
            self.processes[index] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def start_all(self, more: Sequence[str] = ()) -> None:
        """Start every node and wait for the first block."""
        for index in range(len(self.homes)):
            self.start(index, more=more)
        self.wait_for_height(1, timeout_s=START_TIMEOUT_S)

    def wait_until_ready(self, index: int = 0) -> None:
        """Wait until a node has caught up and all its doors answer."""
        port = self.get_port(MONITOR_PORT, index)
        self.wait_until(lambda: ask_monitor(port, "/readyz")[0] == 200, START_TIMEOUT_S)

    def list_family(self, index: int) -> list[psutil.Process]:
        """List a node's process and its children: CometBFT and the door."""
        try:
            parent = psutil.Process(self.processes[index].pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, index: int = 0) -> int:
        """Stop a node as an operator does; returns its exit code."""
        process = self.processes.pop(index)
        process.terminate()
        return process.wait(STOP_TIMEOUT_S)

    def kill(self, index: int = 0, *, only_engine: bool = False) -> None:
        """Kill a node's process, or its CometBFT, and wait until all of it is gone."""
        family = self.list_family(index)
        for process in family:
            if only_engine and process.name() != "cometbft":
                continue
            with_pid = process.pid
            if only_engine or process == family[0]:
                os.kill(with_pid, signal.SIGKILL)
        self.processes.pop(index).wait(STOP_TIMEOUT_S)
        ensure_gone(family[1:], STOP_TIMEOUT_S)

    def wipe(self, index: int) -> None:
        """Remove a stopped node's data, but not what it signed last."""
        data = self.homes[index] / "data"
        for path in data.iterdir():
            if path.name == "priv_validator_state.json":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def signal_all(self, index: int, number: int) -> None:
        """Send a signal to all processes of a node."""
        for process in self.list_family(index):
            process.send_signal(number)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait for a condition; fails with the nodes' logs."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(self.read_logs())
            time.sleep(0.05)

    def read_logs(self) -> str:
        """Read the end of every node's log."""
        parts = []
        for home in self.homes:
            log = home / "node.log"
            parts.append(f"{home.name}:\n{log.read_text()[-2000:] if log.exists() else ''}")
        return "\n".join(parts)

    # Questions to CometBFT

    def call(self, method: str, index: int = 0, **params: Any) -> Any:
        """Call CometBFT's RPC; raises OSError while it does not answer."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        url = f"http://127.0.0.1:{self.get_port(RPC_PORT, index)}/"
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                document = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            document = json.loads(error.read())
        if "error" in document:
            raise ValueError(document["error"])
        return document["result"]

    def get_height(self, index: int = 0) -> int:
        """Get a node's newest height, 0 while it does not answer."""
        try:
            status = self.call("status", index)
        except OSError:
            return 0
        return int(status["sync_info"]["latest_block_height"])

    def wait_for_height(self, height: int, index: int = 0, timeout_s: float = 60.0) -> None:
        """Wait until a node is at a height."""
        self.wait_until(lambda: self.get_height(index) >= height, timeout_s)

    def get_app_hash(self, height: int, index: int = 0) -> str:
        """Get the app hash after a block, from the header of the next."""
        header = self.call("header", index, height=str(height + 1))["header"]
        return str(header["app_hash"]).lower()
