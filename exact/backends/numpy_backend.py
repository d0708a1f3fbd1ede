"""The definition of every operation, in numpy: plain, slow, and the letter of exact training.

Three rules make the result independent of device, library and thread count:

1. A sum of many terms is a sum of integers. Matmul operands are quantised to integers with
   power-of-two scales, other terms are put on a power-of-two grid; the integer sum is rounded
   to float32 once.
2. Everything else is a single IEEE operation per element (add, subtract, multiply, divide,
   square root, max, round), never contracted.
3. Where a few float32 values are added, the order is written down.

NaN, infinity or a magnitude beyond the ranges below make the step invalid. The sign of a zero
never reaches another value and is dropped when a state is hashed.
"""

import numpy as np

from exact.backends.base import Backend, compute_adamw_constants
from exact.elementary import (
    EXP2_COEFFICIENTS,
    EXP2_GRID_BITS,
    EXP2_MIN,
    LN_2,
    LOG2_COEFFICIENTS,
    LOG2_E,
    SQRT_2,
    compute_rotary_table,
)
from exact.errors import InvalidStep
from exact.program import Attributes

F32 = np.float32
F64 = np.float64
I64 = np.int64
Array = np.ndarray
Result = tuple[Array, ...]

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


def multiply(a: Array, b: Array, operand_max: int, block_size: int) -> Array:
    """Multiply A by B^T exactly per block of the contraction, adding blocks in ascending order.

    Args:
        a: float32 [.., M, K].
        b: float32 [.., N, K].

    Returns:
        float32 [.., M, N].

    Raises:
        InvalidStep: an operand is out of range.
    """
    total = None
    for start in range(0, a.shape[-1], block_size):
        qa, scale_a = quantise(a[..., start : start + block_size], operand_max)
        qb, scale_b = quantise(b[..., start : start + block_size], operand_max)
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
def exp2_on_grid(y: Array) -> Array:
    """Compute 2^y for y <= 0 as a multiple of 2^-23.

    Args:
        y: float32; -inf gives 0.

    Returns:
        float32 in [0, 1].
    """
    clamped = np.maximum(y, F32(EXP2_MIN))
    whole = np.rint(clamped)
    part = clamped - whole
    poly = np.full_like(part, EXP2_COEFFICIENTS[-1])
    for coefficient in (*EXP2_COEFFICIENTS[-2::-1], 1.0):
        poly = poly * part
        poly = poly + F32(coefficient)
    value = poly * power_of_two(whole.astype(np.int32))
    units = np.rint(value * F32(2.0**EXP2_GRID_BITS))
    return np.asarray(units * F32(2.0**-EXP2_GRID_BITS), dtype=F32)


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


