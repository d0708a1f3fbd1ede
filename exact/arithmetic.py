"""The arithmetic that every definition is made of: quantising, exact sums, exp2, log2, sigmoid.

A sum of many terms is a sum of integers: matmul operands are quantised with power-of-two scales,
other terms are put on a power-of-two grid, and the integer sum is rounded to float32 once.
Everything else is a single IEEE operation per element. `docs/exact.md` says the same in words.
"""

import numpy as np

from exact.elementary import (
    EXP2_COEFFICIENTS,
    EXP2_GRID_BITS,
    EXP2_MIN,
    LOG2_COEFFICIENTS,
    LOG2_E,
    SIGMOID_EXP2_MIN,
    SQRT_2,
)
from exact.errors import InvalidStep

F32 = np.float32
F64 = np.float64
I64 = np.int64
Array = np.ndarray

# Exponents of block maxima in a matmul: products of two scales stay normal, sums stay finite.
MIN_BLOCK_EXPONENT = -55
MAX_BLOCK_EXPONENT = 58
# Terms of a fixed-point sum are integers of magnitude <= 2^22 relative to the largest term.
SUM_BITS = 21
MIN_SUM_EXPONENT = -100
MAX_SUM_EXPONENT = 125


# ------------------------------------------------------------------------------- the three rules
def compute_exponent(largest: Array, low: int, high: int) -> Array:
    """Compute floor(log2(largest)) from the exponent field, raised to `low`.

    Args:
        largest: non-negative float32.
        low: smallest exponent returned; zero and subnormals end here.
        high: largest exponent allowed.

    Returns:
        int32, same shape.

    Raises:
        InvalidStep: a NaN, an infinity, or an exponent above `high`.
    """
    exponent = (largest.view(np.int32) >> 23) - 127
    if exponent.size and exponent.max() > high:
        raise InvalidStep(f"a magnitude of 2^{exponent.max()} is beyond 2^{high}")
    return np.maximum(exponent, low)


def power_of_two(exponent: Array) -> Array:
    """Build 2^exponent as float32 by writing the exponent field; -126 <= exponent <= 127."""
    return ((exponent.astype(np.int32) + 127) << 23).view(F32)


def quantise(x: Array, operand_max: int) -> tuple[Array, Array]:
    """Quantise along the last axis with one power-of-two scale.

    q = clamp(round_half_even(x / 2^s), -operand_max, operand_max) with
    s = floor(log2(max |x|)) - (b - 1), operand_max = 2^b - 1.

    Args:
        x: float32 [.., block].
        operand_max: largest |q|.

    Returns:
        (q, scale): int64 [.., block] and float32 [.., 1].

    Raises:
        InvalidStep: NaN, infinity, or a magnitude of 2^59 or more.
    """
    largest = np.abs(x).max(axis=-1, keepdims=True)
    exponent = compute_exponent(largest, MIN_BLOCK_EXPONENT, MAX_BLOCK_EXPONENT)
    exponent = exponent - (operand_max.bit_length() - 1)
    q = np.rint(x * power_of_two(-exponent)).astype(I64)
    return np.clip(q, -operand_max, operand_max), power_of_two(exponent)


def multiply(a: Array, b: Array, a_max: int, b_max: int, block_size: int) -> Array:
    """Multiply A by B^T exactly per block of the contraction, adding blocks in ascending order.

    Args:
        a: float32 [.., M, K].
        b: float32 [.., N, K].
        a_max, b_max: largest |q| of either operand.
        block_size: elements along K that share a scale.

    Returns:
        float32 [.., M, N].

    Raises:
        InvalidStep: an operand is out of range.
    """
    total = None
    for start in range(0, a.shape[-1], block_size):
        qa, scale_a = quantise(a[..., start : start + block_size], a_max)
        qb, scale_b = quantise(b[..., start : start + block_size], b_max)
        # The integer sum is rounded to float32 once; it is exact up to 2^24.
        dot = np.matmul(qa, qb.swapaxes(-1, -2)).astype(F32)
        block = dot * (scale_a * scale_b.swapaxes(-1, -2))
        total = block if total is None else total + block
    assert total is not None, "a contraction over nothing"
    return total


