"""Weights from evidence, and the error rates of the running test."""

import random

from hypothesis import given
from hypothesis import strategies as st

from scoring import reasons
from scoring.reasons import ReasonCode
from scoring.score import (
    BOUND_MICRONATS,
    Evidence,
    Trail,
    compute_median,
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


def run_trail(win_rate: float, num_rounds: int, seed: int, num_pairs: int = 64) -> Trail:
    rng = random.Random(seed)
    trail = Trail()
    for _ in range(num_rounds):
        gains = [1 if rng.random() < win_rate else -1 for _ in range(num_pairs)]
        trail = compute_trail(trail, gains, [0] * num_pairs)
    return trail


def test_trail__false_flags_and_clears_are_as_rare_as_stated() -> None:
    """Some 2000 decisions each way; the stated rate of 1 in 1000 allows eight at 99.99 %."""
    trained, idle = run_trail(0.6, 11_000, 1), run_trail(0.5, 11_000, 2)
    assert trained.num_clears > 1500
    assert trained.num_flags <= 8
    assert idle.num_flags > 1500
    assert idle.num_clears <= 8
    decisions = trained.num_clears + trained.num_flags
    assert 300 < trained.num_pairs / decisions < 380


def test_trail__free_rider_is_flagged_within_rounds() -> None:
    flagged = [run_trail(0.5, 12, seed).is_flagged for seed in range(100, 140)]
    assert sum(flagged) >= 36


def test_trail__rounds_can_be_fed_one_by_one() -> None:
    rng = random.Random(3)
    assigned = [rng.randrange(-9, 10) for _ in range(2000)]
    heldout = [rng.randrange(-9, 10) for _ in range(2000)]
    whole = compute_trail(Trail(), assigned, heldout)
    parts = Trail()
    for start in range(0, 2000, 64):
        parts = compute_trail(parts, assigned[start : start + 64], heldout[start : start + 64])
    assert parts == whole
    assert abs(whole.evidence_micronats) < BOUND_MICRONATS
    assert whole.num_pairs < 2000  # ties do not count


def test_reasons__every_code_is_explained() -> None:
    assert [code.value for code in ReasonCode] == list(range(9))
    for code in ReasonCode:
        assert reasons.REASON_TEXTS[code]
        assert reasons.RECOMPUTE_HINTS[code]
        assert "\n" not in reasons.REASON_TEXTS[code]
