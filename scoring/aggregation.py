"""The outer step in exact arithmetic: the same bits on every machine, in any order of payloads.

theta' = theta - learning_rate * (1 / n) * sum over uids of clip_u * update_u, where n is the number
of accepted payloads (never the number of senders of a coordinate: a lonely coordinate gets no
leverage) and clip_u scales an update that is longer than the median down to the median length.

Where rounding happens, and only there:

1. Squared norms are exact integers in units of 2**-298 (the square of the smallest float32).
2. A clip factor is the square root of a ratio of two such integers, rounded *down* to float32, so a
   clipped update is not longer than the median (but for rounding 3).
3. value * clip factor: one IEEE float32 product a value.
4. Each product is put on a grid of 2**-54 times the largest one of its tensor (round half to even)
   and added up in int64, which is exact; the order cannot matter.
5. sum -> float32, / n, * learning rate, theta - step: one IEEE float32 operation each.

Negative zero becomes zero, so equal numbers have equal bytes. The median is the lower one of an
even number, over the updates that are not all zero: senders of nothing cannot pull it down.

Source: DESIGN 4.2 step 5; `reference/training.md` section 5.1 (median-norm clip and mean).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

MAX_UPDATES = 256  # 2**8: sums of so many grid values of 2**54 stay below 2**63
NORM_GRID_LOG2 = -298  # squared norms are in units of 2**NORM_GRID_LOG2
_GRID_BITS = 54
_FLOAT32_BITS = 24  # of significand
_FLOAT32_MIN_LOG2 = -149


class AggregationError(ValueError):
    """An update does not fit theta or is not finite; the message names uid and tensor."""


class SparseTensor(Protocol):
    """The changed elements of one tensor: positions in C order, strictly ascending, and values."""

    @property
    def indices(self) -> Int64Array: ...

    @property
    def values(self) -> Float32Array: ...


class Update(Protocol):
    """A decoded payload: tensor name -> changed elements; tensors may be absent."""

    @property
    def tensors(self) -> Mapping[str, SparseTensor]: ...


@dataclass(frozen=True)
class _EmptyUpdate:
    tensors: Mapping[str, SparseTensor] = field(default_factory=dict)


_NOTHING = _EmptyUpdate()


def compute_outer_step(
    theta: Mapping[str, Float32Array], updates: Mapping[int, Update], learning_rate: np.float32
) -> dict[str, Float32Array]:
    """Apply the accepted updates to a checkpoint.

    Args:
        theta: name -> float32 array of any shape.
        updates: uid -> decoded payload, for every accepted uid. An accepted payload that adds
            nothing is passed as an update without tensors: it still counts in n.
        learning_rate: outer learning rate, the spec's parts per 10**9 rounded to float32.

    Returns:
        The next checkpoint, new arrays; without updates, copies of theta.

    Raises:
        AggregationError: an update names an unknown tensor, an index outside it or unsorted, a
            value that is not finite, more than MAX_UPDATES, or the result is not finite.

    Source: DESIGN 4.2 step 5.
    """
    ensure_updates(theta, updates)
    if not updates:
        return {name: tensor.copy() for name, tensor in theta.items()}
    factors = compute_clip_factors(updates)
    count = np.float32(len(updates))
    stepped = {}
    for name, tensor in theta.items():
        clipped = list(_iterate_clipped(name, updates, factors))
        mean = _compute_sum(tensor.size, clipped) / count
        with np.errstate(over="ignore", invalid="ignore"):  # refused below, with the name
            result = tensor.reshape(-1) - learning_rate * mean + np.float32(0.0)  # -0 + 0 is +0
        if not bool(np.isfinite(result).all()):
            raise AggregationError(f"{name} is not finite after the step")
        stepped[name] = result.reshape(tensor.shape)
    return stepped


def compute_part_step(
    theta: Mapping[str, Float32Array],
    update: Update,
    learning_rate: np.float32,
    num_accepted: int,
) -> dict[str, Float32Array]:
    """Apply one update alone with the weight it has among `num_accepted`; what a judge evaluates.

    The whole step of a single update overshoots: honest payloads then often raise the held-out loss
    (see `score`).

    Args:
        theta: name -> float32 array of any shape.
        update: decoded payload.
        learning_rate: outer learning rate as float32.
        num_accepted: payloads accepted in the round, at least 1.

    Returns:
        theta - learning_rate * update / num_accepted, new arrays, not clipped.

    Raises:
        AggregationError: as `compute_outer_step`.
    """
    others = dict.fromkeys(range(1, num_accepted), _NOTHING)
    return compute_outer_step(theta, {0: update, **others}, learning_rate)


def compute_clip_factors(updates: Mapping[int, Update]) -> dict[int, np.float32]:
    """Return uid -> factor in [0, 1] that brings an update to the median norm at most.

    Updates of zeros get 1 and do not count for the median.
    """
    norms = {uid: compute_squared_norm(updates[uid]) for uid in sorted(updates)}
    positive = sorted(norm for norm in norms.values() if norm)
    if not positive:
        return dict.fromkeys(norms, np.float32(1.0))
    median = positive[(len(positive) - 1) // 2]
    return {
        uid: compute_root_of_ratio(median, norm) if norm > median else np.float32(1.0)
        for uid, norm in norms.items()
    }


def compute_squared_norm(update: Update) -> int:
    """Return the squared L2 norm over all tensors, exact, in units of 2**NORM_GRID_LOG2.

    A float32 is significand * 2**(e - 150) with a significand below 2**24. Squared significands are
    added per exponent, as two halves of 24 bits in float64: integers that stay below 2**53 for up
    to 2**29 values, hence exact.
    """
    low_sums = np.zeros(256)
    high_sums = np.zeros(256)
    for tensor in update.tensors.values():
        bits = np.ascontiguousarray(tensor.values).view(np.uint32)
        exponents = (bits >> np.uint32(23)) & np.uint32(0xFF)
        significands = (bits & np.uint32(0x7F_FFFF)) | (
            (exponents > 0).astype(np.uint32) << np.uint32(23)
        )
        squares = significands.astype(np.uint64) ** np.uint64(2)
        low = (squares & np.uint64(0xFF_FFFF)).astype(np.float64)
        high = (squares >> np.uint64(24)).astype(np.float64)
        low_sums += np.bincount(exponents, weights=low, minlength=256)
        high_sums += np.bincount(exponents, weights=high, minlength=256)
    total = 0
    for exponent in range(255):
        significand_sum = int(low_sums[exponent]) + (int(high_sums[exponent]) << 24)
        total += significand_sum << (2 * (max(exponent, 1) - 1))
    return total


def compute_root_of_ratio(numerator: int, denominator: int) -> np.float32:
    """Return sqrt(numerator / denominator) rounded down to float32, for a ratio in (0, 1).

    Rounding down is what keeps a clipped update within the median. A result under the smallest
    float32 is zero.
    """
    # root = isqrt(ratio * 4**shift) has at least 24 significant bits; drop all beyond them
    shift = _FLOAT32_BITS + (denominator.bit_length() - numerator.bit_length()) // 2 + 1
    root = math.isqrt((numerator << (2 * shift)) // denominator)
    exponent = -shift
    dropped = max(root.bit_length() - _FLOAT32_BITS, _FLOAT32_MIN_LOG2 - exponent, 0)
    root >>= dropped
    return np.float32(math.ldexp(root, exponent + dropped))


def ensure_updates(theta: Mapping[str, Float32Array], updates: Mapping[int, Update]) -> None:
    """Refuse updates that do not fit theta.

    Raises:
        AggregationError: see `compute_outer_step`.
    """
    if len(updates) > MAX_UPDATES:
        raise AggregationError(f"{len(updates)} updates, the limit is {MAX_UPDATES}")
    for uid in sorted(updates):
        for name, tensor in updates[uid].tensors.items():
            problem = _find_problem(theta.get(name), tensor)
            if problem:
                raise AggregationError(f"uid {uid}, tensor {name}: {problem}")


def _find_problem(target: Float32Array | None, tensor: SparseTensor) -> str:
    indices, values = tensor.indices, tensor.values
    if target is None:
        return "not a tensor of the model"
    if target.dtype != np.float32 or values.dtype != np.float32 or indices.dtype != np.int64:
        return "values must be float32 and indices int64"
    if indices.ndim != 1 or indices.shape != values.shape:
        return "needs as many values as indices"
    if indices.size and not 0 <= int(indices[0]) <= int(indices[-1]) < target.size:
        return f"an index is outside 0..{target.size - 1}"
    if not bool(np.all(indices[1:] > indices[:-1])):
        return "indices must be sorted, without duplicates"
    if not bool(np.isfinite(values).all()):
        return "a value is not finite"
    return ""


def _iterate_clipped(
    name: str, updates: Mapping[int, Update], factors: Mapping[int, np.float32]
) -> Iterator[tuple[Int64Array, Float32Array]]:
    for uid in sorted(updates):
        tensor = updates[uid].tensors.get(name)
        if tensor is not None and tensor.indices.size:
            yield tensor.indices, tensor.values * factors[uid]


def _compute_sum(num_elements: int, parts: list[tuple[Int64Array, Float32Array]]) -> Float32Array:
    """Add sparse parts on a common grid; exact but for the rounding to the grid and to float32."""
    sums: Int64Array = np.zeros(num_elements, dtype=np.int64)
    largest = max((float(np.max(np.abs(values))) for _, values in parts), default=0.0)
    if largest == 0.0:
        return sums.astype(np.float32)
    grid_log2 = math.frexp(largest)[1] - _GRID_BITS  # largest < 2**(grid_log2 + _GRID_BITS)
    for indices, values in parts:
        on_grid = np.rint(np.ldexp(values.astype(np.float64), -grid_log2))
        sums[indices] += on_grid.astype(np.int64)  # indices of one part are distinct
    with np.errstate(over="ignore"):  # an infinite sum is refused by the caller
        return np.ldexp(sums.astype(np.float32), grid_log2)
