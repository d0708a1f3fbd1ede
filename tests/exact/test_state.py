"""State roots, openings and canonical bytes."""

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from exact import merkle, state
from exact.errors import InvalidProof, InvalidState

# Root of build_state(): changes only when the canonical form changes, which breaks every trace.
GOLDEN_ROOT = "edd60d0ba4a0f1498577972757f7f8b4285e00b5a299ebefeccc9e9577944018"


def build_state() -> dict[str, np.ndarray]:
    """A small state with every kind of tensor, two of them longer than one leaf."""
    weights = (np.arange(3000, dtype=np.float32) - 1500) / 64
    return {
        "param/b": weights.reshape(30, 100),
        "param/a": np.float32([[1.5, -0.25]]),
        "adam_m/a": np.zeros((1, 2), np.float32),
        "adam_m/b": weights.reshape(30, 100) * 2,
        "adam_v/a": np.ones((1, 2), np.float32),
        "adam_v/b": np.zeros((30, 100), np.float32),
        "adam_t": np.array(7, np.int64),
        "feedback/a": np.zeros((1, 2), np.float32),
        "feedback/b": np.zeros((30, 100), np.float32),
    }


def test_golden_root() -> None:
    assert state.compute_state_root(build_state()).hex() == GOLDEN_ROOT


def test_root_depends_on_everything_but_layout_in_memory() -> None:
    tensors = build_state()
    root = state.compute_state_root(tensors)
    same = {name: np.array(tensors[name], order="F") for name in reversed(tensors)}
    assert state.compute_state_root(same) == root
    for change in (
        {"param/b": tensors["param/b"].reshape(100, 30)},
        {"adam_t": np.array(8, np.int64)},
        {"adam_t": np.array([7], np.int64)},
        {"param/a": np.float32([[1.5, np.nextafter(np.float32(-0.25), np.float32(0))]])},
        {"param/c": np.zeros(0, np.float32)},
    ):
        assert state.compute_state_root({**tensors, **change}) != root


def test_negative_zero_is_normalised() -> None:
    plus = {"param/a": np.zeros(3, np.float32)}
    minus = {"param/a": np.full(3, -0.0, np.float32)}
    assert state.compute_state_root(plus) == state.compute_state_root(minus)
    assert state.serialise(plus) == state.serialise(minus)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_invalid_value(value: float) -> None:
    tensors = {"param/a": np.array([1, value], np.float32)}
    with pytest.raises(InvalidState, match="param/a"):
        state.compute_state_root(tensors)
    with pytest.raises(InvalidState, match="param/a"):
        state.serialise(tensors)


def test_invalid_dtype_and_name() -> None:
    with pytest.raises(InvalidState, match="float64"):
        state.compute_state_root({"param/a": np.zeros(2)})
    for name in ("", "a\nb", "\u00e9", "x" * 256):
        with pytest.raises(InvalidState, match="name"):
            state.compute_state_root({name: np.zeros(2, np.float32)})


def test_selections_cover_the_state() -> None:
    tensors = build_state()
    assert set(state.select_interval(tensors)) | set(state.select_optimiser(tensors)) == set(
        tensors
    )
    assert state.checkpoint_root(tensors) == state.compute_state_root(
        {name: tensors[name] for name in ("param/a", "param/b")}
    )
    stripped = state.strip_prefix(tensors, "param/")
    assert sorted(stripped) == ["a", "b"]
    assert state.checkpoint_root(state.add_prefix(stripped, "param/")) == state.checkpoint_root(
        tensors
    )
    assert len({state.interval_root(tensors), state.optimiser_root(tensors)}) == 2


def test_trace_root() -> None:
    roots = [bytes([i]) * 32 for i in range(5)]
    assert state.compute_trace_root(roots) == merkle.compute_root(
        [merkle.compute_leaf_hash(root) for root in roots]
    )
    with pytest.raises(InvalidState):
        state.compute_trace_root([b"short"])


