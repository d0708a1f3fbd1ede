"""Take a seat in a run and get ready to work: data, backend, registration, blob server.

The same for miners and validators. Slow things (loading the backend, packing the dataset) happen
before registration, so a run that waits for its participants starts when they can really work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from chain_client.blob.client import BlobClient
from chain_client.blob.server import BlobServer
from chain_client.client import ChainClient
from chain_client.errors import NotFound
from chain_client.keys import Key
from exact.addresses import DatasetSource
from exact.data.weights import find_weights
from exact.memory import check_fit
from exact.probe import load_faithful_backend
from miner.dataset import obtain_dataset
from miner.follower import RunFollower
from miner.metrics import watch_blobs
from miner.setup import RunSetup
from miner.storage import ParticipantStore
from proto.descent.runs.v1 import runs_pb2

FIRST_PORT = 9300
POLL_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(frozen=True)
class ParticipantSettings:
    """What the operator chose.

    Attributes:
        run_id: the run to join.
        role: ROLE_MINER or ROLE_VALIDATOR.
        home: folder for this key's blobs and states.
        data_dir: where packed datasets live; may be shared by participants of one machine.
        host: address to serve at.
        port: to serve at; 0 means FIRST_PORT + port_offset + uid.
        advertise: HOST or HOST:PORT to put on chain in place of what is served at, or empty.
        port_offset: added to the default port.
        backend: "native", "torch" or "numpy"; "auto" is the fastest that is faithful.
        device: "cpu" or "cuda".
        dataset_dir: text of one's own in place of the default corpus, or None.
        max_burn_udsc: highest registration price to pay.
    """

    run_id: int
    role: int
    home: Path
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str = ""
    port_offset: int = 0
    backend: str = "auto"
    device: str = "cpu"
    dataset_dir: Path | None = None
    max_burn_udsc: int = 10_000_000


@dataclass(frozen=True)
class Seat:
    """A participant that is ready to work."""

    follower: RunFollower
    uid: int


@asynccontextmanager
async def open_seat(
    client: ChainClient, key: Key, settings: ParticipantSettings
) -> AsyncIterator[Seat]:
    """Prepare, register if need be, serve blobs while the context is open.

    One that has its seat already serves at once what it has: while it was down, it may have been
    asked for the work of the round in judgement. A port that was chosen is taken before a seat is
    paid for.

    Raises:
        BlobPortBusy: the port to serve at is taken.
        DatasetUnavailable: the run's dataset is neither here nor at a peer.
        UnfaithfulDevice: this machine does not compute the golden bits.
        OutOfMemory: the run's state does not fit into this machine.
        TxRefused: the chain does not let this key in; the text says why.
    """
    loading = asyncio.create_task(
        asyncio.to_thread(load_faithful_backend, settings.backend, device=settings.device)
    )
    run = await wait_for_run(client, settings.run_id)
    store = ParticipantStore(settings.home / f"run-{settings.run_id}")
    blobs = BlobClient(store.blobs)
    async with AsyncExitStack() as stack:
        uid = await _find_seat(client, key, settings)
        server = None
        if uid is not None or settings.port:
            server = await stack.enter_async_context(_make_server(store, settings, uid))
        members = await client.get_participants(settings.run_id)
        backend = await loading
        log.info("computes", backend=backend.description)
        dataset = await obtain_dataset(
            runs_pb2.RunSpec.FromString(run.spec).data.dataset_root,
            settings.data_dir,
            settings.dataset_dir,
            blobs,
            [member.endpoint for member in members if member.endpoint],
        )
        setup = RunSetup.create(run, dataset, backend)
        if warning := check_fit(setup.program, backend.get_free_bytes()):
            log.warning("may run out of memory", needs=warning)
        adopt_weights(setup, store, settings.data_dir)
        if uid is None:
            uid = await _register(client, key, settings)
        if server is None:
            server = await stack.enter_async_context(_make_server(store, settings, uid))
        server.servicer.add_source(DatasetSource(dataset))
        watch_blobs(server.servicer)
        endpoint = get_endpoint(settings.advertise, server.listen)
        await _announce(client, key, settings.run_id, endpoint)
        log.info("ready", run=settings.run_id, uid=uid, endpoint=endpoint)
        yield Seat(RunFollower(client, setup, store, blobs, own_uid=uid), uid)


def _make_server(
    store: ParticipantStore, settings: ParticipantSettings, uid: int | None
) -> BlobServer:
    port = settings.port or FIRST_PORT + settings.port_offset + (uid or 0)
    return BlobServer([store.blobs], f"{settings.host}:{port}")


def get_endpoint(advertise: str, listen: str) -> str:
    """Return what goes on chain: what is advertised, with the port served at if it has none."""
    if not advertise:
        return listen
    has_port = ":" in advertise.rpartition("]")[2]
    return advertise if has_port else f"{advertise}:{listen.rpartition(':')[2]}"


def adopt_weights(setup: RunSetup, store: ParticipantStore, data_dir: Path) -> None:
    """Take imported first weights that are on this machine, to train from and to serve."""
    root = setup.spec.initial_root
    if setup.spec.imported_weights and store.get_state(root, setup.checkpoint_layout) is None:
        params = find_weights(data_dir, root, setup.checkpoint_layout)
        if params is not None:
            store.put_checkpoint(0, params)


async def wait_for_run(client: ChainClient, run_id: int) -> runs_pb2.Run:
    """Return a run, waiting for it to be created."""
    told = False
    while True:
        try:
            return await client.get_run(run_id)
        except NotFound:
            if not told:
                log.info("waiting_for_run", run=run_id)
                told = True
            await asyncio.sleep(POLL_SECONDS)


async def _find_seat(client: ChainClient, key: Key, settings: ParticipantSettings) -> int | None:
    """Return this key's uid, None if it has no seat yet."""
    try:
        return (await client.get_participant(settings.run_id, hotkey=key.address)).uid
    except NotFound:
        return None


async def _register(client: ChainClient, key: Key, settings: ParticipantSettings) -> int:
    """Buy a seat; return its uid."""
    await client.submit(
        key,
        [
            runs_pb2.MsgRegister(
                coldkey=key.address,
                run_id=settings.run_id,
                role=settings.role,
                hotkey=key.address,
                max_burn_udsc=settings.max_burn_udsc,
            )
        ],
    )
    member = await client.get_participant(settings.run_id, hotkey=key.address)
    log.info("registered", run=settings.run_id, uid=member.uid)
    return member.uid


async def _announce(client: ChainClient, key: Key, run_id: int, endpoint: str) -> None:
    member = await client.get_participant(run_id, hotkey=key.address)
    if member.endpoint != endpoint:
        await client.submit(
            key,
            [runs_pb2.MsgSetEndpoint(hotkey=key.address, run_id=run_id, endpoint=endpoint)],
        )
