"""The REST door of a real node: twins, heights, refusals, transactions, the page."""

import base64
import json
from typing import Any

import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_query

from node.chain import build_chain
from tests.support.devnet_node import DevnetNode
from tests.support.rest_client import Rest

HEIGHT = "x-cosmos-block-height"
NOT_IN_REST = {"descent.node.v1.Service"}  # its questions are bytes of other methods


def test_every_method_has_a_twin(rest: Rest) -> None:
    described = rest.get("/openapi.json")
    twins = {
        f"{operation['tags'][0]}/{operation['operationId'].split('_')[1]}"
        for path in described["paths"].values()
        for operation in path.values()
    }
    answered = {path[1:] for path in build_chain().runtime.queries}
    assert answered <= twins
    assert {"cosmos.tx.v1beta1.Service/Simulate"} < twins - answered
    assert not {twin.partition("/")[0] for twin in twins} & NOT_IN_REST


def test_every_get_without_fields_answers(rest: Rest) -> None:
    paths = rest.get("/openapi.json")["paths"]
    plain = [path for path, item in paths.items() if "get" in item and "{" not in path]
    assert len(plain) > 25
    for path in plain:
        response = rest.ask(path)
        assert response.status_code in (200, 400, 404), (path, response.text)
        assert response.headers["content-type"] == "application/json"


def test_openapi_is_consistent(rest: Rest) -> None:
    document = rest.get("/openapi.json")
    names = document["components"]["schemas"]
    text = json.dumps(document)
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(names)
    operations = [o for item in document["paths"].values() for o in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for path, item in document["paths"].items():
        for operation in item.values():
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_the_same_answer_as_by_grpc(rest: Rest, devnet_node: DevnetNode) -> None:
    address = devnet_node.get_address("owner")
    answer = rest.ask(f"/cosmos/bank/v1beta1/balances/{address}")
    by_rest = answer.json()
    by_grpc = devnet_node.ask(
        "/cosmos.bank.v1beta1.Query/AllBalances",
        bank_query.QueryAllBalancesRequest(address=address),
        bank_query.QueryAllBalancesResponse,
        height=int(answer.headers[HEIGHT]),
    )
    assert by_rest["balances"] == [{"denom": "udsc", "amount": by_grpc.balances[0].amount}]
    assert by_rest["pagination"]["next_key"] is None


def test_pages(rest: Rest) -> None:
    path = "/cosmos/staking/v1beta1/validators"
    whole = rest.get(path, **{"pagination.count_total": "true"})
    assert int(whole["pagination"]["total"]) == len(whole["validators"]) > 3
    found: list[Any] = []
    key = ""
    while key is not None:
        page = rest.get(path, **{"pagination.limit": "2", "pagination.key": key})
        found += page["validators"]
        key = page["pagination"]["next_key"]
    assert found == whole["validators"]
    assert rest.get(path, **{"pagination.limit": "1", "pagination.offset": "1"})["validators"] == [
        found[1]
    ]
    backwards = rest.get(path, **{"pagination.reverse": "true"})["validators"]
    assert backwards == found[::-1]


def test_height(rest: Rest, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(4)
    path = "/descent/mint/v1/emission"
    old = rest.ask(path, headers={HEIGHT: "1"})
    assert old.headers[HEIGHT] == "1"
    assert int(rest.ask(path).headers[HEIGHT]) >= 4
    devnet_node.wait_until(lambda: rest.get(path) != old.json(), 30.0)
    assert rest.ask(path, headers={HEIGHT: "1"}).json() == old.json()
    for height in ("x", "99999999", "-1"):
        assert rest.refused(path, headers={HEIGHT: height})[:2] == (400, 3)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nothing", 501, 12),
        ("/cosmos/nft/v1beta1/nfts", 501, 12),
        ("/cosmos/bank/v1beta1/balances/nobody", 400, 3),
        ("/cosmos/bank/v1beta1/balances/%ff", 400, 3),
        ("/cosmos/staking/v1beta1/validators?pagination.limit=x", 400, 3),
        ("/cosmos/staking/v1beta1/validators?pagination.key=***", 400, 3),
        ("/cosmos/bank/v1beta1/denoms_metadata/" + "a" * 5_000, 404, 5),
        ("/cosmos/gov/v1/proposals/99", 404, 5),
        ("/cosmos/gov/v1/proposals/-1", 400, 3),
        ("/cosmos/tx/v1beta1/txs/" + "AB" * 32, 404, 5),
        ("/cosmos/tx/v1beta1/txs/xyz", 400, 3),
        ("/cosmos/tx/v1beta1/txs", 400, 3),
        ("/cosmos/tx/v1beta1/txs?query=%3D", 400, 3),
        ("/cosmos/base/tendermint/v1beta1/blocks/99999999", 400, 3),
        ("/descent/runs/v1/runs/77", 404, 5),
    ],
)
def test_refusals(rest: Rest, path: str, status: int, code: int) -> None:
    assert rest.refused(path)[:2] == (status, code)


