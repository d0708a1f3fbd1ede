"""A block of 1 000 transfers on 1 000 000 accounts against the same block on 1 000 accounts.

    python -m bench.large_state [--accounts 1000000] [--txs 1000] [--blocks 12] [--folder DIR]

The whole block: CheckTx of every transfer, then FinalizeBlock with signatures, fees and events,
app hash and Commit to the disk. Every block has other senders and recipients, at random among all
accounts; small and large state take turns block by block. Then, of the large one: how long a new
process needs to open it, a snapshot in chunks, and its restoration in another process. Prints one
JSON document: medians in ms, CheckTx in us a transaction, by the clock and in processor time, and
ratios. States that are in `--folder` already are used as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.node_transfers import GENESIS_NS, START_UDSC, Sender, make_block, start_application
from node.chain import build_chain
from node.runtime.addresses import encode_account
from node.runtime.application import Application
from node.store.snapshots import SnapshotImport, load_manifest, read_chunk, write_snapshot
from node.store.state import StateStore

# isort: split
from cosmos.auth.v1beta1 import auth_pb2
from tendermint.abci import types_pb2 as abci

SMALL = 1000
NUM_SENDERS = 12_000
FILL_BATCH = 50_000
NAMES = ("finalize_ms", "commit_ms", "block_ms", "check_us_a_tx")
Seconds = tuple[float, float]
"""By the clock, and of the processor."""


def make_addr(index: int) -> bytes:
    """Return the address of an account that only receives."""
    return hashlib.sha256(b"account %d" % index).digest()[:20]


def fill(store: StateStore, first: int, addrs: list[bytes]) -> None:
    """Give addresses an account and a balance."""
    chain = build_chain()
    accounts, balances = chain.accounts.storage.accounts, chain.bank.storage.balances
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


class FilledState:
    """A chain with so many accounts in a folder, made unless it is there; times its blocks."""

    def __init__(self, folder: Path, num_accounts: int) -> None:
        self.folder = folder
        self.num_accounts = num_accounts
        self.senders = [Sender(index) for index in range(min(num_accounts, NUM_SENDERS))]
        others = [make_addr(index) for index in range(num_accounts - len(self.senders))]
        if not (folder / "data.mdb").exists():
            _, store = start_application(folder, self.senders)
            fill(store, len(self.senders), others)
            store.close()
        self.recipients = [sender.addr for sender in self.senders] + others
        self.store = StateStore.open(folder)
        self.application = build_chain().open_application(self.store)
        self.times: dict[str, list[Seconds]] = {"check": [], "finalize": [], "commit": []}
        self._next = 0
        accounts = build_chain().accounts.storage.accounts
        for sender in self.senders:
            raw = self.store.get("accounts", accounts.encode_key(sender.addr)) or b""
            sender.sequence = accounts.value_codec.decode(raw).sequence

    def run_block(self, num_txs: int, chance: random.Random) -> None:
        """Sign, check, execute and commit transfers of the next senders; note the seconds."""
        txs = []
        for _ in range(num_txs):
            sender = self.senders[self._next % len(self.senders)]
            self._next += 1
            txs.append(sender.sign_transfer(encode_account(chance.choice(self.recipients))))
        for name, seconds in run_block(self.application, self.store.version + 1, txs).items():
            self.times[name].append(seconds)

    def summarise(self, num_txs: int) -> dict[str, Any]:
        """Return the medians."""
        result: dict[str, Any] = {"accounts": self.num_accounts}
        for column, kind in enumerate(("", "cpu_")):
            found = {
                name: 1000 * statistics.median(seconds[column] for seconds in times)
                for name, times in self.times.items()
            }
            for name in ("finalize", "commit"):
                result[f"{kind}{name}_ms"] = round(found[name], 1)
            result[f"{kind}block_ms"] = round(found["finalize"] + found["commit"], 1)
            result[f"{kind}check_us_a_tx"] = round(1000 * found["check"] / num_txs, 1)
        result["file_mib"] = round((self.folder / "data.mdb").stat().st_size / 2**20, 1)
        return result


def clock() -> Seconds:
    """Read both clocks."""
    return time.perf_counter(), time.process_time()


def run_block(application: Application, height: int, txs: list[bytes]) -> dict[str, Seconds]:
    """Check, execute and commit one block; return the seconds of each."""
    requests = [abci.RequestCheckTx(tx=tx, type=abci.NEW) for tx in txs]
    request = abci.RequestFinalizeBlock(height=height, txs=txs)
    request.time.FromNanoseconds(GENESIS_NS + height * 10**9)
    marks = [clock()]
    checked = [application.check_tx(check) for check in requests]
    marks.append(clock())
    response = application.finalize_block(request)
    marks.append(clock())
    application.commit(abci.RequestCommit())
    marks.append(clock())
    assert not any(result.code for result in [*checked, *response.tx_results])
    spans = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(marks)]
    return dict(zip(("check", "finalize", "commit"), spans, strict=True))


def open_state(folder: Path) -> dict[str, float]:
    """Open a state as a node that starts does; return seconds."""
    started = time.perf_counter()
    with StateStore.open(folder) as store:
        application = build_chain().open_application(store)
        height = application.info(abci.RequestInfo()).last_block_height
        seconds = time.perf_counter() - started
        make_block(application, height + 1, [])
        first_block = time.perf_counter() - started - seconds
    return {"open_s": round(seconds, 3), "first_block_s": round(first_block, 3)}


def make_snapshot(folder: Path) -> dict[str, float]:
    """Write the newest version of a state as a snapshot beside it; return seconds and MiB."""
    started = time.perf_counter()
    with StateStore.open(folder) as store, store.view() as view:
        manifest = write_snapshot(view, folder / "snapshots")
    seconds = time.perf_counter() - started
    chunks = folder / "snapshots" / str(manifest.height)
    num_bytes = sum(path.stat().st_size for path in chunks.iterdir())
    return {"seconds": round(seconds, 1), "mib": round(num_bytes / 2**20, 1)}


def restore_snapshot(folder: Path) -> dict[str, float]:
    """Restore the snapshot beside a state into a new one; return seconds."""
    (path,) = (folder / "snapshots").iterdir()
    manifest = load_manifest(path)
    started = time.perf_counter()
    taken = SnapshotImport(manifest)
    for index in range(len(manifest.chunk_hashes)):
        taken.add(index, read_chunk(path.parent, manifest.height, index))
    with (
        tempfile.TemporaryDirectory(dir=folder) as target,
        StateStore.open(Path(target)) as store,
    ):
        application = build_chain().open_application(store)
        assert application.restore_state(manifest.height, taken.changes, manifest.app_hash)
        seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1)}


STEPS: dict[str, Callable[[Path], dict[str, float]]] = {
    "open": open_state,
    "snapshot": make_snapshot,
    "restore": restore_snapshot,
}


def read_peak_kib() -> int:
    """Read the largest resident memory of this process, mapped files included, KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ValueError("no VmHWM line in status")


