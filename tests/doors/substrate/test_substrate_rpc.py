"""JSON-RPC of the Substrate door on what no client library sends."""

import json
import time
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface
from websockets.sync.client import connect

from chain_client.errors import ProofInvalid
from chain_client.state_proofs import describe_balance, verify_read_proof
from node.doors.substrate.subscriptions import MAX_SUBSCRIPTIONS
from node.runtime.addresses import encode_account
from tests.doors.substrate.conftest import ask, post
from tests.support.devnet_node import DevnetNode, is_open, kill_door


def test_methods(devnet_node: DevnetNode) -> None:
    methods = ask(devnet_node, "rpc_methods")["result"]["methods"]
    assert {"state_getMetadata", "author_submitAndWatchExtrinsic", "rpc_methods"} <= set(methods)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b"[[]]", -32600),
        (b"7", -32600),
        ({"id": 1, "method": "no_such"}, -32601),
        ({"id": 1, "method": "chain_subscribeNewHeads", "params": []}, -32601),
        ({"id": 1, "method": "chain_getHeader", "params": ["0x12"]}, -32602),
        ({"id": 1, "method": "chain_getHeader", "params": ["x"]}, -32602),
        ({"id": 1, "method": "chain_getBlockHash", "params": [-1]}, -32602),
        ({"id": 1, "method": "state_getStorage", "params": []}, -32602),
        ({"id": 1, "method": "state_getStorage", "params": {"key": "0x"}}, -32602),
        ({"id": 1, "method": "state_getStorage", "params": ["0x", "0x" + "ab" * 32]}, 4003),
        ({"id": 1, "method": "state_getKeysPaged", "params": ["0x", 10**6]}, -32602),
        ({"id": 1, "method": "state_call", "params": ["No_such", "0x"]}, 4003),
        ({"id": 1, "method": "author_submitExtrinsic", "params": ["0x"]}, 1001),
    ],
)
def test_invalid_requests(devnet_node: DevnetNode, body: Any, code: int) -> None:
    answer = post(devnet_node, body)
    answer = answer[0] if isinstance(answer, list) else answer
    assert answer["error"]["code"] == code


def test_batch_and_notification(devnet_node: DevnetNode) -> None:
    name = {"jsonrpc": "2.0", "id": "a", "method": "system_name"}
    silent = {"jsonrpc": "2.0", "method": "system_name"}
    assert post(devnet_node, [name, silent]) == [{"jsonrpc": "2.0", "id": "a", "result": "Descent"}]
    assert post(devnet_node, silent) is None
    assert post(devnet_node, [name] * 101)["error"] == {
        "code": -32010,
        "message": "The batch request was too large",
        "data": "Exceeded max limit of 100",
    }


def test_missing_api_has_the_text_clients_look_for(devnet_node: DevnetNode) -> None:
    error = ask(devnet_node, "state_call", "Metadata_of_the_future", "0x")["error"]
    assert error["message"] == (
        "Client error: Execution failed: Other: Exported method Metadata_of_the_future is not found"
    )


def test_unknown_blocks_are_null(devnet_node: DevnetNode) -> None:
    for method in ("chain_getHeader", "chain_getBlock"):
        assert ask(devnet_node, method, "0x" + "ab" * 32)["result"] is None


def test_keys_of_everything(devnet_node: DevnetNode) -> None:
    keys: list[str] = []
    head = ask(devnet_node, "chain_getHead")["result"]
    while page := ask(devnet_node, "state_getKeysPaged", "0x", 7, keys[-1] if keys else None, head)[
        "result"
    ]:
        keys += page
    assert len(keys) == len(set(keys)) > 50
    values = ask(devnet_node, "state_queryStorageAt", keys[:50], head)["result"][0]["changes"]
    assert all(value is not None for _, value in values)
    size = ask(devnet_node, "state_getStorageSize", keys[0], head)["result"]
    assert size == len(ask(devnet_node, "state_getStorage", keys[0], head)["result"]) // 2 - 1


