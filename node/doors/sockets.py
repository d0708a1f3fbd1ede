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

logger = logging.getLogger(__name__)


class ChainFollower(Protocol):
    """What tells subscribers of new blocks."""

    async def run(self) -> None: ...


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
) -> None:
    """Serve an accepted WebSocket until either side closes it.

    Args:
        handle: given each message of the client.
        take: waits for what to send next; None ends the connection.
        close: called once the client is gone, before sending ends.
    """
    sender = asyncio.create_task(_send(socket, take))
    try:
        await _receive(socket, handle)
    except WebSocketDisconnect:
        pass
    finally:
        close()
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender


async def _receive(socket: WebSocket, handle: Callable[[str | bytes], Awaitable[None]]) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        await handle(message.get("text") or message.get("bytes") or b"")


async def _send(socket: WebSocket, take: Callable[[], Awaitable[bytes | None]]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (message := await take()) is not None:
            await socket.send_text(message.decode())
        await socket.close(1013)
