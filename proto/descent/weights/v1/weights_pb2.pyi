from cosmos.msg.v1 import msg_pb2 as _msg_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_CODE_UNSPECIFIED: _ClassVar[ReasonCode]
    REASON_CODE_OK: _ClassVar[ReasonCode]
    REASON_CODE_MISSING: _ClassVar[ReasonCode]
    REASON_CODE_LATE: _ClassVar[ReasonCode]
    REASON_CODE_UNAVAILABLE: _ClassVar[ReasonCode]
    REASON_CODE_INVALID_PAYLOAD: _ClassVar[ReasonCode]
    REASON_CODE_DUPLICATE: _ClassVar[ReasonCode]
    REASON_CODE_REPLAY_MISMATCH: _ClassVar[ReasonCode]
    REASON_CODE_NO_IMPROVEMENT: _ClassVar[ReasonCode]
REASON_CODE_UNSPECIFIED: ReasonCode
REASON_CODE_OK: ReasonCode
REASON_CODE_MISSING: ReasonCode
REASON_CODE_LATE: ReasonCode
REASON_CODE_UNAVAILABLE: ReasonCode
REASON_CODE_INVALID_PAYLOAD: ReasonCode
REASON_CODE_DUPLICATE: ReasonCode
REASON_CODE_REPLAY_MISMATCH: ReasonCode
REASON_CODE_NO_IMPROVEMENT: ReasonCode

class Audit(_message.Message):
    __slots__ = ("interval", "step", "claimed_root", "replayed_root", "inside_root", "matches")
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_ROOT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_ROOT_FIELD_NUMBER: _ClassVar[int]
    INSIDE_ROOT_FIELD_NUMBER: _ClassVar[int]
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    interval: int
    step: int
    claimed_root: bytes
    replayed_root: bytes
    inside_root: bytes
    matches: bool
    def __init__(self, interval: _Optional[int] = ..., step: _Optional[int] = ..., claimed_root: _Optional[bytes] = ..., replayed_root: _Optional[bytes] = ..., inside_root: _Optional[bytes] = ..., matches: bool = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("uid", "reason", "assigned_gain_nanonats", "heldout_gain_nanonats", "audit", "evidence_hash", "detail")
    UID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_GAIN_NANONATS_FIELD_NUMBER: _ClassVar[int]
    HELDOUT_GAIN_NANONATS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_HASH_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    uid: int
    reason: ReasonCode
    assigned_gain_nanonats: int
    heldout_gain_nanonats: int
    audit: Audit
    evidence_hash: bytes
    detail: str
    def __init__(self, uid: _Optional[int] = ..., reason: _Optional[_Union[ReasonCode, str]] = ..., assigned_gain_nanonats: _Optional[int] = ..., heldout_gain_nanonats: _Optional[int] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ..., evidence_hash: _Optional[bytes] = ..., detail: _Optional[str] = ...) -> None: ...

class WeightCommit(_message.Message):
    __slots__ = ("run_id", "round", "uid", "commitment", "height")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    uid: int
    commitment: bytes
    height: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., uid: _Optional[int] = ..., commitment: _Optional[bytes] = ..., height: _Optional[int] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("run_id", "round", "validator_uid", "uids", "weights_u16", "verdicts", "base_heldout_loss_nanonats")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_UID_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_U16_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    BASE_HELDOUT_LOSS_NANONATS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    validator_uid: int
    uids: _containers.RepeatedScalarFieldContainer[int]
    weights_u16: _containers.RepeatedScalarFieldContainer[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    base_heldout_loss_nanonats: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., validator_uid: _Optional[int] = ..., uids: _Optional[_Iterable[int]] = ..., weights_u16: _Optional[_Iterable[int]] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., base_heldout_loss_nanonats: _Optional[int] = ...) -> None: ...

class StoredJudgement(_message.Message):
    __slots__ = ("judgement", "hotkey", "stake_udsc", "height")
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    STAKE_UDSC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    judgement: Judgement
    hotkey: str
    stake_udsc: int
    height: int
    def __init__(self, judgement: _Optional[_Union[Judgement, _Mapping]] = ..., hotkey: _Optional[str] = ..., stake_udsc: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class EpochEntry(_message.Message):
    __slots__ = ("uid", "incentive_u16", "dividends_u16", "consensus_u16", "trust_u16", "stake_udsc", "emission_udsc", "reason")
    UID_FIELD_NUMBER: _ClassVar[int]
    INCENTIVE_U16_FIELD_NUMBER: _ClassVar[int]
    DIVIDENDS_U16_FIELD_NUMBER: _ClassVar[int]
    CONSENSUS_U16_FIELD_NUMBER: _ClassVar[int]
    TRUST_U16_FIELD_NUMBER: _ClassVar[int]
    STAKE_UDSC_FIELD_NUMBER: _ClassVar[int]
    EMISSION_UDSC_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    uid: int
    incentive_u16: int
    dividends_u16: int
    consensus_u16: int
    trust_u16: int
    stake_udsc: int
    emission_udsc: int
    reason: ReasonCode
    def __init__(self, uid: _Optional[int] = ..., incentive_u16: _Optional[int] = ..., dividends_u16: _Optional[int] = ..., consensus_u16: _Optional[int] = ..., trust_u16: _Optional[int] = ..., stake_udsc: _Optional[int] = ..., emission_udsc: _Optional[int] = ..., reason: _Optional[_Union[ReasonCode, str]] = ...) -> None: ...

class Epoch(_message.Message):
    __slots__ = ("run_id", "round", "height", "emission_udsc", "bounty_udsc", "owner_udsc", "miners_udsc", "validators_udsc", "entries", "base_heldout_loss_nanonats", "num_judgements")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    EMISSION_UDSC_FIELD_NUMBER: _ClassVar[int]
    BOUNTY_UDSC_FIELD_NUMBER: _ClassVar[int]
    OWNER_UDSC_FIELD_NUMBER: _ClassVar[int]
    MINERS_UDSC_FIELD_NUMBER: _ClassVar[int]
    VALIDATORS_UDSC_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BASE_HELDOUT_LOSS_NANONATS_FIELD_NUMBER: _ClassVar[int]
    NUM_JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    height: int
    emission_udsc: int
    bounty_udsc: int
    owner_udsc: int
    miners_udsc: int
    validators_udsc: int
    entries: _containers.RepeatedCompositeFieldContainer[EpochEntry]
    base_heldout_loss_nanonats: int
    num_judgements: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., height: _Optional[int] = ..., emission_udsc: _Optional[int] = ..., bounty_udsc: _Optional[int] = ..., owner_udsc: _Optional[int] = ..., miners_udsc: _Optional[int] = ..., validators_udsc: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[EpochEntry, _Mapping]]] = ..., base_heldout_loss_nanonats: _Optional[int] = ..., num_judgements: _Optional[int] = ...) -> None: ...

