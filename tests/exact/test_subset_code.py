"""Numbers for subsets: a bijection, in order."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact.subset_code import compute_rank, compute_rank_bits, compute_subset


@pytest.mark.parametrize(("size", "count"), [(1, 1), (6, 0), (6, 1), (6, 3), (6, 6), (9, 4)])
def test_every_subset_has_its_rank(size: int, count: int) -> None:
    ranks = {}
    for subset in combinations(range(size), count):
        rank = compute_rank(subset)
        assert compute_subset(rank, size, count) == list(subset)
        ranks[rank] = subset
    assert sorted(ranks) == list(range(comb(size, count)))


@given(st.sets(st.integers(0, 4095), min_size=64, max_size=64))
def test_whole_chunk(subset: set[int]) -> None:
    rank = compute_rank(sorted(subset))
    assert rank.bit_length() <= compute_rank_bits(4096, 64) == 472
    assert compute_subset(rank, 4096, 64) == sorted(subset)


def test_ends_of_the_range() -> None:
    assert compute_rank(range(64)) == 0
    assert compute_rank(range(4032, 4096)) == comb(4096, 64) - 1
    assert compute_subset(comb(4096, 64) - 1, 4096, 64) == list(range(4032, 4096))
