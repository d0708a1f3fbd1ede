"""Cost of a block's changes in a small and in a large state, as one JSON document on stdout.

    python bench/store.py [--accounts 1000000] [--changes 1000] [--blocks 20] [--folder DIR]

Fills one store with accounts (27-byte key, 12-byte value), then times blocks that each change the
same number of accounts, and the same in a store of 1 000 accounts. `stage` computes the app hash,
`commit` writes it to the disk and waits until it is there. Times are medians, in ms.
"""

import argparse
import json
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from node.store.state import StateStore

SMALL = 1000  # accounts of the state compared with
FILL_BATCH = 50_000


def make_key(index: int) -> bytes:
    """Return the balance key of account `index`."""
    return b"\x02" + sha256(b"account %d" % index).digest()[:20] + b"/udsc\x00"


def fill(store: StateStore, num_accounts: int) -> float:
    """Give every account a balance; return the seconds it took."""
    start = time.perf_counter()
    for at in range(0, num_accounts, FILL_BATCH):
        indexes = range(at, min(at + FILL_BATCH, num_accounts))
        store.stage(store.version + 1, {"bank": {make_key(i): b"%012d" % i for i in indexes}})
        store.commit(keep_recent=2, prune_limit=1_000_000)
    return time.perf_counter() - start


def measure(folder: Path, num_accounts: int, num_changes: int, num_blocks: int) -> dict[str, float]:
    """Time blocks on a state of `num_accounts`."""
    chance = random.Random(1)
    stages, commits, totals, reads = [], [], [], []
    with StateStore.open(folder) as store:
        fill_s = fill(store, num_accounts)
        for _ in range(num_blocks):
            version = store.version + 1
            picks = [chance.randrange(num_accounts) for _ in range(num_changes)]
            if num_changes <= num_accounts:
                picks = chance.sample(range(num_accounts), num_changes)
            keys = [make_key(i) for i in picks]
            start = time.perf_counter()
            for key in keys:
                store.get("bank", key)
            read = time.perf_counter()
            store.stage(version, {"bank": dict.fromkeys(keys, b"%012d" % version)})
            staged = time.perf_counter()
            store.commit(keep_recent=100)
            end = time.perf_counter()
            reads.append(read - start)
            stages.append(staged - read)
            commits.append(end - staged)
            totals.append(end - start)
    milliseconds = {"read": reads, "stage": stages, "commit": commits, "total": totals}
    result = {f"{k}_ms": round(1000 * statistics.median(v), 2) for k, v in milliseconds.items()}
    result["accounts"] = num_accounts
    result["fill_s"] = round(fill_s, 1)
    result["file_mb"] = round((folder / "data.mdb").stat().st_size / 1e6, 1)
    result["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1)
    return result


def main() -> None:
    """Measure both states and print the ratio."""
    parser = argparse.ArgumentParser(description="Cost of a block's changes by size of the state.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        small = measure(folder / "small", SMALL, args.changes, args.blocks)
        large = measure(folder / "large", args.accounts, args.changes, args.blocks)
    finally:
        shutil.rmtree(folder)
    ratio = {
        name: round(large[name] / small[name], 2)
        for name in ("read_ms", "stage_ms", "commit_ms", "total_ms")
    }
    json.dump({"changes": args.changes, "small": small, "large": large, "ratio": ratio}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
