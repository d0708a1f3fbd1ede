"""Roots and proofs that must never change: `golden.json` is what clients have pinned.

Format: `blocks`, a list of {version, changes {store: {key hex: value hex or null}}, app_hash,
store_roots}; `proofs`, a list of {version, store, key, value or null, proof}; bytes as hex.
"""

import json
from pathlib import Path

from node.store.proofs import Proof
from node.store.state import StateStore

GOLDEN = Path(__file__).with_name("golden.json")


def test_golden(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    with StateStore.open(tmp_path) as store:
        for block in golden["blocks"]:
            changes = {
                name: {
                    bytes.fromhex(key): None if value is None else bytes.fromhex(value)
                    for key, value in pairs.items()
                }
                for name, pairs in block["changes"].items()
            }
            assert store.stage(block["version"], changes).hex() == block["app_hash"]
            store.commit()
            roots = {name: root.hex() for name, root in store.store_roots().items()}
            assert roots == block["store_roots"]
        for case in golden["proofs"]:
            key = bytes.fromhex(case["key"])
            value = None if case["value"] is None else bytes.fromhex(case["value"])
            proof = store.prove(case["store"], key, case["version"])
            assert proof.encode().hex() == case["proof"]
            app_hash = bytes.fromhex(golden["blocks"][case["version"] - 1]["app_hash"])
            Proof.decode(proof.encode()).verify(app_hash, case["store"], key, value)
