"""What the doors over HTTP and WebSocket have in common: follow the chain, serve one socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_S = 2.0  # for a client to read that its connection ends

logger = logging.getLogger(__name__)


class ChainFollower(Protocol):
    """What tells subscribers of new blocks."""

    async def run(self) -> None: ...


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, cut off if a client does not even read its end."""

    async def run_asgi(self) -> None:
        """Run the application once for the connection."""
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)


def get_remote(connection: Request | WebSocket) -> str:
    """Get the peer's `host:port`."""
    client = connection.client
    return f"{client.host}:{client.port}" if client else ""


def stop_if_failed(task: asyncio.Task[None]) -> None:
    """Stop the process, to be started again, if following the chain failed."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("following the chain failed", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


@asynccontextmanager
async def follow_chain(hub: ChainFollower) -> AsyncIterator[None]:
    """Follow the chain while the application runs; the door ends if that fails."""
    task = asyncio.create_task(hub.run())
    task.add_done_callback(stop_if_failed)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def exchange(
    socket: WebSocket,
    handle: Callable[[str | bytes], Awaitable[None]],
    take: Callable[[], Awaitable[bytes | None]],
    close: Callable[[], None],
    ended: asyncio.Event,
) -> None:
    """Serve an accepted WebSocket until either side closes it.

    Args:
        handle: given each message of the client.
        take: waits for what to send next; None ends the connection.
        close: called once the client is gone, before sending ends.
        ended: set when the client is let go, because it does not read.
    """
    sender = asyncio.create_task(_send(socket, take))
    receiver = asyncio.create_task(_receive(socket, handle))
    waiter = asyncio.create_task(ended.wait())
    tasks = (sender, receiver, waiter)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            receiver.cancel()
            await asyncio.wait((sender,), timeout=LINGER_S)
    finally:
        close()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _receive(socket: WebSocket, handle: Callable[[str | bytes], Awaitable[None]]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await handle(message.get("text") or message.get("bytes") or b"")
            await asyncio.sleep(0)  # others have their turn between two messages of one client


async def _send(socket: WebSocket, take: Callable[[], Awaitable[bytes | None]]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (message := await take()) is not None:
            await socket.send_text(message.decode())
        await socket.close(1013)
