"""Audit choice: deterministic, unbiased, independent between miners; deterrence tables."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import audit
from scoring.audit import AuditInputError, AuditTarget, compute_audit_targets

BEACON = bytes(range(32))
MINERS = [(uid, False) for uid in range(2, 12)]
GOLDEN = [
    AuditTarget(3, 1, 1, (1, 20)),
    AuditTarget(4, 1, 2, (1, 20)),
    AuditTarget(5, 1, 2, (1, 20)),
    AuditTarget(6, 1, 2, (0, 1)),
    AuditTarget(8, 0, 2, (1, 20)),
    AuditTarget(10, 0, 2, (1, 20)),
]


def compute(
    round_index: int = 0,
    miners: list[tuple[int, bool]] = MINERS,
    validators: tuple[int, ...] = (0, 1, 20),
    num_intervals: int = 5,
    interval_steps: int = 4,
    rate_ppm: int = 100_000,
    num_auditors: int = 2,
    beacon: bytes = BEACON,
) -> list[AuditTarget]:
    return compute_audit_targets(
        beacon,
        7,
        round_index,
        miners,
        validators,
        num_intervals,
        interval_steps,
        rate_ppm,
        num_auditors,
    )


def test_targets__golden() -> None:
    assert compute(round_index=3, rate_ppm=500_000) == GOLDEN


def test_targets__do_not_depend_on_order_or_company() -> None:
    everyone = compute(rate_ppm=500_000)
    assert compute(rate_ppm=500_000, miners=MINERS[::-1], validators=(20, 1, 0)) == everyone
    alone = [t for uid in range(2, 12) for t in compute(rate_ppm=500_000, miners=[(uid, False)])]
    assert alone == everyone


def test_targets__beacon_and_round_change_them() -> None:
    base = compute(rate_ppm=1_000_000)
    assert compute(rate_ppm=1_000_000, beacon=BEACON[::-1]) != base
    assert compute(rate_ppm=1_000_000, round_index=1) != base


def test_targets__probation_is_always_audited() -> None:
    for round_index in range(30):
        targets = compute(round_index=round_index, miners=[(2, True), (3, False)], rate_ppm=0)
        assert [target.uid for target in targets] == [2]


def test_targets__without_validators() -> None:
    assert compute(validators=(), rate_ppm=1_000_000) == []


def test_targets__fewer_validators_than_auditors() -> None:
    targets = compute(validators=(9, 4), num_auditors=5, rate_ppm=1_000_000)
    assert {target.auditors for target in targets} == {(4, 9)}


@given(
    st.binary(min_size=32, max_size=32), st.integers(1, 40), st.integers(1, 9), st.integers(1, 4)
)
def test_targets__stay_in_range(beacon: bytes, intervals: int, steps: int, auditors: int) -> None:
    targets = compute(
        beacon=beacon,
        num_intervals=intervals,
        interval_steps=steps,
        num_auditors=auditors,
        rate_ppm=1_000_000,
    )
    assert [target.uid for target in targets] == [uid for uid, _ in MINERS]
    for target in targets:
        assert 0 <= target.interval < intervals
        assert 1 <= target.step_inside <= max(steps - 1, 1)
        assert len(set(target.auditors)) == min(auditors, 3)
        assert list(target.auditors) == sorted(target.auditors)


def test_targets__frequencies() -> None:
    """Chi-square of each draw over 4000 miner-rounds stays under the 99.99 % point."""
    targets = [t for r in range(400) for t in compute(round_index=r, rate_ppm=1_000_000)]
    drawn = [t for r in range(400) for t in compute(round_index=r, rate_ppm=100_000)]
    assert abs(len(drawn) - 400) < 4 * (4000 * 0.1 * 0.9) ** 0.5
    for values, num_classes, limit in (
        ([t.interval for t in targets], 5, 23.5),
        ([t.step_inside for t in targets], 3, 18.4),
        ([t.auditors for t in targets], 3, 18.4),
    ):
        expected = len(values) / num_classes
        counts = [values.count(value) for value in set(values)]
        assert len(counts) == num_classes
        assert sum((count - expected) ** 2 / expected for count in counts) < limit


@pytest.mark.parametrize(
    "change",
    [
        {"num_intervals": 0},
        {"interval_steps": 0},
        {"num_auditors": 0},
        {"rate_ppm": -1},
        {"rate_ppm": 1_000_001},
        {"miners": [(1, False), (1, True)]},
        {"validators": (3, 3)},
    ],
)
def test_invalid_input(change) -> None:
    with pytest.raises(AuditInputError):
        compute(**change)


@pytest.mark.parametrize(
    ("strength_ppm", "forfeit", "vesting"),
    [
        (500_000, 2, 1),
        (200_000, 5, 4),
        (100_000, 10, 9),
        (50_000, 20, 19),
        (20_000, 50, 49),
        (10_000, 100, 99),
    ],
)
def test_deterrence__published_table(strength_ppm: int, forfeit: int, vesting: int) -> None:
    strength = Fraction(strength_ppm, 10**6)
    assert audit.compute_required_forfeit(strength, 1) == forfeit
    assert audit.compute_required_vesting_rounds(strength) == vesting
    row = audit.describe_deterrence([strength_ppm])[0]
    assert (row["forfeit_per_cost"], row["vesting_rounds"]) == (forfeit, vesting)
    assert row["vesting_rounds_safety_2"] == 2 * forfeit


# reference/verification.md section 4.3: T = 128; columns 1 bad step, 5 %, 10 %, 25 %, 50 %
@pytest.mark.parametrize(
    ("num_sampled", "expected"),
    [
        (1, (0.008, 0.047, 0.094, 0.25, 0.50)),
        (4, (0.031, 0.177, 0.329, 0.689, 0.940)),
        (8, (0.063, 0.327, 0.556, 0.907, 0.997)),
        (16, (0.125, 0.559, 0.814, 0.993, 1.0)),
    ],
)
def test_sample_detection__published_table(num_sampled: int, expected: tuple[float, ...]) -> None:
    cheated = (1, 6, 12, 32, 64)
    found = [audit.compute_sample_detection(128, num_sampled, m) for m in cheated]
    assert [float(p) for p in found] == pytest.approx(expected, abs=6e-4)


def test_strength__published_collusion_factor() -> None:
    strength = audit.compute_audit_strength(1_000_000, 3, 333_333, 0)
    assert float(strength) == pytest.approx(0.963, abs=1e-3)
    assert audit.compute_audit_strength(100_000, 2, 0, 500_000) == Fraction(1, 20)


def test_bond__covers_what_can_be_won_back() -> None:
    assert audit.compute_required_bond(Fraction(1, 10), 1000, 0) == 9000
    assert audit.compute_required_bond(Fraction(1, 10), 1000, 500_000) == 18000


def test_value_attack() -> None:
    deterred = audit.is_value_attack_deterred
    assert deterred(Fraction(1, 10), 100, 10, 1000, attack_value_units=10)
    assert not deterred(Fraction(1, 10), 100, 10, 1000, attack_value_units=11)
