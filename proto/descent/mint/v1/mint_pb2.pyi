from cosmos.msg.v1 import msg_pb2 as _msg_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Params(_message.Message):
    __slots__ = ("initial_emission_udsc", "supply_cap_udsc", "consensus_share_ppm")
    INITIAL_EMISSION_UDSC_FIELD_NUMBER: _ClassVar[int]
    SUPPLY_CAP_UDSC_FIELD_NUMBER: _ClassVar[int]
    CONSENSUS_SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    initial_emission_udsc: int
    supply_cap_udsc: int
    consensus_share_ppm: int
    def __init__(self, initial_emission_udsc: _Optional[int] = ..., supply_cap_udsc: _Optional[int] = ..., consensus_share_ppm: _Optional[int] = ...) -> None: ...

class MsgUpdateParams(_message.Message):
    __slots__ = ("authority", "params")
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    authority: str
    params: Params
    def __init__(self, authority: _Optional[str] = ..., params: _Optional[_Union[Params, _Mapping]] = ...) -> None: ...

class MsgUpdateParamsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsResponse(_message.Message):
    __slots__ = ("params",)
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    params: Params
    def __init__(self, params: _Optional[_Union[Params, _Mapping]] = ...) -> None: ...

class QueryEmissionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryEmissionResponse(_message.Message):
    __slots__ = ("issued_udsc", "block_emission_udsc", "num_halvings", "consensus_emission_udsc")
    ISSUED_UDSC_FIELD_NUMBER: _ClassVar[int]
    BLOCK_EMISSION_UDSC_FIELD_NUMBER: _ClassVar[int]
    NUM_HALVINGS_FIELD_NUMBER: _ClassVar[int]
    CONSENSUS_EMISSION_UDSC_FIELD_NUMBER: _ClassVar[int]
    issued_udsc: int
    block_emission_udsc: int
    num_halvings: int
    consensus_emission_udsc: int
    def __init__(self, issued_udsc: _Optional[int] = ..., block_emission_udsc: _Optional[int] = ..., num_halvings: _Optional[int] = ..., consensus_emission_udsc: _Optional[int] = ...) -> None: ...
