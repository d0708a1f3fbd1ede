"""Descent's own client against a node with its doors."""

import asyncio

import pytest
from cosmos.bank.v1beta1 import tx_pb2

from chain_client.client import ChainClient
from chain_client.errors import ChainClientError, NotFound
from chain_client.keys import Key
from node.runtime.coins import build_coin
from tests.support.devnet_node import DevnetNode, get_secret


def build_transfer(node: DevnetNode, amount: int) -> tx_pb2.MsgSend:
    return tx_pb2.MsgSend(
        from_address=node.get_address("owner"),
        to_address=node.get_address("validator-1"),
        amount=[build_coin("udsc", amount)],
    )


async def test_transfers_in_one_go(devnet_node: DevnetNode) -> None:
    key = Key("owner", get_secret("owner"))
    async with ChainClient.connect(f"127.0.0.1:{devnet_node.grpc_port}") as client:
        assert await client.chain_id() == devnet_node.chain_id
        before = await client.get_balance(devnet_node.get_address("validator-1"))
        results = await asyncio.gather(
            *(client.submit(key, [build_transfer(devnet_node, amount)]) for amount in (1, 2, 3))
        )
        assert all(result.code == 0 and result.height > 0 for result in results)
        assert await client.get_balance(devnet_node.get_address("validator-1")) == before + 6
        assert await client.get_operators()


async def test_refusals(devnet_node: DevnetNode) -> None:
    key = Key("owner", get_secret("owner"))
    async with ChainClient.connect(f"127.0.0.1:{devnet_node.grpc_port}") as client:
        with pytest.raises(ChainClientError, match="insufficient funds"):
            await client.submit(key, [build_transfer(devnet_node, 10**18)])
        with pytest.raises(NotFound):
            await client.get_tx("00" * 32)
