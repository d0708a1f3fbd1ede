"""Parameters of a pallet: frozen, every field bounded, stored as a protobuf message.

    @dataclass(frozen=True)
    class MintParams(Params):
        message_class: ClassVar[Any] = mint_pb2.Params
        supply_cap_udsc: int = bounded(21 * 10**12, low=1, high=2**63 - 1)

Field names are those of the message. A class whose message nests other types overrides
`to_message` and `from_message`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from node.runtime.codecs import CodecError, ProtoCodec

P = TypeVar("P", bound="Params")


class ParamsError(ValueError):
    """A parameter is outside its bounds."""


def bounded(default: int, *, low: int, high: int) -> Any:
    """Declare an integer parameter with inclusive bounds."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Params:
    """Base of parameter classes; checks bounds on construction.

    Raises: ParamsError.
    """

    message_class: ClassVar[Any] = None

    def __post_init__(self) -> None:
        for item in fields(self):
            if "low" not in item.metadata:
                continue
            value = getattr(self, item.name)
            low, high = item.metadata["low"], item.metadata["high"]
            if not low <= value <= high:
                raise ParamsError(f"{item.name} = {value} is outside {low}..{high}")

    def to_message(self) -> Any:
        """Build the protobuf message."""
        return self.message_class(**{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def from_message(cls: type[P], message: Any) -> P:
        """Build from the protobuf message.

        Raises: ParamsError.
        """
        return cls(**{item.name: getattr(message, item.name) for item in fields(cls)})


class ParamsCodec:
    """Value codec of a `Params` class; what was decoded last is kept, for it rarely changes."""

    def __init__(self, params_class: type[P]) -> None:
        self.params_class: Any = params_class
        self._last: tuple[bytes, Any] | None = None
        self._proto: ProtoCodec[Any] = ProtoCodec(params_class.message_class)

    def encode(self, value: Any) -> bytes:
        return self._proto.encode(value.to_message())

    def decode(self, data: bytes) -> Any:
        if self._last is None or self._last[0] != data:
            self._last = data, self.params_class.from_message(self._proto.decode(data))
        return self._last[1]

    def to_json(self, value: Any) -> Any:
        return self._proto.to_json(value.to_message())

    def from_json(self, obj: Any) -> Any:
        try:
            return self.params_class.from_message(self._proto.from_json(obj))
        except ParamsError as error:
            raise CodecError(str(error)) from error
