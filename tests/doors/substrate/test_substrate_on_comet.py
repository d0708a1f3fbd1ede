"""The Substrate door beside the real CometBFT: a coldkey's transfer, hashes over a restart."""

import time
from pathlib import Path

from coincurve import PrivateKey
from substrateinterface import Keypair, SubstrateInterface

from node.doors.supervisor import SUBSTRATE_PORT
from node.runtime.addresses import compute_account_address
from node.runtime.substrate.accounts import compute_account_id
from tests.doors.substrate.conftest import sign_ecdsa
from tests.support.comet_network import CometNetwork, needs_cometbft
from tests.support.devnet_node import get_secret

pytestmark = needs_cometbft
TIMEOUT_S = 20.0


def connect(network: CometNetwork) -> SubstrateInterface:
    url = f"ws://127.0.0.1:{network.get_port(SUBSTRATE_PORT)}"
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return SubstrateInterface(url=url)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_transfer_and_restart(tmp_path: Path) -> None:
    secret = PrivateKey(get_secret("owner"))
    account_id = compute_account_id(compute_account_address(secret.public_key.format()))
    bob = Keypair.create_from_uri("//Bob").ss58_address
    with CometNetwork(tmp_path) as network:
        network.start_all()
        with connect(network) as chain:
            args = {"dest": bob, "value": 77}
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
            assert chain.query("System", "Account", [bob]).value["data"]["free"] == 77
