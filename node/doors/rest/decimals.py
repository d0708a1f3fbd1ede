"""Fixed-point fields: on the wire the number times 10^18, in JSON with a point.

A field says so by its `gogoproto.customtype`. The option `cosmos_proto.scalar` alone does not: such
texts (those of gov v1) have their point on the wire, too. Source: cosmossdk.io/math LegacyDec.
"""

from __future__ import annotations

import re
from typing import Any

from gogoproto import gogo_pb2

import proto  # noqa: F401  (puts gogoproto on the path)

PRECISION = 18
MAX_DIGITS = 100
_UNITS = re.compile(r"-?[0-9]{1,100}\Z")
_DECIMAL = re.compile(r"(-?)([0-9]{1,82})(?:\.([0-9]{1,18}))?\Z")


class DecimalError(ValueError):
    """A text that is not a decimal number of at most 18 places."""


def get_custom_type(field: Any) -> str:
    """Get the Go type that a field's option names, empty without one."""
    options = field.GetOptions()
    return str(options.Extensions[gogo_pb2.customtype])


def is_decimal(field: Any) -> bool:
    """Tell whether a field descriptor is of a fixed-point number."""
    return get_custom_type(field).endswith("Dec")


def is_integer(field: Any) -> bool:
    """Tell whether a field descriptor is of a big whole number."""
    return get_custom_type(field).endswith("math.Int")


def format_decimal(units: str) -> str:
    """Format units of 10^-18 with a point; other texts stay as they are."""
    if not _UNITS.match(units or "0"):
        return units
    number = int(units or "0")
    sign = "-" if number < 0 else ""
    whole, fraction = divmod(abs(number), 10**PRECISION)
    return f"{sign}{whole}.{fraction:018d}"


def parse_decimal(text: str) -> str:
    """Parse a number with or without a point into units of 10^-18.

    Raises:
        DecimalError: not one.
    """
    match = _DECIMAL.match(text)
    if match is None:
        raise DecimalError(f"{text[:40]!r} is not a decimal number of at most {PRECISION} places")
    units = int(match[2] + (match[3] or "").ljust(PRECISION, "0"))
    return str(-units if match[1] else units)
