"""How other processes of a node reach its engine: a unix socket, `<home>/data/engine.sock`.

Frames: u32 length of the rest, u8 kind, u32 request id, body; big endian. A reply carries the id of
its request; a subscription gets EVENT frames with its id until the connection ends.

| request     | body                    | reply body                                           |
|-------------|-------------------------|------------------------------------------------------|
| BROADCAST   | transaction             | tendermint.abci.ResponseCheckTx                      |
| CHECK       | transaction             | tendermint.abci.ResponseCheckTx                      |
| STATUS      |                         | JSON, see `EmbeddedEngine` status                    |
| UNCONFIRMED | u32 number of them      | JSON {total, total_bytes, txs: [base64]}             |
| SUBSCRIBE   |                         | u64 height now; then EVENT u64 height after a commit |

REFUSED replies hold a u32 code of codespace `sdk` and a text. `Protocol` below is without I/O;
`ControlClient` and `AsyncControlClient` are its shells.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tendermint.abci import types_pb2 as abci

from node.engine.errors import EngineUnreachable, TxRefused

BROADCAST, CHECK, STATUS, UNCONFIRMED, SUBSCRIBE = range(1, 6)
OK, REFUSED, EVENT = range(0x80, 0x83)
FRAME_BYTES_MAX = 128 << 20
TIMEOUT_S = 30.0
SOCKET_NAME = "engine.sock"

_HEAD = struct.Struct(">IBI")
_KIND_AND_ID = 5  # bytes of the head that the length counts


def get_socket_path(home: Path) -> Path:
    """Return where the engine of a home listens."""
    return home / "data" / SOCKET_NAME


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name for a socket that fits the 107 bytes a unix address has, however deep it is."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message in either direction."""

    kind: int
    request_id: int
    body: bytes

    def encode(self) -> bytes:
        """Encode with the length in front."""
        return _HEAD.pack(len(self.body) + _KIND_AND_ID, self.kind, self.request_id) + self.body


class FrameError(Exception):
    """The other side sent what is not a frame."""


class FrameSplitter:
    """Cut a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return the frames they complete.

        Raises:
            FrameError: a length that no frame has.
        """
        self._buffer += data
        frames = []
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            length, kind, request_id = _HEAD.unpack_from(self._buffer, at)
            if not _KIND_AND_ID <= length <= FRAME_BYTES_MAX:
                raise FrameError(f"a frame of {length} bytes")
            end = at + 4 + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(kind, request_id, bytes(self._buffer[at + _HEAD.size : end])))
            at = end
        del self._buffer[:at]
        return frames


@dataclass(frozen=True, slots=True)
class UnconfirmedTxs:
    """The first transactions that wait in the mempool, and how many and how large all are."""

    txs: list[bytes]
    total: int
    total_bytes: int


class EngineClient(Protocol):
    """What a door needs of an engine, whichever it is."""

    async def broadcast_tx(self, tx: bytes) -> Any: ...
    async def check_tx(self, tx: bytes) -> Any: ...
    async def list_unconfirmed(self, limit: int = ...) -> UnconfirmedTxs: ...
    def follow_heights(self) -> AsyncIterator[int]: ...
    async def close(self) -> None: ...


def take_reply(frame: Frame) -> bytes:
    """Return the body of a reply.

    Raises:
        TxRefused: the engine refused the request.
    """
    if frame.kind == REFUSED:
        code = int.from_bytes(frame.body[:4], "big")
        raise TxRefused(code, frame.body[4:].decode(errors="replace"))
    return frame.body


def parse_unconfirmed(body: bytes) -> UnconfirmedTxs:
    """Parse the reply to UNCONFIRMED."""
    fields = json.loads(body)
    txs = [base64.b64decode(text) for text in fields["txs"]]
    return UnconfirmedTxs(txs, fields["total"], fields["total_bytes"])


def _explain(path: Path, error: Exception) -> EngineUnreachable:
    return EngineUnreachable(f"no engine answers at {path} ({error}): is the node running?")


