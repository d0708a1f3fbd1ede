"""What an operator waits for on a large state: rollback, pruning, giving room back.

    python -m bench.upkeep [--accounts 1000000] [--versions 20] [--changes 5000] [--folder DIR]

A state of so many accounts, then versions that each change some; prints one JSON document with
seconds, records removed and MiB on the disk before and after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.large_state import fill, make_addr
from node.store.compact import compact_folder
from node.store.state import StateStore
from node.store.tables import STATE_LAYOUT
from node.upkeep.home import measure_disk

KEPT_VERSIONS = 2
RECORDS_AT_ONCE = 100_000


def change(store: StateStore, num_changes: int, offset: int) -> None:
    """Commit a version that writes some keys of the bank anew; all versions stay."""
    entries: dict[bytes, bytes | None] = {
        b"\xfe" + make_addr(offset + index): b"%d" % offset for index in range(num_changes)
    }
    store.stage(store.version + 1, {"bank": entries})
    store.commit()


def measure(folder: Path, num_accounts: int, num_versions: int, num_changes: int) -> dict[str, Any]:
    """Time each of the three."""
    with StateStore.open(folder) as store:
        fill(store, 0, [make_addr(index) for index in range(num_accounts)])
        for version in range(num_versions):
            change(store, num_changes, version * num_changes // 2)
        before_hash = store.app_hash
        change(store, num_changes, 0)
        started = time.perf_counter()
        store.rollback()
        rollback_s = time.perf_counter() - started
        assert store.app_hash == before_hash
        disk_before, num_records = measure_disk(folder), 0
        started = time.perf_counter()
        while removed := store.prune(KEPT_VERSIONS, RECORDS_AT_ONCE):
            num_records += removed
        prune_s = time.perf_counter() - started
    started = time.perf_counter()
    compact_folder(folder, len(STATE_LAYOUT.tables))
    return {
        "accounts": num_accounts,
        "rollback_s": round(rollback_s, 2),
        "prune_s": round(prune_s, 2),
        "pruned_records": num_records,
        "compact_s": round(time.perf_counter() - started, 2),
        "disk_before_mib": disk_before >> 20,
        "disk_after_mib": measure_disk(folder) >> 20,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Upkeep of a large state.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--changes", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the state is made")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        found = measure(folder, options.accounts, options.versions, options.changes)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
