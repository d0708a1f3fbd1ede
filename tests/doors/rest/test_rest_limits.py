"""What one client may do to the REST door: how often, how much, how slowly."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.server import Server

from node.doors import limits, rate
from node.doors.limits import BodyRefused, GuardedProtocol
from node.doors.rate import RateLimiter, compute_client_key
from tests.support.devnet_node import DevnetNode, open_another_door
from tests.support.rest_client import Rest

CHECK_S = 0.3
LARGE = b"x" * 8 * 2**20
ORIGIN = "https://wallet.example"


class Clock:
    def __init__(self) -> None:
        self.now = 128.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(8, clock)
    assert [limiter.take("a") for _ in range(16)] == [0.0] * 16
    assert limiter.take("a") == 0.125
    assert limiter.take("b") == 0.0
    clock.now += 0.125
    assert limiter.take("a") == 0.0
    assert limiter.take("a") > 0
    clock.now += 60
    assert [limiter.take("a") > 0 for _ in range(17)] == [False] * 16 + [True]


def test_no_limit() -> None:
    limiter = RateLimiter(0)
    assert not any(limiter.take("a") for _ in range(10_000))


def test_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MAX_CLIENTS", 3)
    limiter = RateLimiter(1, Clock())
    for host in "abcde":
        limiter.take(host)
    assert list(limiter._buckets) == ["c", "d", "e"]


def test_one_subscriber_of_ipv6_is_one_client() -> None:
    assert compute_client_key("192.0.2.7") == "192.0.2.7"
    assert compute_client_key("2001:db8::1") == compute_client_key("2001:db8::ffff:2")
    assert compute_client_key("2001:db8::1") != compute_client_key("2001:db8:0:1::1")
    assert compute_client_key("fe80::1%eth0") == "fe80::/64"
    assert compute_client_key("a:b") == "a:b"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server that answers with 8 MiB, and looks at its connections often."""
    monkeypatch.setattr(limits, "CHECK_S", CHECK_S)
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 4 * CHECK_S)

    async def answer(request: Request) -> Response:
        try:
            body = await limits.read_body(request, 10)
        except BodyRefused as error:
            return Response(status_code=error.status)
        return Response(body if request.method == "POST" else LARGE)

    routes = [Route("/", answer, methods=["GET", "POST"])]
    app = Starlette(routes=routes)
    server = limits.build_http_server(app, "127.0.0.1", 0, lifespan="off")
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await task


@pytest.fixture
def port(server: Server) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])


async def wait_for_end(reader: asyncio.StreamReader) -> int:
    """Wait until the server drops the connection; the times it could look meanwhile."""

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**16):
                pass

    task = asyncio.create_task(read())
    for number in range(20):
        if (await asyncio.wait([task], timeout=CHECK_S))[0]:
            return number
    raise AssertionError("the connection is still there")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_silent_client_is_dropped(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await wait_for_end(reader) < 10
    writer.close()


async def test_trickled_headers_are_dropped(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def trickle() -> None:
        while True:
            writer.write(b"X")
            await asyncio.sleep(CHECK_S / 3)

    task = asyncio.create_task(trickle())
    assert await wait_for_end(reader) < 10
    task.cancel()
    writer.close()


async def test_client_that_does_not_read_is_dropped(server: Server, port: int) -> None:
    """The kernel's buffers take some; the rest must not stay in memory."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connections = server.server_state.connections
    async with asyncio.timeout(30):
        while not connections:
            await asyncio.sleep(0.01)
        while connections:
            await asyncio.sleep(0.01)
    received = 0
    try:
        while chunk := await reader.read(2**20):
            received += len(chunk)
    except ConnectionError:
        pass
    assert received < len(LARGE)
    writer.close()


async def test_client_that_reads_slowly_but_surely_is_served(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    received = 0
    while chunk := await reader.read(2**17):
        received += len(chunk)
        await asyncio.sleep(0.01)
    assert received > len(LARGE)
    writer.close()


class StillTransport:
    """A connection on which nothing moves, whatever the time."""

    is_aborted = False
    protocol: GuardedProtocol

    def get_protocol(self) -> GuardedProtocol:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return len(LARGE)

    def abort(self) -> None:
        self.is_aborted = True


class HeldLoop:
    """An event loop whose time is told, and whose timers are called by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.timers.append((when, call))

    def run_next(self, late_s: float = 0.0) -> None:
        when, call = self.timers.pop()
        self.now = when + late_s
        call()


def test_client_is_not_blamed_for_a_server_that_stood_still() -> None:
    loop, transport = HeldLoop(), StillTransport()
    protocol = transport.protocol = GuardedProtocol.__new__(GuardedProtocol)
    protocol.loop, protocol.transport = cast(Any, loop), cast(Any, transport)
    protocol.cycle = cast(Any, SimpleNamespace(response_complete=False))
    protocol._is_moving, protocol._seen_unsent, protocol._seen_cycle = True, 0, None
    protocol._plan_look()
    loop.run_next()
    loop.run_next(late_s=2 * limits.CHECK_S)
    assert not transport.is_aborted
    loop.run_next()
    assert transport.is_aborted


async def test_body_that_does_not_come(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_large_body(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + b"x" * 11)
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


def test_a_door_with_a_limit_and_cors(devnet_node: DevnetNode) -> None:
    """A second door on the same home, as an operator starts more of them."""
    flags = ("--max-requests-per-second", "1", "--cors-allowed-origin", ORIGIN)
    with open_another_door("node.doors.rest_door", devnet_node.home, *flags) as port:
        rest = Rest(port)
        with rest.http:
            check_limited(rest)


def check_limited(rest: Rest) -> None:
    """Check the door's CORS, and that it says when to come again."""
    allowed = rest.ask("/cosmos/bank/v1beta1/params", headers={"origin": ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "x-cosmos-block-height" in allowed.headers["access-control-expose-headers"]
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    assert rest.ask("/cosmos/tx/v1beta1/txs", "OPTIONS", headers=asked).status_code == 200
    other = rest.ask("/cosmos/bank/v1beta1/params", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers
    found = [rest.ask("/cosmos/bank/v1beta1/params") for _ in range(20)]
    refused = [answer for answer in found if answer.status_code == 429]
    assert len(refused) >= 5
    assert refused[-1].json()["code"] == 8
    time.sleep(int(refused[-1].headers["retry-after"]))
    assert rest.ask("/cosmos/bank/v1beta1/params").status_code == 200
