"""How a product's integers are held, so that tensor cores sum them exactly.

| mode | operands                                   | accumulator                            |
|------|--------------------------------------------|----------------------------------------|
| 0    | int8                                       | int32                                  |
| 1    | fp16, a block's sum at most 2^24           | float32, in any order                  |
| 2    | fp16; above 11 bits int16 in two planes    | float32 a tile and plane, then int32   |
"""

import functools
from dataclasses import dataclass

from exact.config import FLOAT32_ACCUMULATOR_LIMIT

INT8_MAX = 127
HALF_MAX = 2047
PLANE_MAX = 255
MIN_TILE, MAX_TILE = 32, 64


@dataclass(frozen=True)
class Format:
    """Of one product.

    Attributes:
        mode: a row of the table above.
        a_wide, b_wide: whether an operand is int16 in two planes.
        a_bits, b_bits: b of |q| <= 2^b - 1.
    """

    mode: int
    a_wide: bool
    b_wide: bool
    a_bits: int
    b_bits: int


@functools.cache
def choose_format(a_max: int, b_max: int, block: int, tile: int, has_int8: bool) -> Format:
    """Choose the fastest exact one.

    Args:
        a_max, b_max: largest |q|.
        block: elements of the contraction that share a scale.
        tile: elements of it that one dot takes.
        has_int8: whether the device's int8 products are exact.
    """
    bits = a_max.bit_length(), b_max.bit_length()
    if has_int8 and max(a_max, b_max) <= INT8_MAX:
        return Format(0, False, False, *bits)
    tile = min(tile, block)
    for a_wide, b_wide in ((False, False), (True, False), (False, True), (True, True)):
        left, right = _get_plane_max(a_max, a_wide), _get_plane_max(b_max, b_wide)
        if left and right and left * right * tile <= FLOAT32_ACCUMULATOR_LIMIT:
            is_plain = not a_wide and not b_wide
            is_single = is_plain and a_max * b_max * block <= FLOAT32_ACCUMULATOR_LIMIT
            return Format(1 if is_single else 2, a_wide, b_wide, *bits)
    raise AssertionError(f"no exact format for {a_max} * {b_max} in tiles of {tile}")


def _get_plane_max(largest: int, is_wide: bool) -> int:
    """Largest integer that goes into a dot; 0 where fp16 does not hold it."""
    if is_wide:
        return PLANE_MAX
    return largest if largest <= HALF_MAX else 0
