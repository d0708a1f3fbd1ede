"""A run of some hundred parameters without a chain: setups, seats with blob servers, rounds."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from chain_client.blob.client import BlobClient
from chain_client.blob.server import BlobServer
from chain_client.client import ChainClient
from exact import codec, state
from exact.backends import load_backend
from exact.data.corpus import collect_directory_files
from exact.data.pack import build_dataset
from exact.state import State
from miner.attackers import Attacker, Honest
from miner.follower import RunFollower
from miner.setup import RunSetup
from miner.storage import ParticipantStore
from miner.work import RoundWork, get_batches, train_round
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.training_chain import build_spec
from tests.support.ports import find_free_port

RUN_ID = 1
NUM_FILES = 8


def make_setup(folder: Path) -> RunSetup:
    """Build the setup of a tiny run over some texts; four intervals of two steps."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    for i in range(NUM_FILES):
        lines = [f"def f{i}_{j}(x): return x * {i * j} + {j}\n" for j in range(200)]
        (texts / f"module{i}.py").write_text("".join(lines))
    dataset = build_dataset(collect_directory_files(texts), folder / "data")
    spec = build_spec()
    spec.data.dataset_root = dataset.root
    spec.data.num_train_bytes = len(dataset.train)
    spec.data.num_heldout_bytes = len(dataset.heldout)
    spec.work.interval_steps = 2
    run = runs_pb2.Run(id=RUN_ID, spec=spec.SerializeToString(deterministic=True))
    return RunSetup.create(run, dataset, load_backend("auto"))


def make_round(index: int = 0) -> rounds_pb2.Round:
    """Make a round with its beacons."""
    return rounds_pb2.Round(
        run_id=RUN_ID,
        index=index,
        beacon=hashlib.sha256(b"beacon %d" % index).digest(),
        judge_beacon=hashlib.sha256(b"judge %d" % index).digest(),
    )


@asynccontextmanager
async def open_follower(
    setup: RunSetup, folder: Path, uid: int, chain: "ScriptedChain"
) -> AsyncIterator[RunFollower]:
    """Serve a participant's blobs and list it on the chain."""
    store = ParticipantStore(folder)
    endpoint = f"127.0.0.1:{find_free_port()}"
    chain.members[uid] = runs_pb2.Participant(
        run_id=RUN_ID, uid=uid, role=runs_pb2.ROLE_MINER, endpoint=endpoint
    )
    follower = RunFollower(cast(ChainClient, chain), setup, store, BlobClient(store.blobs), uid)
    follower.participants = chain.members
    async with BlobServer([store.blobs], endpoint):
        yield follower


async def mine(
    follower: RunFollower,
    uid: int,
    round_info: rounds_pb2.Round,
    theta: State,
    optimiser: State | None = None,
    attacker: Attacker | None = None,
) -> rounds_pb2.Commitment:
    """Do one round as the miner process does, put it in the store, and return the commitment."""
    setup, cheat = follower.setup, attacker or Honest()
    carried = setup.make_fresh_optimiser() if optimiser is None else optimiser
    header = codec.PayloadHeader(run_id=RUN_ID, round=round_info.index, uid=uid)
    batches = get_batches(setup, round_info.index, round_info.beacon, uid)
    work = train_round(setup, theta, carried, cheat.choose_batches(batches), header)
    work = await cheat.distort(follower, work, round_info, header)
    store_work(follower, round_info.index, work, optimiser)
    payload_hash, payload_size = cheat.claim(work.payload)
    return rounds_pb2.Commitment(
        run_id=RUN_ID,
        round=round_info.index,
        uid=uid,
        payload_hash=payload_hash,
        payload_size=payload_size,
        trace_root=work.trace_root,
        optimiser_root_in=b"" if optimiser is None else state.optimiser_root(optimiser),
        optimiser_root_out=state.optimiser_root(work.optimiser),
    )


def store_work(
    follower: RunFollower, round_index: int, work: RoundWork, optimiser: State | None
) -> None:
    """Put a round's states, trace and payload where the blob server finds them."""
    carried = [] if optimiser is None else [optimiser]
    trace = b"".join(work.interval_roots)
    follower.store.put_round(round_index, [*work.interval_states, work.optimiser, *carried], trace)
    follower.store.put_blob(work.payload)


class ScriptedChain:
    """The part of `ChainClient` that reading a round needs, answered from lists."""

    def __init__(self) -> None:
        self.commitments: dict[int, list[rounds_pb2.Commitment]] = {}
        self.members: dict[int, runs_pb2.Participant] = {}

    async def get_participants(self, _run_id: int) -> list[runs_pb2.Participant]:
        return list(self.members.values())

    async def get_commitments(self, _run_id: int, round_index: int) -> list[rounds_pb2.Commitment]:
        return self.commitments.get(round_index, [])