def run_step(name: str, folder: Path) -> dict[str, float]:
    """Run a step in a process of its own."""
    command = [sys.executable, "-m", "bench.large_state", "--step", name, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(folder: Path, num_accounts: int, num_txs: int, num_blocks: int) -> dict[str, Any]:
    """Time blocks of both states in turns, then the steps of the large one."""
    chance = random.Random(1)
    states = FilledState(folder / "small", SMALL), FilledState(folder / "large", num_accounts)
    for _ in range(num_blocks):
        for state in states:
            state.run_block(num_txs, chance)
    small, large = (state.summarise(num_txs) for state in states)
    for state in states:
        state.store.close()
    return {
        "txs": num_txs,
        "small": small,
        "large": large,
        "ratio": {name: round(large[name] / small[name], 2) for name in NAMES},
        "large_steps": {name: run_step(name, folder / "large") for name in STEPS},
    }


def main() -> None:
    """Measure both states and print the ratio."""
    parser = argparse.ArgumentParser(description="Cost of a block by size of the state.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--txs", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=None, help="where the states are or go")
    parser.add_argument("--step", choices=sorted(STEPS), help="only this, on the state in a folder")
    options = parser.parse_args()
    if options.step:
        found = STEPS[options.step](options.folder)
        found["cpu_s"] = round(time.process_time(), 1)
        found["peak_mib"] = round(read_peak_kib() / 1024, 1)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        result = measure(folder, options.accounts, options.txs, options.blocks)
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
