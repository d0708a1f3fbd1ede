from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class OperatorRewards(_message.Message):
    __slots__ = ("outstanding_udsc", "ratio", "carry", "commission")
    OUTSTANDING_UDSC_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    CARRY_FIELD_NUMBER: _ClassVar[int]
    COMMISSION_FIELD_NUMBER: _ClassVar[int]
    outstanding_udsc: int
    ratio: str
    carry: str
    commission: str
    def __init__(self, outstanding_udsc: _Optional[int] = ..., ratio: _Optional[str] = ..., carry: _Optional[str] = ..., commission: _Optional[str] = ...) -> None: ...

class DelegatorStart(_message.Message):
    __slots__ = ("ratio", "owed")
    RATIO_FIELD_NUMBER: _ClassVar[int]
    OWED_FIELD_NUMBER: _ClassVar[int]
    ratio: str
    owed: str
    def __init__(self, ratio: _Optional[str] = ..., owed: _Optional[str] = ...) -> None: ...
