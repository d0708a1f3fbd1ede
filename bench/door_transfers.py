"""Signed transfers through the doors of a node: how many a second, and how long until committed.

    python -m bench.door_transfers [--txs 4000] [--rate 50] [--seconds 20] [--clients 16]

Starts a node with the embedded engine and its doors, and sends transfers signed beforehand to the
gRPC door, then to the CometBFT RPC. First as many at once as `clients` wait for: transfers a second
from the first broadcast until the last is committed. Then at a steady rate: time from the broadcast
until the block that holds it is seen through the door. Prints one JSON document. Node, doors and
this load generator share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
from websockets.asyncio.client import connect

from bench.live_node import LiveNode, fund_senders, start_node
from bench.node_transfers import Sender
from chain_client.client import ChainClient

# isort: split
from cosmos.tx.v1beta1 import service_pb2

BROADCAST = "/cosmos.tx.v1beta1.Service/BroadcastTx"
DRAIN_SECONDS = 60.0

Send = Callable[[bytes], Awaitable[None]]


async def open_grpc(node: LiveNode, stack: AsyncExitStack) -> Send:
    """Open one connection to the gRPC door; calls on it may overlap."""
    channel = grpc.aio.insecure_channel(node.grpc)
    await stack.enter_async_context(channel)
    method = channel.unary_unary(
        BROADCAST,
        lambda message: message.SerializeToString(),
        service_pb2.BroadcastTxResponse.FromString,
    )

    async def send(tx: bytes) -> None:
        request = service_pb2.BroadcastTxRequest(tx_bytes=tx, mode=service_pb2.BROADCAST_MODE_SYNC)
        answer = (await method(request)).tx_response
        if answer.code:
            raise SystemExit(f"refused: {answer.raw_log or answer.code}")

    return send


async def open_rpc(node: LiveNode, stack: AsyncExitStack) -> Send:
    """Open one HTTP connection to the CometBFT RPC; one call at a time."""
    host, port = node.rpc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    stack.callback(writer.close)

    async def send(tx: bytes) -> None:
        params = {"tx": base64.b64encode(tx).decode()}
        call = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": params}
        body = json.dumps(call).encode()
        head = f"POST / HTTP/1.1\r\nHost: {node.rpc}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        fields = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in fields.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        answer = json.loads(await reader.readexactly(length))
        if "error" in answer or answer["result"]["code"]:
            raise SystemExit(f"refused: {answer}")

    return send


async def open_substrate(node: LiveNode, stack: AsyncExitStack) -> Send:
    """Open one WebSocket to the Substrate door, for extrinsics; one call at a time."""
    socket = await stack.enter_async_context(connect(f"ws://{node.substrate}", proxy=None))

    async def send(tx: bytes) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "author_submitExtrinsic"}
        await socket.send(json.dumps({**body, "params": ["0x" + tx[1:].hex()]}))
        answer = json.loads(await socket.recv())
        if "error" in answer:
            raise SystemExit(f"refused: {answer}")

    return send


DOORS = ("grpc", "rpc")
OPENERS = {"grpc": open_grpc, "rpc": open_rpc, "substrate": open_substrate}


class Watcher:
    """Follows the chain and notes when each transaction's block was seen."""

    def __init__(self, client: ChainClient) -> None:
        self._client = client
        self.seen: dict[bytes, float] = {}
        self.blocks: list[int] = []

    async def run(self) -> None:
        """Follow until cancelled."""
        last = await self._client.height()
        async for look in self._client.follow(lambda reads: [reads.get_block()]):
            now = time.monotonic()
            for height in range(last + 1, look.height + 1):
                block = look.answers[0] if height == look.height else None
                block = block or await self._client.get_block(height)
                self.blocks.append(len(block.sdk_block.data.txs))
                for tx in block.sdk_block.data.txs:
                    self.seen[hashlib.sha256(tx).digest()] = now
            last = max(last, look.height)

    async def wait_for(self, txs: list[bytes]) -> float:
        """Wait until every transaction was seen; return when the last was."""
        hashes = [hashlib.sha256(tx).digest() for tx in txs]
        deadline = time.monotonic() + DRAIN_SECONDS
        while not all(tx_hash in self.seen for tx_hash in hashes):
            if time.monotonic() > deadline:
                raise SystemExit("not every transfer was committed")
            await asyncio.sleep(0.02)
        return max(self.seen[tx_hash] for tx_hash in hashes)


