"""The same blocks give the same app hashes under two hash seeds, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
import proto
from cosmos.bank.v1beta1 import tx_pb2
from node.runtime.coins import build_coin
from tests.runtime.chain_driver import ChainDriver, Key

names = ["alice", "bob", "carol", "dave"]
driver = ChainDriver(Path(sys.argv[1]), {name: 1_000_000 for name in names})
driver.make_block()
for amount in range(1, 4):
    txs = []
    for index, name in enumerate(names):
        sender, recipient = Key(name), Key(names[index - 1])
        coins = [build_coin("udsc", amount + index)]
        send = tx_pb2.MsgSend(from_address=sender.text, to_address=recipient.text, amount=coins)
        txs.append(driver.sign(sender, send, fee=10))
    results = driver.make_block(txs).tx_results
    assert all(result.code == 0 for result in results)
for height, app_hash in sorted(driver.app_hashes.items()):
    print(height, app_hash.hex())
driver.close()
"""


def test_app_hashes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    outputs = []
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 4
