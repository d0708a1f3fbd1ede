"""One node on the real CometBFT: doors, restarts, replay, the same blocks under both engines."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cosmos.base.tendermint.v1beta1 import query_pb2 as block_query
from cosmos.tx.v1beta1 import service_pb2
from cosmpy.aerial.client import LedgerClient, NetworkConfig
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.keypairs import PrivateKey

from genesis.devnet import get_account
from node.chain import CHAIN_ID
from node.doors.supervisor import GRPC_PORT
from node.engine.blockstore import BlockStore
from node.engine.hashing import hash_header
from node.operation import MONITOR_PORT
from tests.engine.comet.replay import list_pythons, replay, replay_elsewhere
from tests.support.comet_network import START_TIMEOUT_S, CometNetwork, needs_cometbft
from tests.support.monitors import ask_monitor, scrape
from tests.support.transfers import build_send

pytestmark = needs_cometbft


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    with CometNetwork(tmp_path_factory.mktemp("comet")) as network:
        network.start_all()
        network.wait_until_ready()
        yield network


def ask(network: CometNetwork, path: str, request: Any, response_class: Any) -> Any:
    """Ask the gRPC door one question, waiting for the door where it is just starting."""
    with grpc.insecure_channel(f"127.0.0.1:{network.get_port(GRPC_PORT)}") as channel:
        method = channel.unary_unary(
            path, lambda message: message.SerializeToString(), response_class.FromString
        )
        return method(request, timeout=START_TIMEOUT_S, wait_for_ready=True)


def send(network: CometNetwork, amount: int, *, ahead: int = 0) -> tuple[bytes, Any]:
    """Send from the faucet to the owner through the gRPC door; returns bytes and answer."""
    tx = build_send(
        lambda *question: ask(network, *question), "faucet", "owner", amount, ahead=ahead
    )
    request = service_pb2.BroadcastTxRequest(tx_bytes=tx, mode=service_pb2.BROADCAST_MODE_SYNC)
    path = "/cosmos.tx.v1beta1.Service/BroadcastTx"
    return tx, ask(network, path, request, service_pb2.BroadcastTxResponse).tx_response


def wait_for_tx(network: CometNetwork, tx_hash: str) -> Any:
    """Wait until the gRPC door knows a transaction."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return ask(
                network,
                "/cosmos.tx.v1beta1.Service/GetTx",
                service_pb2.GetTxRequest(hash=tx_hash),
                service_pb2.GetTxResponse,
            ).tx_response
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_transfer_through_the_door(network: CometNetwork) -> None:
    _, answer = send(network, 5)
    assert answer.code == 0, answer.raw_log
    found = wait_for_tx(network, answer.txhash)
    assert found.code == 0
    # CometBFT's own index knows it too, a moment later, with the same result.
    query = f"tx.hash='{answer.txhash}'"
    network.wait_until(lambda: network.call("tx_search", query=query)["txs"])
    theirs = network.call("tx_search", query=query)["txs"]
    assert [int(item["height"]) for item in theirs] == [found.height]
    assert int(theirs[0]["tx_result"]["gas_used"]) == found.gas_used
    _, refused = send(network, 5, ahead=3)
    assert (refused.code, refused.codespace) == (32, "sdk")


def test_same_transaction_twice(network: CometNetwork) -> None:
    tx, answer = send(network, 6)
    assert answer.code == 0
    request = service_pb2.BroadcastTxRequest(tx_bytes=tx, mode=service_pb2.BROADCAST_MODE_SYNC)
    path = "/cosmos.tx.v1beta1.Service/BroadcastTx"
    again = ask(network, path, request, service_pb2.BroadcastTxResponse).tx_response
    assert (again.code, again.codespace) == (19, "sdk")
    wait_for_tx(network, answer.txhash)


def test_cosmpy(network: CometNetwork) -> None:
    config = NetworkConfig(
        chain_id=CHAIN_ID,
        url=f"grpc+http://127.0.0.1:{network.get_port(GRPC_PORT)}",
        fee_minimum_gas_price=1,
        fee_denomination="udsc",
        staking_denomination="udsc",
    )
    client = LedgerClient(config)
    wallet = LocalWallet(PrivateKey(get_account("owner").secret), prefix="descent")
    receiver = get_account("miner-30").address
    before = client.query_bank_balance(receiver, "udsc")
    client.send_tokens(receiver, 77, "udsc", wallet).wait_to_complete(timeout=60, poll_period=0.2)
    assert client.query_bank_balance(receiver, "udsc") == before + 77