class NumpyBackend(Backend):
    """Executes programs by the definition."""

    name = "numpy"

    def _to_tensor(self, array: Array) -> Array:
        return array

    def _to_numpy(self, tensor: Array) -> Array:
        return np.array(tensor)

    # --------------------------------------------------------------------------------- embedding
    def op_embed(self, attributes: Attributes, tokens: Array, table: Array) -> Result:
        """Look rows up."""
        return (table[tokens],)

    def op_embed_grad(self, attributes: Attributes, tokens: Array, dx: Array) -> Result:
        """Add each token's gradient to its row, as integers on one grid for the whole tensor."""
        terms, grid = to_grid(dx, tuple(range(dx.ndim)))
        sums = np.zeros((int(attributes["vocab_size"]), dx.shape[-1]), I64)
        np.add.at(sums, tokens, terms)
        return (sums.astype(F32) * grid.reshape(1, 1),)

    # ------------------------------------------------------------------------------- elementwise
    def op_add(self, attributes: Attributes, a: Array, b: Array) -> Result:
        """Add."""
        return (a + b,)

    def op_scale(self, attributes: Attributes, a: Array, scalar: Array) -> Result:
        """Multiply by one scalar."""
        return (a * scalar,)

    def op_relu_square(self, attributes: Attributes, x: Array) -> Result:
        """Compute max(x, 0)^2."""
        positive = np.maximum(x, F32(0))
        return (positive * positive,)

    def op_relu_square_grad(self, attributes: Attributes, dy: Array, x: Array) -> Result:
        """Compute (2 max(x, 0)) dy."""
        return ((np.maximum(x, F32(0)) * F32(2)) * dy,)

    # ------------------------------------------------------------------------------------- norms
    def op_rms_norm(self, attributes: Attributes, x: Array) -> Result:
        """Compute y = x * inverse, inverse = 1 / sqrt(sum(x^2) * (1/C) + epsilon)."""
        mean = fixed_sum(x * x, (-1,)) * F32(1.0 / x.shape[-1])
        inverse = F32(1) / np.sqrt(mean + F32(attributes["epsilon"]))
        return x * inverse, inverse

    def op_rms_norm_grad(
        self, attributes: Attributes, dy: Array, y: Array, inverse: Array
    ) -> Result:
        """Compute (dy - y * (sum(dy * y) * (1/C))) * inverse."""
        mean = fixed_sum(dy * y, (-1,)) * F32(1.0 / y.shape[-1])
        return ((dy - y * mean) * inverse,)

    # ------------------------------------------------------------------------------------ matmul
    def op_matmul(self, attributes: Attributes, a: Array, b: Array) -> Result:
        """Compute A * B^T; see `multiply`."""
        lead = a.shape[:-1]
        if attributes["flatten"]:
            a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        a = a.swapaxes(-1, -2) if attributes["a_k_first"] else a
        b = b.swapaxes(-1, -2) if attributes["b_k_first"] else b
        c = multiply(a, b, self._model.operand_max, self._model.block_size)
        if attributes["flatten"] and not attributes["a_k_first"]:
            c = c.reshape(*lead, c.shape[-1])
        return (c,)

    # --------------------------------------------------------------------------------- attention
    def op_split_heads(self, attributes: Attributes, qkv: Array) -> Result:
        """Cut [B, T, 3C] into q, k, v of [B, H, T, D]."""
        batch, length, width = qkv.shape
        heads = int(attributes["num_heads"])
        parts = qkv.reshape(batch, length, 3, heads, width // (3 * heads))
        return tuple(parts.transpose(2, 0, 3, 1, 4))

    def op_split_heads_grad(
        self, attributes: Attributes, dq: Array, dk: Array, dv: Array
    ) -> Result:
        """Put three [B, H, T, D] back into [B, T, 3C]."""
        batch, _, length, _ = dq.shape
        return (np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(batch, length, -1),)

    def op_merge_heads(self, attributes: Attributes, x: Array) -> Result:
        """Put [B, H, T, D] into [B, T, C]."""
        batch, _, length, _ = x.shape
        return (x.transpose(0, 2, 1, 3).reshape(batch, length, -1),)

    def op_merge_heads_grad(self, attributes: Attributes, dx: Array) -> Result:
        """Cut [B, T, C] into [B, H, T, D]."""
        batch, length, width = dx.shape
        heads = int(attributes["num_heads"])
        return (dx.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3),)

    def op_rotate(self, attributes: Attributes, x: Array) -> Result:
        """Turn the pair (x_i, x_(i + D/2)) at position t by the table's angle."""
        cos, sin = compute_rotary_table(x.shape[-2], x.shape[-1])
        first, second = np.split(x, 2, axis=-1)
        turned = (first * cos - second * sin, second * cos + first * sin)
        return (np.concatenate(turned, axis=-1),)

    def op_rotate_grad(self, attributes: Attributes, dy: Array) -> Result:
        """Turn back."""
        cos, sin = compute_rotary_table(dy.shape[-2], dy.shape[-1])
        first, second = np.split(dy, 2, axis=-1)
        turned = (first * cos + second * sin, second * cos - first * sin)
        return (np.concatenate(turned, axis=-1),)

    def op_causal_softmax(self, attributes: Attributes, scores: Array) -> Result:
        """Compute softmax(scale * scores) over keys j <= i; other keys get 0."""
        length = scores.shape[-1]
        y = scores * F32(F32(attributes["scale"]) * F32(LOG2_E))
        y = np.where(np.tri(length, dtype=bool), y, F32(-np.inf))
        largest = y.max(axis=-1, keepdims=True)
        ensure_finite(largest)
        weights = exp2_on_grid(y - largest)
        return (weights / self._sum_weights(weights).astype(F32),)

    def op_causal_softmax_grad(self, attributes: Attributes, dp: Array, p: Array) -> Result:
        """Compute (p * (dp - sum(dp * p))) * scale."""
        product = dp * p
        total = fixed_sum(product, (-1,))
        return (((dp - total) * p) * F32(attributes["scale"]),)

    @staticmethod
    def _sum_weights(weights: Array) -> Array:
        """Sum multiples of 2^-23 exactly; float64 holds every such sum of up to 2^30 terms."""
        units = (weights.astype(F64) * 2.0**EXP2_GRID_BITS).astype(I64)
        return units.sum(axis=-1, keepdims=True).astype(F64) * 2.0**-EXP2_GRID_BITS

    # -------------------------------------------------------------------------------------- loss
    def op_cross_entropy(self, attributes: Attributes, logits: Array, targets: Array) -> Result:
        """Compute each token's loss in nano-nats and the softmax of its logits.

        loss = (log2(sum) + (max - y_target)) * ln 2 in float64, y = logits * log2(e) in float32.
        """
        y = logits * F32(LOG2_E)
        largest = y.max(axis=-1, keepdims=True)
        ensure_finite(largest)
        weights = exp2_on_grid(y - largest)
        total = self._sum_weights(weights)
        gap = largest.astype(F64) - np.take_along_axis(y, targets[..., None], -1).astype(F64)
        nanonats = np.rint(((log2(total) + gap) * LN_2) * 1e9).astype(I64)
        return nanonats[..., 0], weights / total.astype(F32)

    def op_cross_entropy_grad(self, attributes: Attributes, p: Array, targets: Array) -> Result:
        """Compute (p - onehot) * (1 / number of tokens)."""
        gradient = p.copy()
        at_target = np.take_along_axis(p, targets[..., None], -1) - F32(1)
        np.put_along_axis(gradient, targets[..., None], at_target, -1)
        return (gradient * F32(1.0 / targets.size),)

    # --------------------------------------------------------------------------------- optimiser
    def op_advance(self, attributes: Attributes, step: Array) -> Result:
        """Count a step."""
        return (np.asarray(step + I64(1)),)

    def op_clip_scale(self, attributes: Attributes, *gradients: Array) -> Result:
        """Compute min(1, clip / norm), norm the root of one fixed-point sum over all squares."""
        squares = np.concatenate([(g * g).reshape(-1) for g in gradients])
        norm = np.sqrt(fixed_sum(squares, (0,))[0])
        return (np.minimum(F32(attributes["gradient_clip"]) / norm, F32(1)),)

    def op_adamw(
        self,
        attributes: Attributes,
        param: Array,
        gradient: Array,
        m: Array,
        v: Array,
        step: Array,
    ) -> Result:
        """Compute AdamW with every product and sum rounded once, in the order written."""
        c = {n: F32(x) for n, x in compute_adamw_constants(attributes, int(step)).items()}
        m = m * c["beta1"] + gradient * c["one_minus_beta1"]
        v = v * c["beta2"] + (gradient * gradient) * c["one_minus_beta2"]
        root = np.sqrt(v) * c["root_scale"] + c["epsilon"]
        update = (m * c["rate"]) / root
        return param * c["keep"] - update, m, v
