"""The ABCI server on a real socket: order, Flush, strangers' bytes, a failing application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tendermint.abci import types_pb2 as abci

from node.chain import build_chain
from node.engine.comet.abci_server import HALT_WAIT_S, AbciServer
from node.engine.comet.framing import (
    FRAME_BYTES_MAX,
    FrameBuffer,
    FramingError,
    encode_varint,
    encode_wrapped,
)
from node.engine.comet.state_sync import SnapshotKeeper
from node.runtime.errors import UpgradeHalt
from node.store.state import StateStore

WAIT_S = 30.0
ENGINE_ONLY = ("init_chain", "finalize_block", "commit")
"""Out of their order these stop a node, as they must: only its own engine can reach the socket."""
SOAK_CONNECTIONS = int(os.environ.get("DESCENT_SOAK_CONNECTIONS", "100000"))


def frame(request: Any) -> bytes:
    """Encode a request as CometBFT does."""
    body = request.SerializeToString()
    return encode_varint(len(body)) + body


FLUSH = frame(abci.Request(flush=abci.RequestFlush()))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameBuffer()
        self._responses: list[Any] = []

    async def read(self) -> Any:
        """Read one response; None at the end of the connection."""
        while not self._responses:
            data = await asyncio.wait_for(self.reader.read(65536), WAIT_S)
            if not data:
                return None
            self._responses += map(abci.Response.FromString, self._frames.feed(data))
        return self._responses.pop(0)

    async def ask(self, **kind: Any) -> Any:
        """Send one request and Flush; return the response."""
        self.writer.write(frame(abci.Request(**kind)) + FLUSH)
        response = await self.read()
        assert (await self.read()).WhichOneof("value") == "flush"
        return getattr(response, response.WhichOneof("value"))


OPEN: list[Client] = []


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[AbciServer]:
    """Serve the chain's application on an empty state."""
    with StateStore.open(folder / "state") as store:
        application = build_chain().open_application(store)
        snapshots = SnapshotKeeper(application, folder / "snapshots")
        server = AbciServer(application, snapshots, folder / "abci.sock")
        await server.start()
        try:
            yield server
        finally:
            server.failure.cancel()
            for client in OPEN:
                client.writer.close()
                with contextlib.suppress(OSError):
                    await client.writer.wait_closed()
            OPEN.clear()
            await server.stop()


async def connect(server: AbciServer) -> Client:
    """Open a connection."""
    client = Client(*await asyncio.open_unix_connection(str(server.path)))
    OPEN.append(client)
    return client


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 50))
def test_frames_come_out_as_they_went_in(bodies: list[bytes], step: int) -> None:
    stream = b"".join(encode_varint(len(body)) + body for body in bodies)
    buffer = FrameBuffer()
    found = []
    for at in range(0, len(stream), step):
        found += buffer.feed(stream[at : at + step])
    assert found == bodies


@given(st.binary(max_size=2000), st.integers(1, 30))
def test_wrapped_is_what_protobuf_encodes(value: bytes, field: int) -> None:
    message = abci.ResponseQuery(value=value).SerializeToString()
    whole = abci.Response(query=abci.ResponseQuery(value=value)).SerializeToString()
    assert encode_wrapped(7, message) == encode_varint(len(whole)) + whole


@given(st.binary(max_size=64))
def test_any_bytes(data: bytes) -> None:
    buffer = FrameBuffer()
    try:
        for body in buffer.feed(data):
            assert len(body) < 64
    except FramingError:
        pass


def test_invalid_lengths() -> None:
    for head in (encode_varint(FRAME_BYTES_MAX + 1), b"\xff" * 5, b"\x80" * 10):
        with pytest.raises(FramingError):
            FrameBuffer().feed(head)


async def test_answers_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        client = await connect(server)
        texts = [f"number {index}" for index in range(300)]
        requests = [frame(abci.Request(echo=abci.RequestEcho(message=text))) for text in texts]
        client.writer.write(b"".join(requests) + FLUSH)
        answers = [(await client.read()).echo.message for _ in texts]
        assert answers == texts
        assert (await client.read()).WhichOneof("value") == "flush"


async def test_only_this_user_may_connect(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert os.stat(server.path).st_mode & 0o077 == 0


async def test_info_and_snapshots(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        client = await connect(server)
        info = await client.ask(info=abci.RequestInfo(version="0.39.4"))
        assert (info.data, info.last_block_height) == ("descent", 0)
        assert not (await client.ask(list_snapshots=abci.RequestListSnapshots())).snapshots
        offered = await client.ask(offer_snapshot=abci.RequestOfferSnapshot())
        assert offered.result == abci.ResponseOfferSnapshot.ABORT


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\xff\xff",
        encode_varint(3) + b"\xff\xff\xff",
        encode_varint(0),
        encode_varint(2) + b"\xaa\x01",
        frame(abci.Request(echo=abci.RequestEcho(message="x")))[:-1] + b"\xff",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8,
    ],
)
async def test_malformed_bytes_end_their_connection_only(tmp_path: Path, data: bytes) -> None:
    async with serving(tmp_path) as server:
        honest, stranger = await connect(server), await connect(server)
        stranger.writer.write(data)
        response = await stranger.read()
        assert response.WhichOneof("value") == "exception"
        assert await stranger.read() is None
        assert (await honest.ask(echo=abci.RequestEcho(message="still here"))).message
        assert not server.failure.done()


