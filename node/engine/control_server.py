"""The engine's side of the control socket: same process, same thread as the engine.

The protocol is in `control.py`.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
from pathlib import Path

from node.engine.control import (
    BROADCAST,
    CHECK,
    EVENT,
    OK,
    REFUSED,
    STATUS,
    SUBSCRIBE,
    UNCONFIRMED,
    Frame,
    FrameError,
    FrameSplitter,
    get_socket_path,
    short_path,
)
from node.engine.embedded import CommittedBlock, EmbeddedEngine
from node.engine.errors import TxRefused

logger = logging.getLogger(__name__)

UNKNOWN_REQUEST_CODE = 6  # of codespace sdk
STOP_WAIT_S = 1.0  # a client that does not read is cut off then
BACKLOG_BYTES_MAX = 64 << 10  # a subscriber that reads slower than this misses heights


class ControlServer:
    """Answers other processes of the node while the engine's loop runs."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self._path = get_socket_path(engine.home)
        self._server: asyncio.Server | None = None
        self._subscribers: dict[asyncio.StreamWriter, int] = {}
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        engine.on_block(self._tell_subscribers)

    @property
    def path(self) -> Path:
        """Where it listens."""
        return self._path

    async def start(self) -> None:
        """Listen. A socket that a killed node left behind is replaced: the block store's lock says
        that no other engine runs here."""
        self._path.unlink(missing_ok=True)
        with short_path(self._path) as name:
            mask = os.umask(0o077)
            try:
                self._server = await asyncio.start_unix_server(self._serve, name)
            finally:
                os.umask(mask)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
            tasks = [task for task in self._connections.values() if task is not None]
            for writer in list(self._connections):
                writer.close()
            # Left to the end of the loop they would be cancelled, and asyncio would report that.
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_WAIT_S)
            for writer in list(self._connections):
                writer.transport.abort()
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = FrameSplitter()
        self._connections[writer] = asyncio.current_task()
        try:
            while data := await reader.read(1 << 16):
                for frame in splitter.feed(data):
                    writer.write(self._answer(frame, writer).encode())
                await writer.drain()
        except FrameError as error:
            logger.warning("a client of the control socket sent %s", error)
        except OSError:
            pass  # the client is gone
        finally:
            self._connections.pop(writer, None)
            self._subscribers.pop(writer, None)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, frame: Frame, writer: asyncio.StreamWriter) -> Frame:
        try:
            return Frame(OK, frame.request_id, self._call(frame, writer))
        except TxRefused as error:
            body = error.code.to_bytes(4, "big") + str(error).encode()
            return Frame(REFUSED, frame.request_id, body)
        except Exception as error:
            # The one place of this process that catches everything: an error inside the
            # application must stop the node, but asyncio would drop it with the connection.
            self._engine.fail(error)
            raise

    def _call(self, frame: Frame, writer: asyncio.StreamWriter) -> bytes:
        engine, body = self._engine, frame.body
        if frame.kind == BROADCAST:
            response: bytes = engine.mempool.add(body).SerializeToString()
            return response
        if frame.kind == CHECK:
            checked: bytes = engine.mempool.check(body).SerializeToString()
            return checked
        if frame.kind == STATUS:
            return json.dumps(engine.get_status()).encode()
        if frame.kind == UNCONFIRMED:
            txs = engine.mempool.list_txs(int.from_bytes(body, "big"))
            fields = {
                "total": len(engine.mempool),
                "total_bytes": engine.mempool.total_bytes,
                "txs": [base64.b64encode(tx).decode() for tx in txs],
            }
            return json.dumps(fields).encode()
        if frame.kind == SUBSCRIBE:
            self._subscribers[writer] = frame.request_id
            return engine.state.height.to_bytes(8, "big")
        raise TxRefused(UNKNOWN_REQUEST_CODE, f"unknown request {frame.kind}")

    def _tell_subscribers(self, committed: CommittedBlock) -> None:
        height = committed.height.to_bytes(8, "big")
        for writer, request_id in self._subscribers.items():
            if writer.transport.get_write_buffer_size() < BACKLOG_BYTES_MAX:
                writer.write(Frame(EVENT, request_id, height).encode())
