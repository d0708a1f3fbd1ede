"""Fetch blobs from endpoints of strangers.

Nothing an endpoint does can cost more than what the caller allows: bytes go to a file, never more
than `max_size`; a connection that brings less than `min_rate` over `stall_s` is left; the whole
fetch ends at its deadline. What came is kept and the next attempt, here or after a restart, goes
on behind it. The result is checked against the address; if resumed bytes turn out wrong, the
endpoint gets one more try from the start, so that it is not blamed for another's bytes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import grpc
import grpc.aio

from chain_client.blob.address import KIND_BLOB, KIND_NAMES, ensure_address, make_target
from chain_client.blob.errors import (
    BlobCorrupt,
    BlobError,
    BlobHashMismatch,
    BlobNotFound,
    BlobTimeout,
    BlobTooLarge,
    BlobUnavailable,
    BlobUnwritable,
    InvalidAddress,
)
from chain_client.blob.server import CHUNK_BYTES
from chain_client.blob.store import BlobStore
from proto.descent.blob.v1 import blob_pb2, blob_pb2_grpc

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", CHUNK_BYTES + 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
# which error a fetch from several endpoints ends with: the one that accuses most
_BY_GRAVITY = (BlobHashMismatch, BlobTooLarge, BlobTimeout, BlobUnavailable, BlobNotFound)


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may cost.

    Attributes:
        max_size: bytes.
        deadline_s: for the whole fetch, all endpoints together.
        stall_s: an endpoint must bring min_rate * stall_s bytes, or the end, in this time.
        min_rate: bytes a second.
        attempts: connections to one endpoint, as long as each brings something.
    """

    max_size: int
    deadline_s: float = 60.0
    stall_s: float = 5.0
    min_rate: int = 16 * 1024
    attempts: int = 3


