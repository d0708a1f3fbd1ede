"""Supply cap, halvings by issuance, exact splits, vesting."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import emission
from scoring.emission import SUPPLY_CAP_UDSC, EmissionInputError, RunSplit

DSC = 10**6
amounts = st.integers(0, SUPPLY_CAP_UDSC)


@pytest.mark.parametrize(
    ("issued_dsc", "halvings"),
    [
        (0, 0),
        (10_499_999, 0),
        (10_500_000, 1),
        (15_749_999, 1),
        (15_750_000, 2),
        (18_375_000, 3),
        (20_999_999, 24),
    ],
)
def test_halvings__at_published_issuance(issued_dsc: int, halvings: int) -> None:
    assert emission.compute_num_halvings(issued_dsc * DSC) == halvings
    assert emission.compute_block_emission(issued_dsc * DSC, DSC) == DSC >> halvings


@given(st.integers(0, SUPPLY_CAP_UDSC - 1))
def test_halvings__equal_the_logarithm(issued: int) -> None:
    halvings = emission.compute_num_halvings(issued)
    ratio = Fraction(SUPPLY_CAP_UDSC, SUPPLY_CAP_UDSC - issued)
    assert 2**halvings <= ratio < 2 ** (halvings + 1)


def test_block_emission__ends_at_the_cap() -> None:
    issued, cap = 0, 1000
    for _ in range(2000):
        issued += emission.compute_block_emission(issued, 64, cap)
    assert issued <= cap
    assert emission.compute_block_emission(cap, 64, cap) == 0
    assert emission.compute_block_emission(cap - 1, 2**20, cap) == 1


@pytest.mark.parametrize("issued", [-1, SUPPLY_CAP_UDSC + 1])
def test_invalid_issuance(issued: int) -> None:
    with pytest.raises(EmissionInputError):
        emission.compute_block_emission(issued, DSC)


@given(amounts)
def test_run_split__sums_to_the_whole(amount: int) -> None:
    split = emission.compute_run_split(amount)
    assert split.owner_udsc + split.miners_udsc + split.validators_udsc == amount
    assert 0 <= split.miners_udsc - split.validators_udsc <= 2
    assert split.owner_udsc == amount * 18 // 100


def test_run_split__of_a_hundred() -> None:
    assert emission.compute_run_split(100) == RunSplit(18, 41, 41)
    assert emission.compute_run_split(1) == RunSplit(0, 1, 0)


@pytest.mark.parametrize(
    ("amount", "shares"),
    [(-1, (180_000, 410_000, 410_000)), (1, (0, 0, 1)), (1, (-1, 500_000, 500_001))],
)
def test_invalid_split(amount: int, shares: tuple[int, int, int]) -> None:
    with pytest.raises(EmissionInputError):
        emission.compute_run_split(amount, *shares)


@given(amounts, st.lists(st.integers(0, 2**63), max_size=50))
def test_pro_rata__sums_and_stays_within_a_unit(amount: int, weights: list[int]) -> None:
    parts = emission.compute_pro_rata(amount, weights)
    total = sum(weights)
    assert sum(parts) == (amount if total else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert not total or abs(part - Fraction(amount * weight, total)) < 1


def test_invalid_pro_rata() -> None:
    with pytest.raises(EmissionInputError):
        emission.compute_pro_rata(1, [1, -1])


@given(st.integers(1, 10**6), amounts)
def test_vesting(rate_ppm: int, amount: int) -> None:
    rounds = emission.compute_vesting_rounds(rate_ppm)
    assert rounds == math.ceil(Fraction(10**6, rate_ppm))
    if rounds <= 100:
        parts = emission.compute_vesting_schedule(amount, rounds)
        assert len(parts) == rounds
        assert sum(parts) == amount
        assert max(parts) - min(parts) <= 1


@pytest.mark.parametrize("rate_ppm", [0, 1_000_001])
def test_invalid_vesting_rate(rate_ppm: int) -> None:
    with pytest.raises(EmissionInputError):
        emission.compute_vesting_rounds(rate_ppm)
