"""The clients' suites again beside the real CometBFT, where blocks, events and finality differ."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from coincurve import PrivateKey
from substrateinterface import Keypair, SubstrateInterface

from node.chain import CHAIN_ID
from node.doors.supervisor import GRPC_PORT, RPC_PORT, SUBSTRATE_PORT
from node.runtime.addresses import compute_account_address
from node.runtime.substrate.accounts import compute_account_id
from tests.doors.substrate.conftest import sign_ecdsa
from tests.doors.substrate.test_substrate_async import client, test_error, test_runtime_calls
from tests.doors.substrate.test_substrate_async import test_transfer as test_transfer_async
from tests.doors.substrate.test_substrate_interface import (
    test_batch,
    test_blocks,
    test_connect,
    test_errors_are_the_documented_texts,
    test_events_of_pallets_by_name,
    test_header_subscription,
    test_nonce_counts_what_waits,
    test_over_http,
    test_query_map_in_pages,
    test_state_of_a_past_block,
    test_storage_subscription,
    test_transfer,
)
from tests.doors.substrate.test_substrate_own_client import test_same_answers
from tests.doors.substrate.test_substrate_polkadot import (
    seen,
    test_blocks_and_events,
    test_chain,
    test_error_in_words,
    test_transfers,
)
from tests.support.comet_network import CometNetwork, needs_cometbft
from tests.support.devnet_node import DevnetNode, get_secret

pytestmark = needs_cometbft
TIMEOUT_S = 20.0
__all__ = [  # what is imported runs here again, on the node below
    "client",
    "seen",
    "test_batch",
    "test_blocks",
    "test_blocks_and_events",
    "test_chain",
    "test_connect",
    "test_error",
    "test_error_in_words",
    "test_errors_are_the_documented_texts",
    "test_events_of_pallets_by_name",
    "test_header_subscription",
    "test_over_http",
    "test_nonce_counts_what_waits",
    "test_query_map_in_pages",
    "test_runtime_calls",
    "test_same_answers",
    "test_state_of_a_past_block",
    "test_storage_subscription",
    "test_transfer",
    "test_transfer_async",
    "test_transfers",
]


class CometNode(DevnetNode):
    """The first node of a network, asked as the devnet's node is."""

    def __init__(self, network: CometNetwork) -> None:
        self.network = network
        self.home = network.homes[0]
        self.chain_id = CHAIN_ID
        self.grpc_port = network.get_port(GRPC_PORT)
        self.rpc_port = network.get_port(RPC_PORT)
        self.substrate_port = network.get_port(SUBSTRATE_PORT)
        self.process = network.processes[0]


@pytest.fixture(scope="module")
def devnet_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetNode]:
    with CometNetwork(tmp_path_factory.mktemp("comet")) as network:
        network.start_all()
        network.wait_until_ready()
        yield CometNode(network)


def connect(network: CometNetwork) -> SubstrateInterface:
    url = f"ws://127.0.0.1:{network.get_port(SUBSTRATE_PORT)}"
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return SubstrateInterface(url=url)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_hashes_over_a_restart(tmp_path: Path) -> None:
    secret = PrivateKey(get_secret("owner"))
    account_id = compute_account_id(compute_account_address(secret.public_key.format()))
    watched = Keypair.create_from_uri("//Restarted").ss58_address
    with CometNetwork(tmp_path) as network:
        network.start_all()
        network.wait_until_ready()
        with connect(network) as chain:
            args = {"dest": watched, "value": 77}
            call = chain.compose_call("Balances", "transfer_keep_alive", args)
            signed = sign_ecdsa(chain, call, secret, account_id)
            receipt = chain.submit_extrinsic(signed, wait_for_finalization=True)
            assert receipt.is_success, receipt.error_message
            number = chain.get_block_number(receipt.block_hash)
        assert network.stop() == 0
        network.start()
        network.wait_for_height(number + 1, timeout_s=TIMEOUT_S)
        with connect(network) as chain:
            assert chain.get_block_hash(number) == receipt.block_hash
            assert chain.query("System", "Account", [watched]).value["data"]["free"] == 77
