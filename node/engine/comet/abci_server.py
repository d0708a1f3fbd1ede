"""The ABCI 2.0 server: CometBFT's four connections to the application, over a unix socket.

Requests of a connection are answered in order; Flush is always answered; everything runs in the
loop's one thread, so no two calls of the application overlap, as behind CometBFT's own mutex.
Bytes that are no request end their connection. An exception inside the application is told to
CometBFT, which stops, and ends this process: it never becomes the result of a transaction. Only a
query that fails is answered so: it reads committed state and changes nothing. An upgrade stops the
node only after `HALT_WAIT_S`: CometBFT goes on passing its vote for that block to the others, who
could not decide it, and stop for the upgrade, without it.

A thread a connection takes bytes off the socket even while the application works: CometBFT's client
spins when its writes wait (its flush timer fires every 20 ns), which on two cores costs half of it.

Source: CometBFT v0.39 abci/server/socket_server.go; `reference/chain.md` sections 3.2 and 3.4.
"""

import asyncio
import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.message import DecodeError
from tendermint.abci import types_pb2 as abci

from node.engine.comet.framing import FrameBuffer, FramingError, encode_wrapped
from node.engine.control import short_path
from node.engine.transition import Application
from node.runtime.errors import UpgradeHalt

logger = logging.getLogger(__name__)

RESPONSE_FIELDS = {field.name: field.number for field in abci.Response.DESCRIPTOR.fields}
FLUSHED = encode_wrapped(RESPONSE_FIELDS["flush"], b"")
READ_BYTES = 1 << 18
HALT_WAIT_S = 3.0
BACKLOG_BYTES_MAX = 256 << 20
"""A client that does not read its answers is cut off."""


class QueriedApplication(Application, Protocol):
    """The application with queries; under the embedded engine the doors read the state instead."""

    def query(self, request: Any) -> Any: ...


class Snapshots(Protocol):
    """The ABCI methods of state sync."""

    def list_snapshots(self, request: Any) -> Any: ...
    def offer_snapshot(self, request: Any) -> Any: ...
    def load_snapshot_chunk(self, request: Any) -> Any: ...
    def apply_snapshot_chunk(self, request: Any) -> Any: ...


Handler = Callable[[Any], Any]
METHODS = (
    "info",
    "query",
    "check_tx",
    "init_chain",
    "prepare_proposal",
    "process_proposal",
    "extend_vote",
    "verify_vote_extension",
    "finalize_block",
    "commit",
)
SNAPSHOT_METHODS = (
    "list_snapshots",
    "offer_snapshot",
    "load_snapshot_chunk",
    "apply_snapshot_chunk",
)


def list_handlers(application: QueriedApplication, snapshots: Snapshots) -> dict[str, Handler]:
    """List what answers each kind of request."""
    handlers: dict[str, Handler] = {name: getattr(application, name) for name in METHODS}
    handlers.update({name: getattr(snapshots, name) for name in SNAPSHOT_METHODS})
    handlers["echo"] = lambda request: abci.ResponseEcho(message=request.message)
    return handlers


class AbciServer:
    """Serves one application on one socket.

    Args:
        snapshots: answers about snapshots of the state.
        path: of the socket; one that a killed node left behind is replaced.
    """

    def __init__(self, application: QueriedApplication, snapshots: Snapshots, path: Path) -> None:
        self.path = path
        self.handlers = list_handlers(application, snapshots)
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.num_refused = self.num_failed_queries = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """Listen; only this user may connect."""
        self.path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        with short_path(self.path) as name:
            mask = os.umask(0o077)
            try:
                self._server = await loop.create_unix_server(lambda: AbciConnection(self), name)
            finally:
                os.umask(mask)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
            for transport in list(self._connections):
                transport.close()
            await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    def fail(self, error: Exception) -> None:
        """End the node with an error from inside the application; the first one counts."""
        if not self.failure.done():
            self.failure.set_exception(error)

    def add(self, transport: asyncio.Transport) -> None:
        """Remember an open connection."""
        self._connections.add(transport)

    def discard(self, transport: asyncio.Transport) -> None:
        """Forget a connection that ended."""
        self._connections.discard(transport)


