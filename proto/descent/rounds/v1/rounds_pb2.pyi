from cosmos.msg.v1 import msg_pb2 as _msg_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_TRAINING: _ClassVar[Phase]
    PHASE_ATTESTING: _ClassVar[Phase]
    PHASE_SETTLING: _ClassVar[Phase]
    PHASE_JUDGING: _ClassVar[Phase]
    PHASE_JUDGED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_TRAINING: Phase
PHASE_ATTESTING: Phase
PHASE_SETTLING: Phase
PHASE_JUDGING: Phase
PHASE_JUDGED: Phase

class Round(_message.Message):
    __slots__ = ("run_id", "index", "phase", "start_height", "commit_deadline", "attest_deadline", "settled_height", "judge_commit_deadline", "judge_reveal_deadline", "beacon", "judge_beacon", "base_root", "result_root", "accepted", "num_commitments")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    ATTEST_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SETTLED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    JUDGE_COMMIT_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_REVEAL_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    BEACON_FIELD_NUMBER: _ClassVar[int]
    JUDGE_BEACON_FIELD_NUMBER: _ClassVar[int]
    BASE_ROOT_FIELD_NUMBER: _ClassVar[int]
    RESULT_ROOT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    NUM_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    index: int
    phase: Phase
    start_height: int
    commit_deadline: int
    attest_deadline: int
    settled_height: int
    judge_commit_deadline: int
    judge_reveal_deadline: int
    beacon: bytes
    judge_beacon: bytes
    base_root: bytes
    result_root: bytes
    accepted: _containers.RepeatedScalarFieldContainer[int]
    num_commitments: int
    def __init__(self, run_id: _Optional[int] = ..., index: _Optional[int] = ..., phase: _Optional[_Union[Phase, str]] = ..., start_height: _Optional[int] = ..., commit_deadline: _Optional[int] = ..., attest_deadline: _Optional[int] = ..., settled_height: _Optional[int] = ..., judge_commit_deadline: _Optional[int] = ..., judge_reveal_deadline: _Optional[int] = ..., beacon: _Optional[bytes] = ..., judge_beacon: _Optional[bytes] = ..., base_root: _Optional[bytes] = ..., result_root: _Optional[bytes] = ..., accepted: _Optional[_Iterable[int]] = ..., num_commitments: _Optional[int] = ...) -> None: ...

class Commitment(_message.Message):
    __slots__ = ("run_id", "round", "uid", "hotkey", "payload_hash", "payload_size", "trace_root", "optimiser_root_in", "optimiser_root_out", "height", "late")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ROOT_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_ROOT_IN_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_ROOT_OUT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    uid: int
    hotkey: str
    payload_hash: bytes
    payload_size: int
    trace_root: bytes
    optimiser_root_in: bytes
    optimiser_root_out: bytes
    height: int
    late: bool
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., uid: _Optional[int] = ..., hotkey: _Optional[str] = ..., payload_hash: _Optional[bytes] = ..., payload_size: _Optional[int] = ..., trace_root: _Optional[bytes] = ..., optimiser_root_in: _Optional[bytes] = ..., optimiser_root_out: _Optional[bytes] = ..., height: _Optional[int] = ..., late: bool = ...) -> None: ...

class Availability(_message.Message):
    __slots__ = ("run_id", "round", "uid", "bitmap", "height")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    BITMAP_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    uid: int
    bitmap: bytes
    height: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., uid: _Optional[int] = ..., bitmap: _Optional[bytes] = ..., height: _Optional[int] = ...) -> None: ...

class StateAttestation(_message.Message):
    __slots__ = ("run_id", "round", "uid", "hotkey", "result_root", "stake_udsc", "height")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RESULT_ROOT_FIELD_NUMBER: _ClassVar[int]
    STAKE_UDSC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    uid: int
    hotkey: str
    result_root: bytes
    stake_udsc: int
    height: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., uid: _Optional[int] = ..., hotkey: _Optional[str] = ..., result_root: _Optional[bytes] = ..., stake_udsc: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class GenesisState(_message.Message):
    __slots__ = ("rounds", "commitments", "availabilities", "attestations")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITIES_FIELD_NUMBER: _ClassVar[int]
    ATTESTATIONS_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    commitments: _containers.RepeatedCompositeFieldContainer[Commitment]
    availabilities: _containers.RepeatedCompositeFieldContainer[Availability]
    attestations: _containers.RepeatedCompositeFieldContainer[StateAttestation]
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ..., commitments: _Optional[_Iterable[_Union[Commitment, _Mapping]]] = ..., availabilities: _Optional[_Iterable[_Union[Availability, _Mapping]]] = ..., attestations: _Optional[_Iterable[_Union[StateAttestation, _Mapping]]] = ...) -> None: ...

