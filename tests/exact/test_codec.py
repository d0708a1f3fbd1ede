"""The payload codec: sizes, values, feedback, agreement of encode and decode."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

from exact import codec as codec_module
from exact.codec import (
    HEADER_BYTES,
    CodecConfig,
    InvalidCodec,
    InvalidUpdate,
    PayloadHeader,
    SparseTensor,
    SparseUpdate,
    body_hash,
    compress,
    decode,
    encode,
    get_layout,
    max_payload_size,
    parse_header,
)
from exact.sparsify import quantise

HEADER = PayloadHeader(run_id=1, round=2, uid=3)
CODEC = CodecConfig()
GOLDEN_PAYLOAD_HASH = "7752269f057ca56de1460e6b89f91ca64a043930677dbb305b95c05bc3067335"


def make_transformer(d_model: int, num_layers: int) -> dict[str, tuple[int, ...]]:
    layout: dict[str, tuple[int, ...]] = {"embed": (256, d_model), "norm": (d_model,)}
    for i in range(num_layers):
        layout[f"layer{i}.qkv"] = (d_model, 3 * d_model)
        layout[f"layer{i}.out"] = (d_model, d_model)
        layout[f"layer{i}.up"] = (d_model, 4 * d_model)
        layout[f"layer{i}.down"] = (4 * d_model, d_model)
        layout[f"layer{i}.norm"] = (d_model,)
    return layout


def make_delta(layout: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Heavy-tailed change made of integers only, so that it is the same on every machine."""
    rng = np.random.default_rng(seed)
    delta = {}
    for name in sorted(layout):
        raw = rng.integers(-(1 << 20), 1 << 20, layout[name]).astype(np.float32)
        delta[name] = np.ldexp(raw, rng.integers(-40, -30, layout[name]))
    return delta


