"""Memory of a node and of its doors after many blocks, with transfers and queries going on.

    python -m bench.node_memory [--blocks 1000] [--rate 20] [--block-interval-ms 100]

Prints one JSON document: resident MiB of node and doors at the start, half way and at the end, the
limits (node 200, with doors 450), and bytes on disk per 1 000 blocks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.door_transfers import open_grpc, sign_transfers
from bench.live_node import LiveNode, fund_senders, start_node
from chain_client.client import ChainClient

LIMITS_MIB = {"node": 200, "all": 450}


async def run_load(node: LiveNode, num_blocks: int, rate: float) -> dict[str, Any]:
    """Send and ask until so many blocks have passed."""
    senders = fund_senders(node, 100)
    samples, anonymous = [node.measure_memory()], [node.measure_anonymous()]
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ChainClient.connect(node.grpc))
        send = await open_grpc(node, stack)
        first = height = await client.height()
        disk, started = measure_disk(node.home), time.monotonic()
        num_sent = 0
        while height < first + num_blocks:
            (tx,) = sign_transfers(senders[num_sent % 100 :] + senders[: num_sent % 100], 1)
            await send(tx)
            num_sent += 1
            address = senders[num_sent % 100].text
            look = await client.look(lambda reads, a=address: [reads.get_balance(a)])
            if height < first + num_blocks // 2 <= look.height:
                samples.append(node.measure_memory())
            height = look.height
            await asyncio.sleep(max(0.0, started + num_sent / rate - time.monotonic()))
        samples.append(node.measure_memory())
        anonymous.append(node.measure_anonymous())
        grown = measure_disk(node.home) - disk
    return {
        "blocks": height - first,
        "txs": num_sent,
        "memory_mib": samples,
        "anonymous_mib": anonymous,
        "limits_mib": LIMITS_MIB,
        "is_within": all(samples[-1][name] <= limit for name, limit in LIMITS_MIB.items()),
        "disk_mib_per_1000_blocks": round(grown / 2**20 * 1000 / (height - first), 1),
    }


def measure_disk(home: Path) -> int:
    """Measure the bytes on disk under a folder."""
    return sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory of a node after many blocks.")
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--block-interval-ms", type=int, default=100)
    parser.add_argument("--port-offset", type=int, default=4900)
    options = parser.parse_args()
    with start_node(options.port_offset, options.block_interval_ms) as node:
        print(json.dumps(asyncio.run(run_load(node, options.blocks, options.rate)), indent=1))


if __name__ == "__main__":
    main()