class MsgCommitPayload(_message.Message):
    __slots__ = ("hotkey", "run_id", "round", "payload_hash", "payload_size", "trace_root", "optimiser_root_in", "optimiser_root_out")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ROOT_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_ROOT_IN_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_ROOT_OUT_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    run_id: int
    round: int
    payload_hash: bytes
    payload_size: int
    trace_root: bytes
    optimiser_root_in: bytes
    optimiser_root_out: bytes
    def __init__(self, hotkey: _Optional[str] = ..., run_id: _Optional[int] = ..., round: _Optional[int] = ..., payload_hash: _Optional[bytes] = ..., payload_size: _Optional[int] = ..., trace_root: _Optional[bytes] = ..., optimiser_root_in: _Optional[bytes] = ..., optimiser_root_out: _Optional[bytes] = ...) -> None: ...

class MsgCommitPayloadResponse(_message.Message):
    __slots__ = ("late",)
    LATE_FIELD_NUMBER: _ClassVar[int]
    late: bool
    def __init__(self, late: bool = ...) -> None: ...

class MsgAttestAvailability(_message.Message):
    __slots__ = ("hotkey", "run_id", "round", "bitmap")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    BITMAP_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    run_id: int
    round: int
    bitmap: bytes
    def __init__(self, hotkey: _Optional[str] = ..., run_id: _Optional[int] = ..., round: _Optional[int] = ..., bitmap: _Optional[bytes] = ...) -> None: ...

class MsgAttestAvailabilityResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgAttestState(_message.Message):
    __slots__ = ("hotkey", "run_id", "round", "result_root")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    RESULT_ROOT_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    run_id: int
    round: int
    result_root: bytes
    def __init__(self, hotkey: _Optional[str] = ..., run_id: _Optional[int] = ..., round: _Optional[int] = ..., result_root: _Optional[bytes] = ...) -> None: ...

class MsgAttestStateResponse(_message.Message):
    __slots__ = ("settled",)
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    settled: bool
    def __init__(self, settled: bool = ...) -> None: ...

class QueryRoundRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryCurrentRoundRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryRoundResponse(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: Round
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ...) -> None: ...

class QueryCommitmentsRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryCommitmentsResponse(_message.Message):
    __slots__ = ("commitments",)
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    commitments: _containers.RepeatedCompositeFieldContainer[Commitment]
    def __init__(self, commitments: _Optional[_Iterable[_Union[Commitment, _Mapping]]] = ...) -> None: ...

class QueryAttestationsRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryAttestationsResponse(_message.Message):
    __slots__ = ("availabilities", "attestations")
    AVAILABILITIES_FIELD_NUMBER: _ClassVar[int]
    ATTESTATIONS_FIELD_NUMBER: _ClassVar[int]
    availabilities: _containers.RepeatedCompositeFieldContainer[Availability]
    attestations: _containers.RepeatedCompositeFieldContainer[StateAttestation]
    def __init__(self, availabilities: _Optional[_Iterable[_Union[Availability, _Mapping]]] = ..., attestations: _Optional[_Iterable[_Union[StateAttestation, _Mapping]]] = ...) -> None: ...

class QueryAuditTargetsRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class AuditTarget(_message.Message):
    __slots__ = ("uid", "interval", "step", "auditors")
    UID_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    AUDITORS_FIELD_NUMBER: _ClassVar[int]
    uid: int
    interval: int
    step: int
    auditors: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, uid: _Optional[int] = ..., interval: _Optional[int] = ..., step: _Optional[int] = ..., auditors: _Optional[_Iterable[int]] = ...) -> None: ...

class QueryAuditTargetsResponse(_message.Message):
    __slots__ = ("targets",)
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[AuditTarget]
    def __init__(self, targets: _Optional[_Iterable[_Union[AuditTarget, _Mapping]]] = ...) -> None: ...
