"""Amounts as people write them: `5DSC`, `0.25DSC`, `5000000udsc`. Integers of udsc inside."""

import re

from chain_client.errors import InvalidInput

BASE_DENOM = "udsc"
DISPLAY_DENOM = "DSC"
UDSC_PER_DSC = 10**6
_MAX_UDSC = 2**127
_AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z][A-Za-z0-9]*)?")


def parse_amount(text: str) -> int:
    """Return an amount in udsc.

    Args:
        text: digits with a unit, `DSC` (up to six decimals) or `udsc` (none).

    Raises:
        InvalidInput: no unit, an unknown one, or a fraction of a udsc.
    """
    hint = "write 5DSC or 5000000udsc"
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not an amount", hint=hint)
    number, unit = match["number"], match["unit"]
    if unit is None:
        raise InvalidInput(f"{text!r} has no unit", hint=hint)
    if unit not in (BASE_DENOM, DISPLAY_DENOM):
        raise InvalidInput(f"unknown unit {unit!r} in {text!r}", hint=hint)
    whole, _, fraction = number.partition(".")
    decimals = 6 if unit == DISPLAY_DENOM else 0
    if fraction[decimals:].strip("0"):
        raise InvalidInput(f"{text!r} has a fraction of a udsc", hint=hint)
    amount = int(whole + fraction[:decimals].ljust(decimals, "0"))
    if amount > _MAX_UDSC:
        raise InvalidInput(f"{text!r} is out of range")
    return amount


def format_dsc(amount_udsc: int) -> str:
    """Write an amount for people: `1234567` becomes `1.234567 DSC`."""
    sign = "-" if amount_udsc < 0 else ""
    whole, rest = divmod(abs(amount_udsc), UDSC_PER_DSC)
    decimals = f"{rest:06d}".rstrip("0")
    return f"{sign}{whole}{'.' + decimals if decimals else ''} {DISPLAY_DENOM}"
