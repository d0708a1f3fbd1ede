"""Connections between nodes that can be cut: a TCP proxy for every pair that names a cuttable node.

A cut connection stays open and carries nothing, as when a cable is pulled; new ones are taken and
carry nothing either. Mended, what waited is carried.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable

READ_BYTES = 1 << 16


class Links:
    """Proxies for the nodes of a chain, in a thread of their own; a context manager.

    Args:
        ports: P2P port of every node.
        cuttable: nodes whose connections go through proxies.
    """

    def __init__(self, ports: list[int], cuttable: Iterable[int]) -> None:
        self._ports = ports
        self._cuttable = frozenset(cuttable)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: dict[int, asyncio.Event] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._proxies: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Links:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def get_port(self, dialer: int, target: int) -> int:
        """Get the port at which one node reaches another."""
        return self._proxies.get((dialer, target), self._ports[target])

    def cut(self, index: int) -> None:
        """Let nothing through to and from a node."""
        self._loop.call_soon_threadsafe(self._open[index].clear)

    def mend(self, index: int) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._open[index].set)

    async def _start(self) -> None:
        for index in self._cuttable:
            self._open[index] = asyncio.Event()
            self._open[index].set()
        count = len(self._ports)
        for dialer in range(count):
            for target in range(count):
                if dialer != target and {dialer, target} & self._cuttable:
                    server = await asyncio.start_server(
                        self._make_handler(dialer, target), "127.0.0.1", 0
                    )
                    self._servers.append(server)
                    self._proxies[dialer, target] = server.sockets[0].getsockname()[1]

    def _make_handler(self, dialer: int, target: int) -> Callable[..., None]:
        def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._carry(dialer, target, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return handle

    async def _carry(
        self, dialer: int, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one connection until an end closes it."""
        gates = [self._open[index] for index in (dialer, target) if index in self._open]
        with contextlib.suppress(OSError):
            for gate in gates:
                await gate.wait()
            back_reader, back_writer = await asyncio.open_connection(
                "127.0.0.1", self._ports[target]
            )
            try:
                ways = [
                    self._loop.create_task(self._pump(*pair, gates))
                    for pair in ((reader, back_writer), (back_reader, writer))
                ]
                _, waiting = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in waiting:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                back_writer.close()
        writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gates: list[asyncio.Event]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                for gate in gates:
                    await gate.wait()
                writer.write(data)
                await writer.drain()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