class AbciConnection(asyncio.Protocol):
    """One connection of CometBFT."""

    def __init__(self, server: AbciServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._is_halting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=BACKLOG_BYTES_MAX)
        self._transport = transport
        self._server.add(transport)
        transport.pause_reading()
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; its thread ends with it."""
        if self._transport is not None:
            self._server.discard(self._transport)
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self, source: socket.socket) -> None:
        """Take bytes off the socket for the loop's thread, until it ends."""
        poll = select.poll()
        poll.register(source, select.POLLIN)
        with source:
            while True:
                try:
                    poll.poll()
                    data = source.recv(READ_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                with contextlib.suppress(RuntimeError):  # the loop is closed: the node ends
                    self._loop.call_soon_threadsafe(self._take, data)
                if not data:
                    return

    def _take(self, data: bytes) -> None:
        assert self._transport is not None
        if data and not self._transport.is_closing():
            self.data_received(data)
        elif not data:
            self._transport.close()

    def pause_writing(self) -> None:
        """Cut off a client that does not read."""
        assert self._transport is not None
        logger.warning("an ABCI client does not read its answers")
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer the requests these bytes complete."""
        assert self._transport is not None
        if self._is_halting:  # an answer to what follows would be taken for the missing one
            return
        answers = bytearray()
        try:
            for frame in self._frames.feed(data):
                answers += self._answer(frame)
        except UpgradeHalt as error:
            logger.warning("stopping in %g s: %s", HALT_WAIT_S, error)
            self._transport.write(bytes(answers))
            self._is_halting = True
            self._loop.call_later(HALT_WAIT_S, self._halt, error)
        except (FramingError, DecodeError, _Failed) as error:
            if not isinstance(error, _Failed):
                self._server.num_refused += 1
                logger.warning("an ABCI client sent no request: %s", error)
            self._end(bytes(answers), error)
        else:
            if answers:
                self._transport.write(bytes(answers))

    def _end(self, answers: bytes, error: Exception) -> None:
        """End the connection with the reason."""
        assert self._transport is not None
        self._transport.write(answers + build_exception(str(error)))
        self._transport.close()

    def _halt(self, error: UpgradeHalt) -> None:
        """End the node for an upgrade."""
        self._server.fail(error)
        self._end(b"", error)

    def _answer(self, frame: bytes) -> bytes:
        """Answer one request.

        Raises:
            FramingError, DecodeError: it is none.
            UpgradeHalt: another version of the program has to go on.
            _Failed: the application failed; the server was told.
        """
        request = abci.Request.FromString(frame)
        kind = request.WhichOneof("value")
        if kind == "flush":
            return FLUSHED
        handler = self._server.handlers.get(kind or "")
        if handler is None:
            raise FramingError(f"a request of unknown kind, {len(frame)} bytes")
        try:
            response = handler(getattr(request, kind))
        except UpgradeHalt:
            raise
        except Exception as error:
            # The one place of this process that catches everything: an error inside the
            # application must stop the node, but asyncio would drop it with the connection. A
            # query changes nothing and anybody may send one: a bug in it fails that query alone.
            logger.exception("the application failed in %s", kind)
            if kind != "query":
                self._server.fail(error)
                raise _Failed(repr(error)) from error
            self._server.num_failed_queries += 1
            response = abci.ResponseQuery(code=1, codespace="undefined", log="internal error")
        return encode_wrapped(RESPONSE_FIELDS[kind], response.SerializeToString())


class _Failed(Exception):
    """The application failed."""


def build_exception(text: str) -> bytes:
    """Build the frame that tells CometBFT to stop."""
    message: bytes = abci.ResponseException(error=text).SerializeToString()
    return encode_wrapped(RESPONSE_FIELDS["exception"], message)