class Vesting(_message.Message):
    __slots__ = ("run_id", "uid", "participant_id", "round_earned", "release_round", "amount_udsc", "coldkey")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_EARNED_FIELD_NUMBER: _ClassVar[int]
    RELEASE_ROUND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_UDSC_FIELD_NUMBER: _ClassVar[int]
    COLDKEY_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    uid: int
    participant_id: int
    round_earned: int
    release_round: int
    amount_udsc: int
    coldkey: str
    def __init__(self, run_id: _Optional[int] = ..., uid: _Optional[int] = ..., participant_id: _Optional[int] = ..., round_earned: _Optional[int] = ..., release_round: _Optional[int] = ..., amount_udsc: _Optional[int] = ..., coldkey: _Optional[str] = ...) -> None: ...

class BondRow(_message.Message):
    __slots__ = ("run_id", "uid", "uids", "bonds_u16")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    BONDS_U16_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    uid: int
    uids: _containers.RepeatedScalarFieldContainer[int]
    bonds_u16: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, run_id: _Optional[int] = ..., uid: _Optional[int] = ..., uids: _Optional[_Iterable[int]] = ..., bonds_u16: _Optional[_Iterable[int]] = ...) -> None: ...

class Params(_message.Message):
    __slots__ = ("owner_share_ppm", "miner_share_ppm", "validator_share_ppm", "max_detail_bytes")
    OWNER_SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    MINER_SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    MAX_DETAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    owner_share_ppm: int
    miner_share_ppm: int
    validator_share_ppm: int
    max_detail_bytes: int
    def __init__(self, owner_share_ppm: _Optional[int] = ..., miner_share_ppm: _Optional[int] = ..., validator_share_ppm: _Optional[int] = ..., max_detail_bytes: _Optional[int] = ...) -> None: ...

