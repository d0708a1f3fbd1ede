"""Sending transactions: numbers, retries, restarts, refusals; network and time are mocked."""

import asyncio
import hashlib

import pytest

from chain_client.client import ChainClient
from chain_client.errors import ChainMismatch, NodeUnreachable, TxRefused, TxTimeout
from chain_client.keys import Key
from chain_client.mock import MockClock, MockSyncClock, MockSyncTransport, MockTransport
from chain_client.sync_client import SyncChainClient
from tests.chain_client.fake_chain import ALICE, BOB, CHAIN_ID, FakeChain, mismatch, transfer


def start(chain_id: str | None = CHAIN_ID) -> tuple[ChainClient, FakeChain, MockClock]:
    clock = MockClock()
    chain = FakeChain(clock.now)
    client = ChainClient(MockTransport(chain.handlers), chain_id=chain_id, clock=clock)
    return client, chain, clock


async def test_submit() -> None:
    client, chain, clock = start()
    result = await client.submit(ALICE, [transfer(ALICE)], memo="one")
    assert chain.included == [(ALICE.address, 0, "one")]
    assert (result.height, result.code, result.memo) == (1, 0, "one")
    assert result.gas_wanted == 105_000  # 70 000 simulated, times 1.5
    assert result.fee_udsc == 2_625  # at 0.025 udsc a gas
    assert result.messages == ("/cosmos.bank.v1beta1.MsgSend",)
    assert clock.now() < 1.0


async def test_submit__parallel_with_one_key() -> None:
    client, chain, _ = start()
    results = await asyncio.gather(
        *(client.submit(ALICE, [transfer(ALICE)], memo=str(i)) for i in range(40))
    )
    assert [sequence for _, sequence, _ in chain.included] == list(range(40))
    assert len({result.tx_hash for result in results}) == 40
    assert [result.memo for result in results] == [str(i) for i in range(40)]


async def test_submit__parallel_with_two_keys() -> None:
    client, chain, _ = start()
    await asyncio.gather(
        *(client.submit(key, [transfer(key)]) for key in (ALICE, BOB) for _ in range(5))
    )
    for key in (ALICE, BOB):
        assert [s for address, s, _ in chain.included if address == key.address] == list(range(5))


