"""The processes of a devnet on addresses of their own: one network namespace each, one bridge.

What docker compose makes of containers, made of namespaces: nodes find each other and participants
reach them by the files that `descent devnet spread` writes. Needs root and iproute2.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.devnet.genesis import build_spec
from cli.devnet.layout import DevnetPlan
from cli.devnet.spread import SpreadPlan, make_folders
from node.engine.comet.build import find_binary
from tests.support.devnet import SPEC, write_text

ROOT = Path(__file__).resolve().parents[2]
NET = "10.77.0"
BRIDGE = "dsc-br"
NODES = [f"node-{index}" for index in range(4)]
VALIDATORS = ["validator-0", "validator-1"]
MINERS = ["miner-0", "miner-1", "miner-2"]
NAMES = [*NODES, "owner", *VALIDATORS, *MINERS]
HOSTS = {name: f"{NET}.{index + 10}" for index, name in enumerate(NAMES)}

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="no iproute2 here"),
    pytest.mark.skipif(find_binary() is None, reason="no CometBFT here: `make cometbft`"),
]


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def get_namespace(name: str) -> str:
    return f"dsc-{name}"


class Machines:
    """Namespaces on one bridge, and the processes in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Machines":
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for index, name in enumerate(NAMES):
            space, outside = get_namespace(name), f"dsc-v{index}"
            ip("netns", "add", space)
            ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outside, "master", BRIDGE, "up")
            ip("-n", space, "address", "add", f"{HOSTS[name]}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        for name in NAMES:
            ip("netns", "delete", get_namespace(name), check=False)
        ip("link", "delete", BRIDGE, check=False)

    def start(self, name: str, *arguments: str) -> None:
        """Start `descent ...` in a namespace, with the settings of its folder."""
        home = self.folder / name
        command = ["ip", "netns", "exec", get_namespace(name), sys.executable, "-m", "cli.main"]
        with open(home / "process.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*command, *arguments, "--home", str(home)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def fetch(self, seen_from: str, url: str) -> str:
        """Fetch a URL from inside a namespace; empty where nothing answers."""
        code = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=3).read().decode())"
        command = ["ip", "netns", "exec", get_namespace(seen_from), sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Wait for a condition; fails with the ends of the logs."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                logs = [(path.parent.name, path.read_text()[-800:]) for path in self.list_logs()]
                raise AssertionError(f"{what}: not within {timeout_s:g} s\n{logs}")
            time.sleep(0.5)

    def list_logs(self) -> list[Path]:
        """List the logs of all processes."""
        return sorted(self.folder.glob("*/process.log"))


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    spec = SPEC.replace("TEXT", str(write_text(tmp_path / "text")))
    make_folders(SpreadPlan(tmp_path, hosts=HOSTS), spec)
    with Machines(tmp_path) as made:
        yield made


def test_spec_of_a_spread_devnet(tmp_path: Path) -> None:
    assert "num_rounds = 1000" in build_spec(DevnetPlan(tmp_path))


def test_nodes_and_participants_on_addresses_of_their_own(machines: Machines) -> None:
    text = str(machines.folder / "text")
    for name in NODES:
        machines.start(name, "node", "start", "--block-interval-ms", "500")
    ready = [f"http://{HOSTS[name]}:9600/readyz" for name in NODES]
    machines.wait(
        lambda: all(machines.fetch("miner-0", url).strip() == "ok" for url in ready),
        90,
        "every node is ready, seen from another machine",
    )
    peers = json.loads(machines.fetch("miner-0", f"http://{HOSTS['node-0']}:26657/net_info"))
    found = {peer["remote_ip"] for peer in peers["result"]["peers"]}
    assert found == {HOSTS[name] for name in NODES[1:]}
    spec = str(machines.folder / "owner" / "run.toml")
    create = ("run", "create", spec, "--key", "owner", "--bounty", "100DSC", "--yes")
    machines.start("owner", *create, "--node", f"{HOSTS['node-3']}:9090")
    for name in VALIDATORS:
        machines.start(name, "validator", "run", "--dataset", text)
    for name in MINERS:
        machines.start(name, "miner", "run", "--dataset", text)
    metrics = f"http://{HOSTS['miner-0']}:9400/metrics"

    def is_paid() -> bool:
        lines = machines.fetch("node-0", metrics).splitlines()
        paid = [line for line in lines if line.startswith("descent_participant_paid_udsc ")]
        return bool(paid) and float(paid[0].split()[1]) > 0

    machines.wait(is_paid, 240, "the first miner is paid")
