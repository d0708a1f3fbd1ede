"""polkadot.js under Node, its types found by itself, against a real node.

`@polkadot/api` is installed once into `.polkadot`; without Node, npm or a registry the test is
skipped and says so.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair

from tests.support.devnet_node import ROOT, DevnetNode
from tests.support.npm_packages import hold_folder, run_npm

VERSION = "16.5.6"
MODULES = ROOT / ".polkadot" / "node_modules"
SCRIPT = Path(__file__).with_name("polkadot_client.mjs")


def install() -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed: polkadot.js is not tested")
    manifest = MODULES / "@polkadot" / "api" / "package.json"
    package = f"@polkadot/api@{VERSION}"
    with hold_folder(MODULES.parent):
        if not manifest.exists() or json.loads(manifest.read_text())["version"] != VERSION:
            run_npm(package, MODULES.parent, "install", "--no-save", "--prefix", ".", package)
    return MODULES


@pytest.fixture(scope="module")
def seen(devnet_node: DevnetNode, alice: Keypair) -> dict[str, Any]:
    modules = install()
    ended = subprocess.run(
        ["node", str(SCRIPT), f"ws://127.0.0.1:{devnet_node.substrate_port}"],
        env={**os.environ, "POLKADOT_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:] + devnet_node.read_logs()
    document: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return document


def test_chain(seen: dict[str, Any], devnet_node: DevnetNode) -> None:
    assert (seen["chain"], seen["decimals"], seen["constant"]) == (devnet_node.chain_id, 6, 42)
    assert seen["headerHashIsOurs"]
    assert {"createRun", "register", "setEndpoint"} <= set(seen["calls"])
    assert seen["fee"] > 0


def test_transfers(seen: dict[str, Any]) -> None:
    for sent in (seen["transfer"], seen["batch"], *seen["kinds"]):
        assert sent["error"] is None
        assert "balances.Transfer" in sent["events"]
        assert sent["events"][-1] == "system.ExtrinsicSuccess"
    assert int(seen["balances"][-1]) - int(seen["balances"][0]) == 4330


def test_error_in_words(seen: dict[str, Any]) -> None:
    assert seen["refused"]["error"] == {
        "section": "runs",
        "name": "RunNotFound",
        "docs": "there is no such run",
    }


def test_blocks_and_events(seen: dict[str, Any]) -> None:
    first = seen["heads"][0]
    assert seen["heads"] == [first, first + 1, first + 2]
    assert seen["extrinsics"][0] == "timestamp.set"
    assert "beacon.BeaconDrawn" in seen["events"]
    assert seen["accounts"] == 10
