"""Addresses of blobs, and endpoints that serve them."""

import hashlib
import re
from collections.abc import Callable
from typing import Protocol, TypeAlias

import proto  # noqa: F401
from chain_client.blob.errors import InvalidAddress
from proto.descent.blob.v1 import blob_pb2

KIND_BLOB: int = blob_pb2.KIND_BLOB
KIND_STATE: int = blob_pb2.KIND_STATE
KIND_TRACE: int = blob_pb2.KIND_TRACE
KIND_MANIFEST: int = blob_pb2.KIND_MANIFEST
KIND_NAMES = {
    KIND_BLOB: "blob",
    KIND_STATE: "state",
    KIND_TRACE: "trace",
    KIND_MANIFEST: "manifest",
}
ADDRESS_BYTES = 32

# bytes -> their address of one kind, or None if they are nothing of that kind
AddressFunction: TypeAlias = Callable[[memoryview], bytes | None]

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]"
_ENDPOINT = re.compile(rf"({_HOST}):([0-9]{{1,5}})")


class BlobSource(Protocol):
    """Something a server serves from."""

    def find(self, kind: int, address: bytes) -> memoryview | None:
        """Return the bytes of an address, or None. Called in a thread; may take its time."""


def compute_blob_address(data: memoryview) -> bytes | None:
    """Return the SHA-256: the address of KIND_BLOB."""
    return hashlib.sha256(data).digest()


def ensure_address(kind: int, address: bytes) -> str:
    """Return the kind's name.

    Raises:
        InvalidAddress: unknown kind, or not 32 bytes.
    """
    if kind not in KIND_NAMES:
        raise InvalidAddress(f"unknown kind of address {kind}")
    if len(address) != ADDRESS_BYTES:
        raise InvalidAddress(f"an address of {len(address)} bytes, not {ADDRESS_BYTES}")
    return KIND_NAMES[kind]


def make_target(endpoint: str) -> str:
    """Return the gRPC target of an endpoint from the chain.

    The scheme is fixed, so that no endpoint can name a socket file or another resolver.

    Raises:
        InvalidAddress: not host:port.
    """
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise InvalidAddress(f"endpoint {endpoint[:100]!r} is not host:port")
    return f"dns:///{endpoint}"
