"""Messages within messages."""

from typing import Any

from google.protobuf.any_pb2 import Any as ProtoAny


def pack_any(message: Any) -> Any:
    """Wrap a message in `google.protobuf.Any`, its type URL in the Cosmos form `/package.Name`."""
    return ProtoAny(
        type_url="/" + message.DESCRIPTOR.full_name,
        value=message.SerializeToString(deterministic=True),
    )
