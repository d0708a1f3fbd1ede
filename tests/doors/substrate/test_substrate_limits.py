"""What one client may do to the others: nothing. A door in this process over the node's home."""

import asyncio
import base64
import contextlib
import json
import secrets
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from node.doors.node_view import NodeView
from node.doors.substrate.limits import RateLimit, Unread
from node.doors.substrate.rpc import MAX_BATCH_CALLS, RateLimited
from node.doors.substrate.subscriptions import MAX_SUBSCRIPTIONS
from node.doors.substrate_door import SubstrateApp, build_server
from node.engine.control import UnconfirmedTxs
from node.engine.errors import EngineUnreachable
from tests.support.devnet_node import DevnetNode

PING, PONG, TEXT = 9, 10, 1


class Door:
    """A door of this process; `port` is the free one it took."""

    def __init__(self, app: SubstrateApp, server: uvicorn.Server) -> None:
        self.app = app
        self.server = server

    @property
    def port(self) -> int:
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    def connect(self, **options: Any) -> connect:
        """Connect; a client that reads nothing for a while does not ask whether the door lives."""
        url = f"ws://127.0.0.1:{self.port}"
        return connect(url, proxy=None, max_size=None, ping_interval=None, **options)


@asynccontextmanager
async def open_door(
    node: DevnetNode, calls_per_minute: int | None = None, ping_interval_s: float = 20.0
) -> AsyncIterator[Door]:
    with NodeView.open(node.home) as view:
        app = SubstrateApp(view, "test", calls_per_minute)
        server = build_server(app, "127.0.0.1", 0, ping_interval_s=ping_interval_s)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield Door(app, server)
        server.should_exit = server.force_exit = True
        await task
        await view.engine.close()


def write(number: int, method: str, *params: Any) -> str:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
    return json.dumps(body)


async def ask(socket: ClientConnection, method: str, *params: Any) -> Any:
    await socket.send(write(1 << 40, method, *params))
    while True:
        answer = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if answer.get("id") == 1 << 40:
            return answer.get("result", answer.get("error"))


