"""A block of 1 000 transfers on 1 000 000 accounts against the same block on 1 000 accounts.

    python -m bench.large_state [--accounts 1000000] [--txs 1000] [--blocks 12] [--folder DIR]

The whole block: CheckTx of every transfer, then FinalizeBlock with signatures, fees and events,
app hash and Commit to the disk. Every block has other senders and recipients, at random among all
accounts. Prints one JSON document: medians in ms, CheckTx in us a transaction, ratios, and how
long a new process needs to open the large state, with its memory then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.node_transfers import START_UDSC, Sender, make_block, start_application
from node.chain import build_chain
from node.runtime.addresses import encode_account
from node.runtime.application import Application
from node.store.state import StateStore

# isort: split
from cosmos.auth.v1beta1 import auth_pb2
from tendermint.abci import types_pb2 as abci

SMALL = 1000
FILL_BATCH = 50_000
KEEP_RECENT = 100


def make_addr(index: int) -> bytes:
    """Return the address of an account that only receives."""
    return hashlib.sha256(b"account %d" % index).digest()[:20]


def fill(store: StateStore, first: int, addrs: list[bytes]) -> float:
    """Give addresses an account and a balance; return the seconds it took."""
    chain = build_chain()
    accounts, balances = chain.accounts.storage.accounts, chain.bank.storage.balances
    started = time.perf_counter()
    for at in range(0, len(addrs), FILL_BATCH):
        records: dict[str, dict[bytes, bytes | None]] = {"accounts": {}, "bank": {}}
        for index, addr in enumerate(addrs[at : at + FILL_BATCH], first + at):
            account = auth_pb2.BaseAccount(address=encode_account(addr), account_number=index)
            key = accounts.encode_key(addr)
            records["accounts"][key] = accounts.value_codec.encode(account)
            key = balances.encode_key((addr, "udsc"))
            records["bank"][key] = balances.value_codec.encode(START_UDSC)
        store.stage(store.version + 1, records)
        store.commit(keep_recent=2, prune_limit=1_000_000)
    return time.perf_counter() - started


def measure(folder: Path, num_accounts: int, num_txs: int, num_blocks: int) -> dict[str, Any]:
    """Time blocks of transfers on a state of `num_accounts`."""
    num_senders = min(num_accounts, num_txs * num_blocks)
    senders = [Sender(index) for index in range(num_senders)]
    application, store = start_application(folder, senders)
    others = [make_addr(index) for index in range(num_accounts - num_senders)]
    fill_s = fill(store, num_senders, others)
    recipients = [sender.addr for sender in senders] + others
    store.close()
    store = StateStore.open(folder)
    application = build_chain().open_application(store)
    chance = random.Random(1)
    times: dict[str, list[float]] = {"check": [], "finalize": [], "commit": []}
    for number in range(num_blocks):
        chosen = [senders[(number * num_txs + i) % num_senders] for i in range(num_txs)]
        txs = [s.sign_transfer(encode_account(chance.choice(recipients))) for s in chosen]
        for name, seconds in run_block(application, store.version + 1, txs).items():
            times[name].append(seconds)
    process = psutil.Process()
    result = {f"{name}_ms": round(1000 * statistics.median(t), 1) for name, t in times.items()}
    result["block_ms"] = round(result["finalize_ms"] + result["commit_ms"], 1)
    result["check_us_a_tx"] = round(result.pop("check_ms") * 1000 / num_txs, 1)
    result |= {"accounts": num_accounts, "fill_s": round(fill_s, 1)}
    result["rss_mib"] = round(process.memory_info().rss / 2**20, 1)
    store.close()
    result["file_mib"] = round((folder / "data.mdb").stat().st_size / 2**20, 1)
    return result


def run_block(application: Application, height: int, txs: list[bytes]) -> dict[str, float]:
    """Check, execute and commit one block; return the seconds of each."""
    started = time.perf_counter()
    for tx in txs:
        assert application.check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW)).code == 0
    checked = time.perf_counter()
    commit_s = 0.0
    commit = application.commit

    def timed_commit(request: Any) -> Any:
        nonlocal commit_s
        began = time.perf_counter()
        response = commit(request)
        commit_s = time.perf_counter() - began
        return response

    application.commit = timed_commit  # type: ignore[method-assign]
    response = make_block(application, height, txs)
    application.commit = commit  # type: ignore[method-assign]
    whole = time.perf_counter() - checked
    assert all(result.code == 0 for result in response.tx_results)
    return {"check": checked - started, "finalize": whole - commit_s, "commit": commit_s}


def open_state(folder: Path) -> dict[str, float]:
    """Open a state as a node that starts does; return seconds and memory."""
    started = time.perf_counter()
    with StateStore.open(folder) as store:
        application = build_chain().open_application(store)
        height = application.info(abci.RequestInfo()).last_block_height
        seconds = time.perf_counter() - started
        make_block(application, height + 1, [])
        first_block = time.perf_counter() - started - seconds
    rss = psutil.Process().memory_info().rss
    return {
        "open_s": round(seconds, 3),
        "first_block_s": round(first_block, 3),
        "rss_mib": round(rss / 2**20, 1),
    }


def main() -> None:
    """Measure both states and print the ratio."""
    parser = argparse.ArgumentParser(description="Cost of a block by size of the state.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--txs", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=None, help="where the states are made")
    parser.add_argument("--open", type=Path, default=None, help="only open the state in a folder")
    options = parser.parse_args()
    if options.open is not None:
        print(json.dumps(open_state(options.open)))
        return
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        small = measure(folder / "small", SMALL, options.txs, options.blocks)
        large = measure(folder / "large", options.accounts, options.txs, options.blocks)
        command = [sys.executable, "-m", "bench.large_state", "--open", str(folder / "large")]
        reopened = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    finally:
        shutil.rmtree(folder)
    names = ("finalize_ms", "commit_ms", "block_ms", "check_us_a_tx")
    ratio = {name: round(large[name] / small[name], 2) for name in names}
    result = {"txs": options.txs, "small": small, "large": large, "ratio": ratio}
    print(json.dumps({**result, "restart": reopened}, indent=1))


if __name__ == "__main__":
    main()
