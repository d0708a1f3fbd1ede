"""Choose what a payload sends of a tensor: the largest elements of each chunk, at two levels.

Everything here is either integer arithmetic or a single IEEE operation an element, so the same
change gives the same bits on every machine, at any thread count.

Shape letters: C = chunks, N = elements of each, K = elements kept of each.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_MANTISSA_BITS = 4
LEVEL_SHIFT = 23 - _MANTISSA_BITS  # a level is a float32 without sign and low mantissa bits
MIN_LEVEL = 5 << _MANTISSA_BITS  # upper / 16 is then still a normal float32
MAX_LEVEL = (255 << _MANTISSA_BITS) - 1
RATIO_STEPS = 16  # lower level = upper * steps / 16
_FIXED_POINT_BITS = 20  # 128 magnitudes sum to at most 2^27, a squared sum to 2^54

Float32Array: TypeAlias = npt.NDArray[np.float32]
Int64Array: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SparseTensor:
    """The elements of one tensor that a payload changes.

    Attributes:
        indices: positions in C order, int64 [n], strictly ascending.
        values: float32 [n], finite, none zero.
    """

    indices: Int64Array
    values: Float32Array


def compute_top_k(num_elements: int, chunk_size: int, top_k: int) -> int:
    """Return how many elements a chunk keeps at most: the same share of a short one, rounded up."""
    return -(-top_k * num_elements // chunk_size)


def quantise(flat: Float32Array, chunk_size: int, top_k: int) -> SparseTensor:
    """Choose the elements of a tensor to send and round them to their chunk's two levels.

    Args:
        flat: float32 [n], finite.
        chunk_size: at most 4096: positions take 12 bits of the sorting key.
        top_k: elements kept of a whole chunk, at most 128; zeros are never kept.
    """
    num_whole = flat.size // chunk_size
    parts = []
    if num_whole:
        whole = flat[: num_whole * chunk_size].reshape(num_whole, chunk_size)
        parts.append(_quantise_chunks(whole, top_k, 0))
    start = num_whole * chunk_size
    if start < flat.size:
        last = flat[start:].reshape(1, -1)
        parts.append(_quantise_chunks(last, compute_top_k(last.size, chunk_size, top_k), start))
    if not parts:
        return SparseTensor(np.zeros(0, np.int64), np.zeros(0, np.float32))
    return SparseTensor(
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _quantise_chunks(chunks_CN: Float32Array, top_k: int, start: int) -> SparseTensor:
    """Quantise equal chunks. C = chunks, N = elements of each, K = top_k."""
    num_chunks, size = chunks_CN.shape
    order_CK = _select_largest(chunks_CN, top_k)
    kept_CK = np.take_along_axis(chunks_CN, order_CK, axis=1)
    magnitude_CK = np.abs(kept_CK)
    is_upper_CK, levels_C2 = _choose_levels(magnitude_CK)
    value_CK = np.where(is_upper_CK, levels_C2[:, 1:], levels_C2[:, :1])
    value_CK = np.where(kept_CK < 0, -value_CK, value_CK).astype(np.float32)
    is_sent_CK = (magnitude_CK > 0) & (value_CK != 0)
    index_CK = order_CK + (start + size * np.arange(num_chunks, dtype=np.int64))[:, None]
    indices, values = index_CK[is_sent_CK], value_CK[is_sent_CK]
    ascending = np.argsort(indices)
    return SparseTensor(indices[ascending], values[ascending])


def _select_largest(chunks_CN: Float32Array, top_k: int) -> Int64Array:
    """Return [C, K] positions by falling magnitude, lowest position first among equals.

    The key is the magnitude's bits, which order as the magnitudes do, then the position counted
    down: keys are distinct, so whatever the partition does inside, the answer is the same.
    """
    size = chunks_CN.shape[1]
    bits_CN = np.abs(np.ascontiguousarray(chunks_CN)).view(np.uint32).astype(np.uint64)
    key_CN = (bits_CN << np.uint64(12)) | np.arange(size - 1, -1, -1, dtype=np.uint64)
    top_CK = np.sort(np.partition(key_CN, size - top_k, axis=1)[:, size - top_k :], axis=1)
    return np.asarray(size - 1 - (top_CK[:, ::-1] & np.uint64(0xFFF)).astype(np.int64))


def _choose_levels(magnitude_CK: Float32Array) -> tuple[npt.NDArray[np.bool_], Float32Array]:
    """Split magnitudes, falling along K, in two groups and give each group one level.

    The split is the one that leaves the least squared error with group means as levels. The
    magnitudes are integers relative to a power of two no smaller than the largest, so sums are
    exact; the rest is single IEEE float64 operations, so every machine finds the same.

    Returns:
        is_upper [C, K] and levels [C, 2] = (lower, upper). A chunk with one level has it twice
        and no upper element; a chunk with nothing to send has levels 0.
    """
    top_k = magnitude_CK.shape[1]
    exponent_C = np.frexp(magnitude_CK[:, 0])[1].astype(np.int32)
    fixed_CK = np.rint(
        np.ldexp(magnitude_CK.astype(np.float64), (_FIXED_POINT_BITS - exponent_C)[:, None])
    )
    sum_CK = np.cumsum(fixed_CK.astype(np.int64), axis=1)
    num_C = np.maximum(np.count_nonzero(magnitude_CK, axis=1), 1)[:, None]
    upper_num_CK = np.minimum(np.arange(1, top_k + 1)[None, :], num_C)
    upper_CK = sum_CK.astype(np.float64)
    lower_CK = (sum_CK[:, -1:] - sum_CK).astype(np.float64)
    lower_num_CK = num_C - upper_num_CK
    gain_CK = upper_CK * upper_CK / upper_num_CK
    gain_CK += lower_CK * lower_CK / np.maximum(lower_num_CK, 1)
    split_C1 = np.argmax(gain_CK, axis=1)[:, None]

    def take(array_CK: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        return np.take_along_axis(array_CK, split_C1, axis=1)[:, 0].astype(np.float64)

    upper_C = _round_to_level(
        np.ldexp(take(upper_CK) / take(upper_num_CK), exponent_C - _FIXED_POINT_BITS)
    )
    lower_mean_C = take(lower_CK) / np.maximum(take(lower_num_CK), 1)
    lower_C = np.ldexp(lower_mean_C, exponent_C - _FIXED_POINT_BITS)
    steps_C = np.clip(np.rint(lower_C / np.maximum(upper_C, 1e-300) * RATIO_STEPS), 1, 16)
    is_single_C = (take(lower_num_CK) == 0) | (steps_C == RATIO_STEPS)
    steps_C = np.where(is_single_C, RATIO_STEPS, steps_C)
    levels_C2 = np.stack([upper_C * steps_C / RATIO_STEPS, upper_C], axis=1).astype(np.float32)
    is_upper_CK = (np.arange(top_k)[None, :] <= split_C1) & ~is_single_C[:, None]
    return is_upper_CK, levels_C2


def _round_to_level(mean_C: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to 5 significant bits, half to even; 0 where the format has no such level."""
    mantissa_C, exponent_C = np.frexp(mean_C)
    level_C = np.ldexp(np.rint(mantissa_C * 32.0), exponent_C - 5)
    level_C = np.minimum(level_C, float(level_to_float(MAX_LEVEL)))
    return np.where(level_C < float(level_to_float(MIN_LEVEL)), 0.0, level_C)


def level_to_float(level: int) -> np.float32:
    """Return the float32 of a 12-bit level: exponent (8) and mantissa (4)."""
    return np.float32(np.uint32(level << LEVEL_SHIFT).view(np.float32))
