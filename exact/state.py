"""The canonical form of a training state: names, root, openings, bytes.

A state maps names to numpy arrays: `param/<p>`, `adam_m/<p>`, `adam_v/<p>`, `feedback/<p>`
(float32) and `adam_t` (int64 scalar). Its root is an RFC 6962 tree over, for each tensor in byte
order of the names, one header leaf and then the tensor's little-endian C-order bytes in pieces of
4 KiB. Header leaves begin with 'H', pieces with 'D', so neither can pass for the other.

Canonical means one state, one byte string: -0 is stored as +0, NaN and infinity are refused, and
the safetensors header is re-encoded and compared when bytes are read.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exact import merkle
from exact.errors import InvalidProof, InvalidState

State = dict[str, np.ndarray]
Layout = Mapping[str, tuple[str, tuple[int, ...]]]

LEAF_BYTES = 4096
# Leaves that are checked and hashed at a time.
CACHE_LEAVES = 32
MAX_HEADER_BYTES = 1 << 20
MAX_NAME_BYTES = 255
MAX_DIMS = 8
# 64 GiB: above any state this version trains; a bound so that a header cannot ask for more.
MAX_TENSOR_BYTES = 1 << 36

PARAM_PREFIX = "param/"
ADAM_M_PREFIX = "adam_m/"
ADAM_V_PREFIX = "adam_v/"
FEEDBACK_PREFIX = "feedback/"
ADAM_T_NAME = "adam_t"

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


# ------------------------------------------------------------------------------------ selections
def select(state: Mapping[str, np.ndarray], *prefixes: str) -> State:
    """Return the tensors whose names begin with one of the prefixes, names unchanged."""
    return {name: state[name] for name in sorted(state) if name.startswith(prefixes)}


def strip_prefix(state: Mapping[str, np.ndarray], prefix: str) -> State:
    """Return the tensors under one prefix, with the prefix removed from their names."""
    return {name[len(prefix) :]: tensor for name, tensor in select(state, prefix).items()}


def add_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> State:
    """Return the tensors with a prefix put before every name."""
    return {prefix + name: tensors[name] for name in sorted(tensors)}


def select_interval(state: Mapping[str, np.ndarray]) -> State:
    """Return what one replayed interval starts from: param, adam_m, adam_v, adam_t."""
    return select(state, PARAM_PREFIX, ADAM_M_PREFIX, ADAM_V_PREFIX, ADAM_T_NAME)


def select_optimiser(state: Mapping[str, np.ndarray]) -> State:
    """Return what a miner carries between rounds: adam_m, adam_v, adam_t, feedback."""
    return select(state, ADAM_M_PREFIX, ADAM_V_PREFIX, ADAM_T_NAME, FEEDBACK_PREFIX)


def get_layout(state: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return name -> (dtype name, shape), to check a received state against.

    Raises:
        InvalidState: a dtype is neither float32 nor int64.
    """
    return {name: (_get_dtype_name(name, t), tuple(t.shape)) for name, t in state.items()}


# ------------------------------------------------------------------------------------------ root
def canonicalise(name: str, tensor: np.ndarray) -> np.ndarray:
    """Return a tensor as little-endian C-order memory with +0 for -0.

    Args:
        name: used in errors only.
        tensor: float32 or int64, any shape.

    Raises:
        InvalidState: another dtype, or a NaN or an infinity.
    """
    array = _to_memory(name, tensor)
    return array if array.dtype.kind != "f" else _normalise(name, array)


def _to_memory(name: str, tensor: np.ndarray) -> np.ndarray:
    dtype = _DTYPES[_get_dtype_name(name, tensor)]
    return np.ascontiguousarray(tensor, dtype=dtype).reshape(tensor.shape)


