"""A node process with its doors in a temporary home, and funded accounts that sign, for benches."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

import proto  # noqa: F401  (puts cosmos.* on the path)

# isort: split
from cosmos.auth.v1beta1 import auth_pb2
from cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx

from bench.node_transfers import START_UDSC, Sender
from chain_client.errors import ChainClientError
from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from genesis.devnet import get_account, init_devnet_home
from node.doors.supervisor import get_listen
from node.operation import MONITOR_PORT
from node.runtime.coins import build_coin

START_SECONDS = 180.0
OUTPUTS_A_TX = 100


@dataclass
class LiveNode:
    """A running node."""

    process: subprocess.Popen[bytes]
    grpc: str
    rpc: str
    substrate: str
    home: Path
    monitor: str = ""

    def measure_memory(self) -> dict[str, float]:
        """Measure resident memory of node and doors, MiB."""
        node = psutil.Process(self.process.pid)
        found = {"node": node.memory_info().rss / 2**20}
        for child in node.children(recursive=True):
            module = next((part for part in child.cmdline() if "doors" in part), str(child.pid))
            found[module.rpartition(".")[2]] = child.memory_info().rss / 2**20
        found["all"] = sum(found.values())
        return {name: round(value, 1) for name, value in found.items()}

    def measure_anonymous(self) -> dict[str, float]:
        """Measure what is not pages of files, MiB; the mapped database counts as resident."""
        node = psutil.Process(self.process.pid)
        found = {"node": read_anonymous(node.pid)}
        for child in node.children(recursive=True):
            module = next((part for part in child.cmdline() if "doors" in part), str(child.pid))
            found[module.rpartition(".")[2]] = read_anonymous(child.pid)
        return found

    def measure_blocks(self) -> tuple[int, float]:
        """Measure blocks so far, and the seconds the application spent on all their steps."""
        with urllib.request.urlopen(f"http://{self.monitor}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        steps = "descent_node_block_step_seconds_sum"
        spent = sum(float(value) for name, value in values.items() if name.startswith(steps))
        return int(float(values["descent_node_height"])), spent

    def measure_cpu(self) -> dict[str, float]:
        """Measure processor seconds so far of node and doors."""
        node = psutil.Process(self.process.pid)
        times = node.cpu_times()
        found = {"node": times.user + times.system}
        for child in node.children(recursive=True):
            module = next((part for part in child.cmdline() if "doors" in part), str(child.pid))
            times = child.cpu_times()
            found[module.rpartition(".")[2]] = times.user + times.system
        return found


def read_anonymous(pid: int) -> float:
    """Read the anonymous memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise ValueError("no Anonymous line in smaps_rollup")


@contextmanager
def start_node(
    port_offset: int,
    block_interval_ms: int,
    prepare: Callable[[Path], None] | None = None,
    flags: Sequence[str] = (),
) -> Iterator[LiveNode]:
    """Start a devnet's node with its doors; stop it at the end.

    Args:
        prepare: changes the home before the node starts.
        flags: more of `node.process`.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "node"
        init_devnet_home(home, time_ns=time.time_ns(), onion_seed=secrets.token_bytes(32))
        if prepare is not None:
            prepare(home)
        command = [
            *(sys.executable, "-m", "node.process", "--home", str(home)),
            *("--port-offset", str(port_offset), "--block-interval-ms", str(block_interval_ms)),
            *flags,
        ]
        process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)
        at = {name: f"{host}:{port}" for name, (host, port) in get_listen(port_offset).items()}
        monitor = f"127.0.0.1:{MONITOR_PORT + port_offset}"
        node = LiveNode(process, at["grpc"], at["rpc"], at["substrate"], home, monitor)
        try:
            with connect(node) as client:
                client.wait_height(2)
            yield node
        finally:
            process.terminate()
            process.wait(20)


def connect(node: LiveNode) -> SyncChainClient:
    """Return a client of the node's gRPC door."""
    return SyncChainClient.connect(node.grpc, retry_for_s=START_SECONDS)


def fund_senders(node: LiveNode, count: int, first: int = 0) -> list[Sender]:
    """Give new accounts, from number `first` on, coins from the faucet; return them to sign."""
    senders = [Sender(index) for index in range(first, first + count)]
    give_coins(node, [sender.text for sender in senders])
    with connect(node) as client:
        for sender in senders:
            sender.number = find_number(client, sender.text)
    return senders


def give_coins(node: LiveNode, addresses: Sequence[str]) -> None:
    """Send coins of the faucet to accounts, many a transaction."""
    faucet = get_account("faucet")
    key = Key("faucet", faucet.secret)
    with connect(node) as client:
        for at in range(0, len(addresses), OUTPUTS_A_TX):
            part = addresses[at : at + OUTPUTS_A_TX]
            coins = [build_coin("udsc", START_UDSC)]
            total = [build_coin("udsc", START_UDSC * len(part))]
            message = bank_tx.MsgMultiSend()
            message.inputs.add(address=faucet.address, coins=total)
            for address in part:
                message.outputs.add(address=address, coins=coins)
            client.submit(key, [message])


def find_number(client: SyncChainClient, address: str) -> int:
    """Return the number the chain gave an account."""
    response = client.query(
        "/cosmos.auth.v1beta1.Query/Account",
        auth_query.QueryAccountRequest(address=address),
        auth_query.QueryAccountResponse,
    )
    account = auth_pb2.BaseAccount()
    if not response.account.Unpack(account):
        raise ChainClientError(f"{address} is no plain account")
    return int(account.account_number)
