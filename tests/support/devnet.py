"""A whole devnet started and steered by the real command line, for tests that share one.

Commands are typed in the folder that holds `.devnet`, as a person does, so they need no --home. The
model and the timeline are small: a round takes seven seconds, so many fit into one test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from chain_client.errors import NotFound
from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from cli.devnet.layout import FIRST_PARTICIPANT_PORT, PORTS, RUN_ID
from cli.devnet.processes import is_alive
from cli.participant_settings import FIRST_MONITOR_PORT
from genesis.devnet import get_account
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.support.ports import find_offset

ROOT = Path(__file__).resolve().parents[2]
NUM_PARTICIPANT_PORTS = 64
POLL_SECONDS = 0.2
STOP_SECONDS = 30.0
TEXT_MODULES = ("argparse", "ast", "datetime", "difflib", "inspect", "ipaddress", "optparse")
MORE_MODULES = ("pickle", "subprocess", "tarfile", "turtle", "typing", "uuid", "zipfile")

SPEC = """\
name = "small"
init_seed = 1
num_rounds = 1000
[model]
d_model = 32
num_layers = 1
num_heads = 2
context_length = 32
[work]
inner_steps = 8
batch_size = 8
interval_steps = 4
[timeline]
commit_blocks = 8
attest_blocks = 6
judge_commit_blocks = 10
judge_reveal_blocks = 4
[judge]
audit_rate_ppm = 1_000_000
[membership]
min_miners = 3
min_validators = 2
max_burn_udsc = 2_000_000
[data]
directory = 'TEXT'
"""


def find_port_offset() -> int:
    """Find an offset with which the doors and the participants have free ports."""
    firsts = (FIRST_PARTICIPANT_PORT, FIRST_MONITOR_PORT)
    seats = [first + uid for first in firsts for uid in range(NUM_PARTICIPANT_PORTS)]
    return find_offset(lambda offset: [port + offset for port in (*PORTS.values(), *seats)])


def write_text(folder: Path) -> Path:
    """Copy half a megabyte of the standard library's source; the same on every machine of a kind.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    library = Path(os.__file__).parent
    for name in (*TEXT_MODULES, *MORE_MODULES):
        source = library / f"{name}.py"
        if source.exists():
            shutil.copyfile(source, folder / source.name)
    return folder


class Devnet:
    """A devnet in `<folder>/.devnet`, trained on the text in `<folder>/text`.

    Args:
        folder: where the commands are typed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".devnet"
        self.text = write_text(folder / "text")
        self.port_offset = find_port_offset()
        self.joined: dict[str, subprocess.Popen[bytes]] = {}
        self.first_report: dict[str, Any] = {}
        self.home.mkdir()
        (self.home / "run.toml").write_text(SPEC.replace("TEXT", str(self.text)))
        self.client: SyncChainClient = SyncChainClient.connect(self.grpc, retry_for_s=30.0)

    @property
    def grpc(self) -> str:
        """Endpoint of the Cosmos gRPC door."""
        return f"127.0.0.1:{PORTS['grpc'] + self.port_offset}"

    # ------------------------------------------------------------------------------- typing
    def type(self, *arguments: str, code: int = 0, timeout_s: float = 120.0) -> Any:
        """Run a `descent` command line; return its JSON document, or the error's."""
        command = [sys.executable, "-m", "cli.main", *arguments, "--output", "json"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._make_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        if code:
            return json.loads(done.stderr.splitlines()[-1])["error"]
        return json.loads(done.stdout) if done.stdout.strip() else None

    def up(self, *options: str) -> Any:
        """Type `devnet up`, which leaves its processes running."""
        options = ("--dataset", str(self.text), "--port-offset", str(self.port_offset), *options)
        return self.type("devnet", "up", *options, "--detach", timeout_s=240.0)

    def join(self, name: str, *arguments: str) -> None:
        """Start a participant by hand, output to `<folder>/<name>.log`."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self.joined[name] = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments],
                cwd=self.folder,
                env=self._make_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def leave(self, name: str) -> int:
        """End a participant started by hand as Ctrl-C does; return its exit code."""
        process = self.joined.pop(name)
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Stop everything that was started."""
        for name in list(self.joined):
            self.leave(name)
        self.client.close()
        if (self.home / "devnet.json").exists():
            self.type("devnet", "down")

    def _make_environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "DESCENT" not in name}
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**kept, **one_thread, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}

    # ---------------------------------------------------------------------------- processes
    def get_process(self, name: str) -> psutil.Process:
        """Return a process of `devnet.json`."""
        document = json.loads((self.home / "devnet.json").read_text())
        return psutil.Process(document["processes"][name]["pid"])

    def list_names(self) -> list[str]:
        """List the processes of `devnet.json`."""
        return sorted(json.loads((self.home / "devnet.json").read_text())["processes"])

    def kill(self, name: str) -> None:
        """Kill a process as a power cut does, and wait until it is gone."""
        process = self.get_process(name)
        process.kill()
        self.wait(lambda: not is_alive(process), 10, f"{name} is gone")

    def list_living(self) -> list[str]:
        """List the command lines of all processes that name this devnet's home."""
        return list_living(self.home)

    def read_log(self, name: str) -> str:
        """Read what a process logged."""
        inside = self.home / "logs" / f"{name}.log"
        path = inside if inside.exists() else self.folder / f"{name}.log"
        return path.read_text(errors="replace")

    # -------------------------------------------------------------------------------- chain
    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Wait until a condition gives something true, and return it; fails with all logs."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = condition()
            except NotFound:
                found = None
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {timeout_s:g} s\n{self._read_tails()}")
            time.sleep(POLL_SECONDS)

    def wait_log(self, name: str, text: str, timeout_s: float = 60.0) -> str:
        """Wait until a process logged something; return its log."""
        what = f"{name} logs {text!r}"
        return self.wait(
            lambda: log if text in (log := self.read_log(name)) else None, timeout_s, what
        )

    def wait_judged(self, round_index: int, timeout_s: float = 120.0) -> weights_pb2.Epoch:
        """Wait until a round is judged and paid; return its epoch."""
        return self.wait(
            lambda: self.client.get_epoch(RUN_ID, round_index), timeout_s, f"epoch {round_index}"
        )

    def wait_round(
        self,
        condition: Callable[[rounds_pb2.Round], bool],
        what: str,
        timeout_s: float = 60.0,
    ) -> rounds_pb2.Round:
        """Wait until the round in work is as wanted, and return it."""

        def look() -> rounds_pb2.Round | None:
            current = self.client.get_current_round(RUN_ID)
            return current if condition(current) else None

        return self.wait(look, timeout_s, what)

    def get_member(self, name: str) -> runs_pb2.Participant:
        """Return the seat of a devnet account."""
        return self.client.get_participant(RUN_ID, hotkey=get_key(name).address)

    def get_balance(self, name: str) -> int:
        """Return the balance of a devnet account, udsc."""
        return self.client.get_balance(get_key(name).address)

    def _read_tails(self) -> str:
        names = [*self.list_names(), *self.joined]
        return "\n".join(f"--- {name}\n{self.read_log(name)[-1500:]}" for name in names)


def list_living(home: Path) -> list[str]:
    """List the command lines of all processes that name a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(home) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


def get_key(name: str) -> Key:
    """Return the published key of a devnet account."""
    return Key(name, get_account(name).secret)
