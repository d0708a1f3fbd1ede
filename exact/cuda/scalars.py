"""What kernels are made of: single IEEE operations on tiles, in the order of `docs/exact.md`.

`a * b + c` is two roundings here: launches switch contraction off (`launch.py`). Division and root
are `div_rn` and `sqrt_rn`; Triton's `/` and `sqrt` are approximate. A magnitude that the definition
refuses turns its scale into NaN, and NaN reaches the losses or the state, which are checked.
Comparisons instead of maximum keep a NaN.
"""

import triton
import triton.language as tl

from exact import elementary

# (x + ROUND) - ROUND rounds |x| <= 2^22 to an integer, half to even.
ROUND = tl.constexpr(1.5 * 2.0**23)
ROUND_64 = tl.constexpr(2.0**52)
UNIT = tl.constexpr(2.0**-23)
UNITS = tl.constexpr(2.0**23)
LOG2_E = tl.constexpr(elementary.LOG2_E)
INVALID_LOSS = tl.constexpr(-(2**63))

_C1, _C2, _C3, _C4, _C5 = (tl.constexpr(c) for c in elementary.EXP2_COEFFICIENTS)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8, _L9, _L10 = (
    tl.constexpr(c) for c in elementary.LOG2_COEFFICIENTS
)
_LN_2 = tl.constexpr(elementary.LN_2)
_SQRT_2 = tl.constexpr(elementary.SQRT_2)


# ------------------------------------------------------------------------------------- exponents
@triton.jit
def get_magnitude(x):
    """Bits of |x|: ordered as integers like the magnitudes, NaN above all."""
    return x.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def power_of_two(exponent):
    """2^exponent; -126 <= exponent <= 127."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def get_block_exponent(bits, NUM_BITS: tl.constexpr):
    """Exponent of a block's scale from the bits of its largest magnitude."""
    return tl.maximum((bits >> 23) - 127, -55) - (NUM_BITS - 1)


@triton.jit
def get_block_scale(bits, NUM_BITS: tl.constexpr):
    """Scale of a block; NaN where the definition refuses."""
    scale = power_of_two(get_block_exponent(bits, NUM_BITS))
    return tl.where((bits >> 23) - 127 > 58, float("nan"), scale)


@triton.jit
def quantise(x, bits, NUM_BITS: tl.constexpr):
    """Integers of a block as float32; `bits` has the block's axis with length 1."""
    largest: tl.constexpr = 2.0**NUM_BITS - 1.0
    q = (x * power_of_two(-get_block_exponent(bits, NUM_BITS)) + ROUND) - ROUND
    return tl.minimum(tl.maximum(q, -largest), largest)


@triton.jit
def get_grid(bits):
    """Grid of a fixed-point sum; NaN where the definition refuses."""
    exponent = (bits >> 23) - 127
    return tl.where(exponent > 125, float("nan"), power_of_two(tl.maximum(exponent, -100) - 21))


@triton.jit
def to_grid(x, bits):
    """Integers |t| <= 2^22 as int32."""
    inverse = power_of_two(21 - tl.maximum((bits >> 23) - 127, -100))
    return ((x * inverse + ROUND) - ROUND).to(tl.int32)


@triton.jit
def sum_rows(x):
    """Fixed-point sums of the rows of a tile."""
    bits = tl.max(get_magnitude(x), 1)
    total = tl.sum(to_grid(x, bits[:, None]).to(tl.int64), 1)
    return total.to(tl.float32) * get_grid(bits)


# ------------------------------------------------------------------------------------- functions
@triton.jit
def exp2(y, LOWEST: tl.constexpr):
    """2^max(y, LOWEST) for y <= 0."""
    z = tl.where(y < LOWEST, LOWEST, y)
    whole = (z + ROUND) - ROUND
    part = z - whole
    p = part * _C5 + _C4
    p = p * part + _C3
    p = p * part + _C2
    p = p * part + _C1
    p = p * part + 1.0
    return p * power_of_two(whole.to(tl.int32))