def test_open_every_leaf() -> None:
    tensors = build_state()
    root = state.compute_state_root(tensors)
    num_leaves = state.open_leaf(tensors, 0).num_leaves
    for index in range(num_leaves):
        opening = state.open_leaf(tensors, index)
        state.verify_leaf(root, opening)
        forged = state.LeafOpening(index, num_leaves, opening.leaf + b"\x00", opening.path)
        with pytest.raises(InvalidProof):
            state.verify_leaf(root, forged)
    with pytest.raises(InvalidProof):
        state.open_leaf(tensors, num_leaves)


@settings(max_examples=30)
@given(element_index=st.integers(0, 2999))
def test_opened_leaf_holds_the_element(element_index: int) -> None:
    tensors = build_state()
    index = state.get_leaf_index(state.get_layout(tensors), "param/b", element_index)
    leaf = state.open_leaf(tensors, index).leaf
    values = np.frombuffer(leaf[1:], "<f4")
    assert values[element_index % 1024] == tensors["param/b"].reshape(-1)[element_index]


def test_bytes_round_trip_and_are_plain_safetensors() -> None:
    tensors = build_state()
    data = state.serialise(tensors)
    decoded = state.deserialise(data, state.get_layout(tensors))
    assert state.compute_state_root(decoded) == state.compute_state_root(tensors)
    assert state.serialise(decoded) == data
    loaded = safetensors.numpy.load(data)
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)


def test_invalid_truncated() -> None:
    data = state.serialise(build_state())
    for length in (0, 7, 8, 100, len(data) - 1):
        with pytest.raises(InvalidState):
            state.deserialise(data[:length])
    with pytest.raises(InvalidState):
        state.deserialise(data + b"\x00")


def test_invalid_layout() -> None:
    tensors = build_state()
    data = state.serialise(tensors)
    layout = state.get_layout(tensors)
    with pytest.raises(InvalidState, match="param/z is missing"):
        state.deserialise(data, {**layout, "param/z": ("F32", (1,))})
    with pytest.raises(InvalidState, match="adam_t is"):
        state.deserialise(data, {**layout, "adam_t": ("I64", (1,))})
    del layout["feedback/b"]
    with pytest.raises(InvalidState, match="feedback/b is not expected"):
        state.deserialise(data, layout)


def test_invalid_values_in_bytes() -> None:
    data = bytearray(state.serialise({"param/a": np.ones(2, np.float32)}))
    for value, message in ((np.float32(-0.0), "negative zero"), (np.float32(np.nan), "NaN")):
        data[-4:] = value.tobytes()
        with pytest.raises(InvalidState, match=message):
            state.deserialise(bytes(data))


def pack_header(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        (1 << 60).to_bytes(8, "little") + b"{}",
        pack_header([]),
        pack_header({"a": 1}),
        pack_header({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        pack_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        pack_header({"a": {"dtype": "F32", "shape": [1e0], "data_offsets": [0, 4]}}, bytes(4)),
        pack_header({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)),
        pack_header({"a": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}),
        pack_header({"a": {"dtype": "F32", "shape": [1 << 34], "data_offsets": [0, 1 << 36]}}),
        pack_header({"a": {"shape": [1], "dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
        pack_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        pack_header(
            {"__metadata__": {}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
            bytes(4),
        ),
        b"\x08\x00\x00\x00\x00\x00\x00\x00[[[[[[[[",
    ],
)
def test_invalid_header(data: bytes) -> None:
    with pytest.raises(InvalidState):
        state.deserialise(data)


@settings(max_examples=100)
@given(position=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_mutated_bytes_fail_or_round_trip(position: int, value: int, cut: int) -> None:
    tensors = {"adam_t": np.array(3, np.int64), "param/a": np.ones((2, 3), np.float32)}
    data = bytearray(state.serialise(tensors))
    data[position % len(data)] = value
    mutated = bytes(data[: len(data) - cut % 3])
    try:
        decoded = state.deserialise(mutated)
    except InvalidState:
        return
    assert state.serialise(decoded) == mutated
