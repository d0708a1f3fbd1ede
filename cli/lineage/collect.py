"""Get a bundle from a node (records and proofs) and the run's participants (payloads, weights)."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosmos.base.tendermint.v1beta1 import query_pb2 as tendermint_pb2

import proto  # noqa: F401  (makes cosmos.* importable)
from chain_client.blob.address import KIND_BLOB, KIND_STATE
from chain_client.blob.client import BlobClient, FetchLimits
from chain_client.blob.errors import BlobError
from chain_client.blob.store import BlobStore
from chain_client.client import ChainClient
from chain_client.errors import NotFound
from cli.lineage.bundle import (
    Bundle,
    LineageMismatch,
    Record,
    make_checkpoint_key,
    make_judgement_key,
    make_run_key,
)
from cli.lineage.verify import Report, verify_bundle
from exact.addresses import ADDRESS_FUNCTIONS
from exact.families import comes_from_seed
from proto.descent.runs.v1 import runs_pb2

ABCI_QUERY = "/cosmos.base.tendermint.v1beta1.Service/ABCIQuery"
MAX_CHECKPOINT_BYTES = 1 << 34
HEADER_SECONDS = 30.0


async def collect_bundle(
    client: ChainClient, run_id: int, *, last_round: int | None = None, first_round: int = 0
) -> Bundle:
    """Collect what shows how a checkpoint came to be from an earlier one.

    Args:
        client: connected.
        run_id: of the run.
        last_round: the checkpoint; None for the newest.
        first_round: where to begin; its weights are fetched unless the seed makes them.

    Raises:
        NotFound: there is no such run or checkpoint.
        LineageMismatch: a payload or the first weights are served by nobody.
    """
    newest = await client.get_checkpoint(run_id, last_round)
    last_round = newest.checkpoint.round
    height = await client.height()
    run = await _read_record(client, "runs", make_run_key(run_id), height)
    rounds = range(first_round, last_round + 1)
    checkpoints = [
        await _read_record(client, "lineage", make_checkpoint_key(run_id, index), height)
        for index in rounds
    ]
    judgements = {}
    for index in rounds:
        try:
            key = make_judgement_key(run_id, index)
            judgements[index] = await _read_record(client, "lineage", key, height)
        except NotFound:
            continue
    info = await client.node_info()
    bundle = Bundle(
        chain_id=info.default_node_info.network,
        height=height,
        app_hash=await get_app_hash(client, height),
        run=run,
        checkpoints=checkpoints,
        judgements=judgements,
    )
    await _fetch_files(client, bundle, run_id)
    return bundle


async def verify_checkpoint(client: ChainClient, run_id: int, round_index: int) -> Report:
    """Verify one checkpoint against its parent with the node's own app hash.

    Raises:
        LineageMismatch: naming what differs.
        NotFound: there is no such checkpoint.
    """
    bundle = await collect_bundle(
        client, run_id, last_round=round_index, first_round=max(0, round_index - 1)
    )
    return await asyncio.to_thread(verify_bundle, bundle, bundle.app_hash)


async def get_app_hash(client: ChainClient, height: int) -> bytes:
    """Return the state root after a height: it stands in the header of the next block."""
    await client.wait_height(height + 1, timeout_s=HEADER_SECONDS)
    block = await client.get_block(height + 1)
    return bytes(block.sdk_block.header.app_hash)


async def _read_record(client: ChainClient, store: str, key: bytes, height: int) -> Record:
    request = tendermint_pb2.ABCIQueryRequest(
        path=f"/store/{store}/key", data=key, height=height, prove=True
    )
    response = await client.query(ABCI_QUERY, request, tendermint_pb2.ABCIQueryResponse)
    if not response.value:
        raise NotFound(f"store {store} has nothing under {key.hex()} at height {height}")
    return Record(store, key, response.value, response.proof_ops.ops[0].data)


async def _fetch_files(client: ChainClient, bundle: Bundle, run_id: int) -> None:
    members = await client.get_participants(run_id)
    ordered = sorted(members, key=lambda m: (m.role != runs_pb2.ROLE_VALIDATOR, m.uid))
    endpoints = [member.endpoint for member in ordered if member.endpoint]
    checkpoints = bundle.parse_checkpoints()
    spec = runs_pb2.RunSpec.FromString(bundle.parse_run().spec)
    with tempfile.TemporaryDirectory() as folder:
        blobs = BlobClient(BlobStore(Path(folder), ADDRESS_FUNCTIONS))
        if not comes_from_seed(spec, checkpoints[0].root):
            bundle.base = await _fetch(
                blobs, endpoints, KIND_STATE, checkpoints[0].root, MAX_CHECKPOINT_BYTES
            )
        for checkpoint in checkpoints[1:]:
            for contribution in checkpoint.contributions:
                bundle.payloads[contribution.payload_hash] = await _fetch(
                    blobs,
                    endpoints,
                    KIND_BLOB,
                    contribution.payload_hash,
                    contribution.payload_size,
                )


async def _fetch(
    blobs: BlobClient, endpoints: Sequence[str], kind: int, address: bytes, max_size: int
) -> bytes:
    try:
        return await blobs.fetch(kind, address, endpoints, FetchLimits(max_size=max_size))
    except BlobError as error:
        raise LineageMismatch(f"nobody in the run serves {address.hex()}: {error}") from error
