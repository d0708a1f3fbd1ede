"""The client and the commands against a real node with its doors, killed and started again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cosmos.bank.v1beta1.tx_pb2 import MsgSend

from chain_client.client import ChainClient
from chain_client.errors import ChainMismatch, NodeUnreachable, NotFound, QueryFailed, TxRefused
from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from tests.cli.conftest import STAKER
from tests.support.devnet_node import DevnetNode, get_secret
from tests.support.typed import Typed

FAUCET, OWNER, MINER = (Key(name, get_secret(name)) for name in ("faucet", "owner", "miner-0"))


def connect(node: DevnetNode, **options: Any) -> ChainClient:
    return ChainClient.connect(f"127.0.0.1:{node.grpc_port}", node.chain_id, **options)


def send(key: Key, to: Key, amount: int) -> MsgSend:
    message = MsgSend(from_address=key.address, to_address=to.address)
    message.amount.add(denom="udsc", amount=str(amount))
    return message


def test_send_and_balances(typed: Typed) -> None:
    before = int(typed("query", "bank", "balance", "miner-0")["balance_udsc"])
    supply = int(typed("query", "bank", "supply")["supply_udsc"])
    sent = typed("tx", "send", "faucet", "miner-0", "5DSC", "--memo", "hello")
    after = typed("query", "bank", "balance", MINER.address)
    assert int(after["balance_udsc"]) == before + 5_000_000
    # The consensus set is paid meanwhile.
    assert 0 <= int(typed("query", "bank", "supply")["supply_udsc"]) - supply < 20_000_000
    found = typed("query", "tx", sent["tx_hash"])
    assert (found["height"], found["is_success"], found["memo"]) == (sent["height"], True, "hello")
    assert found["messages"] == ["/cosmos.bank.v1beta1.MsgSend"]
    assert int(found["fee_udsc"]) == int(sent["fee_udsc"]) > 0
    assert "transfer" in {event["type"] for event in found["events"]}
    block = typed("query", "block", str(sent["height"]))
    assert sent["tx_hash"] in block["tx_hashes"]


def test_dry_run_sends_nothing(typed: Typed) -> None:
    before = typed("query", "bank", "balance", "owner")
    planned = typed("tx", "send", "owner", "miner-0", "1DSC", "--dry-run")
    assert planned["dry_run"] is True
    assert planned["gas_limit"] > planned["gas_used"] > 0
    assert typed("query", "bank", "balance", "owner") == before


def test_status_and_app_hash(typed: Typed, node: DevnetNode) -> None:
    status = typed("status")
    assert (status["chain_id"], status["node"]) == (node.chain_id, f"127.0.0.1:{node.grpc_port}")
    node.wait_for_height(5)
    old = typed("node", "debug", "app-hash", "--height", "3")
    assert old == typed("node", "debug", "app-hash", "--height", "3")
    assert len(old["app_hash"]) == 64
    new = typed("node", "debug", "app-hash")
    assert new["height"] >= status["height"]


def test_stake(typed: Typed) -> None:
    (first, *_) = typed("query", "staking", "validators")
    assert {first["status"], first["is_jailed"]} == {"bonded", False}
    typed("tx", "stake", "delegate", STAKER, "validator-0", "3DSC")
    typed("tx", "stake", "undelegate", STAKER, "validator-0", "1DSC")
    (held,) = typed("query", "staking", "delegations", STAKER)
    assert held["amount_udsc"] == "2000000"
    (leaving,) = typed("query", "staking", "unbonding", STAKER)
    assert (leaving["amount_udsc"], leaving["operator"]) == ("1000000", held["operator"])
    made = typed("tx", "stake", "create-operator", STAKER, "50DSC", "--moniker", "mine")
    operators = {item["operator"]: item for item in typed("query", "staking", "validators")}
    assert operators[made["operator"]]["moniker"] == "mine"
    assert Path(made["consensus_key"]).stat().st_mode & 0o777 == 0o600


def test_node_status(typed: Typed, node: DevnetNode) -> None:
    found = typed("node", "status")
    assert (found["chain_id"], found["num_peers"]) == (node.chain_id, 0)
    assert (found["is_catching_up"], found["earliest_block_height"]) == (False, 1)
    assert found["height"] >= found["earliest_state_height"] >= 1
    assert (len(found["app_hash"]), len(found["node_id"])) == (64, 40)
    assert found["disk"] is None
    nowhere = typed("node", "status", "--rpc", "127.0.0.1:1")
    assert nowhere["num_peers"] is None


@pytest.mark.parametrize(
    ("arguments", "codespace", "number"),
    [
        (["tx", "send", "miner-0", "faucet", "9999999DSC"], "sdk", 5),
        (["tx", "send", "faucet", "miner-0", "1DSC", "--gas", "100"], "sdk", 11),
        (["tx", "send", "faucet", "miner-0", "1DSC", "--fee", "1udsc"], "sdk", 13),
        (["tx", "send", "faucet", "miner-0", "1DSC", "--memo", "x" * 300], "sdk", 12),
        (["tx", "send", "faucet", "miner-0", "1DSC", "--chain-id", "other-1"], "client", 5),
        (["query", "tx", "00" * 32], "client", 4),
    ],
)
def test_refusals(typed: Typed, arguments: list[str], codespace: str, number: int) -> None:
    typed("tx", "send", "faucet", "miner-0", "1DSC")
    error = typed(*arguments, code=1)
    assert (error["codespace"], error["code"]) == (codespace, number), error


def test_run(typed: Typed, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(40):
        (texts / f"{i}.txt").write_text(f"file {i} " * 3000)
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'name = "mine"\n[data]\ndirectory = "texts"\n'
        "[membership]\nmax_participants = 8\nmax_accepted = 4\n"
    )
    made = typed("run", "create", str(spec), "--bounty", "2DSC")
    run_id = str(made["run_id"])
    (listed,) = [item for item in typed("run", "list") if item["run_id"] == made["run_id"]]
    assert (listed["name"], listed["status"]) == ("mine", "pending")
    assert (listed["bounty_udsc"], listed["owner"]) == ("2000000", OWNER.address)
    seat = typed("run", "register", run_id, "--key", "faucet", "--hotkey", "miner-0")
    assert (seat["uid"], seat["role"], seat["hotkey"]) == (0, "miner", MINER.address)
    assert int(seat["burned_udsc"]) > 0
    shown = typed("run", "show", run_id)
    assert shown["spec_hash"] == made["spec_hash"]
    assert shown["spec"]["model"]["family"] == "gpt"
    assert shown["spec"]["incentive"]["variant"] == "yuma3"
    assert len(shown["spec"]["data"]["dataset_root"]) == 64
    assert shown["round"] is None
    (member,) = shown["participants"]
    assert (member["role"], member["hotkey"], member["coldkey"]) == (
        "miner",
        MINER.address,
        FAUCET.address,
    )
    assert int(shown["seat_price_udsc"]) > int(seat["burned_udsc"])
    error = typed("run", "register", run_id, "--key", "owner", "--max-burn", "1udsc", code=1)
    assert error["codespace"] == "runs"


def test_run__invalid(typed: Typed, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text("[timeline]\njudge_commit_blocks = 1000\n")
    error = typed("run", "create", str(spec), code=1)
    assert error["codespace"] == "runs"
    assert "judge_commit_blocks" in error["message"]
    assert typed("run", "show", "77", code=1)["code"] == 4
    assert typed("run", "register", "77", "--key", "owner", code=1)["message"]


async def test_parallel_submits(node: DevnetNode) -> None:
    async with connect(node) as client:
        before = await client.get_balance(OWNER.address)
        results = await asyncio.gather(
            *(client.submit(FAUCET, [send(FAUCET, OWNER, 7)]) for _ in range(12))
        )
        assert len({result.tx_hash for result in results}) == 12
        assert await client.get_balance(OWNER.address) == before + 12 * 7


async def test_two_clients_share_a_key(node: DevnetNode) -> None:
    async with connect(node) as one, connect(node) as two:
        before = await one.get_balance(OWNER.address)
        await asyncio.gather(
            *(client.submit(FAUCET, [send(FAUCET, OWNER, amount)])
              for amount in (1, 10, 100) for client in (one, two))
        )  # fmt: skip
        assert await two.get_balance(OWNER.address) == before + 222


def test_blocking_client(node: DevnetNode) -> None:
    with SyncChainClient.connect(f"127.0.0.1:{node.grpc_port}", node.chain_id) as client:
        result = client.submit(FAUCET, [send(FAUCET, OWNER, 5)])
        assert client.get_tx(result.tx_hash).height == result.height
        assert client.wait_height(result.height + 1, timeout_s=30) > result.height
        with pytest.raises(NotFound):
            client.get_tx("11" * 32)
        with pytest.raises(QueryFailed):
            client.get_block(10**9)


async def test_historic_balance(node: DevnetNode) -> None:
    from cosmos.bank.v1beta1 import query_pb2

    async with connect(node) as client:
        result = await client.submit(FAUCET, [send(FAUCET, OWNER, 5)])
        method = "/cosmos.bank.v1beta1.Query/Balance"
        request = query_pb2.QueryBalanceRequest(address=OWNER.address, denom="udsc")
        then, now = [
            await client.query(method, request, query_pb2.QueryBalanceResponse, height=height)
            for height in (result.height - 1, result.height)
        ]
        assert int(now.balance.amount) - int(then.balance.amount) == 5


async def test_invalid_signature(node: DevnetNode) -> None:
    class Forged(Key):
        def sign(self, message: bytes) -> bytes:
            return super().sign(message + b"x")

    async with connect(node) as client:
        forged = Forged("faucet", FAUCET.secret)
        with pytest.raises(TxRefused) as caught:
            await client.submit(forged, [send(FAUCET, OWNER, 5)], gas=100_000)
        assert (caught.value.codespace, caught.value.code) == ("sdk", 4)


async def test_invalid_chain_id(node: DevnetNode) -> None:
    async with ChainClient.connect(f"127.0.0.1:{node.grpc_port}", "other-1") as client:
        with pytest.raises(ChainMismatch):
            await client.submit(FAUCET, [send(FAUCET, OWNER, 5)])


async def test_node_is_killed_while_submitting(node: DevnetNode) -> None:
    """Every transfer happens exactly once, and the heights go on."""
    async with connect(node, retry_for_s=30.0) as client:
        before = await client.get_balance(OWNER.address)
        heights: list[int] = []

        async def follow() -> None:
            async for height in client.follow_heights():
                heights.append(height)

        follower = asyncio.create_task(follow())
        work = [
            asyncio.create_task(client.submit(FAUCET, [send(FAUCET, OWNER, 3)], timeout_s=60.0))
            for _ in range(6)
        ]
        async with asyncio.timeout(30):
            while not heights:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.4)
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(0.5)
        killed_at = heights[-1]
        with pytest.raises(NodeUnreachable):
            await connect(node, retry_for_s=0.0).height()
        await asyncio.to_thread(node.start)
        results = await asyncio.gather(*work)
        assert len({result.tx_hash for result in results}) == 6
        assert await client.get_balance(OWNER.address) == before + 6 * 3
        await client.wait_height(killed_at + 2, timeout_s=30)
        async with asyncio.timeout(30):
            while heights[-1] <= killed_at:
                await asyncio.sleep(0.05)
        follower.cancel()
        assert heights[-1] > killed_at
        assert heights == sorted(set(heights))
