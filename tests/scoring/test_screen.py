"""Duplicate screen: copies are found, honest payloads are not."""

import numpy as np

from scoring import screen
from scoring.screen import ScreenedPayload
from tests.scoring.test_aggregation import Sparse

NUM_ELEMENTS = 20_000
NUM_KEPT = 400
SHARED = np.random.default_rng(0).permutation(NUM_ELEMENTS)[:60]  # honest common ground, 15 %


def make_tensors(seed: int) -> dict[str, Sparse]:
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.setdiff1d(np.arange(NUM_ELEMENTS), SHARED))[: NUM_KEPT - 60]
    indices = np.sort(np.concatenate([SHARED, own])).astype(np.int64)
    values = np.where(np.isin(indices, SHARED), 1.0, rng.choice([-1.0, 1.0], NUM_KEPT))
    return {"a": Sparse(indices, values.astype(np.float32)), "b": Sparse(indices[:0], values[:0])}


def make(uid: int, round_index: int, tensors: dict[str, Sparse]) -> ScreenedPayload:
    body = b"".join(t.indices.tobytes() + t.values.tobytes() for t in tensors.values())
    return screen.make_screened(uid, round_index, body, tensors)


def add_noise(tensors: dict[str, Sparse], share: float, seed: int) -> dict[str, Sparse]:
    """Replace a share of the indices by others and scale the values."""
    rng = np.random.default_rng(seed)
    old = tensors["a"]
    kept = rng.random(old.indices.size) >= share
    free = np.setdiff1d(np.arange(NUM_ELEMENTS), old.indices)
    fresh = rng.permutation(free)[: int((~kept).sum())]
    indices = np.concatenate([old.indices[kept], fresh])
    values = np.concatenate([old.values[kept] * np.float32(1.1), np.ones(fresh.size, np.float32)])
    order = np.argsort(indices)
    return {"a": Sparse(indices[order], values[order].astype(np.float32)), "b": tensors["b"]}


def order_by_uid(payloads: list[ScreenedPayload]) -> dict[int, tuple[int, int]]:
    return {payload.uid: (10, payload.uid) for payload in payloads}


def test_honest_payloads_pass() -> None:
    current = [make(uid, 5, make_tensors(uid)) for uid in range(6)]
    recent = [make(uid, 4, make_tensors(100 + uid)) for uid in range(6)]
    assert screen.find_duplicates(current, recent, order_by_uid(current)) == []


def test_two_honest_payloads_pass() -> None:
    current = [make(uid, 0, make_tensors(uid)) for uid in range(2)]
    assert screen.find_duplicates(current, [], order_by_uid(current)) == []


def test_equal_body__the_later_commitment_is_the_copy() -> None:
    current = [make(uid, 5, make_tensors(0)) for uid in (1, 2)]
    found = screen.find_duplicates(current, [], {1: (12, 1), 2: (11, 2)})
    assert [(d.uid, d.other_uid, d.other_round, d.is_equal_body) for d in found] == [
        (1, 2, 5, True)
    ]
    assert found[0].overlap_ppm == 1_000_000
    assert found[0].detail == "same body as uid 2 of round 5"


def test_equal_body__stale_replay_of_ones_own() -> None:
    current = [make(1, 5, make_tensors(0))]
    found = screen.find_duplicates(current, [make(1, 3, make_tensors(0))], order_by_uid(current))
    assert [(d.uid, d.other_uid, d.other_round) for d in found] == [(1, 1, 3)]


def test_much_the_same_again_after_a_round_that_did_not_count() -> None:
    """One's own work from the same state is no copy; the same bytes from somebody else are."""
    before = make_tensors(1)
    again = add_noise(before, 0.3, seed=2)
    recent = [make(uid, 4, make_tensors(uid)) for uid in range(4)]
    for sender, expected in ((1, []), (0, [(0, 1, 4)])):
        current = [make(sender, 5, again), make(2, 5, make_tensors(102))]
        found = screen.find_duplicates(current, recent, order_by_uid(current))
        assert [(d.uid, d.other_uid, d.other_round) for d in found] == expected


def test_copy_with_noise_is_found_by_overlap() -> None:
    payloads = [make_tensors(uid) for uid in range(4)]
    current = [make(uid, 5, tensors) for uid, tensors in enumerate(payloads)]
    current.append(make(4, 5, add_noise(payloads[2], 0.2, seed=9)))
    found = screen.find_duplicates(current, [], order_by_uid(current))
    assert [(d.uid, d.other_uid, d.is_equal_body) for d in found] == [(4, 2, False)]
    assert 780_000 <= found[0].overlap_ppm <= 850_000
    assert 500_000 <= found[0].threshold_ppm <= 600_000
    assert "of indices and signs as uid 2 of round 5" in found[0].detail


def test_overlap__counts_position_and_sign() -> None:
    def one(values: list[float]) -> ScreenedPayload:
        tensor = Sparse(np.arange(4, dtype=np.int64), np.array(values, dtype=np.float32))
        return make(0, 0, {"a": tensor})

    assert screen.compute_overlap_ppm(one([1, 1, 1, 1]), one([2, -1, 3, -4])) == 500_000


def test_overlap__same_positions_in_another_tensor_differ() -> None:
    tensor = Sparse(np.arange(4, dtype=np.int64), np.ones(4, dtype=np.float32))
    empty = Sparse(tensor.indices[:0], tensor.values[:0])
    first = make(0, 0, {"a": tensor, "b": empty})
    second = make(1, 0, {"a": empty, "b": tensor})
    assert screen.compute_overlap_ppm(first, second) == 0


def test_overlap__a_subset_is_a_copy() -> None:
    tensor = Sparse(np.arange(40, dtype=np.int64), np.ones(40, dtype=np.float32))
    part = Sparse(tensor.indices[::4], tensor.values[::4])
    assert screen.compute_overlap_ppm(make(0, 0, {"a": tensor}), make(1, 0, {"a": part})) == 10**6


def test_overlap__empty_payload() -> None:
    tensor = Sparse(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    empty = make(0, 0, {"a": tensor})
    assert screen.compute_overlap_ppm(empty, make(1, 0, make_tensors(1))) == 0


def test_threshold__lies_halfway_to_identity() -> None:
    assert screen.compute_threshold_ppm([100_000, 100_000, 900_000]) == 550_000
    assert screen.compute_threshold_ppm([700_000] * 3) == 850_000
    assert screen.compute_threshold_ppm([0, 0, 0]) == 500_000
    assert screen.compute_threshold_ppm([100_000]) == 900_000
