"""//Alice of the devnet, and substrate-interface connected to the node of the session."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from coincurve import PrivateKey
from substrateinterface import Keypair, KeypairType, SubstrateInterface

from node.runtime.addresses import encode_account
from node.runtime.substrate.headers import hash_blake2
from tests.support.devnet_node import DevnetNode


@pytest.fixture(scope="session")
def alice() -> Keypair:
    """The well-known key; a devnet starts with coins of hers."""
    return Keypair.create_from_uri("//Alice")


def post(node: DevnetNode, body: Any) -> Any:
    """Send a body to the Substrate door by HTTP; returns what it answers, None for nothing."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{node.substrate_port}"
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read()
    return json.loads(text) if text else None


def ask(node: DevnetNode, method: str, *params: Any) -> Any:
    """Ask the Substrate door by HTTP; returns the whole response."""
    return post(node, {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})


def fund(node: DevnetNode, addr: bytes, amount: int) -> None:
    """Send coins of the faucet to an account by the other door, and wait for them."""
    tx = node.build_send("faucet", encode_account(addr), amount)
    params = {"tx": base64.b64encode(tx).decode()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": params}
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.rpc_port}",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.loads(response.read())
    assert answer["result"]["code"] == 0, answer
    height = node.get_height() + 2
    node.wait_until(lambda: ask(node, "system_syncState")["result"]["currentBlock"] >= height)


def sign_ecdsa(chain: SubstrateInterface, call: Any, secret: PrivateKey, account_id: bytes) -> Any:
    """Sign as polkadot.js does: over BLAKE2b-256 of the payload."""
    nonce = chain.query("System", "Account", ["0x" + account_id.hex()]).value["nonce"]
    payload = bytes(chain.generate_signature_payload(call, nonce=nonce).data)
    signature = secret.sign_recoverable(hash_blake2(payload), hasher=None)
    value = {
        "account_id": "0x" + account_id.hex(),
        "signature": "0x" + signature.hex(),
        "signature_version": KeypairType.ECDSA,
        "call_function": call.value["call_function"],
        "call_module": call.value["call_module"],
        "call_args": call.value["call_args"],
        "nonce": nonce,
        "era": "00",
        "tip": 0,
        "asset_id": {"tip": 0, "asset_id": None},
        "mode": "Disabled",
    }
    extrinsic = chain.runtime_config.create_scale_object("Extrinsic", metadata=chain.metadata)
    extrinsic.encode(value)
    return extrinsic


@pytest.fixture
def chain(devnet_node: DevnetNode) -> Iterator[SubstrateInterface]:
    with SubstrateInterface(url=f"ws://127.0.0.1:{devnet_node.substrate_port}") as client:
        yield client