async def test_submit__two_clients_share_a_key() -> None:
    clock = MockClock()
    chain = FakeChain(clock.now)
    clients = [ChainClient(MockTransport(chain.handlers), clock=clock) for _ in range(2)]
    await asyncio.gather(
        *(client.submit(ALICE, [transfer(ALICE)], memo=str(i))
          for i in range(8) for client in clients)
    )  # fmt: skip
    assert [sequence for _, sequence, _ in chain.included] == list(range(16))
    assert sorted(memo for *_, memo in chain.included) == sorted(str(i // 2) for i in range(16))


async def test_submit__resyncs_when_the_chain_is_ahead() -> None:
    client, chain, _ = start()
    await client.submit(ALICE, [transfer(ALICE)])
    chain.sequences[ALICE.address] = chain.check_sequences[ALICE.address] = 9
    await client.submit(ALICE, [transfer(ALICE)])
    assert chain.included[-1][1] == 9


async def test_submit__lost_answer_is_sent_once() -> None:
    client, chain, _ = start()
    chain.lose_answers = 3
    result = await client.submit(ALICE, [transfer(ALICE)])
    assert result.code == 0
    assert len(chain.included) == 1


async def test_submit__answer_lost_and_block_made_before_the_retry() -> None:
    client, chain, clock = start()
    chain.lose_answers = 1
    chain.block_s = 0.01  # in a block before the first retry, so the retry sees a wrong sequence
    result = await client.submit(ALICE, [transfer(ALICE)])
    assert result.code == 0
    assert len(chain.included) == 1
    assert clock.now() < 2.0


async def test_submit__node_restarts_and_loses_the_mempool() -> None:
    client, chain, clock = start()
    chain.is_stalled = True
    task = asyncio.create_task(client.submit(ALICE, [transfer(ALICE)]))
    while not chain.mempool:
        await asyncio.sleep(0)
    chain.is_down = True
    chain.restart()
    down_until = clock.now() + 6.0
    while clock.now() < down_until:
        await asyncio.sleep(0)
    chain.is_down = chain.is_stalled = False
    assert (await task).code == 0
    assert len(chain.included) == 1


async def test_submit__lost_and_superseded_is_signed_again() -> None:
    client, chain, _ = start()
    chain.is_stalled = True
    task = asyncio.create_task(client.submit(ALICE, [transfer(ALICE)], memo="mine"))
    while not chain.mempool:
        await asyncio.sleep(0)
    chain.restart()
    other = ChainClient(MockTransport(chain.handlers), clock=MockClock())
    chain.is_stalled = False
    pending = asyncio.create_task(other.submit(ALICE, [transfer(ALICE)], memo="other"))
    result, _ = await task, await pending
    assert result.code == 0
    assert sorted(memo for *_, memo in chain.included) == ["mine", "other"]


async def test_submit__pays_what_the_node_requires() -> None:
    client, chain, _ = start()
    chain.handlers["/cosmos.base.node.v1beta1.Service/Config"] = lambda _: _config("0.001udsc")
    result = await client.submit(ALICE, [transfer(ALICE)])
    assert result.fee_udsc == 2_625
    assert len(chain.included) == 1


def _config(price: str) -> object:
    from cosmos.base.node.v1beta1.query_pb2 import ConfigResponse

    return ConfigResponse(minimum_gas_price=price)


async def test_submit__config_unknown_to_the_node() -> None:
    client, chain, _ = start()
    del chain.handlers["/cosmos.base.node.v1beta1.Service/Config"]
    assert (await client.submit(ALICE, [transfer(ALICE)])).fee_udsc == 2_625


async def test_submit__gas_given_skips_simulation() -> None:
    client, chain, _ = start()
    del chain.handlers["/cosmos.tx.v1beta1.Service/Simulate"]
    assert (await client.submit(ALICE, [transfer(ALICE)], gas=90_000)).gas_wanted == 90_000


async def test_invalid_fee_too_low() -> None:
    client, chain, _ = start()
    with pytest.raises(TxRefused) as caught:
        await client.submit(ALICE, [transfer(ALICE)], fee_udsc=1)
    assert (caught.value.codespace, caught.value.code) == ("sdk", 13)
    assert caught.value.hint
    assert not chain.included


async def test_invalid_execution() -> None:
    client, chain, _ = start()
    chain.fail_execution = True
    with pytest.raises(TxRefused) as caught:
        await client.submit(ALICE, [transfer(ALICE)])
    assert (caught.value.codespace, caught.value.code) == ("sdk", 5)
    assert caught.value.height == 1
    assert caught.value.tx_hash
    chain.fail_execution = False
    assert (await client.submit(ALICE, [transfer(ALICE)])).code == 0
    assert [sequence for _, sequence, _ in chain.included] == [0, 1]


async def test_invalid_unknown_account() -> None:
    client, _, _ = start()
    stranger = Key("stranger", b"\x01" * 32)
    with pytest.raises(TxRefused) as caught:
        await client.submit(stranger, [transfer(stranger)])
    assert (caught.value.codespace, caught.value.code) == ("sdk", 9)


async def test_invalid_chain_id() -> None:
    client, chain, _ = start(chain_id="another-1")
    with pytest.raises(ChainMismatch, match=r"descent-devnet-1.*another-1"):
        await client.submit(ALICE, [transfer(ALICE)])
    assert chain.broadcasts == 0


async def test_invalid_simulation() -> None:
    client, chain, _ = start()

    def refuse(_: object) -> None:
        from chain_client.errors import QueryFailed

        raise QueryFailed("spendable balance 1udsc is smaller than 2udsc: insufficient funds")

    chain.handlers["/cosmos.tx.v1beta1.Service/Simulate"] = refuse
    with pytest.raises(TxRefused) as caught:
        await client.submit(ALICE, [transfer(ALICE)])
    assert (caught.value.codespace, caught.value.code) == ("sdk", 5)
    assert chain.broadcasts == 0


async def test_invalid_no_block_before_the_deadline() -> None:
    client, chain, clock = start()
    chain.is_stalled = True
    with pytest.raises(TxTimeout) as caught:
        await client.submit(ALICE, [transfer(ALICE)], timeout_s=5.0)
    assert caught.value.tx_hash in caught.value.hint
    assert 5.0 <= clock.now() < 7.0


async def test_invalid_unreachable_until_the_deadline() -> None:
    client, chain, clock = start()
    await client.submit(ALICE, [transfer(ALICE)])
    chain.is_down = True
    began = clock.now()
    with pytest.raises(NodeUnreachable):
        await client.submit(ALICE, [transfer(ALICE)], gas=90_000, timeout_s=5.0)
    assert 4.0 <= clock.now() - began < 7.0


async def test_simulate__earlier_transactions_pending() -> None:
    """The node simulates on committed state: a pending transaction must not stop the next."""
    client, chain, _ = start()
    chain.is_stalled = True
    tasks = [asyncio.create_task(client.submit(ALICE, [transfer(ALICE)])) for _ in range(3)]
    while len(chain.mempool) < 3:
        await asyncio.sleep(0)
    chain.is_stalled = False
    await asyncio.gather(*tasks)
    assert [sequence for _, sequence, _ in chain.included] == [0, 1, 2]


async def test_follow_heights() -> None:
    client, chain, _ = start()
    seen = []
    async for height in client.follow_heights():
        seen.append(height)
        chain.is_down = height == 3
        if height == 3:
            asyncio.get_running_loop().call_later(0.01, lambda: setattr(chain, "is_down", False))
        if height >= 8:
            break
    assert seen == sorted(set(seen))
    assert seen[:3] == [1, 2, 3]


async def test_follow__only_changes() -> None:
    """A transaction that no block holds yet."""
    client, chain, _ = start()
    chain.is_stalled = True
    task = asyncio.create_task(client.submit(ALICE, [transfer(ALICE)], timeout_s=60))
    while not chain.mempool:
        await asyncio.sleep(0)
    tx_hash = hashlib.sha256(chain.mempool[0]).hexdigest()
    looks = client.follow(lambda reads: [reads.get_tx(tx_hash)], only_changes=True)
    chain.is_stalled = False
    chain.mempool, waiting = [], chain.mempool
    assert (await anext(looks)).answers == (None,)
    chain.mempool = waiting
    found = await anext(looks)
    assert found.answers[0].height == (await task).height


async def test_wait_height() -> None:
    client, chain, clock = start()
    assert await client.wait_height(7) == 7
    chain.is_stalled = True
    with pytest.raises(TimeoutError, match="at 7"):
        await client.wait_height(8, timeout_s=3.0)
    assert clock.now() < 8.0


async def test_query__asks_again_while_unreachable() -> None:
    client, chain, clock = start()
    chain.is_down = True
    with pytest.raises(NodeUnreachable):
        await client.height()
    assert clock.now() == pytest.approx(15.0, abs=1.1)


def test_submit__blocking() -> None:
    clock = MockSyncClock()
    chain = FakeChain(clock.now)
    with SyncChainClient(MockSyncTransport(chain.handlers), clock=clock) as client:
        for i in range(3):
            assert client.submit(ALICE, [transfer(ALICE)], memo=str(i)).code == 0
        chain.lose_answers = 2
        client.submit(ALICE, [transfer(ALICE)])
        assert client.height() == chain.height
    assert [sequence for _, sequence, _ in chain.included] == [0, 1, 2, 3]


def test_mismatch_text() -> None:
    from chain_client.tx import parse_expected_sequence

    assert parse_expected_sequence(mismatch(5, 3)) == 5
    assert parse_expected_sequence("something else") is None
