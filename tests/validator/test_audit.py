"""Audits over real blob servers: honest work agrees, every way of leaving work out does not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chain_client.blob.address import KIND_STATE, KIND_TRACE
from chain_client.blob.server import BlobServer
from exact import codec, state
from miner.attackers import Attacker, AttackerKind, Honest, make_attacker
from miner.follower import RunFollower
from miner.setup import RunSetup
from miner.work import RoundWork
from proto.descent.rounds.v1 import rounds_pb2
from tests.support.tiny_run import ScriptedChain, make_round, mine, open_follower
from validator.audit import Auditor, AuditReport

MINER, VALIDATOR = 3, 0
FETCH_SECONDS = 30.0


async def audit(
    setup: RunSetup,
    folder: Path,
    attacker: Attacker | None = None,
    interval: int = 0,
    spoil: Callable[[RunFollower, rounds_pb2.Commitment], None] | None = None,
    rounds: int = 1,
) -> AuditReport:
    """Mine a round (or several, honestly until the last) and audit the last one."""
    theta = setup.make_initial_params()
    chain = ScriptedChain()
    async with (
        open_follower(setup, folder / "miner", MINER, chain) as miner,
        open_follower(setup, folder / "validator", VALIDATOR, chain) as validator,
    ):
        optimiser = None
        for index in range(rounds - 1):
            before = await mine(miner, MINER, make_round(index), theta, optimiser)
            optimiser = miner.store.get_state(before.optimiser_root_out, setup.optimiser_layout)
        info = make_round(rounds - 1)
        commitment = await mine(miner, MINER, info, theta, optimiser, attacker)
        payload = miner.store.get_blob(commitment.payload_hash)
        assert payload is not None
        if spoil is not None:
            spoil(miner, commitment)
        target = rounds_pb2.AuditTarget(uid=MINER, interval=interval, step=1, auditors=[VALIDATOR])
        return await Auditor(validator, FETCH_SECONDS).audit(
            info, theta, commitment, target, payload
        )


@pytest.mark.parametrize("interval", range(4))
async def test_audit__honest_work_agrees(setup: RunSetup, tmp_path: Path, interval: int) -> None:
    report = await audit(setup, tmp_path, interval=interval)
    assert report.matches, report.finding
    assert report.claimed_root == report.replayed_root != report.inside_root


async def test_audit__goes_on_from_the_carried_optimiser(setup: RunSetup, tmp_path: Path) -> None:
    report = await audit(setup, tmp_path, interval=2, rounds=2)
    assert report.matches, report.finding


@pytest.mark.parametrize("interval", range(4))
@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        (AttackerKind.FREE_RIDER, "the trace repeats a state"),
        (AttackerKind.WRONG_STEPS, "the trace repeats a state"),
    ],
)
async def test_audit__finds_work_left_out_in_any_interval(
    setup: RunSetup, tmp_path: Path, kind: AttackerKind, finding: str, interval: int
) -> None:
    report = await audit(setup, tmp_path, make_attacker(kind), interval)
    assert not report.matches
    assert finding in report.finding


class _Forger(Honest):
    """Change one interval state after training, and the trace with it."""

    def __init__(self, index: int, forge: Callable[[dict[str, np.ndarray]], None]) -> None:
        self._index = index
        self._forge = forge

    async def distort(
        self,
        follower: RunFollower,
        work: RoundWork,
        round_info: rounds_pb2.Round,
        header: codec.PayloadHeader,
    ) -> RoundWork:
        states = list(work.interval_states)
        forged = {name: tensor.copy() for name, tensor in states[self._index].items()}
        self._forge(forged)
        states[self._index] = forged
        roots = tuple(state.interval_root(s) for s in states)
        return replace(
            work,
            interval_states=tuple(states),
            interval_roots=roots,
            trace_root=state.compute_trace_root(roots),
        )


def _flip_lowest_bit(forged: dict[str, np.ndarray]) -> None:
    name = next(name for name in sorted(forged) if name.startswith(state.PARAM_PREFIX))
    forged[name].reshape(-1).view(np.uint32)[0] ^= 1


def _count_a_step_less(forged: dict[str, np.ndarray]) -> None:
    forged[state.ADAM_T_NAME] = forged[state.ADAM_T_NAME] - 1


@pytest.mark.parametrize(
    ("forged", "forge", "interval", "finding"),
    [
        (0, _flip_lowest_bit, 3, "does not start at the round's checkpoint"),
        (2, _flip_lowest_bit, 1, "interval 1 ends in another state"),
        (2, _flip_lowest_bit, 2, "interval 2 ends in another state"),
        (4, _flip_lowest_bit, 3, "interval 3 ends in another state"),
        (2, _count_a_step_less, 2, "the interval's start state counts 3 steps, not 4"),
        (4, _count_a_step_less, 0, "the final state counts 7 steps, not 8"),
    ],
)
async def test_audit__finds_one_changed_number(
    setup: RunSetup,
    tmp_path: Path,
    forged: int,
    forge: Callable[[dict[str, np.ndarray]], None],
    interval: int,
    finding: str,
) -> None:
    report = await audit(setup, tmp_path, _Forger(forged, forge), interval)
    assert not report.matches
    assert finding in report.finding


async def test_audit__finds_a_payload_of_other_work(setup: RunSetup, tmp_path: Path) -> None:
    def swap(_: RunFollower, commitment: rounds_pb2.Commitment) -> None:
        commitment.payload_hash = bytes(32)

    report = await audit(setup, tmp_path, spoil=swap)
    assert "the payload is not what the final state compresses to" in report.finding


async def test_audit__finds_a_forged_carried_optimiser(setup: RunSetup, tmp_path: Path) -> None:
    def forge(_: RunFollower, commitment: rounds_pb2.Commitment) -> None:
        commitment.optimiser_root_out = bytes(32)

    report = await audit(setup, tmp_path, spoil=forge)
    assert "the carried optimiser is not what the final state leaves" in report.finding


@pytest.mark.parametrize("kind", [KIND_TRACE, KIND_STATE])
async def test_audit__what_is_not_served_is_not_done(
    setup: RunSetup, tmp_path: Path, kind: int
) -> None:
    def withhold(miner: RunFollower, commitment: rounds_pb2.Commitment) -> None:
        trace = miner.store.blobs.read(KIND_TRACE, commitment.trace_root)
        address = commitment.trace_root if kind == KIND_TRACE else trace[-32:]
        miner.store.blobs.remove(kind, address)

    report = await audit(setup, tmp_path, spoil=withhold)
    assert not report.matches
    assert report.finding.startswith("not served: ")


async def test_audit__asks_again_while_there_is_time(setup: RunSetup, tmp_path: Path) -> None:
    """A miner that starts again is not taken for one that refuses; one that stays away is."""
    theta, info, chain = setup.make_initial_params(), make_round(), ScriptedChain()
    async with open_follower(setup, tmp_path / "validator", VALIDATOR, chain) as validator:
        async with open_follower(setup, tmp_path / "miner", MINER, chain) as miner:
            commitment = await mine(miner, MINER, info, theta)
            payload = miner.store.get_blob(commitment.payload_hash)
        assert payload is not None
        target = rounds_pb2.AuditTarget(uid=MINER, interval=0, step=1, auditors=[VALIDATOR])
        seconds_left = [2.0, 1.5, 0.0]
        patient = Auditor(validator, FETCH_SECONDS, lambda _: seconds_left.pop(0))
        report = await patient.audit(info, theta, commitment, target, payload)
        assert not report.matches
        assert report.finding.startswith("not served: cannot fetch trace")
        assert seconds_left == []
        patient = Auditor(validator, FETCH_SECONDS, lambda _: FETCH_SECONDS)
        auditing = asyncio.create_task(patient.audit(info, theta, commitment, target, payload))
        await asyncio.sleep(0.2)
        endpoint = chain.members[MINER].endpoint
        async with BlobServer([miner.store.blobs], endpoint):
            assert (await auditing).matches