@pytest.mark.parametrize(
    "count",
    [300, pytest.param(SOAK_CONNECTIONS, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
async def test_random_bytes(tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture) -> None:
    """Mutations of real requests: every connection is answered or ended, none stops the node."""
    caplog.set_level(logging.ERROR)  # what is logged would be kept, and be taken for a leak
    source, memory = random.Random(11 + int(os.environ.get("DESCENT_SOAK_SEED", "0"))), []
    seeds = [
        abci.Request(info=abci.RequestInfo(version="0.39.4")),
        abci.Request(check_tx=abci.RequestCheckTx(tx=b"\x0a\x03abc")),
        abci.Request(query=abci.RequestQuery(path="/store/bank/key", data=b"x", prove=True)),
        abci.Request(query=abci.RequestQuery(path="/cosmos.bank.v1beta1.Query/Balance")),
    ]
    async with serving(tmp_path) as server:
        for index in range(count):
            if index in (count // 10, count - 1):
                memory.append(psutil.Process().memory_info().rss)
            body = bytearray(source.choice(seeds).SerializeToString())
            for _ in range(source.randrange(1, 4)):
                body[source.randrange(len(body))] = source.randrange(256)
            if find_kind(body) in ENGINE_ONLY:
                continue
            client = await connect(server)
            client.writer.write(encode_varint(len(body)) + bytes(body))
            client.writer.write_eof()
            while await client.read() is not None:
                pass
            OPEN.remove(client)
            client.writer.close()
        growth = memory[1] - memory[0]
        print(f"{count} requests, memory grew by {growth / 2**20:.1f} MiB after the first tenth")
        assert growth < 20 << 20
        assert not server.failure.done(), server.failure
        assert not server.num_failed_queries
        honest = await connect(server)
        assert (await honest.ask(echo=abci.RequestEcho(message="x"))).message == "x"


def find_kind(body: bytes | bytearray) -> str | None:
    """Find what a request is; None if it is none."""
    try:
        kind: str | None = abci.Request.FromString(bytes(body)).WhichOneof("value")
    except DecodeError:
        return None
    return kind


async def test_an_exception_of_the_application_stops_the_node(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:

        def explode(_: Any) -> Any:
            raise ZeroDivisionError("a bug")

        server.handlers["finalize_block"] = explode
        client = await connect(server)
        client.writer.write(frame(abci.Request(finalize_block=abci.RequestFinalizeBlock())))
        response = await client.read()
        assert "a bug" in response.exception.error
        assert await client.read() is None
        with pytest.raises(ZeroDivisionError):
            server.failure.result()


async def test_an_upgrade_stops_the_node_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CometBFT gets no answer until its vote has reached the others."""
    loop = asyncio.get_running_loop()
    halts: list[Callable[[], None]] = []
    call_later = loop.call_later

    def hold(delay_s: float, call: Callable[..., None], *arguments: Any) -> Any:
        if delay_s != HALT_WAIT_S:
            return call_later(delay_s, call, *arguments)
        halts.append(partial(call, *arguments))
        return None

    monkeypatch.setattr(loop, "call_later", hold)
    async with serving(tmp_path) as server:

        def halt(_: Any) -> Any:
            raise UpgradeHalt("upgrade 'v2' is needed")

        server.handlers["finalize_block"] = halt
        client, other = await connect(server), await connect(server)
        client.writer.write(frame(abci.Request(finalize_block=abci.RequestFinalizeBlock())))
        async with asyncio.timeout(WAIT_S):
            while not halts:
                await asyncio.sleep(0.01)
        client.writer.write(FLUSH)
        assert (await other.ask(echo=abci.RequestEcho(message="x"))).message == "x"
        assert not server.failure.done()
        halts[0]()
        assert "is needed" in (await client.read()).exception.error
        assert await client.read() is None
        with pytest.raises(UpgradeHalt):
            server.failure.result()


async def test_a_bug_in_a_query_fails_that_query(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:

        def explode(_: Any) -> Any:
            raise ZeroDivisionError("a bug")

        server.handlers["query"] = explode
        client = await connect(server)
        assert (await client.ask(query=abci.RequestQuery(path="/x"))).code == 1
        assert (await client.ask(echo=abci.RequestEcho(message="x"))).message == "x"
        assert server.num_failed_queries == 1
        assert not server.failure.done()


async def test_queries_before_the_first_block(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        client = await connect(server)
        for path in ("/store/bank/key", "/cosmos.bank.v1beta1.Query/Params", "/nothing"):
            answer = await client.ask(query=abci.RequestQuery(path=path, data=b"", prove=True))
            assert answer.code in (6, 18, 22), (path, answer)
        assert not server.num_failed_queries
