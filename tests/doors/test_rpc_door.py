"""The CometBFT RPC door over plain HTTP and WebSocket."""

import base64
import hashlib
import json
import socket as socket_library
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from node.doors.tx_proofs import hash_inner, hash_leaf
from tests.support.devnet_node import DevnetNode, open_another_door


class Rpc:
    """The three ways of calling."""

    def __init__(self, node: DevnetNode) -> None:
        self.url = f"http://127.0.0.1:{node.rpc_port}"
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, name: str, **arguments: str) -> Any:
        answer = self.http.get(f"{self.url}/{name}", params=arguments, timeout=30).json()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def get_error(self, name: str, **arguments: str) -> tuple[int, dict[str, Any]]:
        response = self.http.get(f"{self.url}/{name}", params=arguments, timeout=30)
        return response.status_code, response.json()["error"]

    def post(self, method: str, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.http.post(self.url, json=body, timeout=30).json()

    def close(self) -> None:
        self.http.close()


@pytest.fixture
def rpc(devnet_node: DevnetNode) -> Iterator[Rpc]:
    built = Rpc(devnet_node)
    yield built
    built.close()


@pytest.fixture
def socket(devnet_node: DevnetNode) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{devnet_node.rpc_port}/websocket", proxy=None) as connection:
        yield connection


def send_tx(rpc: Rpc, tx: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = rpc.post("broadcast_tx_commit", tx=base64.b64encode(tx).decode())[
        "result"
    ]
    assert answer["check_tx"]["code"] == 0, answer
    return answer


def ask(socket: ClientConnection, method: str, request_id: int = 1, **params: Any) -> Any:
    """Ask by WebSocket; what earlier subscriptions are told meanwhile has their ids."""
    body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    socket.send(json.dumps(body))
    return receive(socket, request_id)


def receive(socket: ClientConnection, request_id: int) -> Any:
    """Receive the next message with an id."""
    while True:
        message = json.loads(socket.recv(timeout=30))
        if message["id"] == request_id:
            return message


def test_health_and_status(rpc: Rpc, devnet_node: DevnetNode) -> None:
    assert rpc.get("health") == {}
    status = rpc.get("status")
    assert status["node_info"]["network"] == devnet_node.chain_id
    sync = status["sync_info"]
    assert int(sync["latest_block_height"]) >= int(sync["earliest_block_height"]) >= 1
    assert sync["catching_up"] is False
    assert len(sync["latest_block_hash"]) == 64
    assert status["validator_info"]["pub_key"]["type"] == "tendermint/PubKeyEd25519"
    assert int(status["validator_info"]["voting_power"]) > 0
    assert rpc.get("net_info")["n_peers"] == "0"


def test_genesis(rpc: Rpc, devnet_node: DevnetNode) -> None:
    genesis = rpc.get("genesis")["genesis"]
    assert genesis["chain_id"] == devnet_node.chain_id
    chunk = rpc.get("genesis_chunked", chunk="0")
    assert (chunk["chunk"], chunk["total"]) == ("0", "1")
    assert json.loads(base64.b64decode(chunk["data"])) == genesis
    assert rpc.get_error("genesis_chunked", chunk="1")[0] == 500


def test_blocks_agree(rpc: Rpc, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(4)
    block = rpc.get("block", height="2")
    assert block["block"]["header"]["height"] == "2"
    block_hash = block["block_id"]["hash"]
    assert rpc.get("block_by_hash", hash=f"0x{block_hash}") == block
    in_base64 = base64.b64encode(bytes.fromhex(block_hash)).decode()
    assert rpc.post("block_by_hash", hash=in_base64)["result"] == block
    assert rpc.get("header", height="2")["header"] == block["block"]["header"]
    assert rpc.get("header_by_hash", hash=f"0x{block_hash}")["header"] == block["block"]["header"]
    following = rpc.get("block", height="3")["block"]
    assert following["header"]["last_block_id"]["hash"] == block_hash
    assert following["last_commit"]["block_id"]["hash"] == block_hash
    commit = rpc.get("commit", height="2")
    assert commit["canonical"] is True
    assert commit["signed_header"]["commit"]["block_id"]["hash"] == block_hash
    metas = rpc.get("blockchain", minHeight="1", maxHeight="3")["block_metas"]
    assert [meta["header"]["height"] for meta in metas] == ["3", "2", "1"]
    assert metas[1]["block_id"]["hash"] == block_hash


def test_app_hash_of_a_block_is_in_the_next_header(rpc: Rpc, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(4)
    results = rpc.get("block_results", height="2")
    app_hash = base64.b64decode(results["app_hash"]).hex().upper()
    assert rpc.get("header", height="3")["header"]["app_hash"] == app_hash


def test_abci_info_is_the_commit_signal(rpc: Rpc) -> None:
    before = int(rpc.get("abci_info")["response"]["last_block_height"])
    assert int(rpc.get("status")["sync_info"]["latest_block_height"]) >= before
    rpc.get("block_results", height=str(before))


def test_validators_and_params(rpc: Rpc) -> None:
    answer = rpc.get("validators")
    assert answer["count"] == answer["total"] == str(len(answer["validators"]))
    params = rpc.get("consensus_params")["consensus_params"]
    assert int(params["block"]["max_bytes"]) > 0
    assert params["validator"]["pub_key_types"] == ["ed25519"]
    assert "/" in rpc.get("consensus_state")["round_state"]["height/round/step"]
    assert rpc.get_error("validators", page="2")[1]["data"] == (
        "page should be within [1, 1] range, given 2"
    )


@pytest.mark.parametrize(
    ("height", "text"),
    [
        ("0", "height must be greater than 0, but got 0"),
        ("-4", "height must be greater than 0, but got -4"),
        ("99999999", "height 99999999 must be less than or equal to the current blockchain height"),
    ],
)
def test_invalid_height(rpc: Rpc, height: str, text: str) -> None:
    status, error = rpc.get_error("block", height=height)
    assert (status, error["code"]) == (500, -32603)
    assert error["data"].startswith(text)


def test_broadcast_and_find(rpc: Rpc, devnet_node: DevnetNode) -> None:
    tx = devnet_node.build_send("faucet", "owner", 17)
    tx_hash = hashlib.sha256(tx).hexdigest().upper()
    answer = send_tx(rpc, tx)
    assert answer["hash"] == tx_hash
    assert answer["tx_result"]["code"] == 0
    found = rpc.get("tx", hash=f"0x{tx_hash}", prove="true")
    assert found["height"] == answer["height"]
    assert base64.b64decode(found["tx"]) == tx
    header = rpc.get("header", height=found["height"])["header"]
    assert found["proof"]["root_hash"] == header["data_hash"]
    proof = found["proof"]["proof"]
    assert base64.b64decode(proof["leaf_hash"]) == hash_leaf(hashlib.sha256(tx).digest())
    assert rpc.get("tx", hash=f"0x{tx_hash}").get("proof") is None
    by_hash = rpc.get("tx_search", query=f"\"tx.hash='{tx_hash}'\"")
    assert (by_hash["total_count"], by_hash["txs"][0]["hash"]) == ("1", tx_hash)
    query = f"\"tx.height={answer['height']} AND message.action CONTAINS 'MsgSend'\""
    assert tx_hash in [item["hash"] for item in rpc.get("tx_search", query=query)["txs"]]
    results = rpc.get("block_results", height=answer["height"])["txs_results"]
    assert found["tx_result"] in results


def test_broadcast_sync_then_same_again(rpc: Rpc, devnet_node: DevnetNode) -> None:
    tx = base64.b64encode(devnet_node.build_send("faucet", "owner", 3)).decode()
    first = rpc.post("broadcast_tx_sync", tx=tx)["result"]
    assert (first["code"], first["log"]) == (0, "")
    again = rpc.post("broadcast_tx_sync", tx=tx)
    assert again["error"]["data"] == "tx already exists in cache"
    devnet_node.wait_for_height(devnet_node.get_height() + 2)


def test_check_tx_does_not_keep(rpc: Rpc, devnet_node: DevnetNode) -> None:
    tx = devnet_node.build_send("faucet", "owner", 4)
    checked = rpc.post("check_tx", tx=base64.b64encode(tx).decode())["result"]
    assert checked["code"] == 0
    devnet_node.wait_for_height(devnet_node.get_height() + 2)
    status, error = rpc.get_error("tx", hash=f"0x{hashlib.sha256(tx).hexdigest()}")
    assert (status, error["data"].endswith("not found")) == (500, True)
    send_tx(rpc, tx)


def test_refused_transaction_is_an_answer(rpc: Rpc) -> None:
    answer = rpc.get("broadcast_tx_sync", tx="0x00ff00")
    assert (answer["code"], answer["codespace"]) == (2, "sdk")
    assert int(rpc.get("num_unconfirmed_txs")["total"]) >= 0
    assert isinstance(rpc.get("unconfirmed_txs", limit="5")["txs"], list)


def test_abci_query_with_proof(rpc: Rpc, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(3)
    answer = rpc.get("abci_query", path='"/store/bank/key"', data="0x02", prove="true")
    response = answer["response"]
    assert response["code"] == 0
    assert response["proofOps"]["ops"]
    refused = rpc.get("abci_query", path='"/nowhere"')["response"]
    assert refused["code"] != 0
    assert refused["log"]


def test_block_search(rpc: Rpc, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(3)
    answer = rpc.get("block_search", query='"block.height >= 2 AND block.height <= 3"')
    assert [item["block"]["header"]["height"] for item in answer["blocks"]] == ["3", "2"]


def test_subscribe_to_blocks_and_transactions(
    rpc: Rpc, socket: ClientConnection, devnet_node: DevnetNode
) -> None:
    assert ask(socket, "subscribe", 7, query="tm.event='NewBlock'")["result"] == {}
    event = json.loads(socket.recv(timeout=30))
    assert event["id"] == 7
    assert event["result"]["query"] == "tm.event='NewBlock'"
    assert event["result"]["data"]["type"] == "tendermint/event/NewBlock"
    height = event["result"]["data"]["value"]["block"]["header"]["height"]
    following = json.loads(socket.recv(timeout=30))
    value = following["result"]["data"]["value"]
    assert int(value["block"]["header"]["height"]) == int(height) + 1
    tx = devnet_node.build_send("faucet", "owner", 21)
    tx_hash = hashlib.sha256(tx).hexdigest().upper()
    by_position = [f"tm.event='Tx' AND tx.hash='{tx_hash}'"]
    body = {"jsonrpc": "2.0", "id": 8, "method": "subscribe", "params": by_position}
    socket.send(json.dumps(body))
    assert receive(socket, 8)["result"] == {}
    send_tx(rpc, tx)
    message = receive(socket, 8)
    assert message["result"]["data"]["type"] == "tendermint/event/Tx"
    assert message["result"]["events"]["tx.hash"] == [tx_hash]
    assert base64.b64decode(message["result"]["data"]["value"]["TxResult"]["tx"]) == tx


def test_unsubscribe(socket: ClientConnection) -> None:
    query = "tm.event='Tx'"
    assert ask(socket, "subscribe", 1, query=query)["result"] == {}
    assert ask(socket, "subscribe", 2, query=query)["error"]["data"] == "already subscribed"
    assert ask(socket, "unsubscribe", 3, query=query)["result"] == {}
    assert ask(socket, "unsubscribe", 4, query=query)["error"]["code"] == -32603
    error = ask(socket, "subscribe", 5, query="nonsense")["error"]
    assert error["data"].startswith("failed to parse query: ")
    assert ask(socket, "status", 6)["result"]["node_info"]


def test_socket_survives_garbage(socket: ClientConnection) -> None:
    for message in ("{", "[]", "null", '{"id": {}}', b"\xff\xfe", "[" * 5000):
        socket.send(message)
        assert json.loads(socket.recv(timeout=30))["error"]["code"] == -32700
    assert ask(socket, "nope", 3)["error"]["code"] == -32601
    assert ask(socket, "health", 4)["result"] == {}


def test_http_survives_garbage(rpc: Rpc) -> None:
    for body in (b"{", b"\xff" * 100, b"[" * 100_000, b'{"id":1,"method":7}'):
        response = rpc.http.post(rpc.url, data=body, timeout=30)
        assert (response.status_code, response.json()["error"]["code"]) == (500, -32700)
    response = rpc.http.post(rpc.url, data=b"x" * 1_500_000, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"]["data"].endswith("request body too large")
    assert rpc.http.get(f"{rpc.url}/no/such/route", timeout=30).status_code == 404
    assert rpc.http.put(f"{rpc.url}/status", timeout=30).status_code == 405
    batch = [{"jsonrpc": "2.0", "id": i, "method": "health"} for i in range(11)]
    assert rpc.http.post(rpc.url, json=batch, timeout=30).status_code == 400
    assert "abci_query?path=_" in rpc.http.get(rpc.url, timeout=30).text
    for name, arguments in (
        ("tx", {"hash": "0xzz"}),
        ("tx", {"hash": "deadbeef"}),
        ("block", {"height": "one"}),
        ("tx_search", {"query": '"a OR b"'}),
        ("broadcast_tx_sync", {"tx": "0x0"}),
    ):
        status, error = rpc.get_error(name, **arguments)
        assert status == 500
        assert error["code"] in (-32602, -32603)
    assert rpc.get("health") == {}


def test_clients_that_leave_are_no_fault(devnet_node: DevnetNode) -> None:
    """Half a body and garbage, at each door over HTTP: the log says nothing of them."""
    log = devnet_node.home / "node.log"
    before = len(log.read_text())
    half = b"POST /cosmos/tx/v1beta1/simulate HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{"
    for port in (devnet_node.rpc_port, devnet_node.rest_port, devnet_node.substrate_port):
        for data in (half, half.replace(b"/cosmos/tx/v1beta1/simulate", b"/"), b"\x00\r\n\r\n"):
            with socket_library.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(data)
                time.sleep(0.1)
    time.sleep(0.5)
    said = log.read_text()[before:]
    assert "Traceback" not in said
    assert "Invalid HTTP" not in said


def test_rate_limit(devnet_node: DevnetNode) -> None:
    """A second door on the same home, with a limit: one call in a hundred seconds."""
    flags = ("--max-requests-per-second", "0.01")
    with (
        open_another_door("node.doors.rpc_door", devnet_node.home, *flags) as port,
        requests.Session() as http,
    ):
        http.trust_env = False
        answers = [http.get(f"http://127.0.0.1:{port}/health", timeout=30) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] + [429] * 7
        assert int(answers[-1].headers["retry-after"]) >= 1


def test_proof_hashes_are_rfc_6962() -> None:
    assert hash_leaf(b"").hex().startswith("6e340b9cffb37a98")
    assert hash_inner(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()