class BlobClient:
    """Fetch into a store. One fetch of an address runs at a time, others wait for it."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self._locks: WeakValueDictionary[tuple[int, bytes], asyncio.Lock] = WeakValueDictionary()

    async def fetch(
        self, kind: int, address: bytes, endpoints: Sequence[str], limits: FetchLimits
    ) -> bytes:
        """Return the bytes of an address, from the store or else from the first who gives them.

        Args:
            endpoints: host:port, asked in order.

        Raises:
            BlobNotFound: no endpoint has it.
            BlobUnavailable, BlobTimeout, BlobTooLarge, BlobHashMismatch: as their names say;
                the message names each endpoint and what it did.
            BlobUnwritable: the store cannot be written.
            InvalidAddress: unknown kind, or not 32 bytes.
        """
        await self.fetch_to_store(kind, address, endpoints, limits)
        return await asyncio.to_thread(self.store.read, kind, address)

    async def fetch_to_store(
        self, kind: int, address: bytes, endpoints: Sequence[str], limits: FetchLimits
    ) -> None:
        """Have an address in the store; errors as `fetch`."""
        ensure_address(kind, address)
        lock = self._locks.setdefault((kind, address), asyncio.Lock())
        async with lock:
            if await asyncio.to_thread(self._is_in_store, kind, address):
                return
            name = f"{KIND_NAMES[kind]} {address.hex()[:16]}"
            failures: list[tuple[str, BlobError]] = []
            try:
                async with asyncio.timeout(limits.deadline_s):
                    for endpoint in endpoints:
                        try:
                            return await self._fetch_from(kind, address, endpoint, limits)
                        except BlobUnwritable:
                            raise
                        except BlobError as error:
                            failures.append((endpoint, error))
            except TimeoutError:
                late = endpoints[len(failures)]
                failures.append((late, BlobTimeout(f"not done in {limits.deadline_s:g} s")))
            raise _summarise(name, failures)

    def make_blocking_fetch(
        self, endpoints: Sequence[str], limits: FetchLimits, kind: int = KIND_BLOB
    ) -> Callable[[bytes], bytes]:
        """Return address -> bytes for code that runs in another thread than this event loop."""
        loop = asyncio.get_running_loop()

        def fetch_blob(address: bytes) -> bytes:
            fetch = self.fetch(kind, address, endpoints, limits)
            return asyncio.run_coroutine_threadsafe(fetch, loop).result()

        return fetch_blob

    def _is_in_store(self, kind: int, address: bytes) -> bool:
        try:
            self.store.map(kind, address)
        except (BlobNotFound, BlobCorrupt):
            return False
        return True

    async def _fetch_from(
        self, kind: int, address: bytes, endpoint: str, limits: FetchLimits
    ) -> None:
        """Fetch from one endpoint, resuming as long as every connection brings something."""
        try:
            target = make_target(endpoint)
        except InvalidAddress as error:
            raise BlobUnavailable(str(error)) from None
        partial = self.store.get_partial_path(kind, address)
        async with grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS) as channel:
            stub = blob_pb2_grpc.BlobServiceStub(channel)  # type: ignore[no-untyped-call]
            for attempt in range(limits.attempts):
                start = _get_size(partial)
                try:
                    await self._receive(stub, kind, address, partial, limits)
                    await asyncio.to_thread(self.store.adopt, partial, kind, address)
                    return
                except (BlobHashMismatch, BlobTooLarge):
                    partial.unlink(missing_ok=True)
                    if start == 0:
                        raise
                except BlobUnavailable:
                    if _get_size(partial) <= start or attempt == limits.attempts - 1:
                        raise
        raise BlobUnavailable(f"no whole copy in {limits.attempts} connections")

    async def _receive(
        self, stub: Any, kind: int, address: bytes, partial: Path, limits: FetchLimits
    ) -> None:
        """Append to a partial file what one connection brings."""
        try:
            with partial.open("ab", buffering=0) as file:
                request = blob_pb2.GetRequest(
                    kind=kind,  # type: ignore[arg-type]
                    address=address,
                    offset=file.tell(),
                )
                call = stub.Get(request)
                try:
                    await _copy_stream(call, file, limits)
                finally:
                    call.cancel()
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        except OSError as error:
            raise BlobUnwritable(f"cannot write to {partial}: {error.strerror}") from error


async def _copy_stream(call: Any, file: FileIO, limits: FetchLimits) -> None:
    """Copy chunks to a file; the timeout moves on only when enough bytes came in its time."""
    loop = asyncio.get_running_loop()
    enough = max(1, int(limits.min_rate * limits.stall_s))
    size, total_size, window_bytes = file.tell(), None, 0
    try:
        async with asyncio.timeout(limits.stall_s) as stall:
            async for chunk in call:
                if total_size is None:
                    total_size = chunk.total_size
                    _ensure_size(total_size, limits)
                size += len(chunk.data)
                if size > total_size:
                    raise BlobTooLarge(f"sent over the {total_size} bytes it announced")
                _write(file, chunk.data)
                window_bytes += len(chunk.data)
                if window_bytes >= enough:
                    stall.reschedule(loop.time() + limits.stall_s)
                    window_bytes = 0
    except TimeoutError:
        raise BlobTimeout(
            f"{window_bytes} bytes in {limits.stall_s:g} s, {enough} are the least;"
            f" {size} of {total_size if total_size is not None else 'unknown'} came"
        ) from None
    if total_size is None:
        raise BlobUnavailable("nothing came")
    if size < total_size:
        raise BlobUnavailable(f"ended after {size} of {total_size} bytes")


def _ensure_size(total_size: int, limits: FetchLimits) -> None:
    if total_size > limits.max_size:
        raise BlobTooLarge(f"{total_size} bytes, at most {limits.max_size}")


def _write(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _translate(error: grpc.aio.AioRpcError) -> BlobError:
    status, details = error.code(), (error.details() or "")[:200]
    if status == grpc.StatusCode.NOT_FOUND:
        return BlobNotFound(details or "not there")
    if status == grpc.StatusCode.OUT_OF_RANGE:
        return BlobHashMismatch(f"has less than was fetched before: {details}")
    return BlobUnavailable(f"{status.name}: {details}")


def _summarise(name: str, failures: Sequence[tuple[str, BlobError]]) -> BlobError:
    if not failures:
        return BlobNotFound(f"{name}: nobody to ask")
    text = "; ".join(f"{endpoint}: {error}" for endpoint, error in failures)
    kinds = [type(error) for _, error in failures]
    gravest = next((kind for kind in _BY_GRAVITY if kind in kinds), BlobUnavailable)
    return gravest(f"cannot fetch {name}: {text}")
