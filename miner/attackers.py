"""Miners that cheat, so that a devnet can show what becomes of them.

| kind          | what it does                                                  | caught by        |
|---------------|---------------------------------------------------------------|------------------|
| `copier`      | sends another miner's last payload under its own name         | duplicate screen |
| `free-rider`  | trains nothing: claims theta did not move, sends noise        | replay           |
| `corrupt`     | commits to bytes that are no payload, and serves them         | strict parser    |
| `wrong-steps` | takes half of the steps and repeats the last root in its trace| replay           |
"""

import asyncio
import hashlib
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from chain_client.blob.errors import BlobError
from exact import codec, state
from exact.state import State
from miner.follower import RunFollower
from miner.work import RoundWork, derive_payload
from proto.descent.rounds.v1 import rounds_pb2

COPY_TIMEOUT_SECONDS = 3.0
COPY_POLL_SECONDS = 0.2


class AttackerKind(StrEnum):
    """What `--attacker` accepts."""

    COPIER = "copier"
    FREE_RIDER = "free-rider"
    CORRUPT = "corrupt"
    WRONG_STEPS = "wrong-steps"


class Attacker(Protocol):
    """Where a cheat may differ from an honest miner."""

    def choose_batches(self, batches: np.ndarray) -> np.ndarray:
        """Return the batches to train on, in place of the assigned ones."""

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        """Return what to show, in place of the work done."""

    def claim(self, payload: bytes) -> tuple[bytes, int]:
        """Return the payload hash and size to commit to."""


class Honest:
    """Send what was made: what an attacker does where it does not cheat."""

    def choose_batches(self, batches: np.ndarray) -> np.ndarray:
        return batches

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        return work

    def claim(self, payload: bytes) -> tuple[bytes, int]:
        return hashlib.sha256(payload).digest(), len(payload)


class Copier(Honest):
    """Take another miner's payload of the round before and put one's own name on it.

    In round 0 there is none yet: it waits for a commitment and repeats its hash.
    """

    def __init__(self) -> None:
        self._victim: rounds_pb2.Commitment | None = None

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        self._victim = None
        if round_info.index == 0:
            self._victim = await self._wait_for_commitment(follower, header)
            return work
        for victim in await self._get_victims(follower, header, round_info.index - 1):
            try:
                data = await follower.fetch_payload(victim, COPY_TIMEOUT_SECONDS)
            except BlobError:
                continue
            update = follower.decode_payload(data, victim.round, victim.uid)
            renamed = codec.SparseUpdate(header, update.tensors)
            payload = codec.encode(renamed, follower.setup.param_layout, follower.setup.codec)
            return replace(work, payload=payload)
        return work

    def claim(self, payload: bytes) -> tuple[bytes, int]:
        if self._victim is not None:
            return self._victim.payload_hash, self._victim.payload_size
        return super().claim(payload)

    async def _wait_for_commitment(
        self, follower: RunFollower, header: codec.PayloadHeader
    ) -> rounds_pb2.Commitment:
        while True:
            victims = await self._get_victims(follower, header, header.round)
            if victims:
                return victims[0]
            await asyncio.sleep(COPY_POLL_SECONDS)

    async def _get_victims(
        self, follower: RunFollower, header: codec.PayloadHeader, round_index: int
    ) -> list[rounds_pb2.Commitment]:
        commitments = await follower.client.get_commitments(header.run_id, round_index)
        return [c for c in commitments if c.uid != header.uid and not c.late]


class FreeRider(Honest):
    """Claim a trace in which nothing moved, and send noise."""

    def choose_batches(self, batches: np.ndarray) -> np.ndarray:
        return batches[:0]

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        setup = follower.setup
        start = work.interval_states[0]
        noisy = _add_noise(start, hashlib.sha256(round_info.beacon + bytes([header.uid])).digest())
        num_intervals = setup.spec.work.inner_steps // setup.spec.work.interval_steps
        roots = (work.interval_roots[0],) * num_intervals + (state.interval_root(noisy),)
        fresh = setup.make_fresh_optimiser()
        theta = state.select(start, state.PARAM_PREFIX)
        payload, feedback = derive_payload(setup, theta, noisy, fresh, header)
        return RoundWork(
            interval_states=(*(start,) * num_intervals, noisy),
            interval_roots=roots,
            trace_root=state.compute_trace_root(roots),
            payload=payload,
            optimiser={**work.optimiser, **feedback},
            losses=(),
        )


class Corrupt(Honest):
    """Serve bytes that match their hash and are no payload."""

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        return replace(work, payload=work.payload[: len(work.payload) // 2] + b"\xff" * 64)


class WrongSteps(Honest):
    """Take half of the steps and claim the rest by repeating the last root."""

    def choose_batches(self, batches: np.ndarray) -> np.ndarray:
        return batches[: len(batches) // 2]

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        spec = follower.setup.spec.work
        missing = spec.inner_steps // spec.interval_steps + 1 - len(work.interval_roots)
        roots = work.interval_roots + work.interval_roots[-1:] * missing
        return replace(work, interval_roots=roots, trace_root=state.compute_trace_root(roots))


def make_attacker(kind: AttackerKind) -> Attacker:
    """Return the cheat of that kind."""
    return {
        AttackerKind.COPIER: Copier,
        AttackerKind.FREE_RIDER: FreeRider,
        AttackerKind.CORRUPT: Corrupt,
        AttackerKind.WRONG_STEPS: WrongSteps,
    }[kind]()


def _add_noise(start: State, seed: bytes) -> State:
    noise = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    return {
        name: tensor + np.float32(0.01) * noise.standard_normal(tensor.shape, dtype=np.float32)
        if name.startswith(state.PARAM_PREFIX)
        else tensor
        for name, tensor in start.items()
    }
