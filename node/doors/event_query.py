"""The query language of subscriptions and searches: `tm.event='Tx' AND transfer.amount > 5`.

A query is conditions joined by AND. A condition is `key OP operand` with OP one of
`= < <= > >= CONTAINS`, or `key EXISTS`. Operands are 'text', numbers, `DATE yyyy-mm-dd` and
`TIME rfc3339`. Keys are `event_type.attribute_key`. A condition holds if any value of its key
satisfies it. Source: CometBFT v0.39 libs/pubsub/query/syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_QUERY_CHARS = 512

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<text>'(?:[^'])*')"
    r"|(?P<op><=|>=|=|<|>)"
    r"|(?P<time>TIME\s+[^\s'\"]+)"
    r"|(?P<date>DATE\s+[^\s'\"]+)"
    r"|(?P<word>[^\s'\"=<>()\\]+)"
    r")"
)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z")
_LEADING_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_KEYWORDS = {"AND", "CONTAINS", "EXISTS"}


class QuerySyntaxError(ValueError):
    """The text is not a query."""


Operand = str | Decimal | datetime | None
Events = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Condition:
    """One condition; `operand` is None for EXISTS."""

    key: str
    operator: str
    operand: Operand = None

    def is_met(self, values: Iterable[str]) -> bool:
        """Tell whether any of a key's values satisfies the condition."""
        if self.operator == "EXISTS":
            return any(True for _ in values)
        return any(self.is_met_by(value) for value in values)

    def is_met_by(self, value: str) -> bool:
        """Tell whether one value satisfies the condition."""
        if isinstance(self.operand, str):
            if self.operator == "CONTAINS":
                return self.operand in value
            return value == self.operand
        if isinstance(self.operand, Decimal):
            match = _LEADING_NUMBER.match(value)
            return match is not None and compare(Decimal(match[0]), self.operator, self.operand)
        if isinstance(self.operand, datetime):
            try:
                return compare(parse_time(value), self.operator, self.operand)
            except QuerySyntaxError:
                return False
        return False


@dataclass(frozen=True)
class EventQuery:
    """A parsed query; equal queries have equal conditions."""

    conditions: tuple[Condition, ...]

    def is_match(self, events: Events) -> bool:
        """Tell whether every condition holds for the events."""
        return all(condition.is_met(events.get(condition.key, ())) for condition in self.conditions)

    def compute_range(self, key: str, low: int, high: int) -> tuple[int, int]:
        """Narrow [low, high] by the integer conditions on `key` (a height)."""
        for condition in self.conditions:
            if condition.key != key or not isinstance(condition.operand, Decimal):
                continue
            bound = int(condition.operand)
            if condition.operator in ("=", ">", ">="):
                low = max(low, bound)
            if condition.operator in ("=", "<", "<="):
                high = min(high, bound)
        return low, high

    def get_text(self, key: str) -> str | None:
        """Get the text `key` must equal, if the query says so."""
        for condition in self.conditions:
            if condition.key == key and condition.operator == "=":
                return str(condition.operand)
        return None


def compare(left: Any, operator: str, right: Any) -> bool:
    """Compare two values of one type."""
    if operator == "=":
        return bool(left == right)
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    if operator == ">":
        return bool(left > right)
    return bool(left >= right)


def parse_time(text: str) -> datetime:
    """Parse a date or an RFC 3339 time; without a zone it is UTC.

    Raises:
        QuerySyntaxError: neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise QuerySyntaxError(f"invalid time {text!r}") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def split_tokens(text: str) -> list[tuple[str, str]]:
    """Split a query into (kind, text) tokens.

    Raises:
        QuerySyntaxError: a character that starts no token.
    """
    tokens: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise QuerySyntaxError(f"unexpected input at offset {position}")
        tokens.append((match.lastgroup or "", match.group(match.lastgroup or "")))
        position = match.end()
    return tokens


def parse_operand(kind: str, text: str, operator: str) -> Operand:
    """Parse the right side of a condition.

    Raises:
        QuerySyntaxError: not an operand, or one that the operator cannot compare.
    """
    if kind == "text":
        if operator not in ("=", "CONTAINS"):
            raise QuerySyntaxError(f"operator {operator} needs a number or a time")
        return text[1:-1]
    if operator == "CONTAINS":
        raise QuerySyntaxError("CONTAINS needs a quoted text")
    if kind in ("time", "date"):
        return parse_time(text.split(None, 1)[1])
    if kind == "word" and _NUMBER.match(text):
        try:
            return Decimal(text)
        except InvalidOperation:
            raise QuerySyntaxError(f"invalid number {text!r}") from None
    raise QuerySyntaxError(f"expected an operand, got {text!r}")


def parse_query(text: str) -> EventQuery:
    """Parse a query.

    Raises:
        QuerySyntaxError: too long, or not in the grammar of the module's docstring.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise QuerySyntaxError("maximum query length exceeded")
    tokens = split_tokens(text)
    conditions: list[Condition] = []
    index = 0
    while True:
        window = [*tokens[index : index + 3], ("end", ""), ("end", ""), ("end", "")][:3]
        (key_kind, key), (op_kind, operator), (kind, operand) = window
        if key_kind != "word" or key in _KEYWORDS:
            raise QuerySyntaxError(f"expected a key, got {key!r}" if key else "empty query")
        if operator == "EXISTS":
            conditions.append(Condition(key, "EXISTS"))
            index += 2
        elif op_kind == "op" or operator == "CONTAINS":
            conditions.append(Condition(key, operator, parse_operand(kind, operand, operator)))
            index += 3
        else:
            raise QuerySyntaxError(f"expected an operator after {key!r}")
        if index == len(tokens):
            return EventQuery(tuple(conditions))
        if tokens[index] != ("word", "AND"):
            raise QuerySyntaxError(f"expected AND, got {tokens[index][1]!r}")
        index += 1


def collect_events(
    events: Iterable[Any], base: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Collect `type.key -> values` from ABCI events, after the reserved keys in `base`.

    Only attributes marked for the index count, as in CometBFT.
    """
    collected = {key: list(values) for key, values in base.items()}
    for event in events:
        for attribute in event.attributes:
            if event.type and attribute.key and attribute.index:
                collected.setdefault(f"{event.type}.{attribute.key}", []).append(attribute.value)
    return collected
