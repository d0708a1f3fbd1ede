"""Miners whose endpoint or payload is bad, all in one round of a living devnet.

Each is told apart by reason code and words; the honest ones of the round are paid; validators
take no more time and memory than in any other round.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chain_client.errors import TxRefused
from cli.devnet.layout import RUN_ID
from exact import codec
from exact.codec import HEADER_BYTES
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.support import hostile_seat as hostile
from tests.support.devnet import Devnet, get_key
from tests.support.hostile_seat import HostileSeat

VALIDATORS = ("validator-0", "validator-1")
HONEST = ("miner-0", "miner-1", "miner-2")
FIRST_KEY = 8
MAX_GROWTH_BYTES = 200 << 20
MAX_ROUNDS = 4
MAX_BURN_UDSC = 2_000_000  # the dearest a seat of this run gets


def set_bits(start: int, stop: int | None) -> hostile.Distort:
    """Set every bit of some bytes behind the header."""

    def distort(payload: bytes) -> bytes:
        body = bytearray(payload[HEADER_BYTES:])
        body[start:stop] = b"\xff" * len(body[start:stop])
        return payload[:HEADER_BYTES] + bytes(body)

    return distort


def get_max_size(devnet: Devnet) -> int:
    spec = devnet.client.get_spec(RUN_ID)
    params = hostile.make_params(spec)
    return codec.max_payload_size(codec.get_layout(params), codec.CodecConfig.from_spec(spec.codec))


# name -> (the seat, its reason code, words of the verdict's detail)
Case = tuple[HostileSeat, str, str]


def list_cases(max_size: int) -> dict[str, Case]:
    keys = iter(get_key(f"miner-{index}") for index in range(FIRST_KEY, 32))

    def seat(**fields: object) -> HostileSeat:
        return HostileSeat(next(keys), **fields)  # type: ignore[arg-type]

    endpoints = {
        "hangs": (hostile.hang, "not done in"),
        "trickles": (hostile.trickle, "not done in"),
        "announces 10 GB": (hostile.announce_too_much, f"{10 << 30} bytes, at most"),
        "sends 10 GB": (hostile.never_end, "bytes it announced"),
        "other bytes": (hostile.serve_other_bytes, "the bytes have address"),
        "ends early": (hostile.end_early, "ended after"),
        "nobody": (None, "cannot fetch"),
    }
    payloads = {
        "truncated": (lambda payload: payload[:-5], "bytes wanted at"),
        "trailing": (lambda payload: payload + b"\0", "1 bytes follow"),
        "no header": (lambda payload: payload[: HEADER_BYTES - 1], "the header alone has"),
        "not a number": (set_bits(0, 2), "level"),
        "index out of range": (set_bits(2, None), "rank"),
    }
    cases: dict[str, Case] = {
        name: (seat(serve=serve), "UNAVAILABLE", words)
        for name, (serve, words) in endpoints.items()
    }
    for name, (distort, words) in payloads.items():
        cases[name] = (seat(distort=distort), "INVALID_PAYLOAD", words)
    next_round = seat(header=lambda round_index, uid: (round_index + 1, uid))
    cases["wrong round"] = (next_round, "INVALID_PAYLOAD", "round")
    others = seat(header=lambda round_index, uid: (round_index, 0))
    cases["another's name"] = (others, "DUPLICATE", "uid 0, not")
    oversize = seat(claimed_size=max_size + 1)
    cases["oversize"] = (oversize, "INVALID_PAYLOAD", f"at most {max_size}")
    return cases


@pytest.fixture(scope="module")
def cases(devnet: Devnet) -> Iterator[dict[str, Case]]:
    """All seats, registered."""
    found = list_cases(get_max_size(devnet))

    def register(seat: HostileSeat) -> None:
        register = runs_pb2.MsgRegister(
            coldkey=seat.key.address,
            run_id=RUN_ID,
            role=runs_pb2.ROLE_MINER,
            hotkey=seat.key.address,
            endpoint=seat.start(),
            max_burn_udsc=MAX_BURN_UDSC,
        )
        devnet.client.submit(seat.key, [register], gas=500_000)
        seat.uid = devnet.client.get_participant(RUN_ID, hotkey=seat.key.address).uid

    seats = [seat for seat, _, _ in found.values()]
    with ThreadPoolExecutor(len(seats)) as pool:
        list(pool.map(register, seats))
    yield found
    for seat in seats:
        seat.stop()


def find_whole_round(devnet: Devnet, seats: list[HostileSeat]) -> int:
    """Commit for every seat, round after round, until one round has all of them in time, all honest
    work found good and a judgement of every validator: a slow machine may miss a deadline, and now
    and then an honest payload does not lower the loss.
    """
    spec = devnet.client.get_spec(RUN_ID)
    uids = {seat.uid for seat in seats}
    honest = {devnet.get_member(name).uid for name in HONEST}

    def submit(seat: HostileSeat, message: rounds_pb2.MsgCommitPayload) -> None:
        devnet.client.submit(seat.key, [message], gas=500_000)

    for _ in range(MAX_ROUNDS):
        index = devnet.client.get_current_round(RUN_ID).index
        current = devnet.wait_round(
            lambda r, after=index: r.index > after and r.phase == rounds_pb2.PHASE_TRAINING,
            "a round begins",
        )
        messages = [seat.make_commitment(spec, current.index) for seat in seats]
        with ThreadPoolExecutor(len(seats)) as pool:
            list(pool.map(submit, seats, messages))
        epoch = devnet.wait_judged(current.index)
        good = {e.uid for e in epoch.entries if e.reason == weights_pb2.REASON_CODE_OK}
        found = devnet.client.get_commitments(RUN_ID, current.index)
        judgements = devnet.client.get_judgements(RUN_ID, current.index).judgements
        is_in_time = uids <= {commitment.uid for commitment in found if not commitment.late}
        if is_in_time and honest <= good and len(judgements) == len(VALIDATORS):
            return current.index
    raise AssertionError(f"no round of {MAX_ROUNDS} had all commitments and judgements in time")


@pytest.fixture(scope="module")
def before(devnet: Devnet, cases: dict[str, Case]) -> dict[str, int]:
    """Memory of the validators before the round, bytes."""
    return {name: devnet.get_process(name).memory_info().rss for name in VALIDATORS}


@pytest.fixture(scope="module")
def index(devnet: Devnet, cases: dict[str, Case], before: dict[str, int]) -> int:
    """The round of all seats."""
    return find_whole_round(devnet, [seat for seat, _, _ in cases.values()])


def test_reasons(
    devnet: Devnet, cases: dict[str, Case], before: dict[str, int], index: int
) -> None:
    seats = [seat for seat, _, _ in cases.values()]
    epoch = devnet.client.get_epoch(RUN_ID, index)
    judgements = devnet.client.get_judgements(RUN_ID, index).judgements
    for item in judgements:
        verdicts = {verdict.uid: verdict for verdict in item.judgement.verdicts}
        weights = dict(zip(item.judgement.uids, item.judgement.weights_u16, strict=True))
        for name, (seat, reason, words) in cases.items():
            verdict = verdicts[seat.uid]
            found = weights_pb2.ReasonCode.Name(verdict.reason).removeprefix("REASON_CODE_")
            assert (name, found) == (name, reason), verdict.detail
            assert words in verdict.detail, f"{name}: {verdict.detail}"
            assert weights.get(seat.uid, 0) == 0
    entries = {entry.uid: entry for entry in epoch.entries}
    assert all(entries[devnet.get_member(name).uid].emission_udsc > 0 for name in HONEST)
    assert all(entries[seat.uid].emission_udsc == 0 for seat in seats)
    for name in VALIDATORS:
        assert devnet.get_process(name).memory_info().rss < before[name] + MAX_GROWTH_BYTES


def test_accepted_in_time(devnet: Devnet, cases: dict[str, Case], index: int) -> None:
    """The bad endpoints did not keep the good payloads out of the checkpoint."""
    accepted = set(devnet.client.get_round(RUN_ID, index).accepted)
    assert {devnet.get_member(name).uid for name in HONEST} <= accepted
    assert not accepted & {seat.uid for seat, _, _ in cases.values()}


def test_explain_names_the_reason(devnet: Devnet, cases: dict[str, Case], index: int) -> None:
    uid = cases["hangs"][0].uid
    found = str(devnet.type("explain", str(RUN_ID), "--uid", str(uid), "--round", str(index)))
    assert "UNAVAILABLE" in found


def test_invalid_size(devnet: Devnet, cases: dict[str, Case]) -> None:
    """The chain itself refuses a commitment that no model of this run could need."""
    seat = cases["oversize"][0]
    current = devnet.wait_round(lambda r: r.phase == rounds_pb2.PHASE_TRAINING, "a round begins")
    message = seat.make_commitment(devnet.client.get_spec(RUN_ID), current.index)
    message.payload_size = 10 << 30
    with pytest.raises(TxRefused) as caught:
        devnet.client.submit(seat.key, [message])
    assert re.search(rf"{10 << 30} bytes, the bounds are 1\.\.\d+", str(caught.value))
