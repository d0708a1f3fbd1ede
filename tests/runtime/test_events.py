"""The encoding of events against protobuf's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import proto  # noqa: F401  (puts tendermint.* on the path)

# isort: split
from hypothesis import given
from hypothesis import strategies as st
from tendermint.abci import types_pb2 as abci

from node.runtime.events import Event, encode_event, join_events


@dataclass(frozen=True)
class CoinsMoved(Event):
    """Text, a number, a flag, bytes and a list, one of them not searched."""

    sender: str
    amount: int
    is_new: bool
    digest: bytes
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Named(Event):
    """An event that sets its type."""

    abci_type: ClassVar[str] = "message"
    action: str


LENGTHS = st.sampled_from([0, 1, 5, 100, 110, 111, 112, 113, 114, 115, 127, 128, 129, 300, 20_000])
TEXTS = LENGTHS.map(lambda length: "a" * length) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=40
)


@given(TEXTS, st.integers(0, 2**80), st.booleans(), st.binary(max_size=70), st.sampled_from([0, 3]))
def test_encoding(text: str, amount: int, is_new: bool, digest: bytes, count: int) -> None:
    event = CoinsMoved(text, amount, is_new, digest, tuple(range(count)))
    expected = abci.Event(type="coins_moved")
    expected.attributes.add(key="sender", value=text, index=True)
    expected.attributes.add(key="amount", value=str(amount))
    expected.attributes.add(key="is_new", value="true" if is_new else "false", index=True)
    expected.attributes.add(key="digest", value=digest.hex(), index=True)
    expected.attributes.add(key="numbers", value=",".join("012"[:count]), index=True)
    assert encode_event(event) == expected.SerializeToString(deterministic=True)


@given(TEXTS, st.integers(0, 300))
def test_encoding__of_a_message(text: str, index: int) -> None:
    expected = abci.Event(type="message")
    expected.attributes.add(key="action", value=text, index=True)
    expected.attributes.add(key="msg_index", value=str(index))
    assert encode_event(Named(text), index) == expected.SerializeToString(deterministic=True)


def test_events_merge_into_a_result() -> None:
    events = [encode_event(Named(text)) for text in ("a", "b" * 200)]
    result = abci.ExecTxResult(code=0)
    result.MergeFromString(join_events(b"\x3a", events))
    assert [event.SerializeToString() for event in result.events] == events
