"""Amounts of a denomination, as `cosmos.base.v1beta1.Coin` carries them.

A coin list is valid if denominations are sorted, distinct and well formed and amounts positive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cosmos.base.v1beta1 import coin_pb2

from node.runtime.errors import InvalidCoins

BASE_DENOM = "udsc"
DISPLAY_DENOM = "DSC"
UDSC_PER_DSC = 10**6
MAX_AMOUNT = 2**256 - 1
DENOM_PATTERN = re.compile(r"[a-zA-Z][a-zA-Z0-9/:._-]{2,127}")
AMOUNT_PATTERN = re.compile(r"[0-9]{1,78}")


def build_coin(denom: str, amount: int) -> Any:
    """Build a protobuf coin."""
    return coin_pb2.Coin(denom=denom, amount=str(amount))


def parse_amount(text: str) -> int:
    """Parse a non-negative decimal amount.

    Raises: InvalidCoins.
    """
    if not AMOUNT_PATTERN.fullmatch(text) or int(text) > MAX_AMOUNT:
        raise InvalidCoins(f"invalid amount {text!r}")
    return int(text)


def parse_coin(coin: Any) -> tuple[str, int]:
    """Parse one positive coin.

    Raises: InvalidCoins.
    """
    return parse_coin_text(coin.denom, coin.amount)


@lru_cache(maxsize=4096)
def parse_coin_text(denom: str, text: str) -> tuple[str, int]:
    """Parse denomination and amount of one positive coin.

    Raises: InvalidCoins.
    """
    if not DENOM_PATTERN.fullmatch(denom):
        raise InvalidCoins(f"invalid denom: {denom}")
    amount = parse_amount(text)
    if amount == 0:
        raise InvalidCoins(f"{text}{denom} is not positive")
    return denom, amount


def parse_coins(coins: Iterable[Any], allow_empty: bool = False) -> list[tuple[str, int]]:
    """Parse a valid coin list into (denom, amount).

    Raises: InvalidCoins.
    """
    parsed = [parse_coin(coin) for coin in coins]
    if len(parsed) == 1:
        return parsed
    names = [denom for denom, _ in parsed]
    if not parsed and not allow_empty:
        raise InvalidCoins("empty coin list")
    if names != sorted(set(names)):
        raise InvalidCoins(f"{format_coins(parsed)}: denominations not sorted and distinct")
    return parsed


def format_coins(coins: Iterable[tuple[str, int]]) -> str:
    """Format as `5udsc,7uother`; empty text for no coins."""
    return ",".join(f"{amount}{denom}" for denom, amount in coins)
