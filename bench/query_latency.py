"""Time of a query by the gRPC door while blocks are full of transfers.

    python -m bench.query_latency [--queries 1000] [--rate 50]

Starts a node with the embedded engine and its doors, 0.5 s blocks, and a process that sends signed
transfers through the CometBFT RPC as fast as they are taken, 16 connections. Meanwhile this process
asks for balances, one at a time, on one connection of the gRPC door; before that it asks as many
with empty blocks. Prints one JSON document: milliseconds from request to answer, transfers a block.
Node, doors, load generator and this process share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import grpc

from bench.door_transfers import open_rpc
from bench.live_node import LiveNode, connect, fund_senders, start_node
from bench.node_transfers import Sender
from chain_client.sync_client import SyncChainClient

# isort: split
from cosmos.bank.v1beta1 import query_pb2

BALANCE = "/cosmos.bank.v1beta1.Query/Balance"
NUM_SENDERS = 200
NUM_CONNECTIONS = 16
PORT_OFFSET = 14_800
FULL_TXS = 50
WAIT_BLOCKS = 200


def run_flood(node: LiveNode, numbers: list[int]) -> None:
    """Send transfers of the first senders, in order, until killed."""
    senders = [Sender(index) for index in range(len(numbers))]
    for sender, number in zip(senders, numbers, strict=True):
        sender.number = number
    asyncio.run(flood(node, senders))


async def flood(node: LiveNode, senders: list[Sender]) -> None:
    """Send transfers on several connections until ended."""

    async def send_all(part: list[Sender]) -> None:
        async with AsyncExitStack() as stack:
            send = await open_rpc(node, stack)
            while True:
                for sender in part:
                    await send(sender.sign_transfer(senders[0].text))

    parts = [senders[at::NUM_CONNECTIONS] for at in range(NUM_CONNECTIONS)]
    await asyncio.gather(*(send_all(part) for part in parts))


@contextmanager
def start_flood(node: LiveNode, senders: list[Sender]) -> Iterator[None]:
    """Flood from another process."""
    numbers = [sender.number for sender in senders]
    addresses = replace(node, process=None)  # type: ignore[arg-type]
    process = get_context("spawn").Process(target=run_flood, args=(addresses, numbers))
    process.start()
    try:
        yield
        if not process.is_alive():
            raise SystemExit("the load generator ended")
    finally:
        process.kill()
        process.join()


def ask(node: LiveNode, addresses: list[str], count: int, rate: float) -> dict[str, float]:
    """Ask for balances at a steady rate; return milliseconds."""
    times = []
    with grpc.insecure_channel(node.grpc) as channel:
        method = channel.unary_unary(
            BALANCE,
            lambda message: message.SerializeToString(),
            query_pb2.QueryBalanceResponse.FromString,
        )
        started = time.perf_counter()
        for index in range(count):
            time.sleep(max(0.0, started + index / rate - time.perf_counter()))
            address = addresses[index % len(addresses)]
            asked = time.perf_counter()
            answer = method(query_pb2.QueryBalanceRequest(address=address, denom="udsc"))
            times.append(1000 * (time.perf_counter() - asked))
            assert int(answer.balance.amount) > 0
    times.sort()
    return {
        "p50_ms": round(statistics.median(times), 2),
        "p95_ms": round(times[int(0.95 * len(times))], 2),
        "max_ms": round(times[-1], 2),
    }


def wait_for_full_block(client: SyncChainClient) -> int:
    """Wait until blocks fill; return the height of the first that does."""
    for _ in range(WAIT_BLOCKS):
        height = client.wait_height(client.height() + 1)
        if len(client.get_block(height).sdk_block.data.txs) >= FULL_TXS:
            return height
    raise SystemExit("blocks do not fill")


def measure(count: int, rate: float) -> dict[str, Any]:
    """Ask with empty and with full blocks."""
    with start_node(PORT_OFFSET, 500) as node:
        senders = fund_senders(node, NUM_SENDERS)
        addresses = [sender.text for sender in senders]
        empty = ask(node, addresses, count, rate)
        with start_flood(node, senders), connect(node) as client:
            first = wait_for_full_block(client)
            full = ask(node, addresses, count, rate)
            heights = range(first + 1, client.height())
            sizes = [len(client.get_block(height).sdk_block.data.txs) for height in heights]
    return {
        "queries": count,
        "empty_blocks": empty,
        "full_blocks": full,
        "transfers_a_block": round(statistics.median(sizes)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time of a query while blocks are full.")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0)
    options = parser.parse_args()
    print(json.dumps(measure(options.queries, options.rate), indent=1))


if __name__ == "__main__":
    main()