def zeros_like(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.zeros_like(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(("d_model", "num_layers"), [(64, 2), (128, 1), (128, 4), (256, 4)])
def test_payload_is_200_times_smaller(d_model: int, num_layers: int) -> None:
    layout = make_transformer(d_model, num_layers)
    delta = make_delta(layout)
    payload, _ = compress(delta, zeros_like(delta), CODEC, HEADER)
    num_parameters = sum(math.prod(shape) for shape in layout.values())
    assert num_parameters >= 110_000
    assert 4 * num_parameters / len(payload) >= 200
    assert len(payload) <= max_payload_size(layout, CODEC)


def test_decode_gives_what_feedback_lost() -> None:
    layout = {**make_transformer(32, 1), "odd": (5, 7, 211), "scalar": (), "empty": (0, 4)}
    delta, feedback = make_delta(layout), make_delta(layout, seed=1)
    payload, rest = compress(delta, feedback, CODEC, HEADER)
    update = decode(payload, layout, CODEC, expect=HEADER)
    dense = update.to_dense(layout)
    for name in layout:
        total = np.float32(0.95) * feedback[name] + delta[name]
        assert np.array_equal(rest[name], total - dense[name])
        assert rest[name].shape == layout[name]
    assert encode(update, layout, CODEC) == payload
    assert get_layout(rest) == dict(sorted(layout.items()))


def test_compress_leaves_its_input_alone() -> None:
    delta = make_delta({"a": (64, 64)})
    feedback = make_delta({"a": (64, 64)}, seed=1)
    before = delta["a"].copy(), feedback["a"].copy()
    compress(delta, feedback, CODEC, HEADER)
    assert np.array_equal(before[0], delta["a"])
    assert np.array_equal(before[1], feedback["a"])


def compute_golden_hash() -> str:
    layout = make_transformer(64, 2)
    delta, feedback = make_delta(layout, seed=7), make_delta(layout, seed=8)
    payload, rest = compress(delta, feedback, CODEC, HEADER)
    digest = hashlib.sha256(payload)
    for name in sorted(rest):
        digest.update(rest[name].tobytes())
    return digest.hexdigest()


def test_golden_payload() -> None:
    assert compute_golden_hash() == GOLDEN_PAYLOAD_HASH


def test_golden_payload__on_a_processor_without_wide_vectors() -> None:
    root = str(Path(__file__).parents[2])
    disabled = " ".join(__cpu_dispatch__)
    found = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env={**os.environ, "PYTHONPATH": root, "NPY_DISABLE_CPU_FEATURES": disabled},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == GOLDEN_PAYLOAD_HASH


def test_payload_does_not_depend_on_memory_order() -> None:
    delta = make_delta({"a": (96, 80)})
    feedback = zeros_like(delta)
    payload, rest = compress(delta, feedback, CODEC, HEADER)
    turned = {"a": np.asfortranarray(delta["a"])}
    other, other_rest = compress(turned, feedback, CODEC, HEADER)
    assert other == payload
    assert np.array_equal(rest["a"], other_rest["a"])


def test_the_largest_are_chosen__ties_go_to_the_lowest_index() -> None:
    flat = np.full(4096, 0.5, np.float32)
    flat[1000:1010] = -2.0
    sent = quantise(flat, 4096, 64)
    expected = np.sort(np.concatenate([np.arange(54), np.arange(1000, 1010)]))
    assert np.array_equal(sent.indices, expected)
    assert np.array_equal(sent.values, np.where(sent.indices < 1000, 0.5, -2.0))


def test_the_largest_are_chosen__same_as_a_stable_sort() -> None:
    flat = make_delta({"a": (3 * 4096 + 900,)})["a"]
    flat[::3] = np.round(flat[::3], 7)
    sent = set(quantise(flat, 4096, 64).indices.tolist())
    expected = set()
    for start in range(0, flat.size, 4096):
        chunk = np.abs(flat[start : start + 4096])
        order = np.argsort(-chunk, kind="stable")[: math.ceil(64 * chunk.size / 4096)]
        expected |= set((order + start).tolist())
    assert sent == expected


def test_levels_are_the_best_two_means() -> None:
    magnitudes = np.array([9, 8, 7.5, 2, 1.5, 1, 1, 0.5], np.float32)
    sent = quantise(magnitudes, 8, 8)
    errors = []
    for split in range(1, 8):
        parts = magnitudes[:split].astype(float), magnitudes[split:].astype(float)
        errors.append(sum(float(((part - part.mean()) ** 2).sum()) for part in parts))
    assert int(np.argmin(errors)) + 1 == 3
    upper = float(sent.values[0])
    assert np.array_equal(sent.values[:3], [upper] * 3)
    assert abs(upper - magnitudes[:3].mean()) <= upper / 32
    assert abs(float(sent.values[7]) - magnitudes[3:].mean()) <= upper / 32


def test_zeros_are_never_sent() -> None:
    flat = np.zeros(8192, np.float32)
    flat[5000] = -3e-4
    delta = {"a": flat, "b": np.zeros(10, np.float32)}
    payload, rest = compress(delta, zeros_like(delta), CODEC, HEADER)
    update = decode(payload, get_layout(delta), CODEC)
    assert update.tensors["a"].indices.tolist() == [5000]
    assert update.tensors["b"].indices.size == 0
    assert abs(float(rest["a"][5000])) <= 3e-4 / 32
    assert len(payload) < HEADER_BYTES + 20


@pytest.mark.parametrize("size", [1e-45, 1e-38, 1e-37, 1e-30, 1.0, 1e30, 3.4e38])
def test_any_finite_size_round_trips(size: float) -> None:
    flat = (np.float32(size) * np.linspace(-1, 1, 5000)).astype(np.float32)
    delta = {"a": flat}
    payload, rest = compress(delta, zeros_like(delta), CODEC, HEADER)
    update = decode(payload, {"a": (5000,)}, CODEC)
    assert np.isfinite(update.tensors["a"].values).all()
    assert encode(update, {"a": (5000,)}, CODEC) == payload
    assert np.array_equal(rest["a"], flat - update.to_dense({"a": (5000,)})["a"])


def test_feedback_holds_no_negative_zero() -> None:
    delta = {"a": np.full(100, -0.0, np.float32)}
    _, rest = compress(delta, {"a": delta["a"].copy()}, CODEC, HEADER)
    assert not np.signbit(rest["a"]).any()


def test_feedback_delivers_everything_in_the_end() -> None:
    """With no decay, what was sent over many rounds approaches the sum of what was asked for."""
    lossless = CodecConfig(feedback_ppb=10**9)
    layout = {"a": (2, 4096), "b": (700,)}
    steady = make_delta(layout)
    feedback, sent = zeros_like(steady), zeros_like(steady)
    num_rounds = 300
    for _ in range(num_rounds):
        payload, feedback = compress(steady, feedback, lossless, HEADER)
        dense = decode(payload, layout, lossless).to_dense(layout)
        sent = {name: sent[name] + dense[name] for name in layout}
    for name in layout:
        asked = num_rounds * steady[name]
        assert np.linalg.norm(sent[name] - asked) < 0.1 * np.linalg.norm(asked)


def test_feedback_with_decay_stays_bounded() -> None:
    layout = {"a": (4096,)}
    feedback = zeros_like(make_delta(layout))
    norms = []
    for seed in range(200):
        _, feedback = compress(make_delta(layout, seed), feedback, CODEC, HEADER)
        norms.append(float(np.linalg.norm(feedback["a"])))
    assert max(norms[150:]) < 1.2 * max(norms[50:150])


def test_body_hash_is_the_same_under_another_name() -> None:
    delta = make_delta({"a": (64, 64)})
    feedback = zeros_like(delta)
    mine, _ = compress(delta, feedback, CODEC, HEADER)
    copy, _ = compress(delta, feedback, CODEC, PayloadHeader(9, 9, 9))
    assert mine != copy
    assert body_hash(mine) == body_hash(copy)
    assert parse_header(copy) == PayloadHeader(9, 9, 9)


def test_config_from_spec() -> None:
    from proto.descent.runs.v1 import runs_pb2

    spec = runs_pb2.CodecSpec(chunk_size=1024, top_k=16, feedback_ppb=900_000_000)
    assert CodecConfig.from_spec(spec) == CodecConfig(1024, 16, 900_000_000)
    with pytest.raises(InvalidCodec, match="chunk_size 0"):
        CodecConfig.from_spec(runs_pb2.CodecSpec())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((4097, 64, 0), "chunk_size 4097"),
        ((4096, 0, 0), "top_k 0"),
        ((4096, 129, 0), "top_k 129"),
        ((32, 33, 0), "top_k 33"),
        ((4096, 64, 10**9 + 1), "feedback_ppb"),
        ((4096, 64, -1), "feedback_ppb"),
    ],
)
def test_invalid_config(fields: tuple[int, int, int], message: str) -> None:
    with pytest.raises(InvalidCodec, match=message):
        CodecConfig(*fields)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_invalid_delta_not_finite(bad: float) -> None:
    delta = make_delta({"a": (64, 64), "b": (10,)})
    delta["a"][1, 2] = bad
    with pytest.raises(InvalidUpdate, match="a element 66 is not finite"):
        compress(delta, zeros_like(delta), CODEC, HEADER)


