"""The price of a seat and whom a newcomer replaces.

The price falls continuously, by half every `half_life_blocks`, and jumps by a factor with every
sale. There is no interval to snipe at. All arithmetic is on integers with rounding downwards.

Source: `reference/chain.md` section 1.7.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scoring.fixed_point import PPM

_FACTOR_BITS = 96  # of a decay factor; leaves an error under 1 unit for prices below 2**63
_STEPS = 48  # binary digits of the exponent
_ONE = 1 << _FACTOR_BITS


def _make_roots() -> tuple[int, ...]:
    """Return 2**-(1/2), 2**-(1/4), ... as fixed values, each the square root of the one before."""
    roots = [math.isqrt(_ONE * _ONE // 2)]
    while len(roots) < _STEPS:
        roots.append(math.isqrt(roots[-1] << _FACTOR_BITS))
    return tuple(roots)


_ROOTS = _make_roots()


class RegistrationInputError(ValueError):
    """A number is outside its bound; the message names it."""


def compute_burn_price(
    price_udsc: int,
    elapsed_blocks: int,
    half_life_blocks: int,
    min_price_udsc: int,
    max_price_udsc: int,
) -> int:
    """Return what a seat costs now.

    Price * 2**-(elapsed / half life), as whole halvings times a product of square roots of 1/2, one
    for each binary digit of the rest.

    Args:
        price_udsc: price after the last sale.
        elapsed_blocks: blocks since then.
        half_life_blocks: blocks in which the price halves, at least 1.
        min_price_udsc: it never falls below.
        max_price_udsc: it is never above.

    Raises:
        RegistrationInputError: a negative number, no half life, or min above max.

    Source: `reference/chain.md` section 1.7.
    """
    if min(price_udsc, elapsed_blocks, min_price_udsc) < 0 or half_life_blocks < 1:
        raise RegistrationInputError("prices and blocks must not be negative, half life not zero")
    if min_price_udsc > max_price_udsc:
        raise RegistrationInputError("the least price is above the largest")
    halvings, rest_blocks = divmod(elapsed_blocks, half_life_blocks)
    digits = (rest_blocks << _STEPS) // half_life_blocks
    factor = _ONE
    for index, root in enumerate(_ROOTS):
        if digits >> (_STEPS - 1 - index) & 1:
            factor = factor * root >> _FACTOR_BITS
    shift = _FACTOR_BITS + min(halvings, price_udsc.bit_length())
    return min(max(price_udsc * factor >> shift, min_price_udsc), max_price_udsc)


def compute_raised_price(
    price_udsc: int, increase_ppm: int, min_price_udsc: int, max_price_udsc: int
) -> int:
    """Return the price after a sale at `price_udsc`: times increase_ppm / 10**6, within bounds."""
    return min(max(price_udsc * increase_ppm // PPM, min_price_udsc), max_price_udsc)


@dataclass(frozen=True)
class Seat:
    """What decides whether a participant can be replaced.

    Attributes:
        uid: of the seat.
        emission_units: what it earned in the last epoch.
        registered_block: when it was taken.
        is_immune: whether it still is in its immunity period.
    """

    uid: int
    emission_units: int
    registered_block: int
    is_immune: bool


def choose_replaced_uid(seats: Iterable[Seat]) -> int | None:
    """Return whom a newcomer to a full run replaces: lowest emission, then oldest, then lowest uid.

    Returns:
        None if everybody is immune: then there is no seat to sell.

    Source: `reference/chain.md` section 1.7.
    """
    ranked = sorted(
        (seat.emission_units, seat.registered_block, seat.uid)
        for seat in seats
        if not seat.is_immune
    )
    return ranked[0][2] if ranked else None
