"""The Substrate door: connecting, queries, 100 000 entries, 200 subscribers, extrinsics a second.

    python -m bench.substrate_door [--accounts 100000] [--subscribers 200] [--port-offset 7000]

A node with its doors and a genesis of so many accounts, asked by substrate-interface; blocks carry
transfers meanwhile. Extrinsics and Cosmos transfers a second, by turns: CheckTx and a block in this
process, then through the doors of the node until all are committed. What subscribers cost a block:
the time the application spends on its steps, by turns with them and without. Prints one JSON
document; node, doors and this program share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import proto  # noqa: F401  (puts cosmos.* on the path)

# isort: split
import sr25519
from substrateinterface import SubstrateInterface
from tendermint.abci import types_pb2 as abci
from websockets.asyncio.client import connect

from bench.door_transfers import Watcher, measure_flood, sign_transfers
from bench.live_node import LiveNode, fund_senders, give_coins, start_node
from bench.node_transfers import (
    GENESIS_NS,
    Sender,
    make_block,
    start_application,
)
from chain_client.client import ChainClient
from chain_client.sync_client import SyncChainClient
from node.chain import CHAIN_ID
from node.runtime.addresses import encode_account
from node.runtime.substrate.calls import BALANCES, TRANSFER_KEEP_ALIVE
from node.runtime.substrate.extrinsic import (
    SPEC_VERSION,
    TRANSACTION_VERSION,
    encode_signed,
    wrap_extrinsic,
)
from node.runtime.substrate.headers import build_genesis_header
from node.runtime.substrate.scale import encode_compact
from node.runtime.substrate.signatures import SR25519

BLOCK_MS = 500
NUM_QUERIES = 300
BLOCKS_SEEN_S = 8.0
STORAGE_KEY = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac"
"""`System.Number`, which changes every block."""
LOAD_SENDERS, LOAD_PER_S, LOAD_START_S = 20, 200, 3.0
NUM_FLOOD_SENDERS, NUM_FLOOD_CLIENTS = 100, 16


def add_accounts(home: Path, count: int) -> None:
    """Put accounts with coins into a genesis file."""
    path = home / "config" / "genesis.json"
    document = json.loads(path.read_text())
    pallets = document["app_state"]["pallets"]
    number = int(pallets["accounts"]["next_account_number"])
    for index in range(count):
        text = encode_account(hashlib.sha256(b"entry %d" % index).digest()[:20])
        account = {"address": text, "account_number": str(number + index)}
        pallets["accounts"]["accounts"].append({"key": text, "value": account})
        pallets["bank"]["balances"].append({"key": [text, "udsc"], "value": "1000"})
    pallets["accounts"]["next_account_number"] = str(number + count)
    supply = pallets["bank"]["supply"][0]
    supply["value"] = str(int(supply["value"]) + 1000 * count)
    pallets["mint"]["issued_udsc"] = supply["value"]
    path.write_text(json.dumps(document))


def send_load(endpoint: str, numbers: list[int], stopping: Any) -> None:
    """Send transfers of funded senders at a steady rate; runs in a process of its own."""
    from cosmos.tx.v1beta1 import service_pb2

    senders = [Sender(index) for index in range(len(numbers))]
    for sender, number in zip(senders, numbers, strict=True):
        sender.number = number
    started, sent = time.monotonic(), 0
    with SyncChainClient.connect(endpoint) as client:
        while not stopping.is_set():
            for sender in senders:
                request = service_pb2.BroadcastTxRequest(
                    tx_bytes=sender.sign_transfer(senders[0].text),
                    mode=service_pb2.BROADCAST_MODE_SYNC,
                )
                path = "/cosmos.tx.v1beta1.Service/BroadcastTx"
                client.query(path, request, service_pb2.BroadcastTxResponse)
            sent += len(senders)
            stopping.wait(max(0.0, started + sent / LOAD_PER_S - time.monotonic()))


@contextmanager
def load_blocks(node: LiveNode) -> Iterator[None]:
    """Have transfers sent all the time, so that blocks have something in them."""
    numbers = [sender.number for sender in fund_senders(node, LOAD_SENDERS)]
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    process = context.Process(target=send_load, args=(node.grpc, numbers, stopping))
    process.start()
    time.sleep(LOAD_START_S)
    try:
        yield
    finally:
        stopping.set()
        process.join()


def measure_client(node: LiveNode) -> dict[str, Any]:
    """Measure connecting, single queries and a whole map."""
    started = time.perf_counter()
    chain = SubstrateInterface(url=f"ws://{node.substrate}")
    chain.init_runtime()
    connect_s = time.perf_counter() - started
    account = "0x" + hashlib.sha256(b"entry 7").digest()[:20].hex() + b"descent/acct".hex()
    times = []
    for _ in range(NUM_QUERIES):
        started = time.perf_counter()
        assert chain.query("System", "Account", [account]).value["data"]["free"] == 1000
        times.append(time.perf_counter() - started)
    chain.close()
    return {
        "connect_and_metadata_s": round(connect_s, 3),
        "query_median_ms": round(1000 * statistics.median(times), 2),
        "query_p95_ms": round(1000 * statistics.quantiles(times, n=20)[-1], 2),
    }


def measure_maps(node: LiveNode) -> dict[str, Any]:
    """Measure whole maps: what the client waits for, and what it and the door compute."""
    found = {}
    for scheme, module, name in (
        ("ws", "System", "Account"),
        ("http", "System", "Account"),
    ):
        chain = SubstrateInterface(url=f"{scheme}://{node.substrate}")
        chain.init_runtime()
        started, own, door = time.perf_counter(), time.process_time(), node.measure_cpu()
        count = sum(1 for _ in chain.query_map(module, name, page_size=1000))
        spent = time.perf_counter() - started, time.process_time() - own
        door_s = node.measure_cpu()["substrate_door"] - door["substrate_door"]
        chain.close()
        found[f"query_map_{scheme}_{module}.{name}"] = {
            "entries": count,
            "s": round(spent[0], 2),
            "client_cpu_s": round(spent[1], 2),
            "door_cpu_s": round(door_s, 2),
        }
    return found


async def hold_subscriptions(node: LiveNode, count: int, seconds: float) -> None:
    """Hold subscriptions to headers and to an account, and read what they are told."""
    async with contextlib.AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"ws://{node.substrate}", proxy=None))
            for _ in range(count)
        ]
        for number, socket in enumerate(sockets):
            for method, params in (
                ("chain_subscribeNewHeads", []),
                ("state_subscribeStorage", [[STORAGE_KEY]]),
            ):
                body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                await socket.send(json.dumps(body))

        async def read(socket: Any) -> None:
            async for _ in socket:
                pass

        tasks = [asyncio.create_task(read(socket)) for socket in sockets]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()


def measure_subscribers(node: LiveNode, count: int, num_rounds: int) -> dict[str, Any]:
    """Measure what a block costs without and with subscribers, by turns."""
    steps: dict[str, list[float]] = {"without": [], "with": []}
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(num_rounds):
        for name, subscribers in (("without", 0), ("with", count)):
            (first, before), door = node.measure_blocks(), node.measure_cpu()
            asyncio.run(hold_subscriptions(node, subscribers, BLOCKS_SEEN_S))
            (last, after), now = node.measure_blocks(), node.measure_cpu()
            steps[name].append((after - before) / (last - first))
            spent = now["substrate_door"] - door["substrate_door"]
            cpu[name].append(spent / (last - first))
    ratio = [more / less for more, less in zip(steps["with"], steps["without"], strict=True)]
    found: dict[str, Any] = {"subscribers": count, "transfers_per_s_meanwhile": LOAD_PER_S}
    for name in steps:
        found[f"block_ms_{name}"] = round(1000 * statistics.median(steps[name]), 2)
        found[f"door_cpu_ms_a_block_{name}"] = round(1000 * statistics.median(cpu[name]), 1)
    found["block_time_ratio"] = round(statistics.median(ratio), 3)
    found["block_time_ratios"] = [round(item, 3) for item in ratio]
    return found


class Signer:
    """An sr25519 account that signs transfers."""

    def __init__(self, index: int, genesis_hash: bytes = b"") -> None:
        seed = hashlib.sha256(b"bench/sr/%d" % index).digest()
        self._public, self._private = sr25519.pair_from_seed(seed)
        self.addr: bytes = self._public
        self.nonce = 0
        self._genesis = genesis_hash or build_genesis_header(CHAIN_ID, GENESIS_NS).compute_hash()

    def sign_transfer(self, recipient: bytes) -> bytes:
        """Sign one transfer and count the nonce up."""
        call = bytes((BALANCES, TRANSFER_KEEP_ALIVE, 0)) + recipient + encode_compact(1)
        extra = b"\x00" + encode_compact(self.nonce) + encode_compact(0)
        versions = SPEC_VERSION.to_bytes(4, "little") + TRANSACTION_VERSION.to_bytes(4, "little")
        payload = call + extra + versions + self._genesis + self._genesis
        signature = sr25519.sign((self._public, self._private), payload)
        self.nonce += 1
        return wrap_extrinsic(encode_signed(self.addr, SR25519, signature, extra, call))


def measure_rate(senders: list[Any], num_blocks: int) -> float:
    """Measure transfers a second, checked and executed, of either format."""
    spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        application, store = start_application(Path(folder), senders)
        for height in range(2, 2 + num_blocks):
            pairs = zip(senders, senders[1:] + senders[:1], strict=True)
            is_cosmos = isinstance(senders[0], Sender)
            txs = [s.sign_transfer(other.text if is_cosmos else other.addr) for s, other in pairs]
            started = time.perf_counter()
            for tx in txs:
                answer = application.check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW))
                assert answer.code == 0, answer.log
            response = make_block(application, height, txs)
            spent += time.perf_counter() - started
            assert all(result.code == 0 for result in response.tx_results)
        store.close()
    return num_blocks * len(senders) / spent


def measure_rates(num_txs: int, num_rounds: int) -> dict[str, Any]:
    """Measure both formats by turns; the ratio is of the medians."""
    cosmos, extrinsics = [], []
    for _ in range(num_rounds):
        cosmos.append(measure_rate([Sender(index) for index in range(num_txs)], 2))
        extrinsics.append(measure_rate([Signer(index) for index in range(num_txs)], 2))
    ratio = statistics.median(extrinsics) / statistics.median(cosmos)
    return {
        "cosmos_per_s": round(statistics.median(cosmos)),
        "extrinsics_per_s": round(statistics.median(extrinsics)),
        "extrinsics_to_cosmos": round(ratio, 2),
    }


async def measure_doors(node: LiveNode, num_txs: int, num_rounds: int) -> dict[str, Any]:
    """Measure both formats through their doors, by turns, until all are committed."""
    senders = fund_senders(node, NUM_FLOOD_SENDERS, first=LOAD_SENDERS)
    genesis_hash = read_genesis_hash(node)
    signers = [Signer(index, genesis_hash) for index in range(NUM_FLOOD_SENDERS)]
    give_coins(node, [encode_account(signer.addr) for signer in signers])
    rates: dict[str, list[int]] = {"grpc": [], "substrate": []}
    async with ChainClient.connect(node.grpc) as client:
        watcher = Watcher(client)
        following = asyncio.create_task(watcher.run())
        for _ in range(num_rounds):
            for door, made in (
                ("grpc", sign_transfers(senders, num_txs)),
                ("substrate", sign_extrinsics(signers, num_txs)),
            ):
                flood = await measure_flood(node, door, made, NUM_FLOOD_CLIENTS, watcher)
                rates[door].append(flood["committed_per_s"])
        following.cancel()
    medians = {door: statistics.median(found) for door, found in rates.items()}
    return {
        "doors_cosmos_per_s": medians["grpc"],
        "doors_extrinsics_per_s": medians["substrate"],
        "doors_extrinsics_to_cosmos": round(medians["substrate"] / medians["grpc"], 2),
    }


def read_genesis_hash(node: LiveNode) -> bytes:
    """Read the hash of block 0."""
    with SubstrateInterface(url=f"ws://{node.substrate}") as chain:
        return bytes.fromhex(chain.get_block_hash(0)[2:])


def sign_extrinsics(signers: list[Signer], count: int) -> list[bytes]:
    """Sign transfers, each signer in turn."""
    num = len(signers)
    return [signers[i % num].sign_transfer(signers[(i + 1) % num].addr) for i in range(count)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.substrate_door", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--txs", type=int, default=1_000)
    parser.add_argument("--port-offset", type=int, default=7000)
    options = parser.parse_args()
    found = measure_rates(300, 3)
    with start_node(
        options.port_offset, BLOCK_MS, lambda home: add_accounts(home, options.accounts)
    ) as node:
        with load_blocks(node):
            found |= measure_client(node)
            found |= measure_subscribers(node, options.subscribers, 2)
        found |= measure_maps(node)
        found |= asyncio.run(measure_doors(node, options.txs, 2))
        found["memory_mib"] = node.measure_memory()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
