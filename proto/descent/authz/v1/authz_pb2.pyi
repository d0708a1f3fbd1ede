from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SessionAuthorization(_message.Message):
    __slots__ = ("allowed_calls", "spend_limit_udsc")
    ALLOWED_CALLS_FIELD_NUMBER: _ClassVar[int]
    SPEND_LIMIT_UDSC_FIELD_NUMBER: _ClassVar[int]
    allowed_calls: _containers.RepeatedScalarFieldContainer[str]
    spend_limit_udsc: int
    def __init__(self, allowed_calls: _Optional[_Iterable[str]] = ..., spend_limit_udsc: _Optional[int] = ...) -> None: ...
