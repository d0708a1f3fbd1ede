from cosmos.base.query.v1beta1 import pagination_pb2 as _pagination_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from proto.descent.rounds.v1 import rounds_pb2 as _rounds_pb2
from proto.descent.weights.v1 import weights_pb2 as _weights_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckpointId(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("uid", "hotkey", "payload_hash", "payload_size", "weight_ppm")
    UID_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SIZE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PPM_FIELD_NUMBER: _ClassVar[int]
    uid: int
    hotkey: str
    payload_hash: bytes
    payload_size: int
    weight_ppm: int
    def __init__(self, uid: _Optional[int] = ..., hotkey: _Optional[str] = ..., payload_hash: _Optional[bytes] = ..., payload_size: _Optional[int] = ..., weight_ppm: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("run_id", "round", "root", "parents", "parent_roots", "spec_hash", "dataset_root", "data_beacon", "first_sequence", "num_sequences", "contributions", "attestations", "attested_stake_udsc", "total_stake_udsc", "height", "time_unix_ms", "previous_app_hash")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    PARENT_ROOTS_FIELD_NUMBER: _ClassVar[int]
    SPEC_HASH_FIELD_NUMBER: _ClassVar[int]
    DATASET_ROOT_FIELD_NUMBER: _ClassVar[int]
    DATA_BEACON_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NUM_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    ATTESTATIONS_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_STAKE_UDSC_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STAKE_UDSC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_APP_HASH_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    root: bytes
    parents: _containers.RepeatedCompositeFieldContainer[CheckpointId]
    parent_roots: _containers.RepeatedScalarFieldContainer[bytes]
    spec_hash: bytes
    dataset_root: bytes
    data_beacon: bytes
    first_sequence: int
    num_sequences: int
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    attestations: _containers.RepeatedCompositeFieldContainer[_rounds_pb2.StateAttestation]
    attested_stake_udsc: int
    total_stake_udsc: int
    height: int
    time_unix_ms: int
    previous_app_hash: bytes
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., root: _Optional[bytes] = ..., parents: _Optional[_Iterable[_Union[CheckpointId, _Mapping]]] = ..., parent_roots: _Optional[_Iterable[bytes]] = ..., spec_hash: _Optional[bytes] = ..., dataset_root: _Optional[bytes] = ..., data_beacon: _Optional[bytes] = ..., first_sequence: _Optional[int] = ..., num_sequences: _Optional[int] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., attestations: _Optional[_Iterable[_Union[_rounds_pb2.StateAttestation, _Mapping]]] = ..., attested_stake_udsc: _Optional[int] = ..., total_stake_udsc: _Optional[int] = ..., height: _Optional[int] = ..., time_unix_ms: _Optional[int] = ..., previous_app_hash: _Optional[bytes] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("uid", "coldkey", "amount_udsc")
    UID_FIELD_NUMBER: _ClassVar[int]
    COLDKEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_UDSC_FIELD_NUMBER: _ClassVar[int]
    uid: int
    coldkey: str
    amount_udsc: int
    def __init__(self, uid: _Optional[int] = ..., coldkey: _Optional[str] = ..., amount_udsc: _Optional[int] = ...) -> None: ...

class AuditRecord(_message.Message):
    __slots__ = ("uid", "validator_uid", "audit", "evidence_hash")
    UID_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_UID_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_HASH_FIELD_NUMBER: _ClassVar[int]
    uid: int
    validator_uid: int
    audit: _weights_pb2.Audit
    evidence_hash: bytes
    def __init__(self, uid: _Optional[int] = ..., validator_uid: _Optional[int] = ..., audit: _Optional[_Union[_weights_pb2.Audit, _Mapping]] = ..., evidence_hash: _Optional[bytes] = ...) -> None: ...

class CheckpointJudgement(_message.Message):
    __slots__ = ("run_id", "round", "base_heldout_loss_nanonats", "entries", "audits", "rewards", "owner_udsc", "height")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    BASE_HELDOUT_LOSS_NANONATS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    AUDITS_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    OWNER_UDSC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    base_heldout_loss_nanonats: int
    entries: _containers.RepeatedCompositeFieldContainer[_weights_pb2.EpochEntry]
    audits: _containers.RepeatedCompositeFieldContainer[AuditRecord]
    rewards: _containers.RepeatedCompositeFieldContainer[Reward]
    owner_udsc: int
    height: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., base_heldout_loss_nanonats: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[_weights_pb2.EpochEntry, _Mapping]]] = ..., audits: _Optional[_Iterable[_Union[AuditRecord, _Mapping]]] = ..., rewards: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ..., owner_udsc: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class GenesisState(_message.Message):
    __slots__ = ("checkpoints", "judgements")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    judgements: _containers.RepeatedCompositeFieldContainer[CheckpointJudgement]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., judgements: _Optional[_Iterable[_Union[CheckpointJudgement, _Mapping]]] = ...) -> None: ...

class QueryCheckpointRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryLatestRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryByRootRequest(_message.Message):
    __slots__ = ("root",)
    ROOT_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    def __init__(self, root: _Optional[bytes] = ...) -> None: ...

class QueryCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint", "judgement")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: Checkpoint
    judgement: CheckpointJudgement
    def __init__(self, checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., judgement: _Optional[_Union[CheckpointJudgement, _Mapping]] = ...) -> None: ...

class QueryCheckpointsRequest(_message.Message):
    __slots__ = ("run_id", "pagination")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    pagination: _pagination_pb2.PageRequest
    def __init__(self, run_id: _Optional[int] = ..., pagination: _Optional[_Union[_pagination_pb2.PageRequest, _Mapping]] = ...) -> None: ...

class QueryCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints", "pagination")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    pagination: _pagination_pb2.PageResponse
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., pagination: _Optional[_Union[_pagination_pb2.PageResponse, _Mapping]] = ...) -> None: ...