def _normalise(name: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise InvalidState(f"{name} holds a NaN or an infinity")
    return np.asarray(array + np.float32(0.0), dtype=array.dtype)


def compute_leaf_hashes(state: Mapping[str, np.ndarray]) -> list[bytes]:
    """Hash every leaf of a state, in tree order.

    Raises:
        InvalidState: a name, dtype or value breaks the canonical form.
    """
    return [merkle.compute_leaf_hash(tag, body) for tag, body in _iterate_leaves(state)]


def compute_state_root(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Compute the root of a state.

    Args:
        tensors: name -> float32 or int64 array.

    Returns:
        32 bytes; equal states have equal roots whatever made them.

    Raises:
        InvalidState: a name, dtype or value breaks the canonical form.
    """
    return merkle.compute_root(compute_leaf_hashes(tensors))


def checkpoint_root(params: Mapping[str, np.ndarray]) -> bytes:
    """Compute the root of the `param/` tensors of a state."""
    return compute_state_root(select(params, PARAM_PREFIX))


def optimiser_root(state: Mapping[str, np.ndarray]) -> bytes:
    """Compute the root of what a miner carries between rounds (`select_optimiser`)."""
    return compute_state_root(select_optimiser(state))


def interval_root(state: Mapping[str, np.ndarray]) -> bytes:
    """Compute the root of an interval state (`select_interval`)."""
    return compute_state_root(select_interval(state))


def compute_trace_root(roots: Sequence[bytes]) -> bytes:
    """Compute the root over a round's interval-state roots, in step order.

    Args:
        roots: 32 bytes each, at steps 0, k, 2k ... H.

    Raises:
        InvalidState: a root is not 32 bytes.
    """
    if any(len(root) != merkle.HASH_BYTES for root in roots):
        raise InvalidState("a trace leaf is not 32 bytes")
    return merkle.compute_root([merkle.compute_leaf_hash(root) for root in roots])


def _iterate_leaves(state: Mapping[str, np.ndarray]) -> Iterator[tuple[bytes, bytes | memoryview]]:
    for name in sorted(state):
        _ensure_name(name)
        tensor = _to_memory(name, state[name])
        yield b"H", _encode_header_leaf(name, tensor)
        for piece in _iterate_canonical(name, tensor.reshape(-1)):
            view = memoryview(piece.view(np.uint8).data)
            for start in range(0, len(view), LEAF_BYTES):
                yield b"D", view[start : start + LEAF_BYTES]


def _iterate_canonical(name: str, flat: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a tensor into whole leaves' worth of canonical elements that stay in a cache."""
    size = CACHE_LEAVES * LEAF_BYTES // flat.dtype.itemsize
    for start in range(0, flat.size, size):
        part = flat[start : start + size]
        yield part if flat.dtype.kind != "f" else _normalise(name, part)


def _encode_header_leaf(name: str, tensor: np.ndarray) -> bytes:
    fields = [name, _get_dtype_name(name, tensor), list(tensor.shape)]
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def _get_dtype_name(name: str, tensor: np.ndarray) -> str:
    try:
        return _DTYPE_NAMES[tensor.dtype.newbyteorder("<")]
    except KeyError:
        raise InvalidState(f"{name} is {tensor.dtype}; only float32 and int64 exist") from None


def _ensure_name(name: str) -> None:
    if not name or len(name) > MAX_NAME_BYTES or not name.isascii() or not name.isprintable():
        raise InvalidState(f"bad tensor name {name[:64]!r}")


# -------------------------------------------------------------------------------------- openings
@dataclass(frozen=True)
class LeafOpening:
    """One leaf of a state with its Merkle path.

    Attributes:
        leaf_index: position in the tree.
        num_leaves: leaf count of the tree.
        leaf: the leaf's bytes, tag byte first ('H' header, 'D' data piece).
        path: siblings, nearest first, 32 bytes each.
    """

    leaf_index: int
    num_leaves: int
    leaf: bytes
    path: tuple[bytes, ...]


def get_leaf_index(layout: Layout, name: str, element_index: int) -> int:
    """Return which leaf holds one element of a tensor.

    Args:
        layout: of the whole state, from `get_layout`.
        name: the tensor.
        element_index: position in C order.

    Raises:
        InvalidState: no such tensor or element.
    """
    leaf_index = 0
    for other in sorted(layout):
        num_elements, num_bytes = _compute_size(other, *layout[other])
        if other == name:
            if not 0 <= element_index < num_elements:
                raise InvalidState(f"{name} has no element {element_index}")
            return leaf_index + 1 + element_index * (num_bytes // num_elements) // LEAF_BYTES
        leaf_index += 1 + -(-num_bytes // LEAF_BYTES)
    raise InvalidState(f"no tensor {name}")


def open_leaf(tensors: Mapping[str, np.ndarray], leaf_index: int) -> LeafOpening:
    """Open one leaf of a state against its root.

    Raises:
        InvalidProof: leaf_index is out of range.
        InvalidState: the state breaks the canonical form.
    """
    hashes = compute_leaf_hashes(tensors)
    path = merkle.compute_path(hashes, leaf_index)
    leaves = _iterate_leaves(tensors)
    tag, body = next(leaf for i, leaf in enumerate(leaves) if i == leaf_index)
    return LeafOpening(leaf_index, len(hashes), tag + bytes(body), tuple(path))


def verify_leaf(root: bytes, opening: LeafOpening) -> None:
    """Check an opening against a state root.

    Raises:
        InvalidProof: the leaf is oversized or the path leads elsewhere.
    """
    if len(opening.leaf) > LEAF_BYTES + 1:
        raise InvalidProof("the leaf is over 4 KiB")
    merkle.verify_path(
        root,
        merkle.compute_leaf_hash(opening.leaf),
        opening.leaf_index,
        opening.num_leaves,
        opening.path,
    )


# ----------------------------------------------------------------------------------------- bytes
def serialise(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Encode a state as canonical safetensors bytes: names in order, no gaps, no metadata.

    Raises:
        InvalidState: a name, dtype or value breaks the canonical form.
    """
    arrays = {}
    for name in sorted(tensors):
        _ensure_name(name)
        arrays[name] = canonicalise(name, tensors[name])
    header = _encode_header(get_layout(arrays))
    body = b"".join(array.tobytes() for array in arrays.values())
    return len(header).to_bytes(8, "little") + header + body


def deserialise(data: bytes | memoryview, layout: Layout | None = None) -> State:
    """Decode canonical safetensors bytes; anything `serialise` would not write is refused.

    Args:
        data: the bytes; the caller has capped their size.
        layout: if given, exactly these tensors, dtypes and shapes are accepted.

    Returns:
        name -> array that owns its memory.

    Raises:
        InvalidState: truncated, overlong, foreign or non-canonical bytes; NaN, infinity or -0;
            another layout than asked for. Sizes are checked before memory is taken.
    """
    view = memoryview(data)
    found, body_start = _parse_header(view)
    if layout is not None and found != {n: (d, tuple(s)) for n, (d, s) in layout.items()}:
        raise InvalidState(_describe_difference(found, layout))
    sizes = {name: _compute_size(name, *found[name])[1] for name in found}
    if len(view) - body_start != sum(sizes.values()):
        raise InvalidState(
            f"the header names {sum(sizes.values())} bytes, {len(view) - body_start} follow"
        )
    state: State = {}
    offset = body_start
    for name, (dtype_name, shape) in found.items():
        raw = view[offset : offset + sizes[name]]
        state[name] = _decode_tensor(name, raw, dtype_name, shape)
        offset += sizes[name]
    return state


def _encode_header(layout: Layout) -> bytes:
    entries = {}
    offset = 0
    for name in sorted(layout):
        dtype_name, shape = layout[name]
        end = offset + _compute_size(name, dtype_name, tuple(shape))[1]
        entries[name] = {
            "dtype": dtype_name,
            "shape": list(shape),
            "data_offsets": [offset, end],
        }
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode("ascii")
    return header + b" " * (-len(header) % 8)


def _parse_header(view: memoryview) -> tuple[dict[str, tuple[str, tuple[int, ...]]], int]:
    if len(view) < 8:
        raise InvalidState("truncated: no header length")
    num_bytes = int.from_bytes(view[:8], "little")
    if num_bytes > MAX_HEADER_BYTES:
        raise InvalidState(f"a header of {num_bytes} bytes is over {MAX_HEADER_BYTES}")
    header = bytes(view[8 : 8 + num_bytes])
    if len(header) != num_bytes:
        raise InvalidState("truncated: the header is incomplete")
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise InvalidState("the header is not JSON") from error
    if not isinstance(entries, dict):
        raise InvalidState("the header is not an object")
    layout = {name: _parse_entry(name, entries[name]) for name in sorted(entries)}
    if _encode_header(layout) != header:
        raise InvalidState("the header is not in canonical form")
    return layout, 8 + num_bytes


def _parse_entry(name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    _ensure_name(name)
    if not isinstance(entry, dict):
        raise InvalidState(f"{name}: the header entry is not an object")
    dtype_name, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype_name, str) or dtype_name not in _DTYPES:
        raise InvalidState(f"{name}: unknown dtype")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS:
        raise InvalidState(f"{name}: bad shape")
    if any(type(size) is not int or not 0 <= size <= MAX_TENSOR_BYTES for size in shape):
        raise InvalidState(f"{name}: bad shape")
    return dtype_name, tuple(shape)


def _compute_size(name: str, dtype_name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    num_elements = math.prod(shape)
    num_bytes = num_elements * _DTYPES[dtype_name].itemsize
    if num_bytes > MAX_TENSOR_BYTES:
        raise InvalidState(f"{name}: {num_bytes} bytes is over {MAX_TENSOR_BYTES}")
    return num_elements, num_bytes


def _decode_tensor(
    name: str, raw: memoryview, dtype_name: str, shape: tuple[int, ...]
) -> np.ndarray:
    array = np.frombuffer(raw, dtype=_DTYPES[dtype_name]).reshape(shape).copy()
    if canonicalise(name, array).tobytes() != bytes(raw):
        raise InvalidState(f"{name} holds a negative zero")
    return array


def _describe_difference(found: Layout, wanted: Layout) -> str:
    for name in sorted({*found, *wanted}):
        if name not in found:
            return f"tensor {name} is missing"
        if name not in wanted:
            return f"tensor {name} is not expected"
        if found[name] != (wanted[name][0], tuple(wanted[name][1])):
            return f"{name} is {found[name]}, expected {wanted[name]}"
    return "the layouts differ"
