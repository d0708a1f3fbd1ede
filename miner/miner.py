"""The miner process: take each round as it starts, train, store, commit, serve.

Order matters for `kill -9`: everything an auditor may ask for is on disk before the commitment is
sent, and the work is a pure function of chain and disk, so a miner that starts again makes the
same bytes. A miner that lost its carried optimiser starts from a fresh one and says so.
"""

import asyncio

import structlog

from chain_client.client import ChainClient
from chain_client.errors import NodeUnreachable, TxRefused, TxTimeout
from chain_client.keys import Key
from exact import codec, state
from exact.state import State
from miner.attackers import Attacker, Honest
from miner.errors import CheckpointUnavailable
from miner.follower import RunFollower
from miner.metrics import COMMIT, LOSS, PAYLOAD_BYTES, ROUND, STAGE_SECONDS, TRAIN
from miner.work import RoundWork, get_batches, train_round
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2

RETRY_SECONDS = 1.0

log = structlog.get_logger()


class Miner:
    """One seat of one run.

    Args:
        follower: of the run.
        key: the hotkey that signs commitments.
        uid: the seat.
        attacker: changes what an honest miner would send; None for an honest one.
    """

    def __init__(
        self, follower: RunFollower, key: Key, uid: int, attacker: Attacker | None = None
    ) -> None:
        self.follower = follower
        self.client: ChainClient = follower.client
        self.key = key
        self.uid = uid
        self.attacker: Attacker = attacker or Honest()
        self._done: set[int] = set()

    async def run(self) -> None:
        """Mine until the run is over."""
        run_id, is_first = self.follower.setup.run_id, True
        async for look in self.client.follow(
            lambda reads: [reads.get_run(run_id), reads.get_current_round(run_id)],
            only_changes=True,
        ):
            run, round_info = look.answers
            if run.status in (runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_HALTED):
                log.info("run_over", run=run_id, status=runs_pb2.RunStatus.Name(run.status))
                return
            if run.status != runs_pb2.RUN_STATUS_PENDING and round_info is not None:
                if is_first and round_info.phase == rounds_pb2.PHASE_TRAINING and round_info.index:
                    await self._tell_missed(
                        await self.client.get_round(run_id, round_info.index - 1)
                    )
                is_first = False
                await self._follow(round_info)

    async def _follow(self, round_info: rounds_pb2.Round) -> None:
        if round_info.phase != rounds_pb2.PHASE_TRAINING and round_info.index not in self._done:
            await self._tell_missed(round_info)
            self._done = {round_info.index}
        while round_info.phase == rounds_pb2.PHASE_TRAINING and round_info.index not in self._done:
            try:
                await self._work(round_info)
                self._done = {round_info.index}
            except CheckpointUnavailable as error:
                log.warning("waiting_for_checkpoint", round=round_info.index, why=str(error))
            except (NodeUnreachable, TxTimeout) as error:
                log.warning("node_unreachable", round=round_info.index, why=str(error))
            if round_info.index not in self._done:
                await asyncio.sleep(RETRY_SECONDS)
                round_info = await self.client.get_current_round(round_info.run_id)

    async def _tell_missed(self, round_info: rounds_pb2.Round) -> None:
        """Say so if the round went by without this miner, as it does for one that was down."""
        run_id, index = round_info.run_id, round_info.index
        member = await self.client.get_participant(run_id, uid=self.uid)
        found = await self.client.get_commitments(run_id, index)
        is_of_round = member.registered_height <= round_info.commit_deadline
        in_time = {commitment.uid for commitment in found if not commitment.late}
        if is_of_round and self.uid not in in_time:
            log.warning(
                "deadline_missed",
                round=index,
                deadline=round_info.commit_deadline,
                now="taking the next round",
            )

    async def _work(self, round_info: rounds_pb2.Round) -> None:
        index = round_info.index
        log.info("round_started", round=index, deadline=round_info.commit_deadline, uid=self.uid)
        theta = await self.follower.get_checkpoint(index)
        optimiser, root_in = await self._get_optimiser()
        header = codec.PayloadHeader(run_id=self.follower.setup.run_id, round=index, uid=self.uid)
        ROUND.set(index)
        with STAGE_SECONDS.labels(TRAIN).time():
            work = await asyncio.to_thread(
                self._train, theta, optimiser, index, round_info.beacon, header
            )
        work = await self.attacker.distort(self.follower, work, round_info, header)
        with STAGE_SECONDS.labels(COMMIT).time():
            self._store(index, work, optimiser, root_in)
            await self._commit(round_info, work, root_in)
        self.follower.store.prune(index)

    def _train(
        self,
        theta: State,
        optimiser: State,
        index: int,
        beacon: bytes,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        batches = get_batches(self.follower.setup, index, beacon, self.uid)
        batches = self.attacker.choose_batches(batches)
        work = train_round(self.follower.setup, theta, optimiser, batches, header)
        PAYLOAD_BYTES.set(len(work.payload))
        if work.losses:
            LOSS.labels("first").set(work.losses[0])
            LOSS.labels("last").set(work.losses[-1])
        log.info(
            "round_trained",
            round=index,
            first_loss=round(work.losses[0], 4) if work.losses else None,
            last_loss=round(work.losses[-1], 4) if work.losses else None,
            payload_bytes=len(work.payload),
        )
        return work

    async def _get_optimiser(self) -> tuple[State, bytes]:
        """Return the carried optimiser and the root to declare (empty = fresh)."""
        setup = self.follower.setup
        member = await self.client.get_participant(setup.run_id, uid=self.uid)
        if member.optimiser_root:
            carried = self.follower.store.get_state(member.optimiser_root, setup.optimiser_layout)
            if carried is not None:
                return carried, member.optimiser_root
            log.warning("optimiser_lost", root=member.optimiser_root.hex()[:16], now="fresh")
        return setup.make_fresh_optimiser(), b""

    def _store(self, index: int, work: RoundWork, optimiser: State, root_in: bytes) -> None:
        store = self.follower.store
        states = [*work.interval_states, work.optimiser, *([optimiser] if root_in else [])]
        store.put_round(index, states, b"".join(work.interval_roots))
        store.put_blob(work.payload)

    async def _commit(self, round_info: rounds_pb2.Round, work: RoundWork, root_in: bytes) -> None:
        payload_hash, payload_size = self.attacker.claim(work.payload)
        message = rounds_pb2.MsgCommitPayload(
            hotkey=self.key.address,
            run_id=self.follower.setup.run_id,
            round=round_info.index,
            payload_hash=payload_hash,
            payload_size=payload_size,
            trace_root=work.trace_root,
            optimiser_root_in=root_in,
            optimiser_root_out=state.optimiser_root(work.optimiser),
        )
        try:
            result = await self.client.submit(self.key, [message])
        except TxRefused as error:
            log.warning("commitment_refused", round=round_info.index, why=str(error))
            return
        if result.height > round_info.commit_deadline:
            log.warning(
                "deadline_missed",
                round=round_info.index,
                deadline=round_info.commit_deadline,
                height=result.height,
                now="taking the next round",
            )
        else:
            log.info("committed", round=round_info.index, height=result.height)
