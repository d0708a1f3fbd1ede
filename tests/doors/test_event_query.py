"""The query language of subscriptions and searches."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.doors.event_query import QuerySyntaxError, parse_query

EVENTS = {
    "tm.event": ["Tx"],
    "tx.height": ["12"],
    "transfer.amount": ["100udsc", "7udsc"],
    "message.action": ["/cosmos.bank.v1beta1.MsgSend"],
    "block.time": ["2026-11-21T10:00:00Z"],
}


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("tm.event='Tx'", True),
        ("tm.event = 'NewBlock'", False),
        ("tm.event='Tx' AND tx.height=12", True),
        ("tm.event='Tx' AND tx.height>12", False),
        ("tx.height >= 12 AND tx.height <= 12", True),
        ("transfer.amount > 50", True),
        ("transfer.amount < 5", False),
        ("message.action CONTAINS 'MsgSend'", True),
        ("message.action='/cosmos.bank.v1beta1.MsgSend'", True),
        ("transfer.amount EXISTS", True),
        ("transfer.fee EXISTS", False),
        ("block.time > TIME 2026-11-21T09:00:00Z", True),
        ("block.time < DATE 2026-11-21", False),
    ],
)
def test_match(text: str, is_match: bool) -> None:
    assert parse_query(text).is_match(EVENTS) is is_match


@pytest.mark.parametrize(
    "text",
    ["", "   ", "tm.event", "tm.event=", "='Tx'", "tm.event='Tx' OR a='b'", "a='b' AND",
     "a>'b'", "a CONTAINS 5", "a=b", "tm.event='Tx", "a=TIME yesterday", "x=1" * 300],
)  # fmt: skip
def test_invalid_text(text: str) -> None:
    with pytest.raises(QuerySyntaxError):
        parse_query(text)


def test_compute_range() -> None:
    query = parse_query("tx.height > 3 AND tx.height<=9 AND a.b='c'")
    assert query.compute_range("tx.height", 1, 100) == (3, 9)
    assert query.get_text("a.b") == "c"


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(QuerySyntaxError):
        parse_query(text).is_match(EVENTS)
