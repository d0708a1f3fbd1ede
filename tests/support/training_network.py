"""Four nodes on the real CometBFT and a small run that trains on them, each to be disturbed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from chain_client.errors import ChainClientError, NotFound
from chain_client.sync_client import SyncChainClient
from cli.devnet import layout, processes
from cli.devnet.genesis import prepare_home
from node.engine.comet.client import CometRpc, RpcRefused
from node.engine.errors import EngineUnreachable
from tests.support.comet_network import find_port_offset
from tests.support.devnet import ROOT, SPEC, write_text
from tests.support.devnet_node import ensure_gone
from tests.support.links import Links

NUM_NODES = 4
MINERS, VALIDATORS = 2, 2
POLL_S = 0.2
START_S = 90.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
KINDS = ("kill", "pause", "disconnect", "restart")


class TrainingNetwork:
    """Nodes and participants as real processes in `folder`; a context manager that ends them all.

    Args:
        cuttable: nodes that can be disconnected.
    """

    def __init__(self, folder: Path, cuttable: Iterable[int] = (), num_nodes: int = NUM_NODES):
        text = write_text(folder / "text")
        self.plan = layout.DevnetPlan(
            home=folder / ".devnet",
            num_miners=MINERS,
            num_validators=VALIDATORS,
            port_offset=find_port_offset(num_nodes + 1),
            dataset_dir=text,
            engine=layout.COMETBFT,
            num_nodes=num_nodes,
        )
        self.plan.home.mkdir(parents=True)
        spec = SPEC.replace("TEXT", str(text)).replace("min_miners = 3", f"min_miners = {MINERS}")
        (self.plan.home / "run.toml").write_text(spec)
        prepare_home(self.plan)
        ports = [self.plan.get_port("p2p", index) for index in range(num_nodes)]
        self.links = Links(ports, cuttable)
        self.entries: dict[str, dict[str, Any]] = {}
        self.client = SyncChainClient.connect(self.plan.join_grpc(), retry_for_s=20.0)
        self._commands: dict[str, tuple[str, ...]] = {}
        self._handles: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> TrainingNetwork:
        self.links.__enter__()
        for index, process in enumerate(layout.list_node_processes(self.plan)):
            command = [self._redirect(index, word) for word in process.command]
            self._commands[process.name] = tuple(command)
        for process in [layout.make_owner(self.plan), *layout.list_participants(self.plan)]:
            self._commands[process.name] = process.command
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for entry in self.entries.values():
            for process in list_family(entry):
                with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
                    process.kill()
        for handle in self._handles:
            handle.wait(20)
        self.links.__exit__()

    def _redirect(self, dialer: int, word: str) -> str:
        """Put the proxy's port in the address of a peer."""
        for target in range(self.plan.num_nodes):
            own = f"@127.0.0.1:{self.plan.get_port('p2p', target)}"
            if word.endswith(own):
                return word.removesuffix(own) + f"@127.0.0.1:{self.links.get_port(dialer, target)}"
        return word

    # Processes

    def get_name(self, index: int) -> str:
        """Get the name of a node."""
        return self.plan.list_nodes()[index]

    def start(self, name: str, *more: str) -> None:
        """Start a process; `more` is added to its command line."""
        self.plan.logs.mkdir(exist_ok=True)
        with (self.plan.logs / f"{name}.log").open("ab") as log:
            handle = subprocess.Popen(
                (*self._commands[name], *more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **ONE_THREAD},
                cwd=ROOT,
            )
        self._handles.append(handle)
        started = psutil.Process(handle.pid).create_time()
        self.entries[name] = {"pid": handle.pid, "started": started}

    def start_all(self, *more: str) -> None:
        """Start nodes, owner and participants, and wait for the run's first round."""
        for name in self.plan.list_nodes():
            self.start(name, *more)
        self.wait(lambda: self.client.height() >= 1, START_S, "the first block")
        for name in self._commands:
            if name not in self.entries:
                self.start(name)
        self.wait(lambda: self.get_round() >= 0, START_S, "the first round")

    def kill(self, name: str) -> None:
        """Kill a process as a power cut does, and wait until all of it is gone."""
        family = list_family(self.entries[name])
        family[0].kill()
        ensure_gone(family, 20)

    def wipe(self, index: int) -> None:
        """Remove a dead node's data, but not what it signed last."""
        for path in (self.plan.list_node_homes()[index] / "data").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "priv_validator_state.json":
                path.unlink()

    def stop(self, name: str) -> None:
        """Stop a process as an operator does."""
        processes.stop([self.entries[name]])

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process and its children."""
        for process in list_family(self.entries[name]):
            process.send_signal(number)

    def is_running(self, name: str) -> bool:
        """Whether a process lives."""
        return processes.is_running(self.entries[name])

    # Disturbances

    def disturb(self, index: int, kind: str) -> None:
        """Kill, pause, disconnect or stop a node."""
        name = self.get_name(index)
        if kind == "kill":
            self.kill(name)
        elif kind == "pause":
            self.signal(name, signal.SIGSTOP)
        elif kind == "disconnect":
            self.links.cut(index)
        else:
            self.stop(name)

    def mend(self, index: int, kind: str) -> None:
        """Undo `disturb`."""
        name = self.get_name(index)
        if kind == "pause":
            self.signal(name, signal.SIGCONT)
        elif kind == "disconnect":
            self.links.mend(index)
        else:
            self.start(name)

    # Looking

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> float:
        """Wait until a condition holds; returns the seconds it took; fails with all logs."""
        started = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - started
            except (ChainClientError, EngineUnreachable, RpcRefused):
                pass
            if time.monotonic() - started > timeout_s:
                raise AssertionError(f"{what}: not within {timeout_s:g} s\n{self.read_logs()}")
            time.sleep(POLL_S)

    def call(self, index: int, method: str, **params: Any) -> Any:
        """Call a node's CometBFT RPC."""
        with closing(CometRpc("127.0.0.1", self.plan.get_port("rpc", index))) as rpc:
            return rpc.call(method, **params)

    def get_height(self, index: int) -> int:
        """Get a node's newest height, 0 while it does not answer."""
        try:
            return int(self.call(index, "status")["sync_info"]["latest_block_height"])
        except (EngineUnreachable, RpcRefused):
            return 0

    def get_round(self) -> int:
        """Get the run's round, -1 before there is one."""
        try:
            return int(self.client.get_current_round(layout.RUN_ID).index)
        except NotFound:
            return -1

    def list_app_hashes(self, index: int, first: int, last: int) -> list[str]:
        """List the app hashes after the blocks from `first` to `last`."""
        found = []
        for height in range(first, last + 1):
            header = self.call(index, "header", height=str(height + 1))["header"]
            found.append(str(header["app_hash"]))
        return found

    def ensure_agreement(self) -> int:
        """Check that all nodes have the same app hash at every height they keep.

        Returns:
            The last height.
        """
        statuses = [self.call(index, "status") for index in range(self.plan.num_nodes)]
        first = max(int(item["sync_info"]["earliest_block_height"]) for item in statuses)
        last = min(self.get_height(index) for index in range(self.plan.num_nodes)) - 1
        assert last >= first
        reference = self.list_app_hashes(0, first, last)
        for index in range(1, self.plan.num_nodes):
            assert self.list_app_hashes(index, first, last) == reference, index
        return last

    def read_logs(self) -> str:
        """Read the end of every log."""
        return "\n".join(
            f"--- {path.stem}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted(self.plan.logs.glob("*.log"))
        )

    def perturb(self, index: int, kind: str, source: random.Random) -> float:
        """Disturb a node for a while; the others go on, and it catches up.

        Returns:
            Seconds the others took for two further blocks.
        """
        others = [other for other in range(self.plan.num_nodes) if other != index]
        before = max(map(self.get_height, others))
        self.disturb(index, kind)
        took = self.wait(
            lambda: min(map(self.get_height, others)) >= before + 2, 20, f"blocks after {kind}"
        )
        time.sleep(source.random())
        self.mend(index, kind)
        top = max(map(self.get_height, others))
        self.wait(lambda: self.get_height(index) >= top, 30, f"node {index} after {kind}")
        return took


def list_family(entry: dict[str, Any]) -> list[psutil.Process]:
    """List a process and its children; empty if it is gone."""
    process = processes.find(entry)
    if process is None:
        return []
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def get_count(variable: str, default: int) -> int:
    """Get a number of the soak from the environment."""
    return int(os.environ.get(variable, default))
