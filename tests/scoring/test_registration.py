"""Burn price decay and raise, and the choice of the replaced seat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.registration import (
    RegistrationInputError,
    Seat,
    choose_replaced_uid,
    compute_burn_price,
    compute_raised_price,
)

MAX_PRICE = 10**18


@given(st.integers(0, MAX_PRICE), st.integers(0, 10_000), st.integers(1, 3_000))
def test_price__equals_the_power(price: int, elapsed: int, half_life: int) -> None:
    found = compute_burn_price(price, elapsed, half_life, 0, MAX_PRICE)
    exact_log2 = -elapsed / half_life
    assert found == pytest.approx(price * 2**exact_log2, rel=1e-12, abs=1.000001)
    assert found <= price


@given(st.integers(0, MAX_PRICE), st.integers(0, 2_000), st.integers(1, 500))
def test_price__never_rises_by_waiting(price: int, elapsed: int, half_life: int) -> None:
    now = compute_burn_price(price, elapsed, half_life, 0, MAX_PRICE)
    later = compute_burn_price(price, elapsed + 1, half_life, 0, MAX_PRICE)
    assert later <= now


def test_price__halves_exactly() -> None:
    prices = [compute_burn_price(10**9, 360 * k, 360, 0, MAX_PRICE) for k in range(4)]
    assert prices == [10**9, 5 * 10**8, 25 * 10**7, 125 * 10**6]


def test_price__golden() -> None:
    prices = [compute_burn_price(10**9, blocks, 360, 0, MAX_PRICE) for blocks in (1, 90, 180, 359)]
    assert prices == [998076443, 840896415, 707106781, 500963631]


def test_price__stays_in_bounds() -> None:
    assert compute_burn_price(10**6, 10**9, 360, 500_000, 10**8) == 500_000
    assert compute_burn_price(10**9, 0, 360, 500_000, 10**8) == 10**8
    assert compute_raised_price(10**6, 1_260_000, 500_000, 10**8) == 1_260_000
    assert compute_raised_price(10**8, 1_260_000, 500_000, 10**8) == 10**8


@pytest.mark.parametrize(
    "numbers", [(-1, 0, 1, 0, 1), (1, -1, 1, 0, 1), (1, 0, 0, 0, 1), (1, 0, 1, 2, 1)]
)
def test_invalid_price(numbers: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(RegistrationInputError):
        compute_burn_price(*numbers)


@pytest.mark.parametrize(
    ("seats", "replaced"),
    [
        ([Seat(0, 5, 1, False), Seat(1, 4, 9, False)], 1),
        ([Seat(0, 4, 9, False), Seat(1, 4, 1, False)], 1),
        ([Seat(1, 4, 1, False), Seat(0, 4, 1, False)], 0),
        ([Seat(0, 0, 1, True), Seat(1, 9, 1, False)], 1),
        ([Seat(0, 0, 1, True)], None),
        ([], None),
    ],
)
def test_replaced(seats: list[Seat], replaced: int | None) -> None:
    assert choose_replaced_uid(seats) == replaced
