from cosmos.msg.v1 import msg_pb2 as _msg_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Anchor(_message.Message):
    __slots__ = ("operator_addr", "current", "next_anchor", "revealed_height")
    OPERATOR_ADDR_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    REVEALED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    operator_addr: str
    current: bytes
    next_anchor: bytes
    revealed_height: int
    def __init__(self, operator_addr: _Optional[str] = ..., current: _Optional[bytes] = ..., next_anchor: _Optional[bytes] = ..., revealed_height: _Optional[int] = ...) -> None: ...

class Reveal(_message.Message):
    __slots__ = ("operator_addr", "preimage", "next_anchor")
    OPERATOR_ADDR_FIELD_NUMBER: _ClassVar[int]
    PREIMAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    operator_addr: str
    preimage: bytes
    next_anchor: bytes
    def __init__(self, operator_addr: _Optional[str] = ..., preimage: _Optional[bytes] = ..., next_anchor: _Optional[bytes] = ...) -> None: ...

class SignedExtension(_message.Message):
    __slots__ = ("extension", "signature")
    EXTENSION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    extension: bytes
    signature: bytes
    def __init__(self, extension: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class BlockReveals(_message.Message):
    __slots__ = ("extensions",)
    EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    extensions: _containers.RepeatedCompositeFieldContainer[SignedExtension]
    def __init__(self, extensions: _Optional[_Iterable[_Union[SignedExtension, _Mapping]]] = ...) -> None: ...

class BeaconValue(_message.Message):
    __slots__ = ("height", "value", "num_reveals")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    NUM_REVEALS_FIELD_NUMBER: _ClassVar[int]
    height: int
    value: bytes
    num_reveals: int
    def __init__(self, height: _Optional[int] = ..., value: _Optional[bytes] = ..., num_reveals: _Optional[int] = ...) -> None: ...

class GenesisState(_message.Message):
    __slots__ = ("anchors", "values")
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    anchors: _containers.RepeatedCompositeFieldContainer[Anchor]
    values: _containers.RepeatedCompositeFieldContainer[BeaconValue]
    def __init__(self, anchors: _Optional[_Iterable[_Union[Anchor, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[BeaconValue, _Mapping]]] = ...) -> None: ...

class MsgRegisterNode(_message.Message):
    __slots__ = ("operator_addr", "anchor")
    OPERATOR_ADDR_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    operator_addr: str
    anchor: bytes
    def __init__(self, operator_addr: _Optional[str] = ..., anchor: _Optional[bytes] = ...) -> None: ...

class MsgRegisterNodeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryBeaconRequest(_message.Message):
    __slots__ = ("height",)
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    height: int
    def __init__(self, height: _Optional[int] = ...) -> None: ...

class QueryBeaconResponse(_message.Message):
    __slots__ = ("beacon",)
    BEACON_FIELD_NUMBER: _ClassVar[int]
    beacon: BeaconValue
    def __init__(self, beacon: _Optional[_Union[BeaconValue, _Mapping]] = ...) -> None: ...

class QueryAnchorsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryAnchorsResponse(_message.Message):
    __slots__ = ("anchors",)
    ANCHORS_FIELD_NUMBER: _ClassVar[int]
    anchors: _containers.RepeatedCompositeFieldContainer[Anchor]
    def __init__(self, anchors: _Optional[_Iterable[_Union[Anchor, _Mapping]]] = ...) -> None: ...