def test_wrong_method(rest: Rest) -> None:
    assert rest.refused("/cosmos/bank/v1beta1/params", "POST")[:2] == (405, 12)
    assert rest.refused("/cosmos/tx/v1beta1/simulate")[:2] == (405, 12)
    assert rest.ask("/cosmos/bank/v1beta1/params", "POST").headers["allow"] == "GET"
    assert rest.ask("/cosmos/bank/v1beta1/params", "HEAD").text == ""


@pytest.mark.parametrize(
    "body", ["{", "[]", "null", '{"x":1}', '{"tx_bytes":5}', "\xff", "[" * 5000]
)
def test_invalid_bodies(rest: Rest, body: str) -> None:
    status, code, _ = rest.refused(
        "/cosmos/tx/v1beta1/simulate", "POST", data=body.encode("latin-1")
    )
    assert (status, code) == (400, 3)


def test_large_body(rest: Rest) -> None:
    body = b'{"tx_bytes":"' + b"A" * 1_100_000 + b'"}'
    assert rest.refused("/cosmos/tx/v1beta1/txs", "POST", data=body)[0] == 413


def test_transaction(rest: Rest, devnet_node: DevnetNode) -> None:
    receiver = devnet_node.get_address("miner-4")
    tx = devnet_node.build_send("faucet", receiver, 12_345)
    encoded = {"tx_bytes": base64.b64encode(tx).decode()}
    simulated = rest.post("/cosmos/tx/v1beta1/simulate", encoded)
    assert int(simulated["gas_info"]["gas_used"]) > 0
    decoded = rest.post("/cosmos/tx/v1beta1/decode", encoded)["tx"]
    assert decoded["body"]["messages"][0]["amount"] == [{"denom": "udsc", "amount": "12345"}]
    assert rest.post("/cosmos/tx/v1beta1/encode", {"tx": decoded}) == encoded
    assert rest.post("/cosmos/tx/v1beta1/simulate", {"tx": decoded})["result"]["events"]
    tx_hash = rest.broadcast(tx)
    found = rest.get(f"/cosmos/tx/v1beta1/txs/{tx_hash}")
    assert found["tx"] == decoded
    assert found["tx_response"]["tx"] == {"@type": "/cosmos.tx.v1beta1.Tx", **decoded}
    assert found["tx_response"]["code"] == 0
    height = found["tx_response"]["height"]
    block = rest.get(f"/cosmos/tx/v1beta1/txs/block/{height}")
    assert decoded in block["txs"]
    bad = {"tx_bytes": "AAAA", "mode": "BROADCAST_MODE_SYNC"}
    refused = rest.post("/cosmos/tx/v1beta1/txs", bad)["tx_response"]
    assert (refused["codespace"], refused["code"]) == ("sdk", 2)
    failed = devnet_node.build_send("miner-5", receiver, 10**18)
    document = {"tx_bytes": base64.b64encode(failed).decode()}
    status, code, text = rest.refused("/cosmos/tx/v1beta1/simulate", "POST", json=document)
    assert (status, code) == (500, 2)
    assert "insufficient" in text


def test_search_by_events(rest: Rest, devnet_node: DevnetNode) -> None:
    receiver = devnet_node.get_address("miner-3")
    hashes = []
    for amount in (1, 2, 3):
        hashes.append(rest.broadcast(devnet_node.build_send("faucet", receiver, amount)))
    query = f"transfer.recipient='{receiver}'"
    path = "/cosmos/tx/v1beta1/txs"

    def search(**params: Any) -> list[str]:
        answer = rest.get(path, **params)
        assert len(answer["txs"]) == len(answer["tx_responses"])
        assert answer["total"] == "3"
        return [item["txhash"] for item in answer["tx_responses"]]

    assert search(query=query) == hashes
    assert search(events=query) == hashes
    assert search(events=[query, "message.action='/cosmos.bank.v1beta1.MsgSend'"]) == hashes
    assert search(query=query, order_by="ORDER_BY_DESC") == hashes[::-1]
    assert search(query=query, order_by="2", limit="2") == hashes[:0:-1]
    assert search(query=query, limit="2", page="2") == hashes[2:]
    assert search(query=query, **{"pagination.limit": "1", "pagination.offset": "1"}) == [hashes[1]]
    assert rest.get(path, query="tx.height>0 AND transfer.recipient='x'")["txs"] == []
    first = rest.get(f"{path}/{hashes[0]}")["tx_response"]["height"]
    every = rest.get(path, query=f"tx.height>={first}", limit="100")
    assert int(every["total"]) == len(every["txs"]) >= 3


def test_page(rest: Rest) -> None:
    page = rest.ask("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "/cosmos/bank/v1beta1/balances/{address}" in page.text
    assert "style=" not in page.text
    for asset, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript")):
        answer = rest.ask(asset)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_cors_unless_asked_for(rest: Rest) -> None:
    answer = rest.ask("/cosmos/bank/v1beta1/params", headers={"origin": "http://example.com"})
    assert "access-control-allow-origin" not in answer.headers
