"""What the messages of a proposal may hold: no packed value that is not itself a call.

A proposal is shown and exported as JSON, which opens every `Any`. Whether that can be done must not
depend on which protobuf types a process has loaded, nor on how deep its stack is.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from node.pallets.gov.errors import MessageInvalid
from node.pallets.gov.types import Dispatcher
from node.runtime.errors import UnknownRequest, ensure

MAX_PACKED_DEPTH = 4
"""Calls that hold calls: a vote on a grant of a proposal, and so on."""


def check_packed(message: Any, dispatcher: Dispatcher, depth: int = 0) -> None:
    """Check every `Any` in a message.

    Raises: MessageInvalid.
    """
    name = message.DESCRIPTOR.full_name
    ensure(depth <= MAX_PACKED_DEPTH, MessageInvalid, "calls within calls are nested too deep")
    if name == "google.protobuf.Any":
        message = open_packed(message, dispatcher)
        depth += 1
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for item in value if field.label == field.LABEL_REPEATED else (value,):
            check_packed(item, dispatcher, depth)


def open_packed(packed: Any, dispatcher: Dispatcher) -> Any:
    """Decode a call that another message holds.

    Raises: MessageInvalid.
    """
    try:
        return dispatcher.get_call(packed.type_url).message_class.FromString(packed.value)
    except (DecodeError, UnknownRequest) as error:
        raise MessageInvalid("a packed value is no call that parses") from error
