"""Several nodes behind one client: the next takes over, and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
import grpc.aio
import pytest

from chain_client.client import ChainClient
from chain_client.effects import Call
from chain_client.errors import NodeUnreachable, TxError
from chain_client.failover import (
    PATIENCE_MS,
    WATCH,
    FailoverTransport,
    SyncFailoverTransport,
    split_endpoints,
)
from chain_client.mock import MockClock, MockSyncClock, MockSyncTransport, MockTransport
from chain_client.sync_client import SyncChainClient
from chain_client.transport import GrpcTransport
from proto.descent.node.v1 import node_pb2
from tests.chain_client.fake_chain import ALICE, FakeChain, transfer

NUM_NODES = 3
NUM_TXS = 12


class FakeNode(FakeChain):
    """One of several nodes of a chain, with a mempool of its own.

    Attributes:
        is_cut_off: neither takes part in blocks nor passes transactions on; answers what it knew.
    """

    def __init__(self, clock: MockClock, first: FakeNode | None) -> None:
        super().__init__(clock.now)
        self.first = first or self
        self.is_cut_off = False
        self.peers: list[FakeNode] = [self]
        if first is not None:
            first.peers.append(self)
            self._copy()

    def _make_blocks(self) -> None:
        first = self.first
        while first.height < int(self.now() / self.block_s):
            heard = [raw for node in first.peers if not node.is_cut_off for raw in node.mempool]
            first.mempool = [raw for raw in dict.fromkeys(heard) if first.is_next(raw)]
            first.height += 1
            for raw in first.mempool:
                if first.is_next(raw):
                    first._execute(raw)
            for node in first.peers:
                if not node.is_cut_off:
                    node._copy()

    def is_next(self, raw: bytes) -> bool:
        """Whether a transaction has the number that comes next, or a later one."""
        try:
            self._check(raw, self.sequences)
        except Exception:
            return False
        return True

    def _copy(self) -> None:
        """Take over the newest block."""
        self.height = self.first.height
        if self is not self.first:
            self.sequences, self.found = dict(self.first.sequences), dict(self.first.found)
            self.bodies = self.first.bodies
        self.check_sequences = dict(self.sequences)
        waiting, self.mempool = self.mempool, []
        for raw in waiting:
            self._take(raw)


def start(num_nodes: int = NUM_NODES) -> tuple[ChainClient, list[FakeNode], MockClock]:
    clock = MockClock()
    nodes: list[FakeNode] = []
    for _ in range(num_nodes):
        nodes.append(FakeNode(clock, nodes[0] if nodes else None))
    transport = FailoverTransport([MockTransport(node.handlers) for node in nodes])
    return ChainClient(transport, clock=clock), nodes, clock


def test_split_endpoints() -> None:
    assert split_endpoints("a:1, b:2,,a:1") == ["a:1", "b:2"]


async def test_query__next_node_answers() -> None:
    client, nodes, clock = start()
    nodes[0].is_down = nodes[1].is_down = True
    await client.height()
    assert clock.now() < 0.5
    nodes[0].is_down, nodes[2].is_down = False, True
    await client.height()
    assert clock.now() < 1.0


async def test_query__all_lost() -> None:
    client, nodes, clock = start()
    for node in nodes:
        node.is_down = True
    with pytest.raises(NodeUnreachable):
        await client.height()
    assert clock.now() >= 14.0


async def test_query__a_node_that_is_behind_is_not_taken() -> None:
    client, nodes, _ = start()
    assert await client.wait_height(5) == 5
    transport: Any = client._transport
    transport._turns.index = 0
    nodes[1].height, nodes[1].is_cut_off = 3, True
    nodes[0].is_down = True
    assert await client.height() >= 5
    assert transport._turns.index == 2
    nodes[2].is_down = True
    await client._clock.sleep(3.0)
    with pytest.raises(NodeUnreachable):  # the one that is left is still behind
        await client.height()
    nodes[1].is_cut_off = False
    nodes[1]._copy()
    assert await client.height() >= 5


async def test_submit__first_node_dies_with_the_transaction() -> None:
    client, nodes, _ = start()
    await client.submit(ALICE, [transfer(ALICE)], memo="before")
    nodes[1].is_cut_off = True
    client._transport._turns.index = 1  # type: ignore[attr-defined]
    task = asyncio.create_task(client.submit(ALICE, [transfer(ALICE)], memo="mine"))
    while not nodes[1].mempool:
        await asyncio.sleep(0)
    nodes[1].is_down = True
    nodes[1].mempool.clear()
    assert (await task).code == 0
    assert [memo for *_, memo in nodes[0].included] == ["before", "mine"]


async def test_submit__a_node_that_lost_its_peers_is_left() -> None:
    """It takes the transaction and tells of no block."""
    client, nodes, _ = start()
    await client.submit(ALICE, [transfer(ALICE)])
    nodes[1].is_cut_off = True
    transport: Any = client._transport
    transport._turns.index = 1
    call = Call(WATCH, node_pb2.WatchRequest(wait_ms=20_000, above_height=9), None, 30.0)
    await transport.unary(call)
    assert transport._turns.index == 2
    asked = transport._turns.transports[1].calls[-1]
    assert asked.request.wait_ms == PATIENCE_MS
    assert asked.timeout_s == pytest.approx(30.0 - 20.0 + PATIENCE_MS / 1000)


@pytest.mark.parametrize("seed", range(60))
async def test_nothing_is_done_twice(seed: int) -> None:
    """Nodes die, lose answers and mempools, and lag: what succeeded is there exactly once."""
    source = random.Random(seed)
    client, nodes, clock = start()
    done: dict[str, Exception | None] = {}

    async def submit(memo: str) -> None:
        try:
            await client.submit(ALICE, [transfer(ALICE)], memo=memo, gas=100_000, timeout_s=60)
        except TxError as error:
            done[memo] = error
        except NodeUnreachable as error:
            done[memo] = error
        else:
            done[memo] = None

    async def disturb() -> None:
        while clock.now() < 25.0:
            await clock.sleep(source.random())
            node = source.choice(nodes)
            kind = source.choice(["down", "restart", "lose", "cut", "mend", "mend"])
            if kind == "down":
                node.is_down = True
            elif kind == "restart":
                node.restart()
            elif kind == "lose":
                node.lose_answers = source.randrange(3)
            elif kind == "cut" and node is not nodes[0]:
                node.is_cut_off = True
            else:
                mend()

    def mend() -> None:
        for node in nodes:
            node.is_down = node.is_cut_off = False
            node._copy()

    async def send_all() -> None:
        for index in range(NUM_TXS):
            tasks.append(asyncio.create_task(submit(str(index))))
            await clock.sleep(source.random() * 2)

    tasks: list[asyncio.Task[None]] = []
    await asyncio.gather(disturb(), send_all())
    mend()
    await asyncio.gather(*tasks)
    memos = [memo for *_, memo in nodes[0].included]
    assert len(memos) == len(set(memos)), memos
    assert {memo for memo, error in done.items() if error is None} <= set(memos)
    assert len(memos) >= NUM_TXS - 3, done


def test_submit__blocking() -> None:
    clock = MockSyncClock()
    chain = FakeChain(clock.now)
    down = FakeChain(clock.now)
    down.is_down = True
    transport = SyncFailoverTransport(
        [MockSyncTransport(down.handlers), MockSyncTransport(chain.handlers)]
    )
    with SyncChainClient(transport, clock=clock) as client:
        assert client.submit(ALICE, [transfer(ALICE)]).code == 0
    assert transport.num_changes == 1


async def test_a_door_that_stops_while_a_call_waits() -> None:
    """Its server cancels the call: the node is lost, the next one is asked."""
    server = grpc.aio.server()

    async def cancel(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.CANCELLED)

    handler = grpc.unary_unary_rpc_method_handler(
        cancel,
        request_deserializer=node_pb2.WatchRequest.FromString,
        response_serializer=node_pb2.WatchResponse.SerializeToString,
    )
    service, method = WATCH[1:].split("/")
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    transport = GrpcTransport(f"127.0.0.1:{port}")
    call = Call(WATCH, node_pb2.WatchRequest(), node_pb2.WatchResponse)
    with pytest.raises(NodeUnreachable):
        await transport.unary(call)
    await transport.close()
    await server.stop(0)
