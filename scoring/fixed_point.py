"""Arithmetic on fractions with 32 fractional bits, held in plain Python integers.

A *fixed* value x stands for x / 2**32. This is the I32F32 type of the reference chain restricted to
values that are never negative, so floor and truncation agree. All rounding is downwards, once per
operation, after the operation. No value on the epoch path can reach 2**63 (the largest is a sum of
at most 4096 shares of at most 2**32), so the saturation of the original type never happens here.

Source: `reference/chain.md` section 1.2.
"""

from collections.abc import Sequence

FRACTION_BITS = 32
ONE = 1 << FRACTION_BITS  # 1.0
U16_MAX = 65_535
PPM = 1_000_000


def mul(a: int, b: int) -> int:
    """Multiply two fixed values, rounding down."""
    return (a * b) >> FRACTION_BITS


def div(a: int, b: int) -> int:
    """Divide two fixed values (or two integers), rounding down; anything over zero is zero."""
    if b == 0:
        return 0
    return (a << FRACTION_BITS) // b


def to_u16(value: int) -> int:
    """Map a fixed value in [0, 1] to 0..65535, rounding down; larger values become 65535."""
    return min((value * U16_MAX) >> FRACTION_BITS, U16_MAX)


def from_u16(value_u16: int) -> int:
    """Map 0..65535 to a fixed value in [0, 1], rounding down."""
    return (value_u16 << FRACTION_BITS) // U16_MAX


def normalise(values: Sequence[int]) -> list[int]:
    """Divide every value by the sum of all, rounding each down; a zero sum changes nothing."""
    total = sum(values)
    if total == 0:
        return list(values)
    return [div(value, total) for value in values]
