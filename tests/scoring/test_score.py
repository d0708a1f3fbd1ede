"""Weights from evidence, and the error rates of the running test."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import reasons
from scoring.reasons import ReasonCode
from scoring.score import (
    Evidence,
    EvidenceError,
    PairedGains,
    Trail,
    compute_median,
    compute_round_sign,
    compute_trail,
    compute_weights,
)


def make_ok(*gains: int) -> dict[int, Evidence]:
    return {uid: Evidence(ReasonCode.OK, 0, gain) for uid, gain in enumerate(gains)}


def test_weights__proportional_to_heldout_gain() -> None:
    assert compute_weights(make_ok(100, 50, 75)) == {0: 65535, 1: 32767, 2: 49151}


def test_weights__cut_at_twice_the_median() -> None:
    assert compute_weights(make_ok(100, 100, 10_000)) == {0: 32767, 1: 32767, 2: 65535}


def test_weights__only_ok_counts() -> None:
    evidence = {
        code: Evidence(code, 10**6, 10**6 if code != ReasonCode.OK else 5) for code in ReasonCode
    }
    weights = compute_weights(evidence)
    assert {uid for uid, weight in weights.items() if weight} == {ReasonCode.OK}
    assert weights[ReasonCode.OK] == 65535


def test_weights__a_bad_gain_does_not_move_the_median() -> None:
    evidence = make_ok(100, 100, 100)
    evidence[3] = Evidence(ReasonCode.REPLAY_MISMATCH, 0, 10**9)
    assert compute_weights(evidence) == {0: 65535, 1: 65535, 2: 65535, 3: 0}


def test_weights__nobody_improved() -> None:
    assert compute_weights(make_ok(0, -5)) == {0: 0, 1: 0}
    assert compute_weights({}) == {}


def test_weights__tiny_gain_is_not_lost() -> None:
    weights = compute_weights(make_ok(1, 10**9, 10**9))
    assert weights[0] == 1


@given(st.dictionaries(st.integers(0, 4095), st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_weights__bounds_and_order(gains: dict[int, int]) -> None:
    weights = compute_weights({u: Evidence(ReasonCode.OK, 0, g) for u, g in gains.items()})
    assert list(weights) == sorted(gains)
    positive = {uid for uid, gain in gains.items() if gain > 0}
    assert {uid for uid, weight in weights.items() if weight} == positive
    if positive:
        assert max(weights.values()) == 65535
    for a in positive:
        for b in positive:
            assert gains[a] > gains[b] or weights[a] <= weights[b]


def test_median__is_the_lower_one() -> None:
    assert [compute_median(v) for v in ([3], [4, 1], [9, 1, 5], [4, 3, 2, 1])] == [3, 1, 5, 2]


WON, LOST = PairedGains([1], [0], [0], [0]), PairedGains([0], [1], [0], [0])


def run_trail(win_rate: float, num_rounds: int, seed: int) -> Trail:
    rng = random.Random(seed)
    trail = Trail()
    for _ in range(num_rounds):
        trail = compute_trail(trail, WON if rng.random() < win_rate else LOST)
    return trail


def test_trail__false_flags_and_clears_are_as_rare_as_stated() -> None:
    """Some 470 decisions each way; the stated rate of 1 in 1000 allows four at 99.98 %."""
    trained, idle = run_trail(0.7, 40_000, 1), run_trail(0.5, 40_000, 2)
    assert trained.num_clears > 400
    assert trained.num_flags <= 4
    assert idle.num_flags > 400
    assert idle.num_clears <= 4
    for trail in (trained, idle):
        assert 75 < trail.num_rounds / (trail.num_clears + trail.num_flags) < 95


def test_trail__free_rider_is_flagged_within_a_run() -> None:
    flagged = [run_trail(0.5, 200, seed).is_flagged for seed in range(100, 140)]
    assert sum(flagged) >= 38


def test_round_sign__common_lead_does_not_count() -> None:
    """An update that is better everywhere by the same amount shows nothing about its data."""
    own, peer = [110, 111, 109, 130], [100, 100, 100, 100]
    assert compute_round_sign(PairedGains(own, peer, [60, 61], [50, 51])) == 1
    assert compute_round_sign(PairedGains(own, peer, [60, 75], [50, 51])) == -1
    assert compute_round_sign(PairedGains([110, 120], [100, 110], [60], [50])) == 0


def test_round_sign__lengths_of_the_two_draws_may_differ() -> None:
    assert compute_round_sign(PairedGains([3, 3, 3], [0, 0, 0], [5], [1])) == -1
    assert compute_round_sign(PairedGains([5, 5, 5], [0, 0, 0], [5], [1])) == 1


def test_trail__ties_do_not_count() -> None:
    assert compute_trail(Trail(), PairedGains([1], [1], [0], [0])) == Trail()


def test_trail__a_decision_starts_over() -> None:
    trail = Trail()
    while not trail.num_flags:
        trail = compute_trail(trail, LOST)
    assert trail == Trail(0, 14, 0, 1, 0, is_flagged=True)
    while not trail.num_clears:
        trail = compute_trail(trail, WON)
    assert trail == Trail(0, 35, 21, 1, 1, is_flagged=False)


@pytest.mark.parametrize(
    "lists", [([1], [], [1], [1]), ([1], [1], [1], []), ([], [], [1], [1]), ([1], [1], [], [])]
)
def test_invalid_gains(lists: tuple[list[int], list[int], list[int], list[int]]) -> None:
    with pytest.raises(EvidenceError):
        PairedGains(*lists)


def test_reasons__every_code_is_explained() -> None:
    assert [code.value for code in ReasonCode] == list(range(9))
    for code in ReasonCode:
        assert reasons.REASON_TEXTS[code]
        assert reasons.RECOMPUTE_HINTS[code]
        assert "\n" not in reasons.REASON_TEXTS[code]
