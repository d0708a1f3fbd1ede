"""Questions about one height, and calls the gRPC door holds until there is news."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmos.bank.v1beta1 import tx_pb2

from chain_client.client import ChainClient
from chain_client.keys import Key
from node.runtime.coins import build_coin
from proto.descent.node.v1 import node_pb2
from tests.support.devnet_node import DevnetNode, get_secret

WATCH = "/descent.node.v1.Service/Watch"
BALANCE = "/cosmos.bank.v1beta1.Query/Balance"
HEIGHT = "x-cosmos-block-height"


@pytest.fixture
def watch(devnet_node: DevnetNode) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{devnet_node.grpc_port}") as channel:
        yield channel.unary_unary(
            WATCH, lambda m: m.SerializeToString(), node_pb2.WatchResponse.FromString
        )


def ask_balance(node: DevnetNode, name: str) -> node_pb2.Question:
    request = bank_query.QueryBalanceRequest(address=node.get_address(name), denom="udsc")
    return node_pb2.Question(method=BALANCE, request=request.SerializeToString())


def test_answers_of_one_height(devnet_node: DevnetNode, watch: Any) -> None:
    questions = [
        ask_balance(devnet_node, "faucet"),
        node_pb2.Question(method="/descent.runs.v1.Query/Run", request=b"\x08\x63"),
        node_pb2.Question(method="/descent.runs.v1.Query/Nothing"),
        node_pb2.Question(method=BALANCE, request=b"\xff"),
    ]
    found = watch(node_pb2.WatchRequest(questions=questions), timeout=20)
    statuses = [answer.status for answer in found.answers]
    assert statuses == ["", "NOT_FOUND", "UNIMPLEMENTED", "INVALID_ARGUMENT"]
    balance = bank_query.QueryBalanceResponse.FromString(found.answers[0].response).balance
    assert int(balance.amount) > 0
    again = watch(
        node_pb2.WatchRequest(questions=questions),
        metadata=((HEIGHT, str(found.height)),),
        timeout=20,
    )
    assert again == found


def test_waits_for_a_height(watch: Any) -> None:
    height = watch(node_pb2.WatchRequest(), timeout=20).height
    found = watch(node_pb2.WatchRequest(wait_ms=9000, above_height=height + 2), timeout=20)
    assert found.height >= height + 3
    started = time.monotonic()
    late = watch(node_pb2.WatchRequest(wait_ms=300, above_height=10**9), timeout=20)
    assert 0.25 < time.monotonic() - started < 3.0
    assert late.height > height


def test_waits_for_other_answers(devnet_node: DevnetNode, watch: Any) -> None:
    questions = [node_pb2.Question(method="/descent.runs.v1.Query/Run", request=b"\x08\x63")]
    first = watch(node_pb2.WatchRequest(questions=questions), timeout=20)
    devnet_node.wait_for_height(first.height + 1)
    unchanged = watch(
        node_pb2.WatchRequest(
            wait_ms=700, above_height=first.height, known_digest=first.digest, questions=questions
        ),
        timeout=20,
    )
    assert unchanged.digest == first.digest
    assert unchanged.height > first.height


@pytest.mark.parametrize("questions", [[WATCH], [BALANCE] * 65], ids=["one that waits", "too many"])
def test_invalid_questions(watch: Any, questions: list[str]) -> None:
    request = node_pb2.WatchRequest(questions=[node_pb2.Question(method=q) for q in questions])
    with pytest.raises(grpc.RpcError) as caught:
        watch(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_client_follows_changes(devnet_node: DevnetNode) -> None:
    """Many heights pass; the follower is told of the one that changed what it asks."""
    receiver = devnet_node.get_address("validator-0")
    async with ChainClient.connect(f"127.0.0.1:{devnet_node.grpc_port}") as client:
        found = client.follow(lambda reads: [reads.get_balance(receiver)], only_changes=True)
        before = await anext(found)
        following = asyncio.ensure_future(anext(found))
        await client.wait_height(before.height + 2)
        assert not following.done()
        message = tx_pb2.MsgSend(
            from_address=devnet_node.get_address("owner"),
            to_address=receiver,
            amount=[build_coin("udsc", 7)],
        )
        result = await client.submit(Key("owner", get_secret("owner")), [message])
        after = await asyncio.wait_for(following, 20)
        assert after.answers[0] == before.answers[0] + 7
        assert after.height >= result.height  # it is told of the newest block by then


async def test_client_looks_at_more_than_one_call_holds(devnet_node: DevnetNode) -> None:
    address = devnet_node.get_address("faucet")
    async with ChainClient.connect(f"127.0.0.1:{devnet_node.grpc_port}") as client:
        look = await client.look(
            lambda reads: [reads.get_run(99), *(reads.get_balance(address) for _ in range(100))]
        )
        assert look.answers[0] is None
        assert len(set(look.answers[1:])) == 1
    async with ChainClient.connect(
        f"127.0.0.1:{devnet_node.grpc_port}", at_height=look.height
    ) as client:
        assert look.answers[1] == await client.get_balance(address)
