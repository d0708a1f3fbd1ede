"""Open the dataset a run names: from disk, from local text, or chunk by chunk from a peer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from chain_client.blob.address import KIND_MANIFEST
from chain_client.blob.client import BlobClient, FetchLimits
from chain_client.blob.errors import BlobError
from exact.data import corpus
from exact.data.errors import DataError, DatasetCorrupt, DatasetMissing
from exact.data.manifest import (
    CHUNK_BYTES,
    MAX_MANIFEST_BYTES,
    Manifest,
    describe_difference,
    parse_manifest,
)
from exact.data.pack import Dataset, build_dataset, fetch_dataset, open_dataset
from miner.errors import DatasetUnavailable

CHUNK_DEADLINE_SECONDS = 10.0

log = structlog.get_logger()


def build_local_dataset(folder: Path, dataset_dir: Path | None) -> Dataset:
    """Pack local text: a directory of one's own, or the Python standard library's source.

    Raises:
        DataError: the text cannot make a dataset, or the pack cannot be written.
    """
    if dataset_dir is None:
        files = corpus.collect_stdlib_files()
    else:
        files = corpus.collect_directory_files(dataset_dir)
    return build_dataset(files, folder)


async def obtain_dataset(
    root: bytes,
    folder: Path,
    dataset_dir: Path | None,
    blobs: BlobClient,
    endpoints: Sequence[str],
) -> Dataset:
    """Return the dataset with the spec's root.

    Args:
        root: dataset root of the run spec.
        folder: where packed datasets live, one folder a root.
        dataset_dir: local text to try, None for the Python standard library's source.
        blobs: to fetch from peers.
        endpoints: peers that may have it.

    Raises:
        DatasetUnavailable: it cannot be had; the text names the file that differs.
        DataError: local text cannot be packed.
    """
    try:
        return await asyncio.to_thread(open_dataset, folder, root)
    except DatasetMissing:
        pass
    except DatasetCorrupt as error:
        log.warning("packed_dataset_corrupt", why=str(error))
    local = await asyncio.to_thread(build_local_dataset, folder, dataset_dir)
    if local.root == root:
        return local
    manifest = await _fetch_manifest(root, local, blobs, endpoints)
    difference = describe_difference(local.manifest, manifest)
    log.info("local_text_differs", why=difference, now="fetching from a peer")
    try:
        return await _fetch_chunks(root, folder, manifest, local, blobs, endpoints)
    except (BlobError, DataError) as error:
        raise DatasetUnavailable(f"{difference}; and no peer could help: {error}") from error


async def _fetch_manifest(
    root: bytes, local: Dataset, blobs: BlobClient, endpoints: Sequence[str]
) -> Manifest:
    name = f"{root.hex()[:16]}..."
    if not endpoints:
        raise DatasetUnavailable(
            f"the run's dataset {name} is not made from the text here "
            f"({local.root.hex()[:16]}...), and nobody in the run serves it yet: pass the same "
            "text with --dataset DIR, or start again when a peer is up"
        )
    try:
        limits = FetchLimits(max_size=MAX_MANIFEST_BYTES)
        data = await blobs.fetch(KIND_MANIFEST, root, endpoints, limits)
        return parse_manifest(data, expect_root=root)
    except (BlobError, DataError) as error:
        raise DatasetUnavailable(f"no peer gave the manifest of dataset {name}: {error}") from error


async def _fetch_chunks(
    root: bytes,
    folder: Path,
    manifest: Manifest,
    local: Dataset,
    blobs: BlobClient,
    endpoints: Sequence[str],
) -> Dataset:
    limits = FetchLimits(max_size=CHUNK_BYTES, deadline_s=CHUNK_DEADLINE_SECONDS)
    fetch_blob = blobs.make_blocking_fetch(endpoints, limits)
    return await asyncio.to_thread(fetch_dataset, root, folder, manifest, fetch_blob, local)
