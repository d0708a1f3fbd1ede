"""An operator joins a running chain on the real CometBFT, by the commands an operator types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chain_client.keys import Key, Keyring
from genesis.devnet import MNEMONIC, get_account
from node.doors.supervisor import GRPC_PORT
from tests.support.comet_network import ROOT, CometNetwork, needs_cometbft

NAME = "miner-31"  # has coins and is no operator


def descent(home: Path, *arguments: str) -> Any:
    """Run the command line; returns its JSON."""
    command = [sys.executable, "-m", "cli.main", *arguments, "--home", str(home)]
    done = subprocess.run(
        [*command, "--output", "json"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def count_validators(network: CometNetwork) -> int:
    return int(network.call("validators")["total"])


@needs_cometbft
def test_join(tmp_path: Path) -> None:
    with CometNetwork(tmp_path / "nodes") as network:
        network.start_all()
        node, operator = f"127.0.0.1:{network.get_port(GRPC_PORT)}", get_account(NAME)
        keys, home = tmp_path / "keys", tmp_path / "nodes" / "node-1"
        key = Key.from_mnemonic(NAME, MNEMONIC, operator.index)
        Keyring(keys, backend="test").add(key)
        genesis = str(network.homes[0] / "config" / "genesis.json")
        made = descent(home, "node", "init", "--genesis", genesis, "--operator", operator.address)
        key_file = str(home / "config" / "priv_validator_key.json")
        tx = ["tx", "stake", "create-operator", NAME, "50DSC", "--consensus-key", key_file]
        descent(keys, *tx, "--node", node, "--yes")
        assert count_validators(network) == 1
        descent(keys, "tx", "stake", "register-node", NAME, str(home), "--node", node, "--yes")
        network.wait_until(lambda: count_validators(network) == 2)
        network.adopt(home)
        assert network._ids[1] == made["node_id"]
        network.start(1)
        network.wait_for_height(network.get_height() + 3, 1)

        def count_reveals() -> int:
            # The newest block is stored a moment before its results are.
            results = network.call("block_results", height=str(network.get_height() - 1))
            found = [e for e in results["finalize_block_events"] if e["type"] == "beacon_drawn"]
            return int({a["key"]: a["value"] for a in found[0]["attributes"]}["num_reveals"])

        network.wait_until(lambda: count_reveals() == 2)
        height = network.get_height()
        network.wait_for_height(height + 1, 1)
        assert network.get_app_hash(height - 1, 0) == network.get_app_hash(height - 1, 1)
        # The commands never overwrite a key.
        again = [sys.executable, "-m", "cli.main", "node", "init", "--genesis", genesis]
        done = subprocess.run([*again, "--home", str(home)], cwd=ROOT, capture_output=True)
        assert done.returncode == 1
