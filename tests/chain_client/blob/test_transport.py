"""Fetching over real gRPC from honest, slow, broken and hostile servers."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest

from chain_client.blob import client as client_module
from chain_client.blob.address import KIND_BLOB, KIND_STATE
from chain_client.blob.client import BlobClient, FetchLimits
from chain_client.blob.errors import (
    BlobHashMismatch,
    BlobNotFound,
    BlobPortBusy,
    BlobTimeout,
    BlobTooLarge,
    BlobUnavailable,
    BlobUnwritable,
)
from chain_client.blob.server import BlobServer
from chain_client.blob.store import BlobStore
from exact.addresses import ADDRESS_FUNCTIONS
from proto.descent.blob.v1 import blob_pb2, blob_pb2_grpc

DATA = bytes(range(256)) * 6000  # 1.5 MB, six chunks
ADDRESS = hashlib.sha256(DATA).digest()
LIMITS = FetchLimits(max_size=4 << 20)
IMPATIENT = FetchLimits(max_size=4 << 20, stall_s=0.4, min_rate=100_000)
Get = Callable[[Any, Any], Awaitable[None]]


@asynccontextmanager
async def serve(get: Get) -> AsyncIterator[str]:
    """Run a server whose Get is any coroutine function."""

    class Servicer(blob_pb2_grpc.BlobServiceServicer):
        async def Get(self, request: Any, context: Any) -> None:
            await get(request, context)

    server = grpc.aio.server()
    blob_pb2_grpc.add_BlobServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def serve_data(path: Path, data: bytes = DATA, **limits: Any) -> AsyncIterator[str]:
    store = BlobStore(path)
    store.put(data)
    async with BlobServer([store], "127.0.0.1:0", **limits) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def client(tmp_path: Path) -> BlobClient:
    return BlobClient(BlobStore(tmp_path / "mine"))


def get_partial_size(client: BlobClient) -> int:
    path = client.store.get_partial_path(KIND_BLOB, ADDRESS)
    return path.stat().st_size if path.exists() else 0


async def test_fetch(client: BlobClient, tmp_path: Path) -> None:
    async with serve_data(tmp_path / "peer") as endpoint:
        assert await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS) == DATA
    assert client.store.read(KIND_BLOB, ADDRESS) == DATA
    assert await client.fetch(KIND_BLOB, ADDRESS, [], LIMITS) == DATA
    assert not list((client.store.directory / "partial").iterdir())


async def test_fetch_empty_blob(client: BlobClient, tmp_path: Path) -> None:
    address = hashlib.sha256(b"").digest()
    async with serve_data(tmp_path / "peer", b"") as endpoint:
        assert await client.fetch(KIND_BLOB, address, [endpoint], LIMITS) == b""


async def test_fetches_of_one_blob_share_a_connection(client: BlobClient, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "peer")
    store.put(DATA)
    async with BlobServer([store], "127.0.0.1:0") as server:
        endpoints = [f"127.0.0.1:{server.port}"]
        fetches = [client.fetch(KIND_BLOB, ADDRESS, endpoints, LIMITS) for _ in range(5)]
        assert set(await asyncio.gather(*fetches)) == {DATA}
        assert server.servicer.num_bytes_sent == len(DATA)


async def test_many_blobs_at_once(client: BlobClient, tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "peer")
    blobs = [bytes([i]) * 300_000 for i in range(40)]
    addresses = [store.put(blob) for blob in blobs]
    async with BlobServer([store], "127.0.0.1:0", max_streams=4) as server:
        endpoint = f"127.0.0.1:{server.port}"
        limits = FetchLimits(max_size=1 << 20)
        fetched = await asyncio.gather(
            *(client.fetch(KIND_BLOB, address, [endpoint], limits) for address in addresses)
        )
    assert fetched == blobs


async def test_blocking_fetch_from_a_thread(client: BlobClient, tmp_path: Path) -> None:
    async with serve_data(tmp_path / "peer") as endpoint:
        fetch_blob = client.make_blocking_fetch([endpoint], LIMITS)
        assert await asyncio.to_thread(fetch_blob, ADDRESS) == DATA


async def test_not_found(client: BlobClient, tmp_path: Path) -> None:
    async with serve_data(tmp_path / "peer", b"another") as endpoint:
        with pytest.raises(BlobNotFound, match=f"{endpoint}: no blob {ADDRESS.hex()} here"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)
    with pytest.raises(BlobNotFound, match="nobody to ask"):
        await client.fetch(KIND_BLOB, ADDRESS, [], LIMITS)


async def test_refused_connection_names_the_endpoint(client: BlobClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BlobUnavailable, match=f"{endpoint}: UNAVAILABLE"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)


async def test_bad_endpoint_is_passed_over(client: BlobClient, tmp_path: Path) -> None:
    async with serve_data(tmp_path / "peer") as endpoint:
        endpoints = ["unix:/etc/passwd", "", endpoint]
        assert await client.fetch(KIND_BLOB, ADDRESS, endpoints, LIMITS) == DATA
    with pytest.raises(BlobUnavailable, match="is not host:port"):
        await client.fetch(KIND_BLOB, bytes(32), ["unix:/etc/passwd"], LIMITS)


async def test_endpoint_that_accepts_and_says_nothing(client: BlobClient) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(BlobTimeout, match=f"{endpoint}: 0 bytes in 0.4 s"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], IMPATIENT)
        assert time.monotonic() - started < 3


async def test_endpoint_that_hangs_is_left_for_the_next(client: BlobClient, tmp_path: Path) -> None:
    async def hang(request: Any, context: Any) -> None:
        await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=DATA[:100_000]))
        await asyncio.sleep(60)

    limits = FetchLimits(max_size=4 << 20, stall_s=1, min_rate=150_000)
    async with serve(hang) as hanging, serve_data(tmp_path / "peer") as good:
        with pytest.raises(BlobTimeout, match="100000 of 1536000 came"):
            await client.fetch(KIND_BLOB, ADDRESS, [hanging], limits)
        assert get_partial_size(client) == 100_000
        assert await client.fetch(KIND_BLOB, ADDRESS, [hanging, good], limits) == DATA


async def test_endpoint_that_trickles(client: BlobClient) -> None:
    async def trickle(request: Any, context: Any) -> None:
        for i in range(len(DATA)):
            await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=DATA[i : i + 10]))
            await asyncio.sleep(0.02)

    async with serve(trickle) as endpoint:
        started = time.monotonic()
        with pytest.raises(BlobTimeout, match="40000 are the least"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], IMPATIENT)
        assert time.monotonic() - started < 3


async def test_deadline_over_all(client: BlobClient) -> None:
    async def crawl(request: Any, context: Any) -> None:
        for start in range(request.offset, len(DATA), 1000):
            piece = DATA[start : start + 1000]
            await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=piece))
            await asyncio.sleep(0.05)

    limits = FetchLimits(max_size=1 << 22, deadline_s=0.5, stall_s=30)
    async with serve(crawl) as endpoint:
        with pytest.raises(BlobTimeout, match=f"{endpoint}: not done in 0.5 s"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], limits)


async def test_endpoint_that_announces_too_much(client: BlobClient, tmp_path: Path) -> None:
    limits = FetchLimits(max_size=1_000_000)
    async with serve_data(tmp_path / "peer") as endpoint:
        with pytest.raises(BlobTooLarge, match="1536000 bytes, at most 1000000"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], limits)
    assert get_partial_size(client) == 0


@pytest.mark.parametrize("announced", [0, 1000, len(DATA)])
async def test_endpoint_that_sends_ten_gigabytes(client: BlobClient, announced: int) -> None:
    sent = 0

    async def flood(request: Any, context: Any) -> None:
        nonlocal sent
        for _ in range(40_000):
            await context.write(blob_pb2.GetChunk(total_size=announced, data=bytes(256 * 1024)))
            sent += 256 * 1024

    process = psutil.Process()
    before = process.memory_info().rss
    async with serve(flood) as endpoint:
        with pytest.raises(BlobTooLarge, match=f"sent over the {announced} bytes"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)
        assert sent < 64 << 20
    assert process.memory_info().rss - before < 64 << 20
    assert get_partial_size(client) == 0


async def test_endpoint_that_sends_a_huge_chunk(client: BlobClient) -> None:
    async def burst(request: Any, context: Any) -> None:
        await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=DATA))

    async with serve(burst) as endpoint:
        with pytest.raises(BlobUnavailable, match="RESOURCE_EXHAUSTED"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)


async def send_wrong(request: Any, context: Any) -> None:
    wrong = b"wrong" + DATA[5:]
    for start in range(request.offset, len(wrong), 100_000):
        piece = wrong[start : start + 100_000]
        await context.write(blob_pb2.GetChunk(total_size=len(wrong), data=piece))


async def test_wrong_bytes(client: BlobClient, tmp_path: Path) -> None:
    async with serve(send_wrong) as liar, serve_data(tmp_path / "peer") as good:
        with pytest.raises(BlobHashMismatch, match=f"{liar}: the bytes have address"):
            await client.fetch(KIND_BLOB, ADDRESS, [liar], LIMITS)
        assert get_partial_size(client) == 0
        assert not client.store.has(KIND_BLOB, ADDRESS)
        assert await client.fetch(KIND_BLOB, ADDRESS, [liar, good], LIMITS) == DATA


async def test_wrong_state(tmp_path: Path) -> None:
    client = BlobClient(BlobStore(tmp_path / "mine", ADDRESS_FUNCTIONS))
    async with serve(send_wrong) as liar:
        with pytest.raises(BlobHashMismatch, match="the bytes are no state"):
            await client.fetch(KIND_STATE, ADDRESS, [liar], LIMITS)


async def test_the_gravest_failure_is_raised_and_all_are_named(client: BlobClient) -> None:
    async def refuse(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "never heard of it")

    async with serve(send_wrong) as liar, serve(refuse) as empty:
        with pytest.raises(BlobHashMismatch, match=f"{liar}: .*; {empty}: never heard of it"):
            await client.fetch(KIND_BLOB, ADDRESS, [liar, empty], LIMITS)


def make_cutting_server(offsets: list[int], num_chunks: int) -> Get:
    """Cut every connection after some chunks of 100 kB."""

    async def cut(request: Any, context: Any) -> None:
        offsets.append(request.offset)
        for index in range(num_chunks):
            start = request.offset + index * 100_000
            if start >= len(DATA):
                return
            piece = DATA[start : start + 100_000]
            await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=piece))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    return cut


async def test_cut_connection_is_resumed(client: BlobClient) -> None:
    offsets: list[int] = []
    async with serve(make_cutting_server(offsets, 7)) as endpoint:
        assert await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS) == DATA
    assert offsets == [0, 700_000, 1_400_000]


async def test_cut_connection_is_resumed__after_a_restart(
    client: BlobClient, tmp_path: Path
) -> None:
    async with serve(make_cutting_server([], 2)) as endpoint:
        with pytest.raises(BlobUnavailable, match="UNAVAILABLE: cut"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)
        restarted = BlobClient(BlobStore(tmp_path / "mine"))
        assert get_partial_size(restarted) == 600_000
    store = BlobStore(tmp_path / "peer")
    store.put(DATA)
    async with BlobServer([store], "127.0.0.1:0") as server:
        endpoint = f"127.0.0.1:{server.port}"
        assert await restarted.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS) == DATA
        assert server.servicer.num_bytes_sent == len(DATA) - 600_000


async def test_connection_that_brings_nothing_is_not_tried_again(client: BlobClient) -> None:
    offsets: list[int] = []
    async with serve(make_cutting_server(offsets, 0)) as endpoint:
        with pytest.raises(BlobUnavailable):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)
    assert offsets == [0]


async def test_stream_that_ends_early(client: BlobClient) -> None:
    async def stop(request: Any, context: Any) -> None:
        await context.write(blob_pb2.GetChunk(total_size=len(DATA), data=b"x" * 1000))

    async with serve(stop) as endpoint:
        with pytest.raises(BlobUnavailable, match=f"ended after 3000 of {len(DATA)} bytes"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)


async def test_stream_without_chunks(client: BlobClient) -> None:
    async def stop(request: Any, context: Any) -> None:
        return

    async with serve(stop) as endpoint:
        with pytest.raises(BlobUnavailable, match="nothing came"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)


@pytest.mark.parametrize("poison", [b"wrong", b"x" * (len(DATA) + 5)])
async def test_wrong_partial_bytes_do_not_blame_the_next(
    client: BlobClient, tmp_path: Path, poison: bytes
) -> None:
    client.store.get_partial_path(KIND_BLOB, ADDRESS).write_bytes(poison)
    async with serve_data(tmp_path / "peer") as endpoint:
        assert await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS) == DATA


async def test_full_disk(
    client: BlobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with serve_data(tmp_path / "peer") as endpoint:
        monkeypatch.setattr(client_module, "_write", fail)
        with pytest.raises(BlobUnwritable, match="No space left"):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint, endpoint], LIMITS)
        monkeypatch.undo()
        assert await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS) == DATA


# ------------------------------------------------------------------------------------------ server
async def ask(endpoint: str, **request: Any) -> Any:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        return await blob_pb2_grpc.BlobServiceStub(channel).Stat(blob_pb2.StatRequest(**request))


async def test_stat(tmp_path: Path) -> None:
    async with serve_data(tmp_path / "peer") as endpoint:
        assert (await ask(endpoint, kind=KIND_BLOB, address=ADDRESS)).size == len(DATA)
        for request, status in (
            ({"kind": KIND_BLOB, "address": bytes(32)}, grpc.StatusCode.NOT_FOUND),
            ({"kind": KIND_BLOB, "address": b"short"}, grpc.StatusCode.INVALID_ARGUMENT),
            ({"address": bytes(32)}, grpc.StatusCode.INVALID_ARGUMENT),
            ({"address": bytes(10_000)}, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(endpoint, **request)
            assert caught.value.code() == status


async def test_server_does_not_serve_a_corrupt_file(tmp_path: Path, client: BlobClient) -> None:
    async with serve_data(tmp_path / "peer") as endpoint:
        path = next((tmp_path / "peer").rglob(ADDRESS.hex()))
        path.write_bytes(b"wrong")
        with pytest.raises(BlobNotFound):
            await client.fetch(KIND_BLOB, ADDRESS, [endpoint], LIMITS)
        assert not path.exists()


async def test_reader_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    data = bytes(30 << 20)
    address = hashlib.sha256(data).digest()
    limits = {"max_streams": 1, "write_timeout_s": 0.3}
    client = BlobClient(BlobStore(tmp_path / "mine"))
    async with (
        serve_data(tmp_path / "peer", data, **limits) as endpoint,
        grpc.aio.insecure_channel(endpoint) as channel,
    ):
        stub = blob_pb2_grpc.BlobServiceStub(channel)
        idle = stub.Get(blob_pb2.GetRequest(kind=KIND_BLOB, address=address))
        await idle.read()
        fetch_limits = FetchLimits(max_size=len(data), stall_s=5)
        assert await client.fetch(KIND_BLOB, address, [endpoint], fetch_limits) == data
        idle.cancel()


async def test_busy_port(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    async with BlobServer([store], "127.0.0.1:0") as server:
        with pytest.raises(BlobPortBusy, match=f"127.0.0.1:{server.port}; another process"):
            async with BlobServer([store], f"127.0.0.1:{server.port}"):
                pass
