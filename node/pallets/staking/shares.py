"""Arithmetic of delegation shares and of fractions with 18 decimals, in integers.

On the wire a fraction is the text of an integer scaled by 10**18 (the Cosmos `Dec`). Shares are
such fractions; one share is worth tokens / total shares. Rounding is down, against the delegator.
"""

from __future__ import annotations

from node.runtime.errors import InvalidRequest

DECIMALS_18 = 10**18
MAX_DIGITS = 80


def parse_fraction(text: str) -> int:
    """Parse the scaled integer of a fraction.

    Raises: InvalidRequest.
    """
    digits = text[1:] if text.startswith("-") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > MAX_DIGITS:
        raise InvalidRequest(f"{text!r} is not a decimal number")
    return int(text)


def compute_shares(amount: int, tokens: int, total_shares: int) -> int:
    """Compute the shares an amount of tokens is worth; at the start a token is one share."""
    if total_shares == 0 or tokens == 0:
        return amount * DECIMALS_18
    return amount * total_shares // tokens


def compute_tokens(shares: int, tokens: int, total_shares: int) -> int:
    """Compute the tokens that shares are worth, rounded down."""
    return 0 if total_shares == 0 else shares * tokens // total_shares
