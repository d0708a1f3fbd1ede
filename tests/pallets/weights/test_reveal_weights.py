"""MsgRevealWeights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.pallets.runs.errors import InvalidRole
from node.pallets.weights.errors import (
    AlreadyRevealed,
    CommitmentMismatch,
    CommitmentMissing,
    InvalidRow,
    InvalidSalt,
    InvalidVerdict,
    NotJudging,
    RevealTooEarly,
    WrongJudge,
)
from node.pallets.weights.types import WeightsRevealed
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import TrainingChain, hash_text

NAME = "validator-0"


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.start_run()
    chain.play_round(1)
    return chain


def commit(chain: TrainingChain, judgement: Any) -> Any:
    chain.run(chain.build_weights_commit(NAME, judgement))
    deadline = chain.get_round(1, 0).judge_commit_deadline
    chain.next_block(deadline + 1 - chain.height)
    return chain.build_reveal(NAME, judgement)


def test_reveal_weights(chain: TrainingChain) -> None:
    judgement = chain.build_judgement(1, NAME, {0: 5, 2: 65_535}, {1: 8})
    result = chain.run(commit(chain, judgement))
    assert result.get_events(WeightsRevealed) == [WeightsRevealed(1, 0, 3, 3)]
    request = weights_pb2.QueryJudgementsRequest(run_id=1, round=0)
    [stored] = chain.query("/descent.weights.v1.Query/Judgements", request).judgements
    assert stored.judgement == judgement
    assert (stored.hotkey, stored.stake_udsc) == (make_text_addr(NAME), 100)


def test_invalid_too_early(chain: TrainingChain) -> None:
    judgement = chain.build_judgement(1, NAME, {0: 5})
    chain.run(chain.build_weights_commit(NAME, judgement))
    first = chain.get_round(1, 0).judge_commit_deadline + 1
    message = chain.build_reveal(NAME, judgement)
    chain.assert_noop(message, RevealTooEarly, f"from height {first}")


def test_invalid_too_late(chain: TrainingChain) -> None:
    message = commit(chain, chain.build_judgement(1, NAME, {0: 5}))
    chain.next_block(2)
    chain.assert_noop(message, NotJudging)


def test_invalid_second(chain: TrainingChain) -> None:
    message = commit(chain, chain.build_judgement(1, NAME, {0: 5}))
    chain.run(message)
    chain.assert_noop(message, AlreadyRevealed)


def test_invalid_salt(chain: TrainingChain) -> None:
    judgement = chain.build_judgement(1, NAME, {0: 5})
    commit(chain, judgement)
    short = chain.build_reveal(NAME, judgement, salt=b"salt")
    chain.assert_noop(short, InvalidSalt, "4 bytes")
    other = chain.build_reveal(NAME, judgement, salt=hash_text("other"))
    chain.assert_noop(other, CommitmentMismatch)


def test_invalid_changed_after_the_commitment(chain: TrainingChain) -> None:
    message = commit(chain, chain.build_judgement(1, NAME, {0: 5}))
    message.judgement.weights_u16[0] = 6
    chain.assert_noop(message, CommitmentMismatch)


def test_invalid_copied_from_another_validator(chain: TrainingChain) -> None:
    message = commit(chain, chain.build_judgement(1, NAME, {0: 5}))
    message.hotkey = make_text_addr("validator-1")
    chain.assert_noop(message, WrongJudge, "uid 3, the hotkey has uid 4")
    message.judgement.validator_uid = 4
    chain.assert_noop(message, CommitmentMissing, "uid 4, round 0")


def test_invalid_sender(chain: TrainingChain) -> None:
    message = commit(chain, chain.build_judgement(1, NAME, {0: 5}))
    message.hotkey = make_text_addr("miner-0")
    chain.assert_noop(message, InvalidRole)


def set_weight(judgement: Any) -> None:
    judgement.uids.append(1)
    judgement.weights_u16.append(9)


def drop_weight(judgement: Any) -> None:
    del judgement.weights_u16[1:]


def swap_uids(judgement: Any) -> None:
    judgement.uids[:] = [2, 0]


def double_uid(judgement: Any) -> None:
    judgement.uids[:] = [0, 0]


def weigh_self(judgement: Any) -> None:
    judgement.uids[1] = 3


def weigh_stranger(judgement: Any) -> None:
    judgement.uids[1] = 99


def weigh_too_much(judgement: Any) -> None:
    judgement.weights_u16[0] = 65_536


def weigh_bad(judgement: Any) -> None:
    judgement.verdicts[0].reason = weights_pb2.REASON_CODE_LATE


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (set_weight, "uid 1 comes after 2, uids must be ascending"),
        (drop_weight, "2 uids, 1 weights"),
        (swap_uids, "uid 0 comes after 2"),
        (double_uid, "uid 0 is listed twice"),
        (weigh_self, "uid 3 is no miner"),
        (weigh_stranger, "uid 99 is no miner"),
        (weigh_too_much, "weight 65536 over 65535"),
        (weigh_bad, "uid 0 has weight 5 without verdict OK"),
    ],
)
def test_invalid_row(chain: TrainingChain, change: Callable[[Any], None], detail: str) -> None:
    judgement = chain.build_judgement(1, NAME, {0: 5, 2: 7}, {1: 8})
    change(judgement)
    chain.assert_noop(commit(chain, judgement), InvalidRow, detail)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"uid": 4}, "uid 4 is no miner"),
        ({"uid": 0}, "uid 0 is listed twice"),
        ({"reason": 0}, "uid 1: reason 0"),
        ({"reason": 99}, "uid 1: reason 99"),
        ({"detail": "x" * 201}, "detail has 201 bytes, the limit is 200"),
        ({"evidence_hash": b"x"}, "evidence_hash has 1 bytes"),
        ({"evidence_hash": b"", "reason": 7}, "evidence_hash has 0 bytes"),
        ({"audit": weights_pb2.Audit(replayed_root=b"x")}, "replayed_root has 1 bytes"),
    ],
)
def test_invalid_verdict(chain: TrainingChain, fields: dict[str, Any], detail: str) -> None:
    judgement = chain.build_judgement(1, NAME, {0: 5}, {1: 8})
    for name, value in fields.items():
        if name == "audit":
            judgement.verdicts[1].audit.CopyFrom(value)
        else:
            setattr(judgement.verdicts[1], name, value)
    chain.assert_noop(commit(chain, judgement), InvalidVerdict, detail)
