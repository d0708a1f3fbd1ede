"""Wallets, explorers and curl against CometBFT: the same calls as against the embedded engine."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from genesis.devnet import get_account
from node.doors.supervisor import GRPC_PORT, REST_PORT, RPC_PORT
from tests.support.comet_network import CometNetwork, needs_cometbft
from tests.support.cosmjs import check_wallet, run_client
from tests.support.devnet_node import DevnetNode
from tests.support.rest_client import Rest
from tests.support.rpc_calls import PlainRpc, ask_everything, get_shape, list_differences
from tests.support.transfers import build_send

pytestmark = needs_cometbft

NEWER = "consensus_params.authority: only one has it"
"""CometBFT 0.39 shows an empty member that the protobuf messages of 0.38 do not have."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    with CometNetwork(tmp_path_factory.mktemp("comet")) as network:
        network.start_all()
        network.wait_until_ready()
        yield network


def ask(port: int, path: str, request: Any, response_class: Any) -> Any:
    """Ask a gRPC door one question."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(
            path, lambda message: message.SerializeToString(), response_class.FromString
        )
        return method(request, timeout=30, wait_for_ready=True)


def ask_engine(grpc_port: int, rpc_port: int) -> dict[str, tuple[int, Any]]:
    """Make every call at one engine."""

    def build(ahead: int) -> bytes:
        return build_send(
            lambda *question: ask(grpc_port, *question), "faucet", "miner-9", 7, ahead=ahead
        )

    return ask_everything(PlainRpc(rpc_port), build(0), build(1))


def test_curl(network: CometNetwork, devnet_node: DevnetNode) -> None:
    network.wait_for_height(4)
    devnet_node.wait_for_height(4)
    ours = ask_engine(devnet_node.grpc_port, devnet_node.rpc_port)
    theirs = ask_engine(network.get_port(GRPC_PORT), network.get_port(RPC_PORT))
    differences = [
        f"{call}: status {ours[call][0]} and {theirs[call][0]}"
        for call in ours
        if ours[call][0] != theirs[call][0]
    ]
    for call in ours:
        found = list_differences(get_shape(ours[call][1]), get_shape(theirs[call][1]))
        differences += [f"{call}: {text}" for text in found if not text.endswith(NEWER)]
    assert not differences, "\n".join(differences)


def test_rest(network: CometNetwork) -> None:
    rest = Rest(network.get_port(REST_PORT))
    info = rest.get("/cosmos/base/tendermint/v1beta1/node_info")
    assert info["default_node_info"]["version"] == "0.39.4"
    latest = int(
        rest.get("/cosmos/base/tendermint/v1beta1/blocks/latest")["block"]["header"]["height"]
    )
    block = rest.get("/cosmos/base/tendermint/v1beta1/blocks/2")
    assert block["block_id"]["hash"]
    assert latest >= 2
    receiver = get_account("miner-8").address
    tx = build_send(
        lambda *question: ask(network.get_port(GRPC_PORT), *question), "owner", receiver, 9
    )
    tx_hash = rest.broadcast(tx)
    query = f"transfer.recipient='{receiver}'"
    found = rest.get("/cosmos/tx/v1beta1/txs", query=query)
    assert [item["txhash"] for item in found["tx_responses"]] == [tx_hash]


def test_cosmjs(network: CometNetwork) -> None:
    receiver = get_account("miner-7").address
    seen = run_client(network.get_port(RPC_PORT), "owner", receiver, "short")
    check_wallet(seen, get_account("owner").address)