def to_grid(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Round terms to integers relative to the largest magnitude along the axes.

    Returns:
        (t, grid): int64 like x, |t| <= 2^22, and the float32 power of two it counts.

    Raises:
        InvalidStep: NaN, infinity, or a magnitude of 2^126 or more.
    """
    largest = np.abs(x).max(axis=axes, keepdims=True)
    exponent = compute_exponent(largest, MIN_SUM_EXPONENT, MAX_SUM_EXPONENT) - SUM_BITS
    # |x| / grid <= 2^22 and both are float32, so the float64 quotient is exact.
    quotient = x.astype(F64) / power_of_two(exponent).astype(F64)
    return np.rint(quotient).astype(I64), power_of_two(exponent)


def fixed_sum(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum float32 terms on a grid: exact integers, one rounding; axes are kept with length 1.

    Raises:
        InvalidStep: NaN, infinity, or a magnitude of 2^126 or more.
    """
    terms, grid = to_grid(x, axes)
    return terms.sum(axis=axes, keepdims=True).astype(F32) * grid


# ------------------------------------------------------------------------------------- functions
def exp2(y: Array, lowest: float) -> Array:
    """Compute 2^max(y, lowest) for y <= 0, -125 <= lowest: a polynomial times a power of two.

    Args:
        y: float32.
        lowest: clamp.

    Returns:
        float32, relative error below 2^-22.
    """
    clamped = np.maximum(y, F32(lowest))
    whole = np.rint(clamped)
    part = clamped - whole
    poly = np.full_like(part, EXP2_COEFFICIENTS[-1])
    for coefficient in (*EXP2_COEFFICIENTS[-2::-1], 1.0):
        poly = poly * part
        poly = poly + F32(coefficient)
    return np.asarray(poly * power_of_two(whole.astype(np.int32)), dtype=F32)


def exp2_on_grid(y: Array) -> Array:
    """Compute 2^y for y <= 0 as a multiple of 2^-23.

    Args:
        y: float32; -inf gives 0.

    Returns:
        float32 in [0, 1].
    """
    units = np.rint(exp2(y, EXP2_MIN) * F32(2.0**EXP2_GRID_BITS))
    return np.asarray(units * F32(2.0**-EXP2_GRID_BITS), dtype=F32)


def sum_weights(weights: Array) -> Array:
    """Sum multiples of 2^-23 along the last axis, kept with length 1.

    Returns:
        float64; it holds every such sum of up to 2^30 terms.
    """
    units = (weights.astype(F64) * 2.0**EXP2_GRID_BITS).astype(I64)
    return np.asarray(units.sum(axis=-1, keepdims=True).astype(F64) * 2.0**-EXP2_GRID_BITS)


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + e^-x) as n / (1 + t), t = 2^(-|x| log2 e), n = 1 where x >= 0, else t."""
    power = exp2(-(np.abs(x) * F32(LOG2_E)), SIGMOID_EXP2_MIN)
    numerator = np.where(x >= 0, F32(1), power)
    return np.asarray(numerator / (power + F32(1)))


def log2(x: Array) -> Array:
    """Compute log2 of normal float64 values x >= 1 by single float64 operations."""
    bits = x.view(I64)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(F64)
    is_high = mantissa > SQRT_2
    mantissa = np.where(is_high, mantissa * 0.5, mantissa)
    exponent = exponent + is_high
    t = (mantissa - 1.0) / (mantissa + 1.0)
    square = t * t
    series = np.full_like(t, LOG2_COEFFICIENTS[-1])
    for coefficient in LOG2_COEFFICIENTS[-2::-1]:
        series = series * square
        series = series + coefficient
    return np.asarray(series * t + exponent.astype(F64))


def ensure_finite(x: Array) -> None:
    """Refuse NaN and infinity.

    Raises:
        InvalidStep: one is there.
    """
    if not np.isfinite(x).all():
        raise InvalidStep("a NaN or an infinity")
