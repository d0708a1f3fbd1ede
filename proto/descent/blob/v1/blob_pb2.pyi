from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_BLOB: _ClassVar[Kind]
    KIND_STATE: _ClassVar[Kind]
    KIND_TRACE: _ClassVar[Kind]
    KIND_MANIFEST: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_BLOB: Kind
KIND_STATE: Kind
KIND_TRACE: Kind
KIND_MANIFEST: Kind

class StatRequest(_message.Message):
    __slots__ = ("kind", "address")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    address: bytes
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., address: _Optional[bytes] = ...) -> None: ...

class StatResponse(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("kind", "address", "offset")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    address: bytes
    offset: int
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., address: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...

class GetChunk(_message.Message):
    __slots__ = ("total_size", "data")
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    total_size: int
    data: bytes
    def __init__(self, total_size: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
