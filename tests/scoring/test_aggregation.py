"""The outer step: exact norms, order independence, clipping, refusals, golden bytes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import aggregation
from scoring.aggregation import AggregationError, compute_outer_step

VECTORS = Path(__file__).parents[1] / "vectors" / "aggregation" / "outer_step.json"
ONE = np.float32(1)


@dataclass(frozen=True)
class Sparse:
    indices: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Update:
    tensors: Mapping[str, Sparse]


def make_update(**tensors: dict[int, float]) -> Update:
    return Update(
        {
            name: Sparse(
                np.array(sorted(changes), dtype=np.int64),
                np.array([changes[i] for i in sorted(changes)], dtype=np.float32),
            )
            for name, changes in tensors.items()
        }
    )


def make_random_update(seed: int, scale: float, num_elements: int = 500) -> Update:
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.choice(num_elements, num_elements // 8, replace=False))
    values = rng.standard_normal(indices.size).astype(np.float32) * np.float32(scale)
    return Update({"w": Sparse(indices, values)})


def to_fraction(update: Update) -> Fraction:
    return sum(
        (Fraction(float(v)) ** 2 for t in update.tensors.values() for v in t.values), Fraction(0)
    )


finite_floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(finite_floats, max_size=40))
def test_squared_norm__equals_rational_arithmetic(values: list[float]) -> None:
    update = make_update(w=dict(enumerate(values)))
    norm = aggregation.compute_squared_norm(update)
    assert Fraction(norm) * Fraction(2) ** aggregation.NORM_GRID_LOG2 == to_fraction(update)


def test_squared_norm__extreme_values() -> None:
    largest = float(np.finfo(np.float32).max)
    smallest = 2.0**-149
    update = make_update(w={0: largest, 1: smallest, 2: -0.0})
    expected = Fraction(largest) ** 2 + Fraction(smallest) ** 2
    norm = aggregation.compute_squared_norm(update)
    assert Fraction(norm) * Fraction(2) ** aggregation.NORM_GRID_LOG2 == expected


@given(st.integers(1, 2**700), st.integers(1, 2**700))
def test_root_of_ratio__rounds_down(a: int, b: int) -> None:
    numerator, denominator = min(a, b), max(a, b) + 1
    root = aggregation.compute_root_of_ratio(numerator, denominator)
    above = float(np.nextafter(root, np.float32(2)))
    assert Fraction(float(root)) ** 2 <= Fraction(numerator, denominator) < Fraction(above) ** 2


@settings(max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 30), finite_floats, max_size=12), min_size=1, max_size=6
    ),
    st.randoms(use_true_random=False),
)
def test_outer_step__order_of_payloads_does_not_matter(changes, random) -> None:
    theta = {"w": np.linspace(-1, 1, 31, dtype=np.float32)}
    items = [(uid, make_update(w=change)) for uid, change in enumerate(changes)]
    try:
        first = compute_outer_step(theta, dict(items), ONE)["w"].tobytes()
    except AggregationError:  # a sum over the range of float32: refused in every order
        first = b""
    random.shuffle(items)
    try:
        second = compute_outer_step(theta, dict(items), ONE)["w"].tobytes()
    except AggregationError:
        second = b""
    assert first == second


def test_outer_step__close_to_rational_arithmetic() -> None:
    theta = {"w": np.random.default_rng(1).standard_normal(500).astype(np.float32)}
    updates = {uid: make_random_update(uid, 1e-3) for uid in range(7)}
    factors = aggregation.compute_clip_factors(updates)
    expected = theta["w"].astype(np.float64)
    for uid, update in updates.items():
        tensor = update.tensors["w"]
        expected[tensor.indices] -= 0.5 * tensor.values.astype(np.float64) * factors[uid] / 7
    stepped = compute_outer_step(theta, updates, np.float32(0.5))["w"]
    assert np.abs(stepped - expected).max() < 2**-23


def test_clip__a_hundredfold_update_is_brought_to_the_median() -> None:
    updates = {uid: make_random_update(uid, 1e-3) for uid in range(5)}
    updates[5] = make_random_update(5, 1e-1)
    factors = aggregation.compute_clip_factors(updates)
    norms = {uid: math.sqrt(to_fraction(update)) for uid, update in updates.items()}
    median = sorted(norms.values())[2]
    assert norms[5] > 80 * median
    for uid, norm in norms.items():
        assert norm * float(factors[uid]) <= median * (1 + 1e-12) or factors[uid] == 1
    assert norms[5] * float(factors[5]) == pytest.approx(median, rel=1e-6)


def test_clip__zero_updates_do_not_pull_the_median() -> None:
    updates = {uid: make_update(w={0: 0.0}) for uid in range(3)}
    updates[3] = make_update(w={0: 2.0})
    assert set(aggregation.compute_clip_factors(updates).values()) == {np.float32(1)}


def test_outer_step__denominator_counts_accepted_not_senders() -> None:
    theta = {"w": np.zeros(2, dtype=np.float32)}
    updates = {0: make_update(w={0: 1.0}), 1: make_update(w={1: 1.0}), 2: make_update()}
    stepped = compute_outer_step(theta, updates, ONE)["w"]
    assert stepped.tolist() == [-np.float32(1) / np.float32(3)] * 2


def test_part_step__is_one_part_of_the_whole() -> None:
    theta = {"w": np.zeros(2, dtype=np.float32)}
    update = make_update(w={1: 3.0})
    assert aggregation.compute_part_step(theta, update, ONE, 1)["w"].tolist() == [0, -3]
    assert aggregation.compute_part_step(theta, update, ONE, 4)["w"].tolist() == [0, -0.75]


def test_outer_step__keeps_shape_and_leaves_input_alone() -> None:
    theta = {"w": np.ones((2, 3), dtype=np.float32), "scalar": np.float32(2).reshape(())}
    stepped = compute_outer_step(theta, {4: make_update(w={5: 1.0}, scalar={0: 1.0})}, ONE)
    assert stepped["w"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert stepped["scalar"].shape == ()
    assert theta["w"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_outer_step__negative_zero_becomes_zero() -> None:
    theta = {"w": np.array([-0.0, 1.0, -0.0], dtype=np.float32)}
    stepped = compute_outer_step(theta, {0: make_update(w={1: 1.0})}, ONE)["w"]
    assert not np.signbit(stepped).any()


def test_outer_step__nothing_accepted() -> None:
    theta = {"w": np.array([-0.0, 1.0], dtype=np.float32)}
    stepped = compute_outer_step(theta, {}, ONE)
    assert stepped["w"].tobytes() == theta["w"].tobytes()
    assert stepped["w"] is not theta["w"]


def _sparse(indices: list[int], values: list[float], dtype: type = np.float32) -> Update:
    return Update({"w": Sparse(np.array(indices, dtype=np.int64), np.array(values, dtype=dtype))})


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (make_update(other={0: 1.0}), "not a tensor"),
        (_sparse([0, 3], [1, 1]), "outside"),
        (_sparse([-1, 0], [1, 1]), "outside"),
        (_sparse([1, 0], [1, 1]), "outside"),
        (_sparse([0, 2, 1, 2], [1, 1, 1, 1]), "sorted"),
        (_sparse([1, 1], [1, 1]), "sorted"),
        (_sparse([0, 1], [1]), "as many"),
        (_sparse([0], [math.nan]), "finite"),
        (_sparse([0], [math.inf]), "finite"),
        (_sparse([0], [1], np.float64), "float32"),
    ],
)
def test_invalid_update(update: Update, message: str) -> None:
    theta = {"w": np.zeros(3, dtype=np.float32)}
    with pytest.raises(AggregationError, match=message):
        compute_outer_step(theta, {7: update}, ONE)


def test_invalid_result_out_of_range() -> None:
    largest = float(np.finfo(np.float32).max)
    theta = {"w": np.array([-largest], dtype=np.float32)}
    with pytest.raises(AggregationError, match="w is not finite"):
        compute_outer_step(theta, {0: make_update(w={0: largest})}, ONE)


def test_invalid_too_many_updates() -> None:
    updates = dict.fromkeys(range(aggregation.MAX_UPDATES + 1), make_update())
    with pytest.raises(AggregationError, match="limit"):
        compute_outer_step({}, updates, ONE)


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text()), ids=lambda case: case["name"])
def test_golden_bytes(case) -> None:
    def decode(text: str) -> np.ndarray:
        return np.frombuffer(bytes.fromhex(text), dtype="<f4")

    theta = {name: decode(text) for name, text in case["theta"].items()}
    updates = {
        int(uid): Update(
            {
                name: Sparse(np.array(tensor["indices"], dtype=np.int64), decode(tensor["values"]))
                for name, tensor in tensors.items()
            }
        )
        for uid, tensors in case["updates"].items()
    }
    factors = aggregation.compute_clip_factors(updates)
    assert {str(u): float(f).hex() for u, f in factors.items()} == case["clip_factors"]
    stepped = compute_outer_step(theta, updates, np.float32(case["learning_rate"]))
    assert {n: t.astype("<f4").tobytes().hex() for n, t in stepped.items()} == case["result"]
