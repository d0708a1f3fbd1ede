"""Malformed requests at every door at once: no crash, no internal fault, memory flat.

A few hundred here; `make soak` sends 10^6 (`DESCENT_SOAK_INPUTS`, `DESCENT_SOAK_SEED`).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from node.chain import build_chain
from tests.support.devnet_node import DevnetNode
from tests.support.malformed import (
    TIMEOUT_S,
    HttpPeer,
    Malformer,
    find_rest_problem,
    find_rpc_problem,
)
from tests.support.rest_client import Rest
from tests.support.rpc_calls import PlainRpc

NUM_INPUTS = 900
NUM_PEERS = 4  # of each door
MAX_GROWTH_BYTES = 24 * 2**20
SOCKET_MESSAGES = 40
SERVICES = ("cosmos.tx.v1beta1.Service", "cosmos.base.tendermint.v1beta1.Service")


@pytest.fixture
def open_node(tmp_path: Path) -> Iterator[DevnetNode]:
    """A node whose REST door takes any number of requests."""
    node = DevnetNode(tmp_path / "home")
    (node.home / "config" / "node.toml").write_text("[rest]\nrequests_per_second = 0\n")
    try:
        node.start()
        yield node
    finally:
        node.stop()


class Storm:
    """Sends malformed requests to all doors of a node, and keeps what looks like a fault."""

    def __init__(self, node: DevnetNode, seed: int) -> None:
        self.node = node
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._seed = random.Random(seed)
        self._tx = node.build_send("faucet", "owner", 1)
        self._paths = list_templates(node), list_methods(), list_routes(node)

    async def send(self, num_inputs: int) -> None:
        """Send so many, a third to each door; a few by WebSocket and a few that are no HTTP."""
        share = num_inputs // (3 * NUM_PEERS)
        jobs = []
        for _ in range(NUM_PEERS):
            for storm in (self.storm_rest, self.storm_rpc, self.storm_grpc):
                # One each: what is sent does not depend on which of them is faster.
                malformer = Malformer(self._seed.randrange(2**32), self._tx, *self._paths)
                jobs.append(storm(malformer, share))
        await asyncio.gather(*jobs)

    async def storm_rest(self, malformer: Malformer, count: int) -> None:
        peer = HttpPeer(self.node.rest_port)
        for index in range(count):
            self.counts["rest"] += 1
            if index % 100 == 99:
                await peer.throw(malformer.make_garbage())
                continue
            request = malformer.make_rest()
            status, body = await peer.ask(request)
            self.counts[f"rest {status}"] += 1
            self.note(request, find_rest_problem(status, body))
        peer.close()

    async def storm_rpc(self, malformer: Malformer, count: int) -> None:
        peer = HttpPeer(self.node.rpc_port)
        index = 0
        while index < count:
            if index % 1000 == 10:
                index += await self.storm_socket(malformer)
                continue
            index += 1
            self.counts["rpc"] += 1
            request = malformer.make_rpc()
            status, body = await peer.ask(request)
            self.counts[f"rpc {status}"] += 1
            self.note(request, find_rpc_problem(status, body))
        peer.close()

    async def storm_socket(self, malformer: Malformer) -> int:
        """Send some messages on a WebSocket, then one that must be answered."""
        url = f"ws://127.0.0.1:{self.node.rpc_port}/websocket"
        async with connect(url, proxy=None, max_size=None) as socket:
            for _ in range(SOCKET_MESSAGES):
                self.counts["rpc"] += 1
                message = json.dumps(malformer.make_call())
                is_text = malformer.rng.random() < 0.7
                await socket.send(message if is_text else malformer.mutate(message.encode()))
            await socket.send('{"jsonrpc":"2.0","id":424242,"method":"health"}')
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    while json.loads(await socket.recv()).get("id") != 424242:
                        pass
            except (ConnectionClosed, TimeoutError) as error:
                self.problems.append(f"WebSocket: {error!r}")
        return SOCKET_MESSAGES

    async def storm_grpc(self, malformer: Malformer, count: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.node.grpc_port}") as channel:
            for _ in range(count):
                self.counts["grpc"] += 1
                path, request, metadata = malformer.make_grpc()
                method = channel.unary_unary(path, None, None)
                try:
                    await method(request, metadata=metadata, timeout=TIMEOUT_S)
                except grpc.aio.AioRpcError as error:
                    self.counts[f"grpc {error.code().name}"] += 1
                    bad = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
                    if error.code() in (*bad, grpc.StatusCode.UNAVAILABLE):
                        self.note(request, f"{path}: {error.code().name} {error.details()}")

    def note(self, request: bytes, problem: str) -> None:
        """Keep a problem with the request that made it."""
        if problem:
            self.problems.append(f"{problem} <- {request[:600]!r}")


def list_templates(node: DevnetNode) -> list[tuple[str, str]]:
    """List the routes of the REST door; those that change something come up often."""
    rest = Rest(node.rest_port)
    paths = rest.get("/openapi.json")["paths"]
    rest.http.close()
    found = [(method.upper(), path) for path, item in paths.items() for method in item]
    return found + [item for item in found if item[0] == "POST"] * 8


def list_methods() -> list[str]:
    """List gRPC methods: of every pallet, and of the services that belong to none."""
    own = [f"/cosmos.tx.v1beta1.Service/{name}" for name in TX_METHODS]
    return [*build_chain().runtime.queries, *own * 3, "/no.such.Service/Method", "/"]


TX_METHODS = ("Simulate", "BroadcastTx", "GetTx", "GetTxsEvent", "GetBlockWithTxs", "TxDecode")


def list_routes(node: DevnetNode) -> list[str]:
    """List the names of the RPC's methods from its own page."""
    rpc = PlainRpc(node.rpc_port)
    page = rpc.get("")[1]
    rpc.http.close()
    names = {part.partition('"')[0].partition("?")[0] for part in page.split('href="/')[1:]}
    waiting = {"broadcast_tx_commit"}  # holds its caller for seconds
    return [*sorted(names - waiting), "nothing", ""]