@triton.jit
def to_units(y):
    """2^y for y <= 0 in whole units of 2^-23, as float32; NaN stays."""
    return ((exp2(y, -30.0) + 1.0) - 1.0) * UNITS


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x)."""
    power = exp2(-(tl.abs(x) * LOG2_E), -100.0)
    return tl.math.div_rn(tl.where(x >= 0, 1.0, power), power + 1.0)


@triton.jit
def log2(x):
    """log2 of a float64 x >= 1."""
    bits = x.to(tl.int64, bitcast=True)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).to(tl.float64, bitcast=True)
    is_high = mantissa > _SQRT_2
    mantissa = tl.where(is_high, mantissa * 0.5, mantissa)
    exponent = exponent + is_high.to(tl.int64)
    t = (mantissa - 1.0) / (mantissa + 1.0)
    r = t * t
    a = r * _L10 + _L9
    a = a * r + _L8
    a = a * r + _L7
    a = a * r + _L6
    a = a * r + _L5
    a = a * r + _L4
    a = a * r + _L3
    a = a * r + _L2
    a = a * r + _L1
    a = a * r + _L0
    return a * t + exponent.to(tl.float64)


@triton.jit
def to_nanonats(log_sum, gap):
    """Loss of a token; INVALID_LOSS for what is none."""
    value = ((log_sum + gap) * _LN_2) * 1e9
    above = tl.where(value < ROUND_64, (value + ROUND_64) - ROUND_64, value)
    below = (value - ROUND_64) + ROUND_64
    rounded = tl.where(value < 0.0, below, above)
    is_valid = (rounded > -(2.0**40)) & (rounded < 2.0**63)
    return tl.where(is_valid, tl.where(is_valid, rounded, 0.0).to(tl.int64), INVALID_LOSS)


# ------------------------------------------------------------------------------------------ dots
@triton.jit
def hold(q, MODE: tl.constexpr, IS_WIDE: tl.constexpr):
    """Turn integers in float32 into what a dot takes: int8, fp16, or int16 for two planes."""
    if IS_WIDE:
        return q.to(tl.int32).to(tl.int16)
    elif MODE == 0:
        return q.to(tl.int32).to(tl.int8)
    else:
        return q.to(tl.float16)


@triton.jit
def dot(a, b, MODE: tl.constexpr, A_WIDE: tl.constexpr, B_WIDE: tl.constexpr):
    """Exact product of two tiles of integers.

    MODE 0: int8 tensor cores. 1: fp16 tensor cores, sums below 2^24 in float32. 2: wide operands in
    two planes of 8 bits on fp16 tensor cores, sums in integers. Returns int32, float32 in mode 1.
    """
    if MODE == 0:
        return tl.dot(a, b, out_dtype=tl.int32)
    elif MODE == 1:
        return tl.dot(a.to(tl.float16), b.to(tl.float16))
    elif A_WIDE and B_WIDE:
        a_high, a_low = (a >> 8).to(tl.float16), (a & 255).to(tl.float16)
        b_high, b_low = (b >> 8).to(tl.float16), (b & 255).to(tl.float16)
        high = tl.dot(a_high, b_high).to(tl.int64)
        middle = tl.dot(a_high, b_low).to(tl.int64) + tl.dot(a_low, b_high).to(tl.int64)
        return (high * 65536 + middle * 256 + tl.dot(a_low, b_low).to(tl.int64)).to(tl.int32)
    elif A_WIDE:
        a_high, a_low = (a >> 8).to(tl.float16), (a & 255).to(tl.float16)
        b = b.to(tl.float16)
        return tl.dot(a_high, b).to(tl.int32) * 256 + tl.dot(a_low, b).to(tl.int32)
    elif B_WIDE:
        b_high, b_low = (b >> 8).to(tl.float16), (b & 255).to(tl.float16)
        a = a.to(tl.float16)
        return tl.dot(a, b_high).to(tl.int32) * 256 + tl.dot(a, b_low).to(tl.int32)
    else:
        return tl.dot(a.to(tl.float16), b.to(tl.float16)).to(tl.int32)
