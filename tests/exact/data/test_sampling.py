"""Keyed permutations: a second spelling, golden values, disjointness, distribution."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact.data.errors import InvalidDraw
from exact.data.sampling import (
    KeyedPermutation,
    assigned_eval,
    assigned_sequences,
    count_sequences,
    gather,
    heldout_draw,
)

KEY = hashlib.sha256(b"key").digest()
BEACON = hashlib.sha256(b"beacon").digest()
JUDGE = hashlib.sha256(b"judge").digest()
GOLDEN_PERMUTATION = [5, 2, 1, 6, 4, 9, 3, 7, 8, 0]
GOLDEN_ASSIGNED = [24839, 8875, 54856, 61610, 31263, 46656]
GOLDEN_HELDOUT = [8187, 1125, 3522, 4573, 2843, 3319]
GOLDEN_EVAL = [47700, 54804, 31453, 79377, 15299, 9956]


def permute_plainly(key: bytes, size: int, value: int) -> int:
    """The permutation again, with Python's integers, straight from its description."""
    half = max(1, -(-(size - 1).bit_length() // 2))
    mask, word = (1 << half) - 1, (1 << 64) - 1
    while True:
        left, right = value >> half, value & mask
        for index in range(8):
            digest = hashlib.sha256(key + bytes([index])).digest()
            add, xor = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
            mixed = ((right + add) & word) * 0xBF58476D1CE4E5B9 & word
            mixed = (mixed ^ (mixed >> 30) ^ xor) * 0x94D049BB133111EB & word
            mixed = (mixed ^ (mixed >> 27)) * 0xBF58476D1CE4E5B9 & word
            left, right = right, left ^ ((mixed ^ (mixed >> 31)) & mask)
        value = left << half | right
        if value < size:
            return value


@given(st.binary(min_size=32, max_size=32), st.integers(1, 1 << 62), st.data())
@settings(max_examples=50)
def test_same_as_the_plain_spelling(key: bytes, size: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, size - 1), max_size=5))
    found = KeyedPermutation(key, size)(np.array(positions, np.int64))
    assert found.tolist() == [permute_plainly(key, size, position) for position in positions]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 255, 1000, 4097, 100_003])
def test_every_size_is_a_permutation(size: int) -> None:
    found = KeyedPermutation(KEY, size)(np.arange(size))
    assert np.array_equal(np.sort(found), np.arange(size))


def test_golden_values() -> None:
    assert KeyedPermutation(KEY, 10)(np.arange(10)).tolist() == GOLDEN_PERMUTATION
    assert assigned_sequences(84_821, 1, 2, BEACON, 3, 6).tolist() == GOLDEN_ASSIGNED
    assert heldout_draw(9567, 1, 2, JUDGE, 6).tolist() == GOLDEN_HELDOUT
    assigned = assigned_sequences(84_821, 1, 2, BEACON, 3, 240)
    assert assigned_eval(assigned, 1, 2, JUDGE, 3, 6).tolist() == GOLDEN_EVAL


def test_uids_share_no_sequence() -> None:
    drawn = np.concatenate([assigned_sequences(10_007, 1, 2, BEACON, u, 240) for u in range(41)])
    assert len(np.unique(drawn)) == 41 * 240


def test_places_past_the_end_take_a_second_permutation() -> None:
    drawn = np.concatenate([assigned_sequences(1000, 1, 2, BEACON, u, 240) for u in range(10)])
    for start in range(0, 2000, 1000):
        assert np.array_equal(np.sort(drawn[start : start + 1000]), np.arange(1000))
    assert not np.array_equal(drawn[:1000], drawn[1000:2000])


def test_more_than_the_stream_holds() -> None:
    drawn = assigned_sequences(7, 1, 2, BEACON, 5, 100)
    assert np.bincount(drawn, minlength=7).min() >= 100 // 7 - 1
    assert assigned_sequences(7, 1, 2, BEACON, 5, 0).size == 0


def test_every_part_of_the_key_counts() -> None:
    drawn = {
        tuple(assigned_sequences(10_000, run, round_index, beacon, uid, 20).tolist())
        for run in (1, 2)
        for round_index in (0, 1)
        for beacon in (BEACON, JUDGE)
        for uid in (0, 1)
    }
    assert len(drawn) == 16


def test_draws_are_spread_evenly() -> None:
    """Chi-squared over 100 cells, 99 degrees of freedom: 99.99 % of the time below 161."""
    cells = np.zeros(100)
    for round_index in range(200):
        drawn = assigned_sequences(100_000, 1, round_index, BEACON, 0, 100)
        cells += np.bincount(drawn // 1000, minlength=100)
    expected = cells.sum() / 100
    assert float(((cells - expected) ** 2 / expected).sum()) < 161


def test_neighbours_are_not_kept_together() -> None:
    found = KeyedPermutation(KEY, 1 << 16)(np.arange(1 << 16))
    steps = np.abs(np.diff(found))
    assert 0.3 < steps.mean() / (1 << 16) < 0.37
    assert (steps == 1).mean() < 0.001
    assert abs(np.corrcoef(np.arange(1 << 16), found)[0, 1]) < 0.02


def test_small_ranges_reach_every_order() -> None:
    orders = {
        tuple(KeyedPermutation(hashlib.sha256(bytes([a, b])).digest(), 4)(np.arange(4)).tolist())
        for a in range(20)
        for b in range(20)
    }
    assert len(orders) == 24


def test_evaluation_is_a_part_of_the_assignment() -> None:
    assigned = assigned_sequences(10_000, 1, 2, BEACON, 3, 240)
    drawn = assigned_eval(assigned, 1, 2, JUDGE, 3, 64)
    assert len(set(drawn.tolist())) == 64
    assert set(drawn.tolist()) <= set(assigned.tolist())
    assert not np.array_equal(drawn, assigned_eval(assigned, 1, 3, JUDGE, 3, 64))


def test_gather_reads_overlapping_sequences() -> None:
    stream = np.arange(31, dtype=np.uint8)
    assert count_sequences(31, 10) == 3
    read = gather(stream, np.array([2, 0]), 10)
    assert read.tolist() == [list(range(20, 31)), list(range(11))]
    assert read.dtype == np.uint8
    assert gather(stream, np.zeros(0, np.int64), 10).shape == (0, 11)


@pytest.mark.parametrize(
    ("num_bytes", "context", "expected"), [(0, 4, 0), (4, 4, 0), (5, 4, 1), (9, 4, 2)]
)
def test_count_sequences(num_bytes: int, context: int, expected: int) -> None:
    assert count_sequences(num_bytes, context) == expected


def test_invalid_draws() -> None:
    with pytest.raises(InvalidDraw, match="shorter than one sequence"):
        assigned_sequences(0, 1, 2, BEACON, 0, 1)
    with pytest.raises(InvalidDraw, match="65 sequences of a held-out stream of 64"):
        heldout_draw(64, 1, 2, JUDGE, 65)
    with pytest.raises(InvalidDraw, match="3 sequences of an assignment of 2"):
        assigned_eval(np.arange(2), 1, 2, JUDGE, 0, 3)
    for size in (0, -1, (1 << 62) + 1):
        with pytest.raises(InvalidDraw):
            KeyedPermutation(KEY, size)
    for position in (-1, 10):
        with pytest.raises(InvalidDraw, match=r"outside 0 \.\.\. 9"):
            KeyedPermutation(KEY, 10)(np.array([position]))
    for index in (-1, 3):
        with pytest.raises(InvalidDraw, match=r"outside 0 \.\.\. 2"):
            gather(np.zeros(31, np.uint8), np.array([index]), 10)
