"""CosmJS under Node against a CometBFT RPC, and what every wallet must see."""

import json
import os
import subprocess
from typing import Any

from node.chain import CHAIN_ID
from tests.support.devnet_node import ROOT, get_secret
from tests.support.npm_packages import install

FOLDER = ROOT / "tests" / "doors" / "cosmjs"
INSUFFICIENT_FUNDS, INSUFFICIENT_FEE = 5, 13


def run_client(port: int, sender: str, receiver: str, extent: str) -> dict[str, Any]:
    """Run the script; return what it saw."""
    url = f"http://127.0.0.1:{port}"
    return run_script("cosmjs_client.mjs", url, get_secret(sender).hex(), receiver, extent)


def run_script(name: str, *arguments: str) -> dict[str, Any]:
    """Run a script of the folder; return the JSON document that it prints."""
    modules = install("cosmjs", FOLDER)
    ended = subprocess.run(
        ["node", str(FOLDER / name), *arguments],
        env={**os.environ, "COSMJS_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    document: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return document


def check_wallet(seen: dict[str, Any], address: str) -> None:
    """Check what every wallet does: look, send, find again, be told."""
    assert seen["address"] == seen["account"]["address"] == address
    assert seen["chainId"] == CHAIN_ID
    assert seen["blockIsThatHeight"]
    assert seen["denoms"] == ["udsc"]
    assert seen["received"] == "4321"
    used, wanted = (int(gas) for gas in seen["gas"])
    assert 0 < used <= wanted < 2 * used
    assert seen["found"]["height"]
    assert seen["found"]["code"] == 0
    assert {"coin_received", "coin_spent", "message", "transfer", "tx"} <= set(
        seen["found"]["events"]
    )
    assert seen["searched"]
    assert seen["searchedByText"] == [seen["hash"]]
    assert seen["nothing"] is None
    assert seen["nextBlock"] == 1
    assert seen["watched"] == [True, 0]
    assert seen["tooMuch"]["code"] == INSUFFICIENT_FUNDS
    assert "insufficient" in seen["tooMuch"]["log"]
    assert (seen["noFee"]["code"], seen["noFee"]["codespace"]) == (INSUFFICIENT_FEE, "sdk")