def test_invalid_delta_sum_overflows() -> None:
    delta = {"a": np.full(4, 3e38, np.float32)}
    with pytest.raises(InvalidUpdate, match="not finite"):
        compress(delta, delta, CODEC, HEADER)


def test_invalid_delta_of_another_layout() -> None:
    delta = make_delta({"a": (64,), "b": (10,)})
    with pytest.raises(InvalidUpdate, match="b is in only one"):
        compress(delta, {"a": delta["a"]}, CODEC, HEADER)
    with pytest.raises(InvalidUpdate, match="b: delta"):
        compress(delta, {"a": delta["a"], "b": np.zeros(11, np.float32)}, CODEC, HEADER)
    with pytest.raises(InvalidUpdate, match="b is float64"):
        compress({**delta, "b": np.zeros(10)}, zeros_like(delta), CODEC, HEADER)


def make_update(indices: list[int], values: list[float]) -> SparseUpdate:
    tensor = SparseTensor(np.array(indices, np.int64), np.array(values, np.float32))
    return SparseUpdate(HEADER, {"a": tensor})


@pytest.mark.parametrize(
    ("indices", "values", "message"),
    [
        ([3, 2], [1, 1], "not strictly ascending"),
        ([3, 3], [1, 1], "not strictly ascending"),
        ([-1, 3], [1, 1], "outside 0 ... 127"),
        ([3, 128], [1, 1], "outside 0 ... 127"),
        ([1, 2, 3], [1, 1, 1], "3 elements, at most 2"),
        ([1, 2], [1], "2 indices, 1 values"),
        ([1, 2], [1, 0], "0.0 is not a level"),
        ([1, 2], [0, 0], "0.0 is not a level"),
        ([1, 2], [np.nan, 1], "nan is not a level"),
        ([1, 2], [np.inf, 1], "inf is not a level"),
        ([1, 2], [1.01, 1.01], "not a level"),
        ([1, 2], [1, 0.3], "not a level"),
        ([1], [1e-38], "not a level"),
    ],
)
def test_invalid_update(indices: list[int], values: list[float], message: str) -> None:
    with pytest.raises(InvalidUpdate, match=message):
        encode(make_update(indices, values), {"a": (128,)}, CODEC)


def test_invalid_update__three_magnitudes() -> None:
    with pytest.raises(InvalidUpdate, match="more than two magnitudes"):
        encode(make_update([1, 2, 3], [1, 0.5, 0.25]), {"a": (192,)}, CODEC)


def test_invalid_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidUpdate, match="at most"):
        max_payload_size({"a": (1 << 20, 1 << 20)}, CODEC)
    monkeypatch.setattr(codec_module, "MAX_TENSORS", 1)
    with pytest.raises(InvalidUpdate, match="2 tensors"):
        max_payload_size({"a": (1,), "b": (1,)}, CODEC)


if __name__ == "__main__":
    print(compute_golden_hash())