class ControlClient:
    """Blocking client; may be shared between threads. Connects when it is first used."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._request_id = 0

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def broadcast_tx(self, tx: bytes) -> Any:
        """Hand a transaction to the mempool; return its ResponseCheckTx.

        Raises:
            TxRefused: known already (19), mempool full (20) or too large (21).
            EngineUnreachable: nothing listens, or it stopped while it answered.
        """
        return abci.ResponseCheckTx.FromString(self._call(BROADCAST, tx))

    def check_tx(self, tx: bytes) -> Any:
        """Check a transaction without keeping it; return its ResponseCheckTx.

        Raises:
            EngineUnreachable: nothing listens, or it stopped while it answered.
        """
        return abci.ResponseCheckTx.FromString(self._call(CHECK, tx))

    def get_status(self) -> dict[str, Any]:
        """Return the engine's status, as `EmbeddedEngine.get_status` makes it.

        Raises:
            EngineUnreachable: nothing listens, or it stopped while it answered.
        """
        status: dict[str, Any] = json.loads(self._call(STATUS, b""))
        return status

    def list_unconfirmed(self, limit: int = 30) -> UnconfirmedTxs:
        """Return the first `limit` transactions of the mempool, and how many there are.

        Raises:
            EngineUnreachable: nothing listens, or it stopped while it answered.
        """
        return parse_unconfirmed(self._call(UNCONFIRMED, limit.to_bytes(4, "big")))

    def follow_heights(self) -> Iterator[int]:
        """Yield the height now, then the height after every commit, on a connection of its own.

        Raises:
            EngineUnreachable: nothing listens, or it stopped.
        """
        try:
            with self._connect() as connection:
                connection.sendall(Frame(SUBSCRIBE, 1, b"").encode())
                connection.settimeout(None)
                splitter = FrameSplitter()
                while data := connection.recv(65536):
                    for frame in splitter.feed(data):
                        yield int.from_bytes(take_reply(frame), "big")
        except OSError as error:
            raise _explain(self._path, error) from error
        raise EngineUnreachable(f"the engine at {self._path} stopped")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            with short_path(self._path) as name:
                connection.connect(name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _call(self, kind: int, body: bytes) -> bytes:
        with self._lock:
            try:
                if self._socket is None:
                    self._socket = self._connect()
                self._request_id = (self._request_id + 1) & 0xFFFFFFFF
                self._socket.sendall(Frame(kind, self._request_id, body).encode())
                splitter = FrameSplitter()
                while data := self._socket.recv(65536):
                    for frame in splitter.feed(data):
                        return take_reply(frame)
                raise OSError("the connection ended")
            except OSError as error:
                self.close()
                raise _explain(self._path, error) from error


class AsyncControlClient:
    """The same for asyncio; calls may overlap. Connects when it is first used."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[Frame]] = {}
        self._request_id = 0
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> "AsyncControlClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        if self._reader_task is not None:
            self._reader_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader_task
        self._reader_task = None

    async def broadcast_tx(self, tx: bytes) -> Any:
        """See `ControlClient.broadcast_tx`."""
        return abci.ResponseCheckTx.FromString(await self._call(BROADCAST, tx))

    async def check_tx(self, tx: bytes) -> Any:
        """See `ControlClient.check_tx`."""
        return abci.ResponseCheckTx.FromString(await self._call(CHECK, tx))

    async def get_status(self) -> dict[str, Any]:
        """See `ControlClient.get_status`."""
        status: dict[str, Any] = json.loads(await self._call(STATUS, b""))
        return status

    async def list_unconfirmed(self, limit: int = 30) -> UnconfirmedTxs:
        """See `ControlClient.list_unconfirmed`."""
        return parse_unconfirmed(await self._call(UNCONFIRMED, limit.to_bytes(4, "big")))

    async def follow_heights(self) -> AsyncIterator[int]:
        """See `ControlClient.follow_heights`."""
        try:
            reader, writer = await self._open()
            try:
                writer.write(Frame(SUBSCRIBE, 1, b"").encode())
                splitter = FrameSplitter()
                while data := await reader.read(65536):
                    for frame in splitter.feed(data):
                        yield int.from_bytes(take_reply(frame), "big")
            finally:
                writer.close()
        except OSError as error:
            raise _explain(self._path, error) from error
        raise EngineUnreachable(f"the engine at {self._path} stopped")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with short_path(self._path) as name:
            return await asyncio.open_unix_connection(name)

    async def _call(self, kind: int, body: bytes) -> bytes:
        try:
            async with self._connecting:
                if self._reader_task is None or self._reader_task.done():
                    reader, self._writer = await self._open()
                    self._reader_task = asyncio.create_task(self._read(reader, self._writer))
            assert self._writer is not None
            self._request_id = (self._request_id + 1) & 0xFFFFFFFF
            future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
            self._pending[self._request_id] = future
            self._writer.write(Frame(kind, self._request_id, body).encode())
            return take_reply(await asyncio.wait_for(future, self._timeout_s))
        except OSError as error:  # TimeoutError is one
            raise _explain(self._path, error) from error

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = FrameSplitter()
        try:
            while data := await reader.read(65536):
                for frame in splitter.feed(data):
                    future = self._pending.pop(frame.request_id, None)
                    if future is not None and not future.done():
                        future.set_result(frame)
        except (OSError, FrameError):
            pass  # the calls under way are told below
        finally:
            writer.close()
            pending, self._pending = self._pending, {}
            for future in pending.values():
                if not future.done():
                    future.set_exception(OSError("the connection ended"))