def list_processes(node: DevnetNode) -> list[psutil.Process]:
    """List the node's process and its doors."""
    assert node.process is not None
    parent = psutil.Process(node.process.pid)
    return [parent, *parent.children()]


def measure_bytes(process: psutil.Process) -> int:
    """Measure what a process holds beside files: pages of the database come and go."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("Anonymous:")]
    return int(row.split()[1]) * 1024


async def run_storm(node: DevnetNode, seed: int, num_inputs: int) -> Counter[str]:
    """Send `num_inputs`; check that nothing broke and, after a fifth of them, nothing grew."""
    storm = Storm(node, seed)
    before = list_processes(node)
    await storm.send(num_inputs // 5)
    sizes = {process: measure_bytes(process) for process in before}
    await storm.send(num_inputs - num_inputs // 5)
    assert not storm.problems, "\n".join(storm.problems[:20])
    assert {process.pid for process in list_processes(node)} == {process.pid for process in before}
    grown = {p.cmdline()[2]: measure_bytes(p) - size for p, size in sizes.items()}
    storm.counts.update({f"grown {name}": size for name, size in grown.items()})
    assert max(grown.values()) < MAX_GROWTH_BYTES, grown
    log = (node.home / "node.log").read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 1_000 :][:4_000]
    height = node.get_height()
    node.wait_for_height(height + 2)
    return storm.counts


async def test_some_malformed_inputs(open_node: DevnetNode) -> None:
    counts = await run_storm(open_node, 1, NUM_INPUTS)
    assert counts["rest"] + counts["rpc"] + counts["grpc"] >= NUM_INPUTS - 60
    assert counts["rest 400"] > 20
    assert counts["rest 501"] > 0
    assert counts["grpc INVALID_ARGUMENT"] > 20


@pytest.mark.soak
async def test_a_million_malformed_inputs(open_node: DevnetNode) -> None:
    seed = int(os.environ.get("DESCENT_SOAK_SEED", "2"))
    num_inputs = int(os.environ.get("DESCENT_SOAK_INPUTS", "1000000"))
    start = time.monotonic()
    counts = await run_storm(open_node, seed, num_inputs)
    print(
        f"{num_inputs} inputs in {time.monotonic() - start:.0f} s: {dict(sorted(counts.items()))}"
    )
