"""Follow a run: checkpoints by root, payloads by hash, peers from the chain.

Everything taken from a peer is checked against an address the chain holds, so a peer can refuse to
help but not mislead.
"""

import asyncio
from collections.abc import Iterable

import structlog

from chain_client.blob.address import KIND_BLOB, KIND_STATE
from chain_client.blob.client import BlobClient, FetchLimits
from chain_client.blob.errors import BlobError
from chain_client.client import ChainClient
from exact import codec, state
from exact.families import comes_from_seed
from exact.state import State
from miner.errors import CheckpointUnavailable, InitialRootMismatch
from miner.setup import RunSetup
from miner.storage import ParticipantStore
from miner.work import compute_next_checkpoint
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2

log = structlog.get_logger()


class RunFollower:
    """What every participant of one run does, whatever its role.

    Args:
        client: connected to a node.
        setup: of the run.
        store: this participant's blobs and states.
        blobs: fetches from peers into the store.
        own_uid: this participant's seat, never asked; None for a reader without one.
    """

    def __init__(
        self,
        client: ChainClient,
        setup: RunSetup,
        store: ParticipantStore,
        blobs: BlobClient,
        own_uid: int | None = None,
    ) -> None:
        self.client = client
        self.setup = setup
        self.store = store
        self.blobs = blobs
        self._own_uid = own_uid
        self.participants: dict[int, runs_pb2.Participant] = {}
        self._checkpoints: dict[int, State] = {}

    async def refresh_participants(self) -> dict[int, runs_pb2.Participant]:
        """Read who is in the run and where they serve."""
        members = await self.client.get_participants(self.setup.run_id)
        self.participants = {member.uid: member for member in members}
        return self.participants

    def get_endpoints(self, first: Iterable[int] = ()) -> list[str]:
        """Return peers' endpoints: the uids in `first`, then validators, then miners."""
        ahead = list(first)
        others = sorted(
            (uid for uid in self.participants if uid not in ahead),
            key=lambda uid: (self.participants[uid].role != runs_pb2.ROLE_VALIDATOR, uid),
        )
        members = [self.participants.get(uid) for uid in [*ahead, *others] if uid != self._own_uid]
        found = [member.endpoint for member in members if member is not None and member.endpoint]
        return list(dict.fromkeys(found))

    # ------------------------------------------------------------------------------ checkpoints
    async def get_checkpoint(self, round_index: int) -> State:
        """Return theta of a round as `param/` tensors, whose root is the chain's.

        Tries memory, disk, the spec's seed where these are the first weights still, then peers.

        Raises:
            CheckpointUnavailable: nobody that answers has it.
            InitialRootMismatch: the spec's seed does not give the spec's first root.
        """
        cached = self._checkpoints.get(round_index)
        if cached is not None:
            return cached
        found = await self.client.get_checkpoint(self.setup.run_id, round_index)
        theta = await self._find_checkpoint(round_index, found.checkpoint.root)
        self._remember(round_index, theta)
        return theta

    async def _find_checkpoint(self, round_index: int, root: bytes) -> State:
        stored = self.store.get_state(root, self.setup.checkpoint_layout)
        if stored is not None:
            return stored
        if comes_from_seed(self.setup.spec, root):
            return self._make_initial(round_index, root)
        return await self._fetch_checkpoint(round_index, root)

    def _make_initial(self, round_index: int, root: bytes) -> State:
        theta = self.setup.make_initial_params()
        computed = state.checkpoint_root(theta)
        if computed != root:
            raise InitialRootMismatch(
                f"seed {self.setup.spec.init_seed} gives first weights {computed.hex()} on this "
                f"machine, the run's spec says {root.hex()}: run `descent exact probe` or halt "
                "the run and create it again"
            )
        self.store.put_checkpoint(round_index, theta)
        return theta

    async def _fetch_checkpoint(self, round_index: int, root: bytes) -> State:
        await self.refresh_participants()
        endpoints = self.get_endpoints()
        try:
            limits = FetchLimits(max_size=self.setup.max_checkpoint_bytes)
            data = await self.blobs.fetch(KIND_STATE, root, endpoints, limits)
        except BlobError as error:
            raise CheckpointUnavailable(
                f"no peer served checkpoint {round_index} ({root.hex()[:16]}...) of run "
                f"{self.setup.run_id}: {error}"
            ) from error
        theta = state.deserialise(data, self.setup.checkpoint_layout)
        self.store.put_checkpoint(round_index, theta)
        log.info("checkpoint_fetched", round=round_index, root=root.hex()[:16])
        return theta

    def _remember(self, round_index: int, theta: State) -> None:
        self._checkpoints[round_index] = theta
        for old in sorted(self._checkpoints)[:-3]:
            del self._checkpoints[old]

    # --------------------------------------------------------------------------------- payloads
    async def fetch_payload(
        self, commitment: rounds_pb2.Commitment, deadline_seconds: float
    ) -> bytes:
        """Return a committed payload's bytes, from disk or from peers, miner first.

        Raises:
            BlobError: nobody served bytes with the committed hash and size in time.
        """
        stored = self.store.get_blob(commitment.payload_hash)
        if stored is not None:
            return stored
        return await self.blobs.fetch(
            KIND_BLOB,
            commitment.payload_hash,
            self.get_endpoints(first=[commitment.uid]),
            FetchLimits(max_size=commitment.payload_size, deadline_s=deadline_seconds),
        )

    def decode_payload(self, data: bytes, round_index: int, uid: int) -> codec.SparseUpdate:
        """Parse a payload that must be of this run, round and uid.

        Raises:
            PayloadError: it is not.
        """
        header = codec.PayloadHeader(run_id=self.setup.run_id, round=round_index, uid=uid)
        return codec.decode(data, self.setup.param_layout, self.setup.codec, expect=header)

    async def settle(self, round_info: rounds_pb2.Round, deadline_seconds: float) -> State:
        """Compute theta of the next round from the accepted payloads.

        Raises:
            BlobError: an accepted payload cannot be had.
            PayloadError: an accepted payload does not parse (validators attested junk).
        """
        theta = await self.get_checkpoint(round_info.index)
        commitments = {
            c.uid: c for c in await self.client.get_commitments(self.setup.run_id, round_info.index)
        }
        await self.refresh_participants()
        payloads = await asyncio.gather(
            *(self.fetch_payload(commitments[u], deadline_seconds) for u in round_info.accepted)
        )
        updates = {
            uid: self.decode_payload(data, round_info.index, uid)
            for uid, data in zip(round_info.accepted, payloads, strict=True)
        }
        next_theta = await asyncio.to_thread(compute_next_checkpoint, self.setup, theta, updates)
        self.store.put_checkpoint(round_info.index + 1, next_theta)
        self._remember(round_info.index + 1, next_theta)
        return next_theta

    async def follow_settlement(self, round_info: rounds_pb2.Round) -> None:
        """Have the next checkpoint ready once a round is settled; fetch it if ours differs."""
        if round_info.index + 1 in self._checkpoints:
            ours = state.checkpoint_root(self._checkpoints[round_info.index + 1])
            if ours == round_info.result_root:
                return
            log.error(
                "settlement_differs",
                round=round_info.index,
                ours=ours.hex(),
                chain=round_info.result_root.hex(),
            )
            del self._checkpoints[round_info.index + 1]
        await self.get_checkpoint(round_info.index + 1)
