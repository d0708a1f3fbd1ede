"""The gRPC door beyond cosmpy: reflection, health, heights, refusals, sizes, garbage."""

import random
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmos.base.node.v1beta1 import query_pb2 as node_query
from cosmos.base.reflection.v1beta1 import reflection_pb2 as sdk_reflection
from cosmos.base.tendermint.v1beta1 import query_pb2 as comet_query
from cosmos.distribution.v1beta1 import query_pb2 as distribution_query
from cosmos.tx.v1beta1 import service_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from genesis.devnet import get_account
from tests.support.devnet_node import DevnetNode, open_another_door

HEIGHT = "x-cosmos-block-height"


class Caller:
    """Calls methods by path; keeps the headers of the last answer."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.headers: dict[str, Any] = {}

    def call(self, path: str, request: Any, response_class: Any, height: int = 0) -> Any:
        method = self.channel.unary_unary(path, lambda m: m.SerializeToString(), None)
        metadata = ((HEIGHT, str(height)),) if height else None
        raw, call = method.with_call(request, metadata=metadata, timeout=30)
        self.headers = dict(call.initial_metadata())
        return response_class.FromString(raw)

    def refused(self, path: str, raw: bytes, metadata: Any = None) -> tuple[Any, str]:
        method = self.channel.unary_unary(path, None, None)
        with pytest.raises(grpc.RpcError) as caught:
            method(raw, metadata=metadata, timeout=30)
        return caught.value.code(), caught.value.details()


@pytest.fixture
def caller(devnet_node: DevnetNode) -> Iterator[Caller]:
    with grpc.insecure_channel(f"127.0.0.1:{devnet_node.grpc_port}") as channel:
        yield Caller(channel)


def query_balance(caller: Caller, address: str, height: int = 0) -> int:
    response = caller.call(
        "/cosmos.bank.v1beta1.Query/Balance",
        bank_query.QueryBalanceRequest(address=address, denom="udsc"),
        bank_query.QueryBalanceResponse,
        height,
    )
    return int(response.balance.amount)


def test_reflection_finds_every_service_and_message(caller: Caller) -> None:
    database = ProtoReflectionDescriptorDatabase(caller.channel)
    services = set(database.get_services())
    assert {
        "cosmos.bank.v1beta1.Query",
        "cosmos.staking.v1beta1.Query",
        "cosmos.tx.v1beta1.Service",
        "grpc.health.v1.Health",
    } <= services
    pool = DescriptorPool(database)
    for name in services:
        for method in pool.FindServiceByName(name).methods:
            assert pool.FindMessageTypeByName(method.input_type.full_name)


@pytest.mark.parametrize("package", ["grpc.reflection.v1", "grpc.reflection.v1alpha"])
def test_reflection_as_grpcurl_asks(caller: Caller, package: str) -> None:
    """List, then describe a service and the file it is in, under either name of reflection."""
    method = caller.channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    symbols = ("cosmos.bank.v1beta1.Query", f"{package}.ServerReflection", "no.such.Symbol")
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    requests += [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols
    ]
    listed, bank, itself, nothing = method(iter(requests), timeout=30)
    names = {service.name for service in listed.list_services_response.service}
    assert {"cosmos.bank.v1beta1.Query", f"{package}.ServerReflection"} <= names
    for answer, name in ((bank, "cosmos.bank.v1beta1"), (itself, package)):
        files = [
            FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert name in {file.package for file in files}
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_health(caller: Caller) -> None:
    stub = health_pb2_grpc.HealthStub(caller.channel)
    for name in ("", "cosmos.tx.v1beta1.Service"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_height_both_ways(caller: Caller, devnet_node: DevnetNode) -> None:
    faucet = devnet_node.get_address("faucet")
    devnet_node.wait_for_height(3)
    first = query_balance(caller, faucet, height=1)
    assert caller.headers[HEIGHT] == "1"
    assert query_balance(caller, faucet) <= first
    assert int(caller.headers[HEIGHT]) >= 3


@pytest.mark.parametrize("height", ["-1", "1.5", "x", "9" * 30, "9999999"])
def test_invalid_height(caller: Caller, devnet_node: DevnetNode, height: str) -> None:
    request = bank_query.QueryTotalSupplyRequest().SerializeToString()
    path = "/cosmos.bank.v1beta1.Query/TotalSupply"
    code, text = caller.refused(path, request, ((HEIGHT, height),))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "height" in text


def test_get_tx_refusals(caller: Caller) -> None:
    path = "/cosmos.tx.v1beta1.Service/GetTx"
    missing = "AB" * 32
    request = service_pb2.GetTxRequest(hash=missing).SerializeToString()
    assert caller.refused(path, request) == (
        grpc.StatusCode.NOT_FOUND,
        f"tx not found: {missing}",
    )
    request = service_pb2.GetTxRequest(hash="not hex").SerializeToString()
    assert caller.refused(path, request)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert caller.refused(path, b"")[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_broadcast_refusals(caller: Caller) -> None:
    path = "/cosmos.tx.v1beta1.Service/BroadcastTx"
    assert caller.refused(path, b"")[0] is grpc.StatusCode.INVALID_ARGUMENT
    for mode in (0, 1, 77, -5):
        request = service_pb2.BroadcastTxRequest(tx_bytes=b"x", mode=mode)
        code, text = caller.refused(path, request.SerializeToString())
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "unsupported return type" in text
    answer = caller.call(
        path,
        service_pb2.BroadcastTxRequest(tx_bytes=b"\x00garbage", mode=2),
        service_pb2.BroadcastTxResponse,
    )
    assert (answer.tx_response.codespace, answer.tx_response.code) == ("sdk", 2)
    assert len(answer.tx_response.txhash) == 64


def test_simulate_empty(caller: Caller) -> None:
    path = "/cosmos.tx.v1beta1.Service/Simulate"
    code, text = caller.refused(path, b"")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "empty txBytes is not allowed"


def test_unknown_services_and_methods(caller: Caller) -> None:
    for path in (
        "/cosmos.nft.v1beta1.Query/NFTs",
        "/cosmwasm.wasm.v1.Query/Codes",
        "/cosmos.bank.v1beta1.Query/Nothing",
        "/cosmos.staking.v1beta1.Query/HistoricalInfo",
    ):
        assert caller.refused(path, b"")[0] is grpc.StatusCode.UNIMPLEMENTED


def test_rewards_of_nobody(caller: Caller) -> None:
    path = "/cosmos.distribution.v1beta1.Query/DelegationTotalRewards"
    request = distribution_query.QueryDelegationTotalRewardsRequest(
        delegator_address=get_account("miner-5").address
    )
    answer = caller.call(path, request, distribution_query.QueryDelegationTotalRewardsResponse)
    assert not answer.rewards
    assert caller.refused(path, b"") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Address cannot be empty",
    )


def test_node_services(caller: Caller, devnet_node: DevnetNode) -> None:
    head = "/cosmos.base.tendermint.v1beta1.Service/"
    info = caller.call(
        head + "GetNodeInfo",
        comet_query.GetNodeInfoRequest(),
        comet_query.GetNodeInfoResponse,
    )
    assert info.default_node_info.network == devnet_node.chain_id
    syncing = caller.call(
        head + "GetSyncing", comet_query.GetSyncingRequest(), comet_query.GetSyncingResponse
    )
    assert not syncing.syncing
    validators = caller.call(
        head + "GetLatestValidatorSet",
        comet_query.GetLatestValidatorSetRequest(),
        comet_query.GetLatestValidatorSetResponse,
    )
    assert validators.pagination.total == len(validators.validators) >= 1
    assert validators.validators[0].address.startswith("descentvalcons1")
    status = caller.call(
        "/cosmos.base.node.v1beta1.Service/Status",
        node_query.StatusRequest(),
        node_query.StatusResponse,
    )
    assert status.height > 0
    assert len(status.app_hash) == 32
    config = caller.call(
        "/cosmos.base.node.v1beta1.Service/Config",
        node_query.ConfigRequest(),
        node_query.ConfigResponse,
    )
    assert config.minimum_gas_price.endswith("udsc")


def test_message_types(caller: Caller) -> None:
    answer = caller.call(
        "/cosmos.base.reflection.v1beta1.ReflectionService/ListImplementations",
        sdk_reflection.ListImplementationsRequest(interface_name="cosmos.base.v1beta1.Msg"),
        sdk_reflection.ListImplementationsResponse,
    )
    assert "/cosmos.bank.v1beta1.MsgSend" in answer.implementation_message_names


def test_abci_query_with_proof(caller: Caller, devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(2)
    answer = caller.call(
        "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery",
        comet_query.ABCIQueryRequest(path="/store/bank/key", data=b"\x02", prove=True),
        comet_query.ABCIQueryResponse,
    )
    assert answer.code == 0
    assert answer.proof_ops.ops


def test_oversize_request(caller: Caller) -> None:
    code, _ = caller.refused("/cosmos.tx.v1beta1.Service/BroadcastTx", b"\x0a" * (5 * 2**20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_garbage_requests_never_stop_the_door(caller: Caller) -> None:
    database = ProtoReflectionDescriptorDatabase(caller.channel)
    pool = DescriptorPool(database)
    source = random.Random(1)
    allowed = {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNIMPLEMENTED,
    }
    for name in sorted(database.get_services()):
        if not name.startswith(("cosmos.", "descent.")):
            continue
        for method in pool.FindServiceByName(name).methods:
            for raw in (b"", b"\xff" * 9, source.randbytes(40), b"\x0a\x03abc\x12\x02xy\x18\x05"):
                sent = caller.channel.unary_unary(f"/{name}/{method.name}", None, None).future(
                    raw, timeout=30
                )
                assert sent.code() in allowed, (name, method.name, raw, sent.details())
    answer = caller.call(
        "/cosmos.auth.v1beta1.Query/Params",
        auth_query.QueryParamsRequest(),
        auth_query.QueryParamsResponse,
    )
    assert answer.params.max_memo_characters > 0


def test_a_door_with_a_limit(devnet_node: DevnetNode) -> None:
    """A second door on the same home: too many calls are refused, others are answered later."""
    flags = ("--max-requests-per-second", "5")
    with (
        open_another_door("node.doors.grpc_door", devnet_node.home, *flags) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(40)
        ask = channel.unary_unary("/cosmos.bank.v1beta1.Query/Params", None, None)
        calls = [ask.future(b"", timeout=30) for _ in range(40)]
        refusals = [(call.code(), call.details()) for call in calls if call.exception()]
        assert 10 <= len(refusals) <= 30  # a burst of two seconds' calls, and what the time allows
        expected = "more than 5 requests a second: try again in 1 s"
        assert set(refusals) == {(grpc.StatusCode.RESOURCE_EXHAUSTED, expected)}
        time.sleep(1)
        ask(b"", timeout=30)
