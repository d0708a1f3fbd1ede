"""Start of a whole node with 1 000 000 accounts, until its doors answer and it has a new block.

    python -m bench.large_node [--accounts 1000000] [--home DIR] [--starts 3]

The accounts come to be by transactions, MsgMultiSend of 256 outputs each, in blocks of the embedded
engine. Then the node is started as an operator does: seconds from the start of the process until
the gRPC door answers a balance, the RPC door says a height, and there is a block more than before.
Prints one JSON document. A home that is there already is used as it is.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import proto  # noqa: F401  (puts cosmos.* on the path)

# isort: split
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx

from bench.large_state import make_addr
from bench.live_node import LiveNode, connect
from bench.node_memory import measure_disk
from bench.node_transfers import Sender
from genesis.devnet import get_account, init_devnet_home
from node.chain import build_chain
from node.doors.supervisor import get_listen
from node.engine.embedded import EmbeddedEngine
from node.engine.process import open_engine_on
from node.process import load_extender
from node.runtime.addresses import encode_account
from node.runtime.coins import build_coin
from node.store.state import StateStore

OUTPUTS_A_TX = 256
TXS_A_BLOCK = 40
GAS_LIMIT = 20_000_000
FEE_UDSC = 20_000
PORT_OFFSET = 14_300


def make_home(home: Path, num_accounts: int) -> float:
    """Make a devnet's home and so many accounts in it; return the seconds of the blocks."""
    init_devnet_home(home, time_ns=time.time_ns(), onion_seed=secrets.token_bytes(32))
    faucet = Sender(0, get_account("faucet").secret)
    with StateStore.open(home / "data" / "state") as store:
        application = build_chain().open_application(store, extend=load_extender(home))
        with open_engine_on(home, application) as engine:
            return run_blocks(engine, store, faucet, num_accounts)


def run_blocks(
    engine: EmbeddedEngine, store: StateStore, faucet: Sender, num_accounts: int
) -> float:
    """Send to so many new accounts; return the seconds."""
    engine.step()
    accounts = build_chain().accounts.storage.accounts
    raw = store.get("accounts", accounts.encode_key(faucet.addr)) or b""
    faucet.number = accounts.value_codec.decode(raw).account_number
    started = time.perf_counter()
    size = OUTPUTS_A_TX * TXS_A_BLOCK
    for at in range(0, num_accounts, size):
        make_accounts(engine, faucet, range(at, min(at + size, num_accounts)))
    return time.perf_counter() - started


def make_accounts(engine: EmbeddedEngine, faucet: Sender, indexes: range) -> None:
    """Send to new accounts, in one block."""
    for at in range(0, len(indexes), OUTPUTS_A_TX):
        part = indexes[at : at + OUTPUTS_A_TX]
        message = bank_tx.MsgMultiSend()
        message.inputs.add(address=faucet.text, coins=[build_coin("udsc", len(part))])
        for index in part:
            address = encode_account(make_addr(index))
            message.outputs.add(address=address, coins=[build_coin("udsc", 1)])
        answer = engine.mempool.add(faucet.sign(message, GAS_LIMIT, FEE_UDSC))
        assert answer.code == 0, answer.log
    while len(engine.mempool):
        engine.step()


def time_start(home: Path, port_offset: int) -> dict[str, float]:
    """Start the node and stop it; return seconds, MiB of memory."""
    command = [
        *(sys.executable, "-m", "node.process", "--home", str(home), "--log-level", "warning"),
        *("--port-offset", str(port_offset), "--block-interval-ms", "500"),
    ]
    at = {name: f"{host}:{port}" for name, (host, port) in get_listen(port_offset).items()}
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        node = LiveNode(process, at["grpc"], at["rpc"], at["substrate"], home)
        with connect(node) as client:
            balance = client.get_balance(encode_account(make_addr(7)))
            answered = time.perf_counter() - started
            assert balance == 1
            client.wait_height(client.height() + 1)
            block = time.perf_counter() - started
        memory = node.measure_anonymous()
    finally:
        process.terminate()
        process.wait(20)
    return {"answers_s": round(answered, 2), "new_block_s": round(block, 2), **memory}


def measure(home: Path, num_accounts: int, num_starts: int) -> dict[str, Any]:
    """Make the home unless it is there, then start the node."""
    made_s = 0.0 if (home / "data").exists() else make_home(home, num_accounts)
    starts = [time_start(home, PORT_OFFSET) for _ in range(num_starts)]
    return {
        "accounts": num_accounts,
        "made_s": round(made_s, 1),
        "disk_mib": round(measure_disk(home) / 2**20, 1),
        "starts": starts,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start of a node with many accounts.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, default=None, help="where the node is or goes")
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary) / "node"
        print(json.dumps(measure(home, options.accounts, options.starts), indent=1))


if __name__ == "__main__":
    main()