def frame(opcode: int, body: bytes) -> bytes:
    """Encode a masked frame of up to 125 bytes."""
    mask = secrets.token_bytes(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
    return bytes((0x80 | opcode, 0x80 | len(body))) + mask + masked


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    return first & 15, await reader.readexactly(length)


async def test_pings_nobody_answers(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node, ping_interval_s=0.05) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        key = base64.b64encode(bytes(16)).decode()
        lines = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        writer.write("\r\n".join(lines).encode())
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        pings = 0
        while pings < 5:
            opcode, _ = await asyncio.wait_for(read_frame(reader), 30)
            pings += opcode == PING
        writer.write(frame(TEXT, write(1, "system_name").encode()))
        opcode = PING
        while opcode == PING:
            opcode, body = await asyncio.wait_for(read_frame(reader), 30)
        assert json.loads(body)["result"] == "Descent"
        writer.close()


async def send_without_reading(door: Door) -> None:
    """Ask for more and more over a WebSocket; returns once the door lets go."""
    async with door.connect(max_queue=1, close_timeout=0.1) as socket:
        mine = door.app.hub.sessions[-1]
        with contextlib.suppress(ConnectionClosed):
            for number in range(500):
                await socket.send(write(number, "state_getMetadata"))
        async with asyncio.timeout(30):
            while mine in door.app.hub.sessions:
                await asyncio.sleep(0.01)


async def post_without_reading(door: Door) -> None:
    """Ask for 13 MB by one POST; returns once the door lets go."""
    _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=2**10)
    body = "[" + ",".join([write(1, "state_getMetadata")] * MAX_BATCH_CALLS) + "]"
    writer.write(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    writer.write(body.encode())
    writer.transport.pause_reading()
    await writer.drain()
    await asyncio.sleep(4)
    writer.close()


async def test_slow_readers_are_let_go(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node) as door, door.connect() as good:
        unread = door.app.hub.unread
        unread.limit_bytes = 2**21
        slow = [asyncio.create_task(send_without_reading(door)) for _ in range(4)]
        slow += [asyncio.create_task(post_without_reading(door)) for _ in range(4)]
        most = 0
        while not all(task.done() for task in slow):
            assert await asyncio.wait_for(ask(good, "system_name"), 5) == "Descent"
            assert unread.total <= unread.limit_bytes
            most = max(most, unread.total)
        for task in slow:
            task.result()
        assert most > 0
        assert await ask(good, "system_name") == "Descent"


async def test_answer_nobody_reads_is_cut_off(
    devnet_node: DevnetNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.doors.substrate_door.READ_S", 1.0)
    async with open_door(devnet_node) as door:
        post = asyncio.create_task(post_without_reading(door))
        seen = 0
        while not post.done():
            seen = max(seen, door.app.hub.unread.total)
            await asyncio.sleep(0.01)
        assert seen > 10 * 2**20
        assert door.app.hub.unread.total == 0


async def test_ten_thousand_subscriptions(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node) as door, door.connect() as greedy:
        answers = []
        for number in range(10_000):
            await greedy.send(write(number, "state_subscribeRuntimeVersion"))
        while len(answers) < 10_000:
            answer = json.loads(await asyncio.wait_for(greedy.recv(), 30))
            answers += [answer] if "id" in answer else []
        refused = [answer["error"] for answer in answers if "error" in answer]
        assert len(refused) == 10_000 - MAX_SUBSCRIPTIONS
        assert refused[0] == {
            "code": -32006,
            "message": "Too many subscriptions on the connection",
            "data": f"Exceeded max limit of {MAX_SUBSCRIPTIONS}",
        }


async def test_ten_thousand_subscriptions__on_ten_connections(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node) as door:
        sockets = [await door.connect() for _ in range(10)]
        for socket in sockets:
            for number in range(999):
                await socket.send(write(number, "state_subscribeRuntimeVersion"))
            await socket.send(write(999, "chain_subscribeNewHeads"))

        async def count(socket: ClientConnection) -> None:
            num_heads = 0
            while num_heads < 3:
                told = json.loads(await asyncio.wait_for(socket.recv(), 30))
                num_heads += told.get("method") == "chain_newHead"

        await asyncio.gather(*(count(socket) for socket in sockets))
        assert sum(len(item.subscriptions) for item in door.app.hub.sessions) == 10_000
        await asyncio.gather(*(socket.close() for socket in sockets))
        async with asyncio.timeout(30):
            while door.app.hub.sessions:
                await asyncio.sleep(0.01)
        assert door.app.hub.unread.total == 0


async def test_heads_told_while_a_block_comes(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node) as door:
        hub = door.app.hub
        session = hub.open_session("hasty")
        before = hub.view.get_heights()[1]
        while hub.view.get_heights()[1] == before:
            time.sleep(0.01)  # nothing else of this door runs: it is behind the chain now
        text = write(1, "chain_subscribeNewHeads")
        hub.answer(session, await door.app.answer(text, session))
        told = [json.loads(await asyncio.wait_for(session.take(), 20) or b"") for _ in range(5)]
        assert told[0]["id"] == 1
        numbers = [int(head["params"]["result"]["number"], 16) for head in told[1:]]
        assert numbers[0] > before
        assert numbers == list(range(numbers[0], numbers[0] + 4))


async def test_nonce_asked_while_a_block_comes(
    devnet_node: DevnetNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = devnet_node.get_address("owner")
    tx = devnet_node.build_send("owner", "owner", 1)
    async with open_door(devnet_node) as door:
        view, asked = door.app.hub.view, write(1, "system_accountNextIndex", address)
        (before,) = await door.app.answer(asked, None)
        list_unconfirmed = view.engine.list_unconfirmed

        async def list_late(limit: int) -> UnconfirmedTxs:
            await view.engine.broadcast_tx(tx)
            async with asyncio.timeout(30):
                while view.find_tx(sha256(tx).digest()) is None:
                    await asyncio.sleep(0.01)
            return await list_unconfirmed(limit)

        monkeypatch.setattr(view.engine, "list_unconfirmed", list_late)
        (after,) = await door.app.answer(asked, None)
        assert json.loads(after)["result"] == json.loads(before)["result"] + 1


async def test_subscription_in_a_batch_that_waits(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node, calls_per_minute=60) as door, door.connect() as socket:
        calls = [("chain_subscribeNewHeads", 0), *(("system_name", 1 + n) for n in range(60))]
        before = door.app.hub.view.get_heights()[1]
        await socket.send(json.dumps([json.loads(write(n, method)) for method, n in calls]))
        told = [json.loads(await asyncio.wait_for(socket.recv(), 20)) for _ in range(4)]
        assert door.app.hub.view.get_heights()[1] > before + 1  # blocks came before the answer
        assert [answer["id"] for answer in told[0]] == list(range(61))
        numbers = [int(head["params"]["result"]["number"], 16) for head in told[1:]]
        assert numbers == list(range(numbers[0], numbers[0] + 3))


async def test_engine_that_is_gone(
    devnet_node: DevnetNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_limit: int) -> None:
        raise EngineUnreachable("the node does not answer")

    async with open_door(devnet_node) as door, door.connect() as socket:
        monkeypatch.setattr(door.app.hub.view.engine, "list_unconfirmed", refuse)
        error = await ask(socket, "author_pendingExtrinsics")
        assert (error["code"], door.app.num_failures) == (-32603, 0)
        assert "the node does not answer" in json.dumps(error)


async def test_batches_of_batches_and_large_ones(devnet_node: DevnetNode) -> None:
    async with open_door(devnet_node) as door, door.connect() as socket:
        call = json.loads(write(1, "system_name"))
        nested: Any = call
        for _ in range(50):
            nested = [nested]
        for body, codes in (
            ([[call] * 100] * 100, [-32600] * 100),
            (nested, [-32600]),
            ([call] * 101, [-32010]),
            ([], [-32600]),
            ([json.loads(write(1, "rpc_methods"))] * 100, [None] * 100),
        ):
            await socket.send(json.dumps(body))
            answer = json.loads(await socket.recv())
            answers = answer if isinstance(answer, list) else [answer]
            assert [item.get("error", {}).get("code") for item in answers] == codes
        await socket.send("[" * 100_000)
        assert json.loads(await socket.recv())["error"]["code"] == -32700


async def test_response_too_big(devnet_node: DevnetNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.doors.substrate.rpc.MAX_RESPONSE_BYTES", 10_000)
    async with open_door(devnet_node) as door, door.connect() as socket:
        error = {
            "code": -32008,
            "message": "Response is too big",
            "data": "Exceeded max limit of 10000",
        }
        assert await ask(socket, "state_getMetadata") == error
        await socket.send("[" + ",".join([write(1, "rpc_methods")] * 20) + "]")
        assert json.loads(await socket.recv())["error"] == error


async def test_rate_limit(devnet_node: DevnetNode) -> None:
    async with (
        open_door(devnet_node, calls_per_minute=30) as door,
        door.connect() as greedy,
        door.connect() as other,
    ):
        for number in range(70):
            await greedy.send(write(number, "system_name"))
        answers = [json.loads(await asyncio.wait_for(greedy.recv(), 30)) for _ in range(70)]
        assert all("result" in answer for answer in answers[:30])
        refused = {"code": -32999, "message": "RPC rate limit exceeded"}
        assert sum(answer.get("error") == refused for answer in answers[30:]) > 30
        assert await ask(other, "system_name") == "Descent"


def test_rate_limit__waits_then_refuses() -> None:
    now = 0.0
    limit = RateLimit(60, lambda: now)
    assert [limit.take() for _ in range(60)] == [0.0] * 60
    assert limit.take() == 1.0
    with pytest.raises(RateLimited):
        limit.take()
    now = 30.0
    assert [limit.take() for _ in range(29)] == [0.0] * 29
    assert RateLimit(None).take() == 0.0


def test_unread_ends_who_holds_most() -> None:
    class Client:
        is_over = False

        def end(self) -> None:
            self.is_over = True

    unread = Unread(100)
    small, large = Client(), Client()
    unread.add(small, 30)
    unread.add(large, 60)
    unread.remove(large, 10)
    unread.add(small, 21)
    assert (unread.total, small.is_over, large.is_over) == (50, True, False)
    unread.remove(large)
    assert unread.total == 0
