"""Events: frozen dataclasses a pallet emits, turned into ABCI events with text attributes.

The ABCI type of a class is its name in snake case unless it sets `abci_type`. Bytes become
lower-case hex, booleans `true`/`false`, tuples are joined by commas; addresses are emitted as
bech32 text by the pallet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from tendermint.abci import types_pb2 as abci

Address = Annotated[str, "address"]
"""Bech32 text of an account or operator; Substrate clients see an `AccountId32`."""


@dataclass(frozen=True)
class Event:
    """Base of every event."""

    abci_type: ClassVar[str] = ""


NOT_SEARCHED = frozenset(("amount", "fee", "signature", "msg_index", "new_shares"))
"""Attributes that no search goes by; indexing them is a third of an engine's work on a transfer."""

SHAPES: dict[type[Event], tuple[str, tuple[str, ...]]] = {}


def get_event_shape(event_class: type[Event]) -> tuple[str, tuple[str, ...]]:
    """Get the ABCI type and attribute names of an event class."""
    shape = SHAPES.get(event_class)
    if shape is None:
        snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", event_class.__name__).lower()
        names = tuple(field.name for field in fields(event_class))
        shape = SHAPES[event_class] = (event_class.abci_type or snake_case, names)
    return shape


def format_attribute(value: Any) -> str:
    """Format an attribute value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return ",".join(format_attribute(item) for item in value)
    return str(value)


def build_abci_event(event: Event, msg_index: int | None = None) -> Any:
    """Build the ABCI event; `msg_index` is added for events of a message."""
    name, attribute_names = get_event_shape(type(event))
    message = abci.Event(type=name)
    for attribute in attribute_names:
        value = format_attribute(getattr(event, attribute))
        is_searched = attribute not in NOT_SEARCHED
        message.attributes.add(key=attribute, value=value, index=is_searched)
    if msg_index is not None:
        message.attributes.add(key="msg_index", value=str(msg_index))
    return message
