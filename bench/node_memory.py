"""Memory of a node and of its doors after many blocks, with transfers and queries going on.

    python -m bench.node_memory [--blocks 1000] [--rate 20] [--block-interval-ms 100]
        [--keep-recent 0] [--samples 2]

Prints one JSON document: resident MiB of node and doors, their anonymous memory and MiB on disk at
the start and after every part of the blocks, the limits (node 200, with doors 450), and MiB on disk
per 1 000 blocks. `--keep-recent` has the node prune.
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


async def run_load(
    node: LiveNode, num_blocks: int, rate: float, num_samples: int
) -> dict[str, Any]:
    """Send and ask until so many blocks have passed."""
    senders = fund_senders(node, 100)
    samples = [take_sample(node, 0)]
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ChainClient.connect(node.grpc))
        send = await open_grpc(node, stack)
        first = height = await client.height()
        started = time.monotonic()
        num_sent = 0
        while height < first + num_blocks:
            (tx,) = sign_transfers(senders[num_sent % 100 :] + senders[: num_sent % 100], 1)
            await send(tx)
            num_sent += 1
            address = senders[num_sent % 100].text
            look = await client.look(lambda reads, a=address: [reads.get_balance(a)])
            height = look.height
            if (height - first) * num_samples >= num_blocks * len(samples):
                samples.append(take_sample(node, height - first))
            await asyncio.sleep(max(0.0, started + num_sent / rate - time.monotonic()))
    grown_mib = samples[-1]["disk_mib"] - samples[0]["disk_mib"]
    resident = samples[-1]["resident_mib"]
    return {
        "blocks": height - first,
        "seconds": round(time.monotonic() - started),
        "txs": num_sent,
        "samples": samples,
        "limits_mib": LIMITS_MIB,
        "is_within": all(resident[name] <= limit for name, limit in LIMITS_MIB.items()),
        "disk_mib_per_1000_blocks": round(grown_mib * 1000 / (height - first), 1),
    }


def take_sample(node: LiveNode, num_blocks: int) -> dict[str, Any]:
    """Measure a node after so many blocks."""
    parts = {path.name: measure_disk(path) for path in (node.home / "data").iterdir()}
    return {
        "blocks": num_blocks,
        "resident_mib": node.measure_memory(),
        "anonymous_mib": node.measure_anonymous(),
        "disk_mib": round(measure_disk(node.home) / 2**20, 1),
        "parts_mib": {name: round(size / 2**20, 1) for name, size in parts.items() if size},
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
    parser.add_argument("--keep-recent", type=int, default=0, help="blocks the node keeps; 0: all")
    parser.add_argument("--samples", type=int, default=2)
    options = parser.parse_args()
    flags = ("--keep-recent", str(options.keep_recent))
    with start_node(options.port_offset, options.block_interval_ms, flags=flags) as node:
        load = run_load(node, options.blocks, options.rate, options.samples)
        print(json.dumps(asyncio.run(load), indent=1))


if __name__ == "__main__":
    main()