def test_key_with_a_wrong_hash_is_absent(devnet_node: DevnetNode, alice: Keypair) -> None:
    with SubstrateInterface(url=f"ws://127.0.0.1:{devnet_node.substrate_port}") as chain:
        key = chain.create_storage_key("System", "Account", [alice.ss58_address]).to_hex()
    assert ask(devnet_node, "state_getStorage", key)["result"] is not None
    wrong = key[:70] + ("0" if key[70] != "0" else "1") + key[71:]
    assert ask(devnet_node, "state_getStorage", wrong)["result"] is None


def test_read_proof(devnet_node: DevnetNode, alice: Keypair) -> None:
    with SubstrateInterface(url=f"ws://127.0.0.1:{devnet_node.substrate_port}") as chain:
        key = chain.create_storage_key("Bank", "Balances", [alice.ss58_address, "udsc"]).to_hex()
        head = chain.get_chain_head()
        account = [alice.ss58_address, "udsc"]
        balance = chain.query("Bank", "Balances", account, block_hash=head).value
        made = chain.create_storage_key("System", "Account", [alice.ss58_address]).to_hex()
    answer = ask(devnet_node, "state_getReadProof", [key], head)["result"]
    header = ask(devnet_node, "chain_getHeader", head)["result"]
    block_hash = bytes.fromhex(head[2:])
    address = encode_account(alice.public_key)
    verify_read_proof(answer, header, block_hash, [describe_balance(address, balance)])
    for wrong in (describe_balance(address, balance + 1), describe_balance(address, 0)):
        with pytest.raises(ProofInvalid):
            verify_read_proof(answer, header, block_hash, [wrong])
    with pytest.raises(ProofInvalid, match="header"):
        verify_read_proof(answer, header, b"\x01" * 32, [describe_balance(address, balance)])
    assert ask(devnet_node, "state_getReadProof", [made], head)["error"]["code"] == -32602


def test_too_many_subscriptions(devnet_node: DevnetNode) -> None:
    with connect(f"ws://127.0.0.1:{devnet_node.substrate_port}", max_size=None) as socket:
        request = {"jsonrpc": "2.0", "method": "state_subscribeRuntimeVersion", "params": []}
        for number in range(MAX_SUBSCRIPTIONS + 1):
            socket.send(json.dumps({**request, "id": number}))
        last: dict[str, Any] = {}
        while last.get("id") != MAX_SUBSCRIPTIONS:
            last = json.loads(socket.recv(timeout=20))
        assert last["error"]["code"] == -32006


def test_too_many_keys(devnet_node: DevnetNode) -> None:
    keys = [f"0x{number:064x}" for number in range(1000)]
    request = {"jsonrpc": "2.0", "method": "state_subscribeStorage", "params": [keys]}
    with connect(f"ws://127.0.0.1:{devnet_node.substrate_port}", max_size=None) as socket:
        codes = []
        for number in range(18):
            socket.send(json.dumps({**request, "id": number}))
            answer: dict[str, Any] = {}
            while answer.get("id") != number:
                answer = json.loads(socket.recv(timeout=20))
            codes.append(answer.get("error", {}).get("code"))
    assert codes == [None] * 16 + [-32006] * 2


def test_slow_reader_harms_nobody(devnet_node: DevnetNode) -> None:
    url = f"ws://127.0.0.1:{devnet_node.substrate_port}"
    with connect(url, max_queue=1, close_timeout=0.1) as socket:
        for number in range(400):
            body = {"jsonrpc": "2.0", "id": number, "method": "state_getMetadata", "params": []}
            try:
                socket.send(json.dumps(body))
            except OSError:
                break
        started = time.monotonic()
        assert ask(devnet_node, "system_name")["result"] == "Descent"
        assert time.monotonic() - started < 15


def test_hashes_survive_a_restart_of_the_door(devnet_node: DevnetNode) -> None:
    before = [ask(devnet_node, "chain_getBlockHash", number)["result"] for number in range(3)]
    kill_door(devnet_node, "node.doors.substrate_door")
    devnet_node.wait_until(lambda: is_open(devnet_node.substrate_port))
    after = [ask(devnet_node, "chain_getBlockHash", number)["result"] for number in range(3)]
    assert before == after
    assert None not in after
    header = ask(devnet_node, "chain_getHeader", after[2])["result"]
    assert header["number"] == "0x2"
    assert header["parentHash"] == after[1]
