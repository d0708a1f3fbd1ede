"""Blobs as files by address: `<directory>/<kind>/<first byte>/<address>`.

A file is written beside its place and renamed, so it is there whole or not at all. It is checked
against its address the first time this process reads it, and again when it changed since; one
that is wrong is removed, because its owner can fetch it again and nobody can use it.
"""

import mmap
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from chain_client.blob.address import (
    KIND_BLOB,
    KIND_NAMES,
    AddressFunction,
    compute_blob_address,
    ensure_address,
)
from chain_client.blob.errors import (
    BlobCorrupt,
    BlobHashMismatch,
    BlobNotFound,
    BlobUnwritable,
    InvalidAddress,
)
from chain_client.durable import sync_path

_Signature: TypeAlias = tuple[int, int, int]  # inode, size, mtime_ns
PARTIAL_FOLDER = "partial"


@dataclass(frozen=True)
class Collected:
    """What a garbage collection removed and left."""

    num_removed: int
    bytes_removed: int
    bytes_left: int


class BlobStore:
    """Keep blobs of one participant in one folder.

    Args:
        directory: made if absent.
        address_functions: by kind; KIND_BLOB is always known.

    Raises:
        BlobUnwritable: the folder cannot be made.
    """

    def __init__(
        self, directory: Path, address_functions: Mapping[int, AddressFunction] | None = None
    ) -> None:
        self.directory = directory
        self._functions = {KIND_BLOB: compute_blob_address, **(address_functions or {})}
        self._checked: dict[Path, _Signature] = {}
        try:
            (directory / PARTIAL_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BlobUnwritable(f"cannot make {directory}: {error.strerror}") from error

    # ---------------------------------------------------------------------------------- writing
    def put(self, data: bytes | memoryview, kind: int = KIND_BLOB) -> bytes:
        """Store bytes and return their address; storing twice only renews the age.

        Raises:
            InvalidAddress: the bytes are nothing of this kind.
            BlobUnwritable: no room or no permission.
        """
        address = self.compute_address(kind, memoryview(data))
        if address is None:
            raise InvalidAddress(f"these {len(data)} bytes are no {KIND_NAMES[kind]}")
        partial = self.directory / PARTIAL_FOLDER / f"put-{secrets.token_hex(8)}"
        try:
            with partial.open("xb") as file:
                file.write(data)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._make_unwritable(error) from error
        self._move_in(partial, kind, address)
        return address

    def adopt(self, partial: Path, kind: int, address: bytes) -> None:
        """Check a finished file and move it into the store; remove it if it is wrong.

        Raises:
            BlobHashMismatch: its bytes have another address.
            BlobUnwritable: no permission.
        """
        found = self._compute_file_address(partial, kind)
        if found != address:
            partial.unlink(missing_ok=True)
            raise BlobHashMismatch(
                f"the bytes are no {KIND_NAMES[kind]}"
                if found is None
                else f"the bytes have address {found.hex()}, not {address.hex()}"
            )
        self._move_in(partial, kind, address)

    def get_partial_path(self, kind: int, address: bytes) -> Path:
        """Return where the bytes of an unfinished fetch are kept."""
        name = ensure_address(kind, address)
        return self.directory / PARTIAL_FOLDER / f"{name}-{address.hex()}"

    def remove(self, kind: int, address: bytes) -> None:
        """Remove a blob; nothing happens if it is not there."""
        path = self._get_path(kind, address)
        self._checked.pop(path, None)
        path.unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------- reading
    def has(self, kind: int, address: bytes) -> bool:
        """Say whether a blob is there; its bytes are not checked."""
        return self._get_path(kind, address).is_file()

    def read(self, kind: int, address: bytes) -> bytes:
        """Return the bytes of a blob.

        Raises:
            BlobNotFound: not there.
            BlobCorrupt: the file changed on disk; it has been removed.
            InvalidAddress: unknown kind, or not 32 bytes.
        """
        return bytes(self.map(kind, address))

    def map(self, kind: int, address: bytes) -> memoryview:
        """Return the bytes of a blob without copying them to memory; errors as `read`."""
        path = self._get_path(kind, address)
        try:
            signature = _get_signature(path)
            data = _map_file(path)
        except FileNotFoundError:
            raise BlobNotFound(f"no {KIND_NAMES[kind]} {address.hex()} here") from None
        if self._checked.get(path) != signature:
            if self.compute_address(kind, data) != address:
                self.remove(kind, address)
                raise BlobCorrupt(
                    f"{path} does not have its address any more and has been removed;"
                    " it can be fetched or made again"
                )
            self._checked[path] = signature
        return data

    def find(self, kind: int, address: bytes) -> memoryview | None:
        """Return the bytes of a blob, or None if it is not there or was found corrupt."""
        try:
            return self.map(kind, address)
        except (BlobNotFound, BlobCorrupt):
            return None

    def compute_address(self, kind: int, data: memoryview) -> bytes | None:
        """Return the address of some bytes, or None if they are nothing of this kind.

        Raises:
            InvalidAddress: this store does not know the kind.
        """
        if kind not in self._functions:
            raise InvalidAddress(f"this store cannot check {KIND_NAMES.get(kind, kind)} addresses")
        return self._functions[kind](data)

    # ------------------------------------------------------------------------------- collecting
    def collect_garbage(
        self,
        keep: Collection[tuple[int, bytes]],
        *,
        now_s: float,
        max_age_s: float,
        max_bytes: int,
    ) -> Collected:
        """Remove what is not to be kept and is too old, and the oldest until the rest fits.

        Unfinished fetches go by age only: one may be under way.

        Args:
            keep: (kind, address) never removed, however large.
            now_s: the present, seconds since 1970.
            max_age_s: since a blob was stored last.
            max_bytes: for the whole store, partial fetches included.
        """
        kept_paths = {self._get_path(kind, address) for kind, address in keep}
        found = sorted(self._scan())
        total = sum(size for _, size, _ in found)
        num_removed = bytes_removed = 0
        for modified_s, size, path in found:
            is_old = modified_s < now_s - max_age_s
            is_unfinished = path.parent.name == PARTIAL_FOLDER
            is_too_much = total - bytes_removed > max_bytes and not is_unfinished
            if path in kept_paths or not (is_old or is_too_much):
                continue
            path.unlink(missing_ok=True)
            self._checked.pop(path, None)
            num_removed += 1
            bytes_removed += size
        return Collected(num_removed, bytes_removed, total - bytes_removed)

    def _scan(self) -> Iterator[tuple[float, int, Path]]:
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                yield status.st_mtime, status.st_size, path

    # ------------------------------------------------------------------------------------ inside
    def _get_path(self, kind: int, address: bytes) -> Path:
        name = ensure_address(kind, address)
        text = address.hex()
        return self.directory / name / text[:2] / text

    def _move_in(self, partial: Path, kind: int, address: bytes) -> None:
        path = self._get_path(kind, address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_path(partial)
            os.utime(partial)
            os.replace(partial, path)
            sync_path(path.parent)
            self._checked[path] = _get_signature(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._make_unwritable(error) from error

    def _compute_file_address(self, path: Path, kind: int) -> bytes | None:
        return self.compute_address(kind, _map_file(path))

    def _make_unwritable(self, error: OSError) -> BlobUnwritable:
        return BlobUnwritable(f"cannot write to {self.directory}: {error.strerror}; make room")


def _get_signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _map_file(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return memoryview(b"")  # an empty file cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