def sign_transfers(senders: list[Sender], count: int) -> list[bytes]:
    """Sign transfers, each sender in turn."""
    num = len(senders)
    return [senders[i % num].sign_transfer(senders[(i + 1) % num].text) for i in range(count)]


async def measure_flood(
    node: LiveNode, door: str, txs: list[bytes], num_clients: int, watcher: Watcher
) -> dict[str, Any]:
    """Send everything as fast as it is taken."""
    queue = list(reversed(txs))
    # The transfers of one sender follow each other; a client that takes the next from the queue
    # keeps their order only as long as there are fewer clients than senders.
    async with AsyncExitStack() as stack:
        sends = [await OPENERS[door](node, stack) for _ in range(num_clients)]

        async def work(send: Send) -> None:
            while queue:
                await send(queue.pop())

        cpu = node.measure_cpu()
        started = time.monotonic()
        await asyncio.gather(*(work(send) for send in sends))
        sent = time.monotonic()
        committed = await watcher.wait_for(txs)
        after = node.measure_cpu()
    return {
        "taken_per_s": round(len(txs) / (sent - started)),
        "committed_per_s": round(len(txs) / (committed - started)),
        "cpu_ms_a_tx": {
            name: round((after[name] - cpu[name]) * 1000 / len(txs), 3) for name in after
        },
    }


async def measure_steady(
    node: LiveNode, door: str, txs: list[bytes], rate: float, watcher: Watcher
) -> dict[str, Any]:
    """Send at a steady rate; measure until each is seen in a block."""
    sent: dict[bytes, float] = {}
    async with AsyncExitStack() as stack:
        sends = [await OPENERS[door](node, stack) for _ in range(8)]
        started = time.monotonic()
        tasks = []
        for number, tx in enumerate(txs):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            sent[hashlib.sha256(tx).digest()] = time.monotonic()
            tasks.append(asyncio.ensure_future(sends[number % len(sends)](tx)))
            if door == "rpc":
                await tasks[-1]
        await asyncio.gather(*tasks)
        await watcher.wait_for(txs)
    times = sorted(watcher.seen[tx_hash] - at for tx_hash, at in sent.items())
    centiles = statistics.quantiles(times, n=100)
    return {
        "rate_per_s": rate,
        "p50_ms": round(centiles[49] * 1000),
        "p95_ms": round(centiles[94] * 1000),
        "max_ms": round(times[-1] * 1000),
    }


async def measure(options: argparse.Namespace, node: LiveNode) -> dict[str, Any]:
    """Measure both doors."""
    senders = fund_senders(node, options.senders)
    result: dict[str, Any] = {}
    async with ChainClient.connect(node.grpc) as client:
        watcher = Watcher(client)
        following = asyncio.create_task(watcher.run())
        for door in DOORS:
            txs = sign_transfers(senders, options.txs)
            flood = await measure_flood(node, door, txs, options.clients, watcher)
            flood["txs_a_block_max"] = max(watcher.blocks)
            txs = sign_transfers(senders, int(options.rate * options.seconds))
            steady = await measure_steady(node, door, txs, options.rate, watcher)
            result[door] = {"flood": flood, "steady": steady}
        following.cancel()
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Signed transfers through the doors.")
    parser.add_argument("--txs", type=int, default=4000)
    parser.add_argument("--senders", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--block-interval-ms", type=int, default=500)
    parser.add_argument("--port-offset", type=int, default=4700)
    options = parser.parse_args()
    with start_node(options.port_offset, options.block_interval_ms) as node:
        result = asyncio.run(measure(options, node))
        result["memory_mib"] = node.measure_memory()
    result["block_interval_ms"] = options.block_interval_ms
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
