"""The Substrate door: connecting, queries, 100 000 entries, 200 subscribers, extrinsics a second.

    python -m bench.substrate_door [--accounts 100000] [--subscribers 200] [--port-offset 7000]

A node with its doors and a genesis of so many accounts, asked by substrate-interface; blocks carry
transfers meanwhile. Extrinsics and Cosmos transfers a second: CheckTx and a block, in this
process, by turns. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import statistics
import tempfile
import threading
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

from bench.live_node import LiveNode, fund_senders, start_node
from bench.live_node import connect as connect_client
from bench.node_transfers import (
    GENESIS_NS,
    Sender,
    make_block,
    start_application,
)
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
NUM_BLOCKS_SEEN = 10
LOAD_SENDERS = 20


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


@contextmanager
def load_blocks(node: LiveNode) -> Iterator[None]:
    """Send transfers all the time, so that blocks have something in them."""
    senders = fund_senders(node, LOAD_SENDERS)
    stopping = threading.Event()

    def send() -> None:
        from cosmos.tx.v1beta1 import service_pb2

        with connect_client(node) as client:
            while not stopping.is_set():
                for sender in senders:
                    request = service_pb2.BroadcastTxRequest(
                        tx_bytes=sender.sign_transfer(senders[0].text),
                        mode=service_pb2.BROADCAST_MODE_SYNC,
                    )
                    path = "/cosmos.tx.v1beta1.Service/BroadcastTx"
                    client.query(path, request, service_pb2.BroadcastTxResponse)
                stopping.wait(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


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
    started, own, door = time.perf_counter(), time.process_time(), node.measure_cpu()
    count = sum(1 for _ in chain.query_map("System", "Account", page_size=1000))
    map_s, own_s = time.perf_counter() - started, time.process_time() - own
    door_s = node.measure_cpu()["substrate_door"] - door["substrate_door"]
    chain.close()
    return {
        "connect_and_metadata_s": round(connect_s, 3),
        "query_median_ms": round(1000 * statistics.median(times), 2),
        "query_p95_ms": round(1000 * statistics.quantiles(times, n=20)[-1], 2),
        "query_map_entries": count,
        "query_map_s": round(map_s, 2),
        "query_map_client_cpu_s": round(own_s, 2),
        "query_map_door_cpu_s": round(door_s, 2),
    }


async def subscribe(node: LiveNode, count: int) -> None:
    """Hold subscriptions to headers and to an account while some blocks pass."""
    requests = [("chain_subscribeNewHeads", []), ("state_subscribeRuntimeVersion", [])]
    async with contextlib.AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"ws://{node.substrate}", proxy=None))
            for _ in range(count)
        ]
        for number, socket in enumerate(sockets):
            for method, params in requests:
                body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                await socket.send(json.dumps(body))

        async def read(socket: Any) -> None:
            seen = 0
            async for text in socket:
                seen += "chain_newHead" in text
                if seen > NUM_BLOCKS_SEEN:
                    return

        await asyncio.gather(*(read(socket) for socket in sockets))


def measure_subscribers(node: LiveNode, count: int) -> dict[str, Any]:
    """Measure the node's processor time a block without and with subscribers."""
    found: dict[str, Any] = {"subscribers": count}
    with connect_client(node) as client:
        for name, subscribers in (("without", 1), ("with", count)):
            height, before = client.height(), node.measure_cpu()
            asyncio.run(subscribe(node, subscribers))
            blocks, after = client.height() - height, node.measure_cpu()
            for process, short in (("node", "node"), ("substrate_door", "door")):
                spent = (after[process] - before[process]) / blocks
                found[f"{short}_cpu_ms_a_block_{name}"] = round(1000 * spent, 1)
    return found


class Signer:
    """An sr25519 account that signs transfers."""

    def __init__(self, index: int) -> None:
        seed = hashlib.sha256(b"bench/sr/%d" % index).digest()
        self._public, self._private = sr25519.pair_from_seed(seed)
        self.addr: bytes = self._public
        self.nonce = 0
        self._genesis = build_genesis_header(CHAIN_ID, GENESIS_NS).compute_hash()

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.substrate_door", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--port-offset", type=int, default=7000)
    options = parser.parse_args()
    found = measure_rates(300, 3)
    with start_node(
        options.port_offset, BLOCK_MS, lambda home: add_accounts(home, options.accounts)
    ) as node:
        with load_blocks(node):
            found |= measure_client(node)
        found |= measure_subscribers(node, options.subscribers)
        found["memory_mib"] = node.measure_memory()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
