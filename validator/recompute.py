"""Find a verdict's numbers again from the chain and the run's participants."""

import asyncio
import tempfile
from pathlib import Path

from chain_client.blob.client import BlobClient
from chain_client.blob.errors import BlobError
from chain_client.client import ChainClient
from exact.backends import AUTO, load_backend
from exact.codec import PayloadError
from miner.dataset import obtain_dataset
from miner.follower import RunFollower
from miner.setup import RunSetup
from miner.storage import ParticipantStore
from proto.descent.runs.v1 import runs_pb2
from validator.evaluate import apply_part, compute_gain, draw_assigned, draw_heldout

FETCH_SECONDS = 10.0


async def open_reader(
    client: ChainClient, run_id: int, data_dir: Path, dataset_dir: Path | None, scratch: Path
) -> RunFollower:
    """Follow a run without a seat: read, fetch, compute.

    Args:
        client: connected.
        run_id: of the run.
        data_dir: where packed datasets live.
        dataset_dir: the run's text, None for the default corpus.
        scratch: folder for what is fetched.

    Raises:
        DatasetUnavailable: the run's dataset cannot be had.
    """
    run = await client.get_run(run_id)
    members = await client.get_participants(run_id)
    store = ParticipantStore(scratch)
    blobs = BlobClient(store.blobs)
    dataset = await obtain_dataset(
        runs_pb2.RunSpec.FromString(run.spec).data.dataset_root,
        data_dir,
        dataset_dir,
        blobs,
        [member.endpoint for member in members if member.endpoint],
    )
    setup = RunSetup.create(run, dataset, await asyncio.to_thread(load_backend, AUTO))
    follower = RunFollower(client, setup, store, blobs)
    await follower.refresh_participants()
    return follower


async def recompute_gains(
    client: ChainClient,
    run_id: int,
    round_index: int,
    uid: int,
    data_dir: Path,
    dataset_dir: Path | None,
) -> tuple[int, int] | None:
    """Evaluate one payload of a judged round again.

    Returns:
        Held-out and assigned gain, nano-nats a token; None if no payload can be evaluated.

    Raises:
        CheckpointUnavailable: nobody serves the round's checkpoint any more.
        DatasetUnavailable: the run's dataset cannot be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        follower = await open_reader(client, run_id, data_dir, dataset_dir, Path(scratch))
        return await _recompute(follower, round_index, uid)


async def _recompute(follower: RunFollower, round_index: int, uid: int) -> tuple[int, int] | None:
    run_id, setup = follower.setup.run_id, follower.setup
    info = await follower.client.get_round(run_id, round_index)
    commitments = await follower.client.get_commitments(run_id, round_index)
    found = [commitment for commitment in commitments if commitment.uid == uid]
    if not found or found[0].late:
        return None
    try:
        payload = await follower.fetch_payload(found[0], FETCH_SECONDS)
        update = follower.decode_payload(payload, round_index, uid)
    except (BlobError, PayloadError):
        return None
    theta = await follower.get_checkpoint(round_index)

    def evaluate() -> tuple[int, int]:
        stepped = apply_part(setup, theta, update, len(info.accepted))
        heldout = compute_gain(setup, stepped, draw_heldout(setup, theta, info))
        assigned = compute_gain(setup, stepped, draw_assigned(setup, theta, info, uid))
        return heldout.nanonats, assigned.nanonats

    return await asyncio.to_thread(evaluate)
