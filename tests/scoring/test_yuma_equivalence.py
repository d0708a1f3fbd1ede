"""The numpy twin equals the clear epoch bit for bit, over several epochs and all parameters."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import yuma, yuma_fast
from scoring.fixed_point import ONE
from scoring.sigmoid_table import MAX_Z, SIGMOID_Q32, STEP_BITS
from scoring.yuma_types import (
    EMPTY_ROW,
    SparseRow,
    YumaInput,
    YumaInputError,
    YumaOutput,
    YumaParams,
    YumaVariant,
)

u16 = st.one_of(st.integers(0, 65535), st.sampled_from([0, 1, 32767, 65534, 65535]))
stakes = st.one_of(st.just(0), st.just(1), st.integers(0, 2**63 - 1))


@st.composite
def params_strategy(draw: st.DrawFn) -> YumaParams:
    low, high = sorted((draw(u16), draw(u16)))
    return YumaParams(
        variant=draw(st.sampled_from(YumaVariant)),
        kappa_u16=draw(u16),
        bonds_penalty_u16=draw(u16),
        bonds_moving_average_ppm=draw(st.sampled_from([0, 1, 500_000, 900_000, 999_999, 10**6])),
        liquid_alpha=draw(st.booleans()),
        alpha_low_u16=low,
        alpha_high_u16=high,
        alpha_sigmoid_steepness_percent=draw(st.sampled_from([0, 1, 1000, 10_000])),
        tempo_blocks=draw(st.integers(0, 20)),
        activity_cutoff_blocks=draw(st.integers(0, 20)),
        max_validators=draw(st.integers(0, 6)),
        stake_threshold_units=draw(st.sampled_from([0, 2, 1000])),
    )


@st.composite
def row_strategy(draw: st.DrawFn, n: int) -> SparseRow:
    pairs = draw(st.dictionaries(st.integers(0, n - 1), u16, max_size=n))
    uids = sorted(pairs)
    return SparseRow.from_ints(uids, [pairs[uid] for uid in uids])


@st.composite
def input_strategy(draw: st.DrawFn) -> YumaInput:
    n = draw(st.integers(1, 9))

    def tuple_of(strategy: st.SearchStrategy) -> tuple:
        return tuple(draw(st.lists(strategy, min_size=n, max_size=n)))

    return YumaInput(
        now_block=draw(st.integers(0, 30)),
        last_epoch_block=draw(st.one_of(st.none(), st.integers(0, 30))),
        stakes_units=tuple_of(stakes),
        permits=tuple_of(st.booleans()),
        last_update_blocks=tuple_of(st.integers(0, 30)),
        registered_at_blocks=tuple_of(st.sampled_from([0, 0, 0, 9, 29])),
        weights=tuple_of(row_strategy(n)),
        bonds=tuple_of(row_strategy(n)),
        emission_units=draw(st.one_of(st.integers(0, 2**63 - 1), st.just(10**9))),
        owner_uid=draw(st.one_of(st.none(), st.integers(0, n - 1))),
    )


@settings(max_examples=300)
@given(params_strategy(), input_strategy())
def test_equal(params: YumaParams, state: YumaInput) -> None:
    clear = yuma.compute_epoch_clear(params, state)
    assert yuma_fast.compute_epoch(params, state) == clear
    check_invariants(state, clear)


def check_invariants(state: YumaInput, output: YumaOutput) -> None:
    total = state.emission_units
    assert sum(output.emission_units) <= total
    assert sum(output.server_emission_units) + sum(output.validator_emission_units) <= total
    for server, validator, both in zip(
        output.server_emission_units,
        output.validator_emission_units,
        output.emission_units,
        strict=True,
    ):
        assert 0 <= both - server - validator <= 2 + total // ONE
    for uid, row in enumerate(output.bonds):
        assert output.permits[uid] or row == EMPTY_ROW
        assert not row.values.size or int(row.values.min()) > 0


@pytest.mark.parametrize("variant", YumaVariant)
@pytest.mark.parametrize("liquid_alpha", [False, True])
def test_equal__many_epochs_of_a_larger_net(variant: YumaVariant, liquid_alpha: bool) -> None:
    n, num_validators = 60, 12
    rng = np.random.RandomState(5)
    params = YumaParams(
        variant=variant,
        liquid_alpha=liquid_alpha,
        bonds_penalty_u16=40_000,
        max_validators=num_validators,
    )
    stakes_units = tuple(int(s) for s in rng.randint(1, 10**9, n))
    bonds: tuple[SparseRow, ...] = (EMPTY_ROW,) * n
    permits = (True,) * n
    for epoch in range(1, 9):
        weights = []
        for _ in range(n):
            uids = np.flatnonzero(rng.random_sample(n) < 0.6)
            weights.append(SparseRow.from_ints(uids.tolist(), rng.randint(0, 65536, uids.size)))
        state = YumaInput(
            now_block=10 * epoch,
            last_epoch_block=10 * epoch - 10,
            stakes_units=stakes_units,
            permits=permits,
            last_update_blocks=tuple(int(b) for b in rng.randint(10 * epoch - 9, 10 * epoch, n)),
            registered_at_blocks=tuple(int(b) for b in rng.choice([0, 0, 10 * epoch - 5], n)),
            weights=tuple(weights),
            bonds=bonds,
            emission_units=10**12,
        )
        clear = yuma.compute_epoch_clear(params, state)
        assert yuma_fast.compute_epoch(params, state) == clear
        bonds, permits = clear.bonds, clear.permits
        assert sum(permits) == num_validators


fractions = st.one_of(st.integers(0, ONE), st.sampled_from([0, 1, ONE - 1, ONE]))


@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=20))
def test_mul_and_div__equal_integer_arithmetic(pairs: list[tuple[int, int]]) -> None:
    pairs = [(min(pair), max(pair)) for pair in pairs]
    a = np.array([pair[0] for pair in pairs], dtype=np.uint64)
    b = np.array([pair[1] for pair in pairs], dtype=np.uint64)
    assert yuma_fast._mul(a, b).tolist() == [(x * y) >> 32 for x, y in pairs]
    assert yuma_fast._div(a, b).tolist() == [(x << 32) // max(y, 1) for x, y in pairs]


@given(hnp.arrays(np.uint64, 10, elements=st.integers(0, 60 * ONE)))
def test_sigmoid__equals_clear_version(z: np.ndarray) -> None:
    assert yuma_fast._compute_sigmoid(z).tolist() == [yuma._compute_sigmoid(int(x)) for x in z]


def test_sigmoid_table__recomputed_with_60_digits() -> None:
    from decimal import ROUND_HALF_EVEN, Decimal, localcontext

    with localcontext() as context:
        context.prec = 60
        expected = [
            int(
                (2**32 / (1 + (-Decimal(k) / 2**STEP_BITS).exp())).to_integral_value(
                    ROUND_HALF_EVEN
                )
            )
            for k in range((MAX_Z << STEP_BITS) + 1)
        ]
    assert list(SIGMOID_Q32) == expected


def test_sigmoid__interpolation_error_is_as_stated() -> None:
    z = np.linspace(0, 20, 100_001)
    table = yuma_fast._compute_sigmoid((z * ONE).astype(np.uint64)) / ONE
    assert np.abs(table - 1 / (1 + np.exp(-z))).max() < 1.2e-5


@pytest.mark.parametrize(
    ("uids", "values"),
    [([1, 0], [1, 1]), ([1, 1], [1, 1]), ([0], [65536]), ([-1], [1]), ([0, 1], [1])],
)
def test_invalid_row(uids: list[int], values: list[int]) -> None:
    with pytest.raises(YumaInputError):
        SparseRow.from_ints(uids, values)


@pytest.mark.parametrize(
    "change",
    [
        {"permits": (True,)},
        {"stakes_units": (-1, 0)},
        {"emission_units": -1},
        {"owner_uid": 2},
        {"weights": (SparseRow.from_ints([2], [1]), EMPTY_ROW)},
        {"bonds": (SparseRow.from_ints([2], [1]), EMPTY_ROW)},
    ],
)
def test_invalid_input(change: dict) -> None:
    fields = {
        "now_block": 1,
        "stakes_units": (1, 1),
        "permits": (True, True),
        "last_update_blocks": (1, 1),
        "registered_at_blocks": (0, 0),
        "weights": (EMPTY_ROW, EMPTY_ROW),
        "bonds": (EMPTY_ROW, EMPTY_ROW),
        "emission_units": 1,
    }
    YumaInput(**fields)
    with pytest.raises(YumaInputError):
        YumaInput(**{**fields, **change})


@pytest.mark.parametrize(
    "change", [{"kappa_u16": 65536}, {"alpha_low_u16": 60_000}, {"bonds_moving_average_ppm": -1}]
)
def test_invalid_params(change: dict) -> None:
    with pytest.raises(YumaInputError):
        YumaParams(**change)
