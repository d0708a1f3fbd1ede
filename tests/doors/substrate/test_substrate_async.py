"""async-substrate-interface (metadata V15, runtime calls) against a real node."""

from collections.abc import AsyncIterator

import pytest
from async_substrate_interface import AsyncSubstrateInterface
from substrateinterface import Keypair

from tests.support.devnet_node import DevnetNode

BOB = Keypair.create_from_uri("//Bob")


@pytest.fixture
async def client(devnet_node: DevnetNode) -> AsyncIterator[AsyncSubstrateInterface]:
    url = f"ws://127.0.0.1:{devnet_node.substrate_port}"
    async with AsyncSubstrateInterface(url, ss58_format=42, chain_name="Descent") as connected:
        yield connected


async def read_free(client: AsyncSubstrateInterface, account: str) -> int:
    info = await client.query("System", "Account", [account])
    return info["data"]["free"]


async def test_queries(client: AsyncSubstrateInterface, alice: Keypair) -> None:
    assert (await client.get_constant("System", "SS58Prefix")).value == 42
    assert await read_free(client, alice.ss58_address) > 0
    assert (await client.query("Runs", "Params"))["max_runs"] == 64
    count = 0
    async for _ in await client.query_map("System", "Account", page_size=7):
        count += 1
    assert count > 7


async def test_runtime_calls(client: AsyncSubstrateInterface, alice: Keypair) -> None:
    version = await client.runtime_call("Core", "version", [])
    assert version.value["spec_name"] == "descent"
    nonce = await client.runtime_call("AccountNonceApi", "account_nonce", [alice.ss58_address])
    assert nonce.value == await client.get_account_nonce(alice.ss58_address)


async def test_transfer(client: AsyncSubstrateInterface, alice: Keypair) -> None:
    before = await read_free(client, BOB.ss58_address)
    args = {"dest": BOB.ss58_address, "value": 5}
    call = await client.compose_call("Balances", "transfer_keep_alive", args)
    info = await client.get_payment_info(call, alice)
    signed = await client.create_signed_extrinsic(call, alice, era={"period": 64})
    receipt = await client.submit_extrinsic(signed, wait_for_finalization=True)
    assert await receipt.is_success
    assert 0 < await receipt.total_fee_amount < info["partial_fee"] // 2
    assert await read_free(client, BOB.ss58_address) == before + 5


async def test_error(client: AsyncSubstrateInterface, alice: Keypair) -> None:
    call = await client.compose_call("Runs", "halt_run", {"run_id": 99})
    signed = await client.create_signed_extrinsic(call, alice)
    receipt = await client.submit_extrinsic(signed, wait_for_inclusion=True)
    assert not await receipt.is_success
    assert (await receipt.error_message)["name"] == "RunNotFound"
