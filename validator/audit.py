"""Execute a beacon-chosen part of a miner's round again, bit for bit.

The chain holds four roots of a commitment: the trace, the carried optimiser in and out, and the
payload hash. An audit asks the miner for what lies behind them and checks, in this order:

1. the trace has the committed root and the right number of leaves, all of them different;
2. its first leaf is theta_r with the carried optimiser the chain knows;
3. the chosen interval, run again from its start state, ends in the next leaf, and the states count
   the steps before them;
4. the final state and the carried feedback compress to exactly the committed payload, and the
   optimiser carried out has the committed root.

What a miner does not serve, it has not done: refusal is a mismatch. One that cannot be reached is
asked again as long as there is time, so that a restart costs it nothing.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from chain_client.blob.address import KIND_STATE, KIND_TRACE
from chain_client.blob.client import FetchLimits
from chain_client.blob.errors import BlobError, BlobUnavailable
from exact import codec, state
from exact.errors import ExactError
from exact.state import State
from miner.follower import RunFollower
from miner.metrics import AUDITS, DIFFERS, MATCHES
from miner.work import derive_payload, get_batches, replay_interval
from proto.descent.rounds.v1 import rounds_pb2

RETRY_SECONDS = 0.5
MIN_FETCH_SECONDS = 1.0


@dataclass
class AuditReport:
    """What one audit found.

    Attributes:
        interval: which interval was executed again.
        step: after how many of its steps the inside root was taken.
        claimed_root: trace leaf at the interval's end, empty if the trace was not served.
        replayed_root: what the replay ended in, empty if it could not be run.
        inside_root: root after `step` steps, empty if it could not be run.
        matches: everything agreed.
        finding: one line for people.
        notes: names and hex values for the evidence document.
    """

    interval: int
    step: int
    claimed_root: bytes = b""
    replayed_root: bytes = b""
    inside_root: bytes = b""
    matches: bool = False
    finding: str = ""
    notes: dict[str, str] = field(default_factory=dict)


class _Mismatch(Exception):
    """An audit check failed; the text is the finding."""


class Auditor:
    """Audits the commitments of one run.

    Args:
        follower: of the run.
        fetch_seconds: deadline for one state.
        get_seconds_left: round -> time for its audits; none is left without it, so a miner that
            cannot be reached is not asked again.
    """

    def __init__(
        self,
        follower: RunFollower,
        fetch_seconds: float,
        get_seconds_left: Callable[[int], float] | None = None,
    ) -> None:
        self._follower = follower
        self._setup = follower.setup
        self._fetch_seconds = fetch_seconds
        self._get_seconds_left = get_seconds_left

    async def audit(
        self,
        round_info: rounds_pb2.Round,
        theta: State,
        commitment: rounds_pb2.Commitment,
        target: rounds_pb2.AuditTarget,
        payload: bytes,
    ) -> AuditReport:
        """Run one audit to its end."""
        report = AuditReport(interval=target.interval, step=target.step)
        try:
            await self._run(report, round_info, theta, commitment, payload)
        except _Mismatch as mismatch:
            report.finding = str(mismatch)
        except BlobError as error:
            report.finding = f"not served: {error}"
        except ExactError as error:
            report.finding = f"not a valid state: {error}"
        else:
            report.matches = True
            report.finding = "the replay agrees"
        AUDITS.labels(MATCHES if report.matches else DIFFERS).inc()
        return report

    async def _run(
        self,
        report: AuditReport,
        round_info: rounds_pb2.Round,
        theta: State,
        commitment: rounds_pb2.Commitment,
        payload: bytes,
    ) -> None:
        leaves = await self._fetch_trace(commitment)
        if len(set(leaves)) != len(leaves):
            # Every step counts itself in the state, so no two roots of honest work are equal.
            raise _Mismatch("the trace repeats a state: steps were left out")
        report.claimed_root = leaves[report.interval + 1]
        optimiser = await self._fetch_optimiser(commitment)
        first = state.select_interval({**theta, **optimiser})
        if state.interval_root(first) != leaves[0]:
            raise _Mismatch("the trace does not start at the round's checkpoint")
        start = first
        if report.interval:
            start = await self._fetch_state(commitment, leaves[report.interval])
        num_done = report.interval * self._setup.spec.work.interval_steps
        _ensure_steps(start, first, num_done, "the interval's start state")
        batches = get_batches(self._setup, round_info.index, round_info.beacon, commitment.uid)
        size = self._setup.spec.work.interval_steps
        part = batches[report.interval * size : (report.interval + 1) * size]
        report.inside_root, report.replayed_root = await asyncio.to_thread(
            replay_interval, self._setup, start, part, report.step
        )
        if report.replayed_root != report.claimed_root:
            raise _Mismatch(f"interval {report.interval} ends in another state")
        final = await self._fetch_state(commitment, leaves[-1])
        _ensure_steps(final, first, self._setup.spec.work.inner_steps, "the final state")
        await self._check_payload(commitment, theta, optimiser, final, payload)

    async def _check_payload(
        self,
        commitment: rounds_pb2.Commitment,
        theta: State,
        optimiser: State,
        final: State,
        payload: bytes,
    ) -> None:
        header = codec.PayloadHeader(
            run_id=self._setup.run_id, round=commitment.round, uid=commitment.uid
        )
        derived, feedback = await asyncio.to_thread(
            derive_payload, self._setup, theta, final, optimiser, header
        )
        if hashlib.sha256(derived).digest() != commitment.payload_hash or derived != payload:
            raise _Mismatch("the payload is not what the final state compresses to")
        if state.optimiser_root({**final, **feedback}) != commitment.optimiser_root_out:
            raise _Mismatch("the carried optimiser is not what the final state leaves")

    async def _fetch_trace(self, commitment: rounds_pb2.Commitment) -> list[bytes]:
        num_leaves = self._setup.num_intervals + 1
        data = await self._fetch(commitment, KIND_TRACE, commitment.trace_root, num_leaves * 32)
        if len(data) != num_leaves * 32:
            raise _Mismatch(f"the trace has {len(data) // 32} roots, the spec asks {num_leaves}")
        return [data[i : i + 32] for i in range(0, len(data), 32)]

    async def _fetch_optimiser(self, commitment: rounds_pb2.Commitment) -> State:
        if not commitment.optimiser_root_in:
            return self._setup.make_fresh_optimiser()
        data = await self._fetch(
            commitment,
            KIND_STATE,
            commitment.optimiser_root_in,
            self._setup.max_optimiser_bytes,
        )
        return state.deserialise(data, self._setup.optimiser_layout)

    async def _fetch_state(self, commitment: rounds_pb2.Commitment, root: bytes) -> State:
        data = await self._fetch(commitment, KIND_STATE, root, self._setup.max_interval_bytes)
        return state.deserialise(data, self._setup.interval_layout)

    async def _fetch(
        self, commitment: rounds_pb2.Commitment, kind: int, address: bytes, max_size: int
    ) -> bytes:
        while True:
            endpoint = self._follower.participants[commitment.uid].endpoint
            seconds, has_time = self._fetch_seconds, False
            if self._get_seconds_left is not None:
                left = self._get_seconds_left(commitment.round)
                seconds = max(MIN_FETCH_SECONDS, min(seconds, left))
                has_time = left > MIN_FETCH_SECONDS
            limits = FetchLimits(max_size=max_size, deadline_s=seconds)
            try:
                return await self._follower.blobs.fetch(kind, address, [endpoint], limits)
            except BlobUnavailable:
                if not has_time:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
            await self._follower.refresh_participants()


def _ensure_steps(reached: State, first: State, num_steps: int, what: str) -> None:
    """Refuse a state that does not count the steps it claims to come after."""
    counted = int(reached[state.ADAM_T_NAME]) - int(first[state.ADAM_T_NAME])
    if counted != num_steps:
        raise _Mismatch(f"{what} counts {counted} steps, not {num_steps}")