class GenesisState(_message.Message):
    __slots__ = ("params", "commits", "judgements", "epochs", "vestings", "bonds", "pending")
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    VESTINGS_FIELD_NUMBER: _ClassVar[int]
    BONDS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    params: Params
    commits: _containers.RepeatedCompositeFieldContainer[WeightCommit]
    judgements: _containers.RepeatedCompositeFieldContainer[StoredJudgement]
    epochs: _containers.RepeatedCompositeFieldContainer[Epoch]
    vestings: _containers.RepeatedCompositeFieldContainer[Vesting]
    bonds: _containers.RepeatedCompositeFieldContainer[BondRow]
    pending: _containers.RepeatedCompositeFieldContainer[PendingEmission]
    def __init__(self, params: _Optional[_Union[Params, _Mapping]] = ..., commits: _Optional[_Iterable[_Union[WeightCommit, _Mapping]]] = ..., judgements: _Optional[_Iterable[_Union[StoredJudgement, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[Epoch, _Mapping]]] = ..., vestings: _Optional[_Iterable[_Union[Vesting, _Mapping]]] = ..., bonds: _Optional[_Iterable[_Union[BondRow, _Mapping]]] = ..., pending: _Optional[_Iterable[_Union[PendingEmission, _Mapping]]] = ...) -> None: ...

class PendingEmission(_message.Message):
    __slots__ = ("run_id", "amount_udsc")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_UDSC_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    amount_udsc: int
    def __init__(self, run_id: _Optional[int] = ..., amount_udsc: _Optional[int] = ...) -> None: ...

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

class MsgCommitWeights(_message.Message):
    __slots__ = ("hotkey", "run_id", "round", "commitment")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    run_id: int
    round: int
    commitment: bytes
    def __init__(self, hotkey: _Optional[str] = ..., run_id: _Optional[int] = ..., round: _Optional[int] = ..., commitment: _Optional[bytes] = ...) -> None: ...

class MsgCommitWeightsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgRevealWeights(_message.Message):
    __slots__ = ("hotkey", "judgement", "salt")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    judgement: Judgement
    salt: bytes
    def __init__(self, hotkey: _Optional[str] = ..., judgement: _Optional[_Union[Judgement, _Mapping]] = ..., salt: _Optional[bytes] = ...) -> None: ...

class MsgRevealWeightsResponse(_message.Message):
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

class QueryJudgementsRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryJudgementsResponse(_message.Message):
    __slots__ = ("commits", "judgements")
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    commits: _containers.RepeatedCompositeFieldContainer[WeightCommit]
    judgements: _containers.RepeatedCompositeFieldContainer[StoredJudgement]
    def __init__(self, commits: _Optional[_Iterable[_Union[WeightCommit, _Mapping]]] = ..., judgements: _Optional[_Iterable[_Union[StoredJudgement, _Mapping]]] = ...) -> None: ...

class QueryEpochRequest(_message.Message):
    __slots__ = ("run_id", "round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class QueryLatestEpochRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryEpochResponse(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    def __init__(self, epoch: _Optional[_Union[Epoch, _Mapping]] = ...) -> None: ...

class QueryVestingsRequest(_message.Message):
    __slots__ = ("run_id", "uid")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    uid: int
    def __init__(self, run_id: _Optional[int] = ..., uid: _Optional[int] = ...) -> None: ...

class QueryVestingsResponse(_message.Message):
    __slots__ = ("vestings",)
    VESTINGS_FIELD_NUMBER: _ClassVar[int]
    vestings: _containers.RepeatedCompositeFieldContainer[Vesting]
    def __init__(self, vestings: _Optional[_Iterable[_Union[Vesting, _Mapping]]] = ...) -> None: ...

class QueryBondsRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryBondsResponse(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[BondRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[BondRow, _Mapping]]] = ...) -> None: ...
