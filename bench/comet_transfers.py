"""Signed transfers a second on the real CometBFT, beside CometBFT's in-process kvstore.

    python -m bench.comet_transfers [--nodes 1] [--txs 6000] [--rounds 3] [--loader batch|single]

Each round starts a chain of kvstore nodes and a chain of Descent nodes, with the same CometBFT, the
same settings and transactions of like size, and sends as many as are taken to the first node's RPC;
a second is counted from the first broadcast until the last is committed. Loader `batch` sends ten
in a request and does not wait for their check, `single` one a request on 16 connections and waits,
as wallets do: then HTTP costs both chains the same. After that Descent at a steady rate: time from
the broadcast until the application has committed the block. Prints one JSON document; `ratio` is
Descent over kvstore, medians; of Descent also the processor time of the first node a transfer.
Nodes and this load generator share the processors. Needs `make cometbft`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.live_node import LiveNode, fund_senders
from bench.node_transfers import Sender
from genesis.devnet import init_devnet_homes
from node.doors.supervisor import GRPC_PORT, PORTS_PER_NODE, RPC_PORT
from node.engine.comet.client import CometRpc
from node.engine.comet.config import P2P_PORT, CometSettings, Peer, prepare_home
from node.engine.comet.process import require_binary
from node.engine.errors import EngineUnreachable
from node.engine.keys import load_node_id

HOST = "127.0.0.1"
PORT_OFFSET = 17_000 + os.getpid() % 300 * 50  # two benches at once keep out of each other's way
BLOCK_INTERVAL_MS = 500
NUM_SENDERS = 400
BATCH = 10  # CometBFT takes no larger one
NUM_CONNECTIONS = {"batch": 2, "single": 16}
WAIT_S = 120.0


def get_offset(index: int) -> int:
    """Get what is added to every port of a node."""
    return PORT_OFFSET + PORTS_PER_NODE * index


@contextmanager
def start_chain(kind: str, num_nodes: int) -> Iterator[LiveNode]:
    """Start a chain of `kvstore` or `descent` nodes; stop it at the end."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        homes = [Path(folder) / f"node-{index}" for index in range(num_nodes)]
        seeds = [secrets.token_bytes(32) for _ in homes]
        init_devnet_homes(homes, time_ns=time.time_ns(), onion_seeds=seeds)
        peers = [
            Peer(
                load_node_id(home / "config" / "node_key.json"),
                f"{HOST}:{P2P_PORT + get_offset(index)}",
            )
            for index, home in enumerate(homes)
        ]
        processes = []
        for index, home in enumerate(homes):
            others = tuple(peer for peer in peers if peer != peers[index])
            command = build_command(kind, home, index, others)
            process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)
            processes.append(process)
            stack.callback(stop, process)
        grpc, rpc = GRPC_PORT + PORT_OFFSET, RPC_PORT + PORT_OFFSET
        node = LiveNode(processes[0], f"{HOST}:{grpc}", f"{HOST}:{rpc}", "", homes[0])
        wait_for_height(open_rpc(), 2)
        yield node


def build_command(kind: str, home: Path, index: int, peers: tuple[Peer, ...]) -> list[str]:
    """Build the command line of a node."""
    if kind == "kvstore":
        settings = CometSettings(
            rpc_port=RPC_PORT + get_offset(index),
            p2p_port=P2P_PORT + get_offset(index),
            peers=peers,
            timeout_commit_ms=BLOCK_INTERVAL_MS - 100,
        )
        prepare_home(home, settings)
        return [str(require_binary()), "start", "--home", str(home), "--proxy_app", "kvstore"]
    command = [sys.executable, "-m", "node.process", "--home", str(home), "--log-level", "warning"]
    command += ["--engine", "cometbft", "--port-offset", str(get_offset(index))]
    command += ["--block-interval-ms", str(BLOCK_INTERVAL_MS)]
    for peer in peers:
        command += ["--peer", str(peer)]
    return command


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a node."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def open_rpc() -> CometRpc:
    """Connect to the first node's RPC."""
    return CometRpc(HOST, RPC_PORT + PORT_OFFSET)


def get_height(rpc: CometRpc) -> int:
    """Get the height the application has committed."""
    return int(rpc.call("abci_info")["response"].get("last_block_height", "0"))


def wait_for_height(rpc: CometRpc, height: int) -> None:
    """Wait until a height is committed."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if get_height(rpc) >= height:
                return
        except EngineUnreachable:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"no height {height} after {WAIT_S:.0f} s")
        time.sleep(0.05)


class Watcher(threading.Thread):
    """Notes when each transaction was committed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rpc = open_rpc()
        self.seen: dict[bytes, float] = {}
        self.blocks: list[int] = []
        self.height = get_height(self.rpc)
        self.is_stopping = False

    def run(self) -> None:
        while not self.is_stopping:
            latest, now = get_height(self.rpc), time.monotonic()
            while self.height < latest:
                self.height += 1
                block = self.rpc.call("block", height=str(self.height))["block"]
                txs = [base64.b64decode(text) for text in block["data"]["txs"] or []]
                self.blocks.append(len(txs))
                for tx in txs:
                    self.seen[hashlib.sha256(tx).digest()] = now
            time.sleep(0.02)

    def wait_for(self, txs: list[bytes]) -> float:
        """Wait until all are committed; return when the last was."""
        hashes = [hashlib.sha256(tx).digest() for tx in txs]
        deadline = time.monotonic() + WAIT_S
        while not all(tx_hash in self.seen for tx_hash in hashes):
            if time.monotonic() > deadline or not self.is_alive():
                raise SystemExit("not every transaction was committed")
            time.sleep(0.05)
        return max(self.seen[tx_hash] for tx_hash in hashes)


