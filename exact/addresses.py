"""How states, traces and manifests are addressed when they travel between participants.

A function takes the bytes and returns their address, or None if they are nothing of that kind.
`ADDRESS_FUNCTIONS` is what a blob store needs to check what it holds.
"""

from collections.abc import Callable, Mapping

from exact import merkle
from exact.data.errors import InvalidManifest
from exact.data.manifest import MAX_MANIFEST_BYTES, parse_manifest
from exact.data.pack import Dataset
from exact.errors import InvalidState
from exact.state import compute_state_root, compute_trace_root, deserialise
from proto.descent.blob.v1 import blob_pb2

MAX_TRACE_BYTES = 1 << 20


def compute_state_address(data: memoryview) -> bytes | None:
    """Return the tensor root of canonical safetensors bytes."""
    try:
        return compute_state_root(deserialise(data))
    except InvalidState:
        return None


def compute_trace_address(data: memoryview) -> bytes | None:
    """Return the trace root of concatenated interval roots."""
    if not data or len(data) % merkle.HASH_BYTES or len(data) > MAX_TRACE_BYTES:
        return None
    raw = bytes(data)
    size = merkle.HASH_BYTES
    return compute_trace_root([raw[i : i + size] for i in range(0, len(raw), size)])


def compute_manifest_address(data: memoryview) -> bytes | None:
    """Return the dataset root of a manifest document."""
    if len(data) > MAX_MANIFEST_BYTES:
        return None
    try:
        return parse_manifest(bytes(data)).root
    except InvalidManifest:
        return None


ADDRESS_FUNCTIONS: Mapping[int, Callable[[memoryview], bytes | None]] = {
    blob_pb2.KIND_STATE: compute_state_address,
    blob_pb2.KIND_TRACE: compute_trace_address,
    blob_pb2.KIND_MANIFEST: compute_manifest_address,
}


class DatasetSource:
    """Serve a dataset's manifest by its root and its chunks by their SHA-256."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def find(self, kind: int, address: bytes) -> memoryview | None:
        """Return the bytes of an address, or None."""
        if kind == blob_pb2.KIND_MANIFEST and address == self._dataset.root:
            return memoryview(self._dataset.manifest.to_bytes())
        if kind == blob_pb2.KIND_BLOB and self._dataset.has_chunk(address):
            return memoryview(self._dataset.read_chunk(address))
        return None
