"""Processor seconds and memory of every process of a devnet, per 100 blocks.

    python -m bench.devnet_load [--miners 3] [--validators 2] [--blocks 200] [--skip 60]

Starts a devnet in a temporary folder with its screen as plain lines, lets it run `skip` blocks
after its first round has begun, and measures until `blocks` more. Prints one JSON document: for
every process the processor seconds per 100 blocks, how many of them the event loop's thread took
(the rest is training, judging and gRPC's own threads), and memory at the end: resident (`rss`,
counts pages of libraries in every process that uses them) and its fair share (`pss`).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from chain_client.errors import ChainClientError
from chain_client.sync_client import SyncChainClient
from cli.devnet.layout import RUN_ID, DevnetFile

START_SECONDS = 120.0
LOOK_SECONDS = 0.2
DOORS = {
    "node.doors.grpc_door": "door-grpc",
    "node.doors.rpc_door": "door-rpc",
    "node.doors.substrate_door": "door-substrate",
    "node.doors.rest_door": "door-rest",
}

Usage = dict[str, dict[str, float]]


def list_processes(home: Path, screen_pid: int) -> dict[str, psutil.Process]:
    """List the devnet's living processes, the node's doors on their own."""
    document = DevnetFile.load(home)
    assert document is not None
    found = {"screen": psutil.Process(screen_pid)}
    for name, entry in document.processes.items():
        try:
            process = psutil.Process(entry["pid"])
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            found[name] = process
            for child in process.children(recursive=True) if name == "node" else []:
                module = next((part for part in child.cmdline() if part in DOORS), "")
                found[DOORS.get(module, f"node-child-{child.pid}")] = child
        except psutil.NoSuchProcess:
            continue
    return found


def take_usage(processes: dict[str, psutil.Process]) -> Usage:
    """Take processor seconds so far and resident bytes, by process."""
    usage: Usage = {}
    for name, process in processes.items():
        try:
            times, memory = process.cpu_times(), process.memory_full_info()
            loop = [t.user_time + t.system_time for t in process.threads() if t.id == process.pid]
        except psutil.NoSuchProcess:
            continue
        usage[name] = {"cpu": times.user + times.system, "loop": loop[0]}
        usage[name] |= {"rss": memory.rss, "pss": memory.pss}
    return usage


def compare(before: Usage, after: Usage, num_blocks: int) -> dict[str, dict[str, float]]:
    """Compute seconds per 100 blocks and MiB."""
    factor = 100 / num_blocks
    return {
        name: {
            "cpu_s": round((now["cpu"] - before[name]["cpu"]) * factor, 2),
            "loop_s": round((now["loop"] - before[name]["loop"]) * factor, 2),
            "rss_mib": round(now["rss"] / 2**20, 1),
            "pss_mib": round(now["pss"] / 2**20, 1),
        }
        for name, now in after.items()
        if name in before
    }


def wait_for_round(client: SyncChainClient, deadline: float) -> None:
    """Wait until the run's first round has begun."""
    while time.monotonic() < deadline:
        try:
            client.get_current_round(RUN_ID)
            return
        except ChainClientError:
            time.sleep(LOOK_SECONDS)
    raise SystemExit("the first round did not begin")


def wait_for_height(client: SyncChainClient, height: int) -> int:
    """Wait for a height with few questions, so that the wait costs little."""
    while (found := client.height()) < height:
        time.sleep(LOOK_SECONDS)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run one devnet and measure it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "devnet"
        command = [
            *(sys.executable, "-m", "cli.main", "devnet", "up", "--home", str(home)),
            *("--miners", str(options.miners), "--validators", str(options.validators)),
            *("--port-offset", str(options.port_offset), "--until", "height:1000000"),
        ]
        log = open(Path(folder) / "screen.log", "wb")  # noqa: SIM115
        screen = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        client = SyncChainClient.connect(f"127.0.0.1:{9090 + options.port_offset}", retry_for_s=60)
        try:
            started = time.monotonic()
            wait_for_round(client, started + START_SECONDS)
            begun_s = time.monotonic() - started
            first = wait_for_height(client, client.height() + options.skip)
            processes = list_processes(home, screen.pid)
            before, began = take_usage(processes), time.monotonic()
            last = wait_for_height(client, first + options.blocks)
            after, seconds = take_usage(processes), time.monotonic() - began
            rounds = client.get_current_round(RUN_ID).index
        finally:
            screen.send_signal(signal.SIGTERM)
            screen.wait()
            log.close()
    num_blocks = last - first
    return {
        "miners": options.miners,
        "validators": options.validators,
        "seconds_to_first_round": round(begun_s, 1),
        "blocks": num_blocks,
        "seconds_a_block": round(seconds / num_blocks, 3),
        "rounds_done": rounds,
        "per_100_blocks": compare(before, after, num_blocks),
        "total_cpu_s_per_100_blocks": round(
            sum(after[n]["cpu"] - before[n]["cpu"] for n in after) * 100 / num_blocks, 1
        ),
        "total_rss_mib": round(sum(entry["rss"] for entry in after.values()) / 2**20),
        "total_pss_mib": round(sum(entry["pss"] for entry in after.values()) / 2**20),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Processor time and memory of a devnet.")
    parser.add_argument("--miners", type=int, default=3)
    parser.add_argument("--validators", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--skip", type=int, default=60)
    parser.add_argument("--port-offset", type=int, default=4300)
    print(json.dumps(measure(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
