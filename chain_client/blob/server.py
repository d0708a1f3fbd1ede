"""Serve blobs over `descent.blob.v1.BlobService`.

A stream carries CHUNK_BYTES at a time from any offset. Strangers are bounded: requests are small,
at most `max_streams` are answered at once, a reader that takes no chunk for `write_timeout_s`
loses its place, and no connection lives longer than eleven minutes.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from chain_client.blob.address import KIND_NAMES, BlobSource, ensure_address
from chain_client.blob.errors import BlobPortBusy, InvalidAddress
from proto.descent.blob.v1 import blob_pb2, blob_pb2_grpc

CHUNK_BYTES = 256 * 1024
_MAX_REQUEST_BYTES = 4096
_QUEUE_TIMEOUT_S = 5.0
_MAX_CALLS = 256
_MAX_CONNECTION_AGE_S = 600
_CONNECTION_GRACE_S = 60


class BlobServicer(blob_pb2_grpc.BlobServiceServicer):  # type: ignore[misc]
    """Answer Stat and Get from the first source that has the address.

    Args:
        sources: asked in order.
        max_streams: answered at once; more wait a few seconds, then get RESOURCE_EXHAUSTED.
        write_timeout_s: for the reader to take one chunk.
    """

    def __init__(
        self,
        sources: Sequence[BlobSource],
        *,
        max_streams: int = 16,
        write_timeout_s: float = 30.0,
    ) -> None:
        self._sources = list(sources)
        self._slots = asyncio.Semaphore(max_streams)
        self._write_timeout_s = write_timeout_s
        self.num_bytes_sent = self.num_streams_done = 0

    def add_source(self, source: BlobSource) -> None:
        """Serve from one more source, asked last."""
        self._sources.append(source)

    async def Stat(self, request: Any, context: Any) -> Any:
        """Return the size. NOT_FOUND when absent."""
        data = await self._find(request, context)
        return blob_pb2.StatResponse(size=len(data))

    async def Get(self, request: Any, context: Any) -> None:
        """Stream the bytes from an offset."""
        try:
            async with asyncio.timeout(_QUEUE_TIMEOUT_S):
                await self._slots.acquire()
        except TimeoutError:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams; try later")
        try:
            await self._stream(await self._find(request, context), request.offset, context)
        finally:
            self._slots.release()

    async def _find(self, request: Any, context: Any) -> memoryview:
        try:
            ensure_address(request.kind, request.address)
        except InvalidAddress as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        for source in self._sources:
            data = await asyncio.to_thread(source.find, request.kind, request.address)
            if data is not None:
                return data
        name = f"{KIND_NAMES[request.kind]} {request.address.hex()}"
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {name} here")
        raise AssertionError("abort returned")

    async def _stream(self, data: memoryview, offset: int, context: Any) -> None:
        if offset > len(data):
            await context.abort(
                grpc.StatusCode.OUT_OF_RANGE, f"offset {offset} of {len(data)} bytes"
            )
        total_size = len(data)
        while True:
            piece = bytes(data[offset : offset + CHUNK_BYTES])
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    await context.write(blob_pb2.GetChunk(total_size=total_size, data=piece))
            except TimeoutError:
                return  # no status can be sent past what the reader does not take
            self.num_bytes_sent += len(piece)
            offset += len(piece)
            total_size = 0  # only in the first chunk
            if offset >= len(data):
                self.num_streams_done += 1
                return


class BlobServer:
    """A running BlobService: `async with BlobServer(sources, "127.0.0.1:9300") as server`.

    Args:
        sources: asked in order.
        listen: host:port; port 0 takes a free one, see `port`.

    Raises:
        BlobPortBusy: on entry, if the port is taken.
    """

    def __init__(self, sources: Sequence[BlobSource], listen: str, **limits: Any) -> None:
        self._sources, self._limits = sources, limits
        self.listen = listen
        self.port = 0
        self._server: Any = None
        self.servicer: BlobServicer

    async def __aenter__(self) -> "BlobServer":
        self.servicer = BlobServicer(self._sources, **self._limits)
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=_MAX_CALLS,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_connection_age_ms", _MAX_CONNECTION_AGE_S * 1000),
                ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_S * 1000),
                ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
            ],
        )
        blob_pb2_grpc.add_BlobServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self.servicer, self._server
        )
        try:
            self.port = self._server.add_insecure_port(self.listen)
        except RuntimeError as error:
            raise BlobPortBusy(
                f"cannot listen on {self.listen}; another process has it, or the address is not"
                " of this machine"
            ) from error
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.stop(grace=0.2)
