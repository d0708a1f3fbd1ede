"""The validator process: attest availability and state, judge, commit and reveal weights.

For every round, in this order:

    ATTESTING  collect payloads, attest the bitmap
    SETTLING   compute theta_{r+1}, attest its root; begin to judge in the background
    JUDGING    commit the judgement's hash, later reveal it

The judgement and its salt are on disk before the commitment is sent, so a validator that is killed
between the two calls reveals what it committed to.
"""

import asyncio
import hashlib
import os
import time

import structlog

from chain_client.blob.errors import BlobError
from chain_client.client import ChainClient
from chain_client.errors import NodeUnreachable, TxRefused, TxTimeout
from chain_client.keys import Key
from exact import state
from exact.codec import PayloadError
from miner.errors import CheckpointUnavailable
from miner.follower import RunFollower
from miner.metrics import COLLECT, JUDGE, REVEAL, ROUND, SETTLE, STAGE_SECONDS
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2 as w
from validator.availability import Availability, Received, make_bitmap
from validator.judge import Judge

RETRY_SECONDS = 1.0
FETCH_SECONDS = 5.0
# The bitmap goes out so many blocks before the accepted set is fixed.
ATTEST_MARGIN_BLOCKS = 2
# Audits are done so many blocks before the weights are due.
AUDIT_MARGIN_BLOCKS = 4
KEPT_JUDGEMENTS = 4

log = structlog.get_logger()