def measure_processors(node: LiveNode) -> dict[str, float]:
    """Measure processor seconds so far of the first node and of its CometBFT."""
    application = psutil.Process(node.process.pid)
    found = {"application": application}
    for child in application.children():
        if Path(child.cmdline()[0]).name == "cometbft":
            found["cometbft"] = child
    times = {name: process.cpu_times() for name, process in found.items()}
    return {name: spent.user + spent.system for name, spent in times.items()}


def broadcast(rpc: CometRpc, txs: list[bytes], method: str) -> None:
    """Send transactions in one batch; `broadcast_tx_async` does not wait for their check."""
    calls = [
        {
            "jsonrpc": "2.0",
            "id": index,
            "method": method,
            "params": {"tx": base64.b64encode(tx).decode()},
        }
        for index, tx in enumerate(txs)
    ]
    answers = json.loads(rpc.post(json.dumps(calls).encode()))
    for answer in answers if isinstance(answers, list) else [answers]:
        if "error" in answer or answer["result"]["code"]:
            raise SystemExit(f"refused: {answer}")


def measure_flood(lanes: list[list[bytes]], loader: str = "batch") -> dict[str, Any]:
    """Send everything as fast as it is taken, each lane in order over one connection."""
    watcher = Watcher()
    watcher.start()
    everything = [tx for lane in lanes for tx in lane]
    started = time.monotonic()

    def send(lane: list[bytes]) -> None:
        rpc = open_rpc()
        size = BATCH if loader == "batch" else 1
        method = "broadcast_tx_async" if loader == "batch" else "broadcast_tx_sync"
        for at in range(0, len(lane), size):
            broadcast(rpc, lane[at : at + size], method)

    threads = [threading.Thread(target=send, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = time.monotonic()
    committed = watcher.wait_for(everything)
    watcher.is_stopping = True
    return {
        "taken_per_s": round(len(everything) / (sent - started)),
        "committed_per_s": round(len(everything) / (committed - started)),
        "largest_block": max(watcher.blocks),
    }


def measure_latency(txs: list[bytes], rate: int) -> dict[str, float]:
    """Send at a steady rate; seconds from broadcast to commit."""
    watcher, rpc = Watcher(), open_rpc()
    watcher.start()
    sent: dict[bytes, float] = {}
    started = time.monotonic()
    for index, tx in enumerate(txs):
        time.sleep(max(0.0, started + index / rate - time.monotonic()))
        sent[tx] = time.monotonic()
        broadcast(rpc, [tx], "broadcast_tx_sync")
    watcher.wait_for(txs)
    watcher.is_stopping = True
    waits = sorted(watcher.seen[hashlib.sha256(tx).digest()] - at for tx, at in sent.items())
    return {
        "rate_per_s": rate,
        "p50_s": round(statistics.median(waits), 3),
        "p95_s": round(waits[int(0.95 * len(waits))], 3),
        "max_s": round(waits[-1], 3),
    }


def sign_lanes(senders: list[Sender], count: int, num_lanes: int = 2) -> list[list[bytes]]:
    """Sign transfers, a sender's all in one lane."""
    lanes: list[list[bytes]] = [[] for _ in range(num_lanes)]
    for index in range(count):
        sender = senders[index % len(senders)]
        lane = lanes[index % len(senders) % num_lanes]
        lane.append(sender.sign_transfer(senders[(index + 1) % len(senders)].text))
    return lanes


def make_values(count: int, num_bytes: int, num_lanes: int = 2) -> list[list[bytes]]:
    """Make kvstore transactions of a size."""
    lanes: list[list[bytes]] = [[] for _ in range(num_lanes)]
    for index in range(count):
        key = secrets.token_hex(8)
        lanes[index % num_lanes].append(f"{key}=".ljust(num_bytes, "v").encode())
    return lanes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--txs", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--loader", choices=sorted(NUM_CONNECTIONS), default="batch")
    arguments = parser.parse_args()
    loader, num_lanes = arguments.loader, NUM_CONNECTIONS[arguments.loader]
    floods: dict[str, list[dict[str, Any]]] = {"kvstore": [], "descent": []}
    latency: dict[str, float] = {}
    num_bytes = 0
    for number in range(arguments.rounds):
        with start_chain("descent", arguments.nodes) as node:
            senders = fund_senders(node, NUM_SENDERS)
            lanes = sign_lanes(senders, arguments.txs, num_lanes)
            num_bytes = len(lanes[0][0])
            before = measure_processors(node)
            floods["descent"].append(measure_flood(lanes, loader))
            after = measure_processors(node)
            floods["descent"][-1]["processor_us_a_tx"] = {
                name: round(1e6 * (after[name] - before[name]) / arguments.txs) for name in before
            }
            print("descent", json.dumps(floods["descent"][-1]), file=sys.stderr)
            if number == arguments.rounds - 1:
                lanes = sign_lanes(senders, arguments.rate * arguments.seconds)
                latency = measure_latency([tx for lane in lanes for tx in lane], arguments.rate)
        with start_chain("kvstore", arguments.nodes):
            values = make_values(arguments.txs, num_bytes, num_lanes)
            floods["kvstore"].append(measure_flood(values, loader))
            print("kvstore", json.dumps(floods["kvstore"][-1]), file=sys.stderr)
    medians = {
        kind: statistics.median(run["committed_per_s"] for run in runs)
        for kind, runs in floods.items()
    }
    document = {
        "num_nodes": arguments.nodes,
        "loader": loader,
        "tx_bytes": num_bytes,
        "floods": floods,
        "committed_per_s": medians,
        "ratio": round(medians["descent"] / medians["kvstore"], 3),
        "latency": latency,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