def test_mirror_is_what_cometbft_has(network: CometNetwork) -> None:

    def get_latest() -> int:
        answer = ask(
            network,
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock",
            block_query.GetLatestBlockRequest(),
            block_query.GetLatestBlockResponse,
        )
        return int(answer.block.header.height)

    network.wait_until(lambda: get_latest() >= 5)  # the mirror runs behind CometBFT
    with BlockStore.open(network.homes[0] / "data" / "blocks", readonly=True) as blocks:
        for height in range(1, 6):
            block, block_id = blocks.load_block(height), blocks.load_block_id(height)
            assert hash_header(block.header) == block_id.hash
            theirs = network.call("block", height=str(height))
            assert theirs["block_id"]["hash"].lower() == block_id.hash.hex()
            assert len(theirs["block"]["data"]["txs"]) == len(block.data.txs)
            assert blocks.load_commit(height).block_id == block_id
            assert block.header.validators_hash.hex() == (
                theirs["block"]["header"]["validators_hash"].lower()
            )
        assert get_latest() >= 5


def test_every_block_has_a_reveal(network: CometNetwork) -> None:
    """The vote extension of a block is the first transaction of the next."""
    network.wait_for_height(5)  # a block is stored a moment before its results are
    for height in (2, 3, 4):
        results = network.call("block_results", height=str(height))
        drawn = [e for e in results["finalize_block_events"] if e["type"] == "beacon_drawn"]
        found = {a["key"]: a["value"] for a in drawn[0]["attributes"]}
        assert found["num_reveals"] == "1"


def test_monitor(network: CometNetwork) -> None:
    port = network.get_port(MONITOR_PORT)
    network.wait_until(lambda: ask_monitor(port, "/readyz") == (200, "ok\n"))
    found = scrape(port)
    assert found["descent_engine_up"][()] == found["descent_node_is_decider"][()] == 1
    assert found["descent_node_app_lag_blocks"][()] <= 1
    assert found["descent_node_peers"][()] == found["descent_node_catching_up"][()] == 0
    assert found["descent_node_height"][()] > 0
    assert set(found["descent_door_up"]) == {("grpc",), ("rest",), ("substrate",)}
    assert found["descent_node_block_step_seconds_count"]["process",] > 0


@pytest.mark.parametrize("only_engine", [False, True])
def test_kill_and_go_on(network: CometNetwork, only_engine: bool) -> None:
    height = network.get_height()
    network.kill(only_engine=only_engine)
    network.start()
    network.wait_for_height(height + 3)
    _, answer = send(network, 7)
    assert answer.code == 0, f"{answer}\n{network.read_logs()}"
    assert wait_for_tx(network, answer.txhash).code == 0


@pytest.mark.parametrize("behind", [1, 5, None])
def test_replay_when_the_state_is_behind(
    network: CometNetwork, behind: int | None, tmp_path: Path
) -> None:
    """The handshake brings the application up from any height; None is an empty state."""
    network.wait_for_height(8)
    assert network.stop() == 0
    home = network.homes[0]
    with BlockStore.open(home / "data" / "blocks", readonly=True) as blocks:
        top = blocks.height
    hashes: dict[int, str] = {}
    shutil.move(home / "data" / "state", tmp_path / "old")
    if behind is not None:
        hashes = replay(home, tmp_path / "copy", top - behind)
        assert max(hashes) == top - behind
        shutil.move(tmp_path / "copy" / "data" / "state", home / "data" / "state")
    network.start()
    network.wait_for_height(top + 2)
    for height, app_hash in hashes.items():
        assert network.get_app_hash(height) == app_hash


def test_mirror_is_filled_again(network: CometNetwork) -> None:
    network.wait_for_height(5)
    assert network.stop() == 0
    shutil.rmtree(network.homes[0] / "data" / "blocks")
    network.start()
    network.wait_for_height(8)
    top = network.get_height()
    folder = network.homes[0] / "data" / "blocks"

    def is_filled() -> bool:
        with BlockStore.open(folder, readonly=True) as blocks:
            return blocks.base == 1 and blocks.height >= top

    network.wait_until(is_filled)


def test_app_hashes_under_both_engines_and_hash_seeds(
    network: CometNetwork, tmp_path: Path
) -> None:
    """Every block once more under the embedded engine, in processes with other hash seeds.

    And by other versions of Python, where $DESCENT_PYTHONS names some.
    """
    _, answer = send(network, 9)
    top = int(wait_for_tx(network, answer.txhash).height)
    network.wait_for_height(top + 1)
    expected = {height: network.get_app_hash(height) for height in range(1, top + 1)}
    assert network.stop() == 0
    ways = [
        (sys.executable, "1"),
        (sys.executable, "77"),
        *((path, "5") for path in list_pythons()),
    ]
    for number, (python, seed) in enumerate(ways):
        found = replay_elsewhere(network.homes[0], tmp_path / str(number), python, seed)
        assert {height: found[height] for height in expected} == expected
    network.start()
    network.wait_for_height(top + 2)