class BlockPace:
    """Measures the time between blocks, so that a fetch can be given up before a deadline."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self.block_seconds = 0.5

    def observe(self, height: int) -> None:
        """Take note of a height seen now."""
        now = time.monotonic()
        if self._first is None:
            self._first = (height, now)
        elif height > self._first[0]:
            self.block_seconds = (now - self._first[1]) / (height - self._first[0])


class Validator:
    """One validator's seat in one run.

    Args:
        follower: of the run.
        key: the hotkey that signs.
        uid: the seat.
    """

    def __init__(self, follower: RunFollower, key: Key, uid: int) -> None:
        self.follower = follower
        self.client: ChainClient = follower.client
        self.key = key
        self.uid = uid
        self._pace = BlockPace()
        self._availability = Availability(follower)
        self._judge = Judge(follower, uid, FETCH_SECONDS, self._get_audit_seconds)
        self._height = 0
        self._judge_deadlines: dict[int, int] = {}
        self._received: dict[int, dict[int, Received]] = {}
        self._attested: set[int] = set()
        self._settled: set[int] = set()
        self._judging: dict[int, asyncio.Task[None]] = {}
        self._pending: dict[int, w.Judgement] = {}
        self._committed: set[int] = set()
        self._revealed: set[int] = set()

    async def run(self) -> None:
        """Validate until the run's last epoch has run."""
        run_id = self.follower.setup.run_id
        async for look in self.client.follow(
            lambda reads: [reads.get_run(run_id), reads.get_current_round(run_id)]
        ):
            self._pace.observe(look.height)
            self._height = look.height
            run, current = look.answers
            if run.status in (runs_pb2.RUN_STATUS_COMPLETED, runs_pb2.RUN_STATUS_HALTED):
                log.info("run_over", run=run_id, status=runs_pb2.RunStatus.Name(run.status))
                return
            if run.status == runs_pb2.RUN_STATUS_PENDING or current is None:
                continue
            if current.index and current.index - 1 not in self._revealed:
                previous = await self.client.get_round(run_id, current.index - 1)
                await self._advance(previous, look.height)
            await self._advance(current, look.height)

    async def _advance(self, info: rounds_pb2.Round, height: int) -> None:
        """Do what one round asks of this validator now."""
        try:
            if info.phase == rounds_pb2.PHASE_ATTESTING:
                await self._attest_availability(info, height)
            if info.phase == rounds_pb2.PHASE_SETTLING:
                await self._attest_state(info)
                self._start_judging(info)
            if info.phase == rounds_pb2.PHASE_JUDGING:
                self._judge_deadlines[info.index] = info.judge_commit_deadline
                await self.follower.follow_settlement(info)
                self._start_judging(info)
                await self._commit_weights(info, height)
                await self._reveal_weights(info, height)
        except TxRefused as error:
            log.warning("refused", round=info.index, why=str(error))
        except (NodeUnreachable, TxTimeout) as error:
            log.warning("node_unreachable", round=info.index, why=str(error))
            self._do_again(info.index)
        except (BlobError, PayloadError, CheckpointUnavailable) as error:
            log.warning("waiting", round=info.index, why=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _do_again(self, round_index: int) -> None:
        """Send a round's messages once more: the chain takes the newest of each kind."""
        for sent in (self._attested, self._settled, self._committed, self._revealed):
            sent.discard(round_index)

    # ------------------------------------------------------------------------------- attesting
    async def _attest_availability(self, info: rounds_pb2.Round, height: int) -> None:
        if info.index in self._attested:
            return
        blocks_left = info.attest_deadline - height - ATTEST_MARGIN_BLOCKS
        seconds = max(1, blocks_left) * self._pace.block_seconds
        ROUND.set(info.index)
        with STAGE_SECONDS.labels(COLLECT).time():
            received = await self._availability.collect(info, seconds)
        self._received[info.index] = received
        held = [uid for uid, item in received.items() if item.reason == w.REASON_CODE_OK]
        self._attested.add(info.index)
        await self.client.submit(
            self.key,
            [
                rounds_pb2.MsgAttestAvailability(
                    hotkey=self.key.address,
                    run_id=self.follower.setup.run_id,
                    round=info.index,
                    bitmap=make_bitmap(held),
                )
            ],
        )
        log.info("availability_attested", round=info.index, uids=sorted(held))

    async def _attest_state(self, info: rounds_pb2.Round) -> None:
        if info.index in self._settled:
            return
        with STAGE_SECONDS.labels(SETTLE).time():
            theta = await self.follower.settle(info, FETCH_SECONDS)
        root = state.checkpoint_root(theta)
        self._settled.add(info.index)
        await self.client.submit(
            self.key,
            [
                rounds_pb2.MsgAttestState(
                    hotkey=self.key.address,
                    run_id=self.follower.setup.run_id,
                    round=info.index,
                    result_root=root,
                )
            ],
        )
        log.info("state_attested", round=info.index, root=root.hex()[:16])

    # --------------------------------------------------------------------------------- judging
    def _start_judging(self, info: rounds_pb2.Round) -> None:
        if info.index in self._judging or info.index in self._revealed or not info.judge_beacon:
            return
        stored = self._load_judgement(info.index)
        if stored is not None:
            self._pending[info.index] = stored
            return
        self._judging[info.index] = asyncio.create_task(self._judge_round(info))

    async def _judge_round(self, info: rounds_pb2.Round) -> None:
        received = self._received.get(info.index)
        if received is None:
            received = await self._availability.collect(info, FETCH_SECONDS)
        with STAGE_SECONDS.labels(JUDGE).time():
            judgement = await self._judge.judge(info, received)
        self._save_judgement(judgement)
        self._pending[info.index] = judgement

    def _get_audit_seconds(self, round_index: int) -> float:
        """Return how long the audits of a round may take; its judging may not have begun."""
        blocks = self.follower.setup.spec.timeline.judge_commit_blocks
        deadline = self._judge_deadlines.get(round_index, self._height + blocks)
        return (deadline - AUDIT_MARGIN_BLOCKS - self._height) * self._pace.block_seconds

    async def _commit_weights(self, info: rounds_pb2.Round, height: int) -> None:
        judgement = self._pending.get(info.index)
        task = self._judging.get(info.index)
        if task is not None and task.done() and task.exception() is not None:
            del self._judging[info.index]  # begun again at the next height
            task.result()
        if judgement is None or info.index in self._committed:
            return
        self._committed.add(info.index)
        if height >= info.judge_commit_deadline:
            await self._ensure_was_committed(info)
            return
        await self.client.submit(
            self.key,
            [
                w.MsgCommitWeights(
                    hotkey=self.key.address,
                    run_id=info.run_id,
                    round=info.index,
                    commitment=_compute_commitment(judgement, self._get_salt(judgement)),
                )
            ],
        )
        log.info("weights_committed", round=info.index)

    async def _ensure_was_committed(self, info: rounds_pb2.Round) -> None:
        """After the deadline, reveal only what was committed before it, by this process or one
        before it.
        """
        found = await self.client.get_judgements(info.run_id, info.index)
        if self.uid not in {commit.uid for commit in found.commits}:
            self._revealed.add(info.index)
            log.warning(
                "judged_too_late",
                round=info.index,
                deadline=info.judge_commit_deadline,
                now="judging the next round",
            )

    async def _reveal_weights(self, info: rounds_pb2.Round, height: int) -> None:
        judgement = self._pending.get(info.index)
        if (
            judgement is None
            or info.index not in self._committed
            or info.index in self._revealed
            or height < info.judge_commit_deadline
        ):
            return
        self._revealed.add(info.index)
        message = w.MsgRevealWeights(
            hotkey=self.key.address, judgement=judgement, salt=self._get_salt(judgement)
        )
        with STAGE_SECONDS.labels(REVEAL).time():
            await self.client.submit(self.key, [message])
        log.info("weights_revealed", round=info.index)
        self._forget(info.index)

    # --------------------------------------------------------------------------------- on disk
    def _save_judgement(self, judgement: w.Judgement) -> None:
        self.follower.store.put_document(
            f"judgement-{judgement.round}",
            {
                "judgement": judgement.SerializeToString(deterministic=True).hex(),
                "salt": os.urandom(32).hex(),
            },
        )

    def _load_judgement(self, round_index: int) -> w.Judgement | None:
        document = self.follower.store.get_document(f"judgement-{round_index}")
        if document is None:
            return None
        return w.Judgement.FromString(bytes.fromhex(str(document["judgement"])))

    def _get_salt(self, judgement: w.Judgement) -> bytes:
        document = self.follower.store.get_document(f"judgement-{judgement.round}")
        assert document is not None
        return bytes.fromhex(str(document["salt"]))

    def _forget(self, round_index: int) -> None:
        for kept in (self._received, self._judging, self._pending, self._judge_deadlines):
            for old in [index for index in kept if index < round_index - KEPT_JUDGEMENTS]:
                del kept[old]
        self.follower.store.remove_document(f"judgement-{round_index - KEPT_JUDGEMENTS}")
        self.follower.store.prune(round_index)


def _compute_commitment(judgement: w.Judgement, salt: bytes) -> bytes:
    return hashlib.sha256(judgement.SerializeToString(deterministic=True) + salt).digest()
