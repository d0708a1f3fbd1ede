"""Mempool and control socket: a running engine in this loop, clients beside it and in threads."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from node.engine.control import AsyncControlClient, ControlClient, get_socket_path
from node.engine.control_server import ControlServer
from node.engine.embedded import EngineOptions
from node.engine.errors import EngineUnreachable, TxRefused
from node.engine.mempool import MempoolLimits
from tests.engine.tiny_app import Clock, Node, make_home

LIMITS = MempoolLimits(num_txs=3, num_cached=5, total_bytes=1000, tx_bytes=400)


@contextlib.asynccontextmanager
async def running(home: Path, interval_s: float = 0.02):
    options = EngineOptions(interval_s=interval_s, clock=Clock(), limits=LIMITS)
    with Node(make_home(home), options) as node:
        server = ControlServer(node.engine)
        await server.start()
        task = asyncio.create_task(node.engine.run())
        try:
            yield node, task
        finally:
            node.engine.stop()
            with contextlib.suppress(ZeroDivisionError):
                await task
            await server.stop()


async def test_broadcast_is_committed(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 30) / "home"
    async with running(home) as (node, _), AsyncControlClient(get_socket_path(home)) as client:
        assert (await client.broadcast_tx(b"k=v")).code == 0
        refused = await client.broadcast_tx(b"bad")
        assert (refused.code, refused.log) == (4, "bad tx")
        heights = client.follow_heights()
        first = await anext(heights)
        assert [await anext(heights) for _ in range(3)] == [first + 1, first + 2, first + 3]
        await heights.aclose()
        assert node.app.store.get("kv", b"k") == b"v"
        status = await client.get_status()
        assert status["chain_id"] == "tiny-1"
        assert status["height"] >= first + 3


async def test_blocking_client(tmp_path: Path) -> None:
    async with running(tmp_path / "home", interval_s=60):

        def use() -> None:
            with ControlClient(get_socket_path(tmp_path / "home")) as client:
                assert client.broadcast_tx(b"a=1").code == 0
                assert client.check_tx(b"bad").code == 4
                waiting = client.list_unconfirmed()
                assert (waiting.txs, waiting.total, waiting.total_bytes) == ([b"a=1"], 1, 3)
                with pytest.raises(TxRefused, match="tx already exists in cache") as caught:
                    client.broadcast_tx(b"a=1")
                assert caught.value.code == 19
                assert next(client.follow_heights()) == 1

        await asyncio.to_thread(use)


async def test_mempool_limits(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "home", interval_s=60) as (node, _),
        AsyncControlClient(get_socket_path(tmp_path / "home")) as client,
    ):
        with pytest.raises(
            TxRefused, match=r"Tx too large\. Max size is 400, but got 401"
        ) as error:
            await client.broadcast_tx(bytes(401))
        assert error.value.code == 21
        for tx in (b"a=1", b"once=1", b"fail"):
            assert (await client.broadcast_tx(tx)).code == 0
        with pytest.raises(TxRefused, match="mempool is full: number of txs 3") as full:
            await client.broadcast_tx(b"d=1")
        assert full.value.code == 20
        node.engine.step()
        assert (await client.list_unconfirmed()).total == 0
        # What failed in the block may come again, what succeeded may not.
        assert (await client.broadcast_tx(b"fail")).code == 0
        with pytest.raises(TxRefused, match="cache"):
            await client.broadcast_tx(b"a=1")


async def test_recheck_drops_what_no_longer_passes(tmp_path: Path) -> None:
    with Node(make_home(tmp_path / "home")) as node:
        node.engine.mempool.add(b"gas=10")
        node.engine.step()
        node.engine.mempool.add(b"a=1")
        node.engine.mempool.add(b"once=1")
        node.engine.mempool.add(b"b=1")
        node.engine.step()  # one transaction fits
        assert node.engine.mempool.list_txs() == [b"b=1"]
        assert node.app.calls[-2:] == ["recheck_tx", "recheck_tx"]


async def test_error_in_the_application_stops_the_engine(tmp_path: Path) -> None:
    async with running(tmp_path / "home", interval_s=60) as (node, task):

        def explode(request):
            raise ZeroDivisionError

        node.engine.mempool._check_tx = explode
        async with AsyncControlClient(get_socket_path(tmp_path / "home"), 5.0) as client:
            with pytest.raises(EngineUnreachable):
                await client.broadcast_tx(b"a=1")
        with pytest.raises(ZeroDivisionError):
            await task


async def test_invalid_no_engine(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    async with AsyncControlClient(get_socket_path(tmp_path)) as client:
        with pytest.raises(EngineUnreachable, match="is the node running"):
            await client.get_status()
    with ControlClient(get_socket_path(tmp_path)) as blocking, pytest.raises(EngineUnreachable):
        blocking.get_status()
