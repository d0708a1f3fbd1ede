"""Elementary functions as fixed sequences of single IEEE operations, and the tables made of them.

Library exp, log, sin and cos differ between instruction sets by up to 3 units in the last place,
so nothing here calls them: exp2 and log2 are polynomials whose coefficients are fixed below, and
the rotary table is made in decimal arithmetic, whose operations are correctly rounded.
"""

from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np

# 2^f on [-1/2, 1/2] as 1 + f * P(f), float32 Horner from the last; max relative error 1.9e-7.
EXP2_COEFFICIENTS = tuple(
    float.fromhex(c)
    for c in (
        "0x1.62e42a0000000p-1",
        "0x1.ebf9bc0000000p-3",
        "0x1.c6b7520000000p-5",
        "0x1.3cea880000000p-7",
        "0x1.5bba140000000p-10",
    )
)
# Exponents of softmax are clamped here: 2^-30 is below half a unit of the 2^-23 grid.
EXP2_MIN = -30.0
# In a sigmoid 2^-100 is nothing beside 1, and stays normal.
SIGMOID_EXP2_MIN = -100.0
# Softmax numerators are multiples of 2^-23, so their sums are exact integers.
EXP2_GRID_BITS = 23

LOG2_E = float(np.float32(1.4426950408889634))
LN_2 = 0.6931471805599453
SQRT_2 = 1.4142135623730951
# log2(m) = t * (2 / ln 2) * (1 + t^2/3 + t^4/5 ...), t = (m - 1) / (m + 1); float64 Horner.
LOG2_COEFFICIENTS = tuple(2.8853900817779268 / (2 * i + 1) for i in range(11))

ROTARY_BASE = 10_000
_DECIMAL_DIGITS = 40


@lru_cache(maxsize=8)
def compute_rotary_table(
    num_positions: int, head_dim: int, base: int = ROTARY_BASE
) -> tuple[np.ndarray, np.ndarray]:
    """Compute cos and sin of position * base^(-2i / head_dim).

    Args:
        num_positions: rows of the table.
        head_dim: even width of one head; i runs over its first half.
        base: theta, >= 2.

    Returns:
        (cos, sin), float32 [num_positions, head_dim / 2] each.
    """
    half = head_dim // 2
    cos = np.zeros((num_positions, half), np.float32)
    sin = np.zeros((num_positions, half), np.float32)
    with localcontext(Context(prec=_DECIMAL_DIGITS)):
        log_base = Decimal(base).ln()
        for i in range(half):
            step_cos, step_sin = _compute_cos_sin((-log_base * i / half).exp())
            c, s = Decimal(1), Decimal(0)
            for position in range(num_positions):
                cos[position, i], sin[position, i] = float(c), float(s)
                c, s = c * step_cos - s * step_sin, s * step_cos + c * step_sin
    return cos, sin


def _compute_cos_sin(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Sum the two Taylor series; 0 <= angle <= 1, so 40 terms are far below the last digit."""
    cos, sin, term = Decimal(0), Decimal(0), Decimal(1)
    for n in range(40):
        if n % 2 == 0:
            cos += term if n % 4 == 0 else -term
        else:
            sin += term if n % 4 == 1 else -term
        term = term * angle / (n + 1)
    return cos, sin


def compute_power(base: float, exponent: int) -> float:
    """Compute base^exponent in float64 by repeated squaring, low bit first."""
    result, square = 1.0, float(base)
    while exponent:
        if exponent & 1:
            result *= square
        square *= square
        exponent >>= 1
    return result
