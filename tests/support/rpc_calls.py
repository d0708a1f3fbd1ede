"""The calls people type with curl at a CometBFT RPC, and the shape of what comes back."""

import base64
import hashlib
import json
import re
import time
from typing import Any

import requests

Answers = dict[str, tuple[int, Any]]


class PlainRpc:
    """GET with arguments as they are typed, and POST."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str) -> tuple[int, Any]:
        response = self.http.get(f"{self.url}/{path}", timeout=30)
        is_json = response.headers["content-type"].startswith("application/json")
        return response.status_code, response.json() if is_json else response.text

    def post(self, document: Any) -> tuple[int, Any]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"content-type": "application/json"}
        response = self.http.post(self.url, body, headers=headers, timeout=30)
        return response.status_code, json.loads(response.text) if response.text else None

    def wait_for_tx(self, tx: bytes) -> None:
        """Wait until a transaction is in a block, and the index knows it."""
        deadline = time.monotonic() + 30
        while self.get(f"tx?hash=0x{hashlib.sha256(tx).hexdigest()}")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def build_call(method: str, request_id: int = 1, **params: Any) -> dict[str, Any]:
    """Build a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def ask_everything(rpc: PlainRpc, tx: bytes, next_tx: bytes) -> Answers:
    """Make every call; `tx` and `next_tx` are signed and follow one another."""
    tx_hash = hashlib.sha256(tx).hexdigest().upper()
    answers = {
        "commit tx": rpc.get(f"broadcast_tx_commit?tx=0x{tx.hex()}"),
        "check tx": rpc.get(f"check_tx?tx=0x{next_tx.hex()}"),
        "sync tx": rpc.post(build_call("broadcast_tx_sync", tx=base64.b64encode(next_tx).decode())),
        "refused tx": rpc.get("broadcast_tx_sync?tx=0x00"),
        "quoted tx": rpc.get('broadcast_tx_sync?tx="abc"'),
    }
    rpc.wait_for_tx(tx)
    if answers["sync tx"][1]["result"]["code"] == 0:  # else a block has yet to undo the check
        rpc.wait_for_tx(next_tx)
    block_hash = rpc.get("block?height=2")[1]["result"]["block_id"]["hash"]
    paths = [
        *("health", "status", "net_info", "genesis", "genesis_chunked?chunk=0", "abci_info"),
        *("block?height=2", 'block?height="2"', f"block_by_hash?hash=0x{block_hash}"),
        *("header?height=2", f"header_by_hash?hash=0x{block_hash}", "commit?height=2"),
        *("block_results?height=2", "blockchain?minHeight=1&maxHeight=2", "validators?per_page=1"),
        *("consensus_params?height=1", "unconfirmed_txs?limit=1", "num_unconfirmed_txs"),
        f"tx?hash=0x{tx_hash}&prove=true",
        'tx_search?query="tx.height>0 AND transfer.amount EXISTS"&per_page=1&order_by="desc"',
        "tx_search?query=\"message.action='/cosmos.bank.v1beta1.MsgSend'\"&page=1&prove=false",
        'block_search?query="block.height>1 AND block.height<3"',
        'abci_query?path="/app/version"',
        'abci_query?path="/cosmos.bank.v1beta1.Query/Params"&data=0x&height=2',
        'abci_query?path="/no/such/path"',
        *("block?height=abc", "block?height=99999999", "tx?hash=0xzz", "nothing_here"),
        *('block_search?query="="', "subscribe?query=x"),
    ]
    answers |= {re.sub("[0-9A-F]{64}", "HASH", path): rpc.get(path) for path in paths}
    status, health = build_call("status", 7), build_call("health", 8)
    answers |= {
        "post": rpc.post(build_call("block", height="2")),
        "post by position": rpc.post({**status, "method": "block", "params": ["2"]}),
        "post batch": rpc.post([status, health]),
        "post unknown": rpc.post(build_call("nothing_here")),
        "post number for text": rpc.post(build_call("block", height=2)),
        "post garbage": rpc.post(b"{"),
        "post text id": rpc.post({**health, "id": "abc"}),
    }
    return answers


def get_shape(value: Any) -> Any:
    """Get the shape of an answer: names and types; of a list, that of its first item."""
    if isinstance(value, dict):
        return {key: get_shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [get_shape(value[0])] if value else []
    return type(value).__name__


def list_differences(left: Any, right: Any, path: str = "") -> list[str]:
    """List where two shapes differ; an empty list, null and any list are alike."""
    if isinstance(left, dict) and isinstance(right, dict):
        found = [f"{path}.{key}: only one has it" for key in left.keys() ^ right.keys()]
        for key in sorted(left.keys() & right.keys()):
            found += list_differences(left[key], right[key], f"{path}.{key}")
        return found
    if isinstance(left, list) and isinstance(right, list):
        return list_differences(left[0], right[0], f"{path}[]") if left and right else []
    if {type(left), type(right)} == {list, str} and "NoneType" in (left, right):
        return []
    return [] if left == right else [f"{path}: {left} and {right}"]
