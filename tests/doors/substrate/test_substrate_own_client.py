"""Our own client and command line over the Substrate door: the same answers."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from cosmos.bank.v1beta1 import tx_pb2
from substrateinterface import Keypair, SubstrateInterface

from chain_client.client import ChainClient
from chain_client.errors import NodeUnreachable, NotFound, QueryFailed, TxRefused
from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from node.runtime.coins import build_coin
from node.runtime.substrate.extrinsic import wrap_extrinsic
from tests.support.devnet_node import ROOT, DevnetNode, get_secret

OWNER = Key("owner", get_secret("owner"))


def get_endpoints(node: DevnetNode) -> tuple[str, str]:
    return f"127.0.0.1:{node.grpc_port}", f"ws://127.0.0.1:{node.substrate_port}"


def build_transfer(amount: int) -> tx_pb2.MsgSend:
    coins = [build_coin("udsc", amount)]
    return tx_pb2.MsgSend(from_address=OWNER.address, to_address=OWNER.address, amount=coins)


async def test_same_answers(devnet_node: DevnetNode) -> None:
    cosmos, substrate = get_endpoints(devnet_node)
    async with ChainClient.connect(cosmos) as one, ChainClient.connect(substrate) as other:
        assert await one.chain_id() == await other.chain_id()
        assert await one.get_operators() == await other.get_operators()
        sent = await other.submit(OWNER, [build_transfer(3)])
        assert sent.code == 0
        assert await one.get_tx(sent.tx_hash) == await other.get_tx(sent.tx_hash)
        with pytest.raises(NotFound):
            await other.get_tx("00" * 32)
        with pytest.raises((QueryFailed, TxRefused), match="insufficient funds"):
            await other.submit(OWNER, [build_transfer(10**18)])


def test_an_extrinsic_is_a_transaction(
    devnet_node: DevnetNode, chain: SubstrateInterface, alice: Keypair
) -> None:
    args = {"dest": alice.ss58_address, "value": 3}
    call = chain.compose_call("Balances", "transfer_keep_alive", args)
    signed = chain.create_signed_extrinsic(call, alice, tip=2)
    receipt = chain.submit_extrinsic(signed, wait_for_inclusion=True)
    tx_hash = sha256(wrap_extrinsic(bytes(signed.data.data))).hexdigest()
    for endpoint in get_endpoints(devnet_node):
        with SyncChainClient.connect(endpoint) as client:
            found = client.get_tx(tx_hash)
        assert found.messages == ("/cosmos.bank.v1beta1.MsgSend",)
        assert found.fee_udsc == receipt.total_fee_amount
        assert (found.code, found.height) == (0, chain.get_block_number(receipt.block_hash))


def test_same_answers__blocking(devnet_node: DevnetNode) -> None:
    cosmos, substrate = get_endpoints(devnet_node)
    with SyncChainClient.connect(cosmos) as one, SyncChainClient.connect(substrate) as other:
        assert one.get_balance(OWNER.address) == other.get_balance(OWNER.address)
        assert other.submit(OWNER, [build_transfer(1)]).code == 0


async def test_invalid_endpoint() -> None:
    async with ChainClient.connect("ws://127.0.0.1:1", retry_for_s=0.1) as client:
        with pytest.raises(NodeUnreachable):
            await client.chain_id()


def run_descent(node: DevnetNode, home: Path, *arguments: str) -> str:
    home.mkdir(exist_ok=True)
    endpoints = dict(zip(("grpc", "substrate"), get_endpoints(node), strict=True))
    document = {"chain_id": node.chain_id, "endpoints": endpoints}
    (home / "devnet.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "cli.main", *arguments, "--home", str(home)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DESCENT_")}
    done = subprocess.run(
        [*command, "--output", "json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_command_line(devnet_node: DevnetNode, alice: Keypair, tmp_path: Path) -> None:
    question = ("query", "bank", "balance")
    plain = run_descent(devnet_node, tmp_path / "a", *question, OWNER.address)
    other = run_descent(
        devnet_node, tmp_path / "a", *question, OWNER.address, "--client", "substrate"
    )
    assert json.loads(plain) == json.loads(other)
    spelled = run_descent(devnet_node, tmp_path / "a", *question, alice.ss58_address)
    assert int(json.loads(spelled)["balance_udsc"]) > 0
