from cosmos.base.query.v1beta1 import pagination_pb2 as _pagination_pb2
from cosmos.msg.v1 import msg_pb2 as _msg_pb2
from cosmos_proto import cosmos_pb2 as _cosmos_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class YumaVariant(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    YUMA_VARIANT_UNSPECIFIED: _ClassVar[YumaVariant]
    YUMA_VARIANT_YUMA3: _ClassVar[YumaVariant]
    YUMA_VARIANT_ORIGINAL: _ClassVar[YumaVariant]

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_PENDING: _ClassVar[RunStatus]
    RUN_STATUS_TRAINING: _ClassVar[RunStatus]
    RUN_STATUS_VERIFYING: _ClassVar[RunStatus]
    RUN_STATUS_COMPLETED: _ClassVar[RunStatus]
    RUN_STATUS_HALTED: _ClassVar[RunStatus]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_MINER: _ClassVar[Role]
    ROLE_VALIDATOR: _ClassVar[Role]
YUMA_VARIANT_UNSPECIFIED: YumaVariant
YUMA_VARIANT_YUMA3: YumaVariant
YUMA_VARIANT_ORIGINAL: YumaVariant
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_PENDING: RunStatus
RUN_STATUS_TRAINING: RunStatus
RUN_STATUS_VERIFYING: RunStatus
RUN_STATUS_COMPLETED: RunStatus
RUN_STATUS_HALTED: RunStatus
ROLE_UNSPECIFIED: Role
ROLE_MINER: Role
ROLE_VALIDATOR: Role

class ModelSpec(_message.Message):
    __slots__ = ("family", "vocab_size", "context_length", "d_model", "num_layers", "num_heads", "mlp_ratio", "tied_head", "num_kv_heads", "mlp_width", "rotary_theta", "norm_epsilon_ppb")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    D_MODEL_FIELD_NUMBER: _ClassVar[int]
    NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    MLP_RATIO_FIELD_NUMBER: _ClassVar[int]
    TIED_HEAD_FIELD_NUMBER: _ClassVar[int]
    NUM_KV_HEADS_FIELD_NUMBER: _ClassVar[int]
    MLP_WIDTH_FIELD_NUMBER: _ClassVar[int]
    ROTARY_THETA_FIELD_NUMBER: _ClassVar[int]
    NORM_EPSILON_PPB_FIELD_NUMBER: _ClassVar[int]
    family: str
    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    mlp_ratio: int
    tied_head: bool
    num_kv_heads: int
    mlp_width: int
    rotary_theta: int
    norm_epsilon_ppb: int
    def __init__(self, family: _Optional[str] = ..., vocab_size: _Optional[int] = ..., context_length: _Optional[int] = ..., d_model: _Optional[int] = ..., num_layers: _Optional[int] = ..., num_heads: _Optional[int] = ..., mlp_ratio: _Optional[int] = ..., tied_head: bool = ..., num_kv_heads: _Optional[int] = ..., mlp_width: _Optional[int] = ..., rotary_theta: _Optional[int] = ..., norm_epsilon_ppb: _Optional[int] = ...) -> None: ...

class PrecisionSpec(_message.Message):
    __slots__ = ("operand_max", "block_size", "weight_max", "activation_max", "gradient_max", "softmax_max")
    OPERAND_MAX_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_MAX_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_MAX_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_MAX_FIELD_NUMBER: _ClassVar[int]
    SOFTMAX_MAX_FIELD_NUMBER: _ClassVar[int]
    operand_max: int
    block_size: int
    weight_max: int
    activation_max: int
    gradient_max: int
    softmax_max: int
    def __init__(self, operand_max: _Optional[int] = ..., block_size: _Optional[int] = ..., weight_max: _Optional[int] = ..., activation_max: _Optional[int] = ..., gradient_max: _Optional[int] = ..., softmax_max: _Optional[int] = ...) -> None: ...

class InnerOptimiserSpec(_message.Message):
    __slots__ = ("learning_rate_ppb", "beta1_ppb", "beta2_ppb", "epsilon_ppb", "weight_decay_ppb", "warmup_steps", "gradient_clip_ppb", "decay_steps")
    LEARNING_RATE_PPB_FIELD_NUMBER: _ClassVar[int]
    BETA1_PPB_FIELD_NUMBER: _ClassVar[int]
    BETA2_PPB_FIELD_NUMBER: _ClassVar[int]
    EPSILON_PPB_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_PPB_FIELD_NUMBER: _ClassVar[int]
    WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_CLIP_PPB_FIELD_NUMBER: _ClassVar[int]
    DECAY_STEPS_FIELD_NUMBER: _ClassVar[int]
    learning_rate_ppb: int
    beta1_ppb: int
    beta2_ppb: int
    epsilon_ppb: int
    weight_decay_ppb: int
    warmup_steps: int
    gradient_clip_ppb: int
    decay_steps: int
    def __init__(self, learning_rate_ppb: _Optional[int] = ..., beta1_ppb: _Optional[int] = ..., beta2_ppb: _Optional[int] = ..., epsilon_ppb: _Optional[int] = ..., weight_decay_ppb: _Optional[int] = ..., warmup_steps: _Optional[int] = ..., gradient_clip_ppb: _Optional[int] = ..., decay_steps: _Optional[int] = ...) -> None: ...

class OuterOptimiserSpec(_message.Message):
    __slots__ = ("learning_rate_ppb",)
    LEARNING_RATE_PPB_FIELD_NUMBER: _ClassVar[int]
    learning_rate_ppb: int
    def __init__(self, learning_rate_ppb: _Optional[int] = ...) -> None: ...

class CodecSpec(_message.Message):
    __slots__ = ("chunk_size", "top_k", "feedback_ppb")
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_PPB_FIELD_NUMBER: _ClassVar[int]
    chunk_size: int
    top_k: int
    feedback_ppb: int
    def __init__(self, chunk_size: _Optional[int] = ..., top_k: _Optional[int] = ..., feedback_ppb: _Optional[int] = ...) -> None: ...

class WorkSpec(_message.Message):
    __slots__ = ("inner_steps", "batch_size", "interval_steps", "num_parts", "recompute")
    INNER_STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    NUM_PARTS_FIELD_NUMBER: _ClassVar[int]
    RECOMPUTE_FIELD_NUMBER: _ClassVar[int]
    inner_steps: int
    batch_size: int
    interval_steps: int
    num_parts: int
    recompute: bool
    def __init__(self, inner_steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., interval_steps: _Optional[int] = ..., num_parts: _Optional[int] = ..., recompute: bool = ...) -> None: ...

class DataSpec(_message.Message):
    __slots__ = ("dataset_root", "tokenizer_hash", "num_train_bytes", "num_heldout_bytes")
    DATASET_ROOT_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    NUM_TRAIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_HELDOUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    dataset_root: bytes
    tokenizer_hash: bytes
    num_train_bytes: int
    num_heldout_bytes: int
    def __init__(self, dataset_root: _Optional[bytes] = ..., tokenizer_hash: _Optional[bytes] = ..., num_train_bytes: _Optional[int] = ..., num_heldout_bytes: _Optional[int] = ...) -> None: ...

class TimelineSpec(_message.Message):
    __slots__ = ("commit_blocks", "attest_blocks", "judge_commit_blocks", "judge_reveal_blocks")
    COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ATTEST_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_REVEAL_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    commit_blocks: int
    attest_blocks: int
    judge_commit_blocks: int
    judge_reveal_blocks: int
    def __init__(self, commit_blocks: _Optional[int] = ..., attest_blocks: _Optional[int] = ..., judge_commit_blocks: _Optional[int] = ..., judge_reveal_blocks: _Optional[int] = ...) -> None: ...

class JudgeSpec(_message.Message):
    __slots__ = ("num_assigned_sequences", "num_heldout_sequences", "audit_rate_ppm", "num_auditors", "probation_rounds")
    NUM_ASSIGNED_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    NUM_HELDOUT_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    AUDIT_RATE_PPM_FIELD_NUMBER: _ClassVar[int]
    NUM_AUDITORS_FIELD_NUMBER: _ClassVar[int]
    PROBATION_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    num_assigned_sequences: int
    num_heldout_sequences: int
    audit_rate_ppm: int
    num_auditors: int
    probation_rounds: int
    def __init__(self, num_assigned_sequences: _Optional[int] = ..., num_heldout_sequences: _Optional[int] = ..., audit_rate_ppm: _Optional[int] = ..., num_auditors: _Optional[int] = ..., probation_rounds: _Optional[int] = ...) -> None: ...

class MembershipSpec(_message.Message):
    __slots__ = ("max_participants", "max_accepted", "min_miners", "min_validators", "immunity_rounds", "initial_burn_udsc", "min_burn_udsc", "max_burn_udsc", "burn_half_life_blocks", "burn_increase_ppm")
    MAX_PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    MAX_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    MIN_MINERS_FIELD_NUMBER: _ClassVar[int]
    MIN_VALIDATORS_FIELD_NUMBER: _ClassVar[int]
    IMMUNITY_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_BURN_UDSC_FIELD_NUMBER: _ClassVar[int]
    MIN_BURN_UDSC_FIELD_NUMBER: _ClassVar[int]
    MAX_BURN_UDSC_FIELD_NUMBER: _ClassVar[int]
    BURN_HALF_LIFE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    BURN_INCREASE_PPM_FIELD_NUMBER: _ClassVar[int]
    max_participants: int
    max_accepted: int
    min_miners: int
    min_validators: int
    immunity_rounds: int
    initial_burn_udsc: int
    min_burn_udsc: int
    max_burn_udsc: int
    burn_half_life_blocks: int
    burn_increase_ppm: int
    def __init__(self, max_participants: _Optional[int] = ..., max_accepted: _Optional[int] = ..., min_miners: _Optional[int] = ..., min_validators: _Optional[int] = ..., immunity_rounds: _Optional[int] = ..., initial_burn_udsc: _Optional[int] = ..., min_burn_udsc: _Optional[int] = ..., max_burn_udsc: _Optional[int] = ..., burn_half_life_blocks: _Optional[int] = ..., burn_increase_ppm: _Optional[int] = ...) -> None: ...

class IncentiveSpec(_message.Message):
    __slots__ = ("variant", "liquid_alpha", "bonds_moving_average_ppm", "bonds_penalty_u16", "kappa_u16")
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    LIQUID_ALPHA_FIELD_NUMBER: _ClassVar[int]
    BONDS_MOVING_AVERAGE_PPM_FIELD_NUMBER: _ClassVar[int]
    BONDS_PENALTY_U16_FIELD_NUMBER: _ClassVar[int]
    KAPPA_U16_FIELD_NUMBER: _ClassVar[int]
    variant: YumaVariant
    liquid_alpha: bool
    bonds_moving_average_ppm: int
    bonds_penalty_u16: int
    kappa_u16: int
    def __init__(self, variant: _Optional[_Union[YumaVariant, str]] = ..., liquid_alpha: bool = ..., bonds_moving_average_ppm: _Optional[int] = ..., bonds_penalty_u16: _Optional[int] = ..., kappa_u16: _Optional[int] = ...) -> None: ...

class ParentCheckpoint(_message.Message):
    __slots__ = ("run_id", "round", "root")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    round: int
    root: bytes
    def __init__(self, run_id: _Optional[int] = ..., round: _Optional[int] = ..., root: _Optional[bytes] = ...) -> None: ...

class RunSpec(_message.Message):
    __slots__ = ("name", "model", "precision", "inner", "outer", "codec", "work", "data", "timeline", "judge", "membership", "incentive", "num_rounds", "verification", "init_seed", "parent", "initial_root", "imported_weights")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    INNER_FIELD_NUMBER: _ClassVar[int]
    OUTER_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    INCENTIVE_FIELD_NUMBER: _ClassVar[int]
    NUM_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    INIT_SEED_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_ROOT_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: ModelSpec
    precision: PrecisionSpec
    inner: InnerOptimiserSpec
    outer: OuterOptimiserSpec
    codec: CodecSpec
    work: WorkSpec
    data: DataSpec
    timeline: TimelineSpec
    judge: JudgeSpec
    membership: MembershipSpec
    incentive: IncentiveSpec
    num_rounds: int
    verification: str
    init_seed: int
    parent: ParentCheckpoint
    initial_root: bytes
    imported_weights: bool
    def __init__(self, name: _Optional[str] = ..., model: _Optional[_Union[ModelSpec, _Mapping]] = ..., precision: _Optional[_Union[PrecisionSpec, _Mapping]] = ..., inner: _Optional[_Union[InnerOptimiserSpec, _Mapping]] = ..., outer: _Optional[_Union[OuterOptimiserSpec, _Mapping]] = ..., codec: _Optional[_Union[CodecSpec, _Mapping]] = ..., work: _Optional[_Union[WorkSpec, _Mapping]] = ..., data: _Optional[_Union[DataSpec, _Mapping]] = ..., timeline: _Optional[_Union[TimelineSpec, _Mapping]] = ..., judge: _Optional[_Union[JudgeSpec, _Mapping]] = ..., membership: _Optional[_Union[MembershipSpec, _Mapping]] = ..., incentive: _Optional[_Union[IncentiveSpec, _Mapping]] = ..., num_rounds: _Optional[int] = ..., verification: _Optional[str] = ..., init_seed: _Optional[int] = ..., parent: _Optional[_Union[ParentCheckpoint, _Mapping]] = ..., initial_root: _Optional[bytes] = ..., imported_weights: bool = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "owner", "spec", "spec_hash", "status", "created_height", "started_height", "current_round", "bounty_udsc", "burn_price_udsc", "burn_price_height", "num_participants")
    ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SPEC_HASH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STARTED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_ROUND_FIELD_NUMBER: _ClassVar[int]
    BOUNTY_UDSC_FIELD_NUMBER: _ClassVar[int]
    BURN_PRICE_UDSC_FIELD_NUMBER: _ClassVar[int]
    BURN_PRICE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    NUM_PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    id: int
    owner: str
    spec: bytes
    spec_hash: bytes
    status: RunStatus
    created_height: int
    started_height: int
    current_round: int
    bounty_udsc: int
    burn_price_udsc: int
    burn_price_height: int
    num_participants: int
    def __init__(self, id: _Optional[int] = ..., owner: _Optional[str] = ..., spec: _Optional[bytes] = ..., spec_hash: _Optional[bytes] = ..., status: _Optional[_Union[RunStatus, str]] = ..., created_height: _Optional[int] = ..., started_height: _Optional[int] = ..., current_round: _Optional[int] = ..., bounty_udsc: _Optional[int] = ..., burn_price_udsc: _Optional[int] = ..., burn_price_height: _Optional[int] = ..., num_participants: _Optional[int] = ...) -> None: ...

class Participant(_message.Message):
    __slots__ = ("run_id", "uid", "role", "coldkey", "hotkey", "endpoint", "registered_height", "registered_round", "optimiser_root", "rounds_paid", "total_paid_udsc", "last_paid_udsc", "incentive_u16", "dividends_u16", "participant_id", "suspect_from_round", "suspect_until_round")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    COLDKEY_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_ROUND_FIELD_NUMBER: _ClassVar[int]
    OPTIMISER_ROOT_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_PAID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PAID_UDSC_FIELD_NUMBER: _ClassVar[int]
    LAST_PAID_UDSC_FIELD_NUMBER: _ClassVar[int]
    INCENTIVE_U16_FIELD_NUMBER: _ClassVar[int]
    DIVIDENDS_U16_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_FROM_ROUND_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_UNTIL_ROUND_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    uid: int
    role: Role
    coldkey: str
    hotkey: str
    endpoint: str
    registered_height: int
    registered_round: int
    optimiser_root: bytes
    rounds_paid: int
    total_paid_udsc: int
    last_paid_udsc: int
    incentive_u16: int
    dividends_u16: int
    participant_id: int
    suspect_from_round: int
    suspect_until_round: int
    def __init__(self, run_id: _Optional[int] = ..., uid: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., coldkey: _Optional[str] = ..., hotkey: _Optional[str] = ..., endpoint: _Optional[str] = ..., registered_height: _Optional[int] = ..., registered_round: _Optional[int] = ..., optimiser_root: _Optional[bytes] = ..., rounds_paid: _Optional[int] = ..., total_paid_udsc: _Optional[int] = ..., last_paid_udsc: _Optional[int] = ..., incentive_u16: _Optional[int] = ..., dividends_u16: _Optional[int] = ..., participant_id: _Optional[int] = ..., suspect_from_round: _Optional[int] = ..., suspect_until_round: _Optional[int] = ...) -> None: ...

class Params(_message.Message):
    __slots__ = ("max_runs", "max_spec_bytes", "max_model_params", "min_bounty_udsc", "max_name_bytes", "max_endpoint_bytes")
    MAX_RUNS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPEC_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_PARAMS_FIELD_NUMBER: _ClassVar[int]
    MIN_BOUNTY_UDSC_FIELD_NUMBER: _ClassVar[int]
    MAX_NAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_ENDPOINT_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_runs: int
    max_spec_bytes: int
    max_model_params: int
    min_bounty_udsc: int
    max_name_bytes: int
    max_endpoint_bytes: int
    def __init__(self, max_runs: _Optional[int] = ..., max_spec_bytes: _Optional[int] = ..., max_model_params: _Optional[int] = ..., min_bounty_udsc: _Optional[int] = ..., max_name_bytes: _Optional[int] = ..., max_endpoint_bytes: _Optional[int] = ...) -> None: ...

class GenesisState(_message.Message):
    __slots__ = ("params", "runs", "participants", "next_run_id", "next_participant_id")
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    params: Params
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    next_run_id: int
    next_participant_id: int
    def __init__(self, params: _Optional[_Union[Params, _Mapping]] = ..., runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., next_run_id: _Optional[int] = ..., next_participant_id: _Optional[int] = ...) -> None: ...

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

class MsgCreateRun(_message.Message):
    __slots__ = ("owner", "spec", "bounty_udsc")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    BOUNTY_UDSC_FIELD_NUMBER: _ClassVar[int]
    owner: str
    spec: bytes
    bounty_udsc: int
    def __init__(self, owner: _Optional[str] = ..., spec: _Optional[bytes] = ..., bounty_udsc: _Optional[int] = ...) -> None: ...

class MsgCreateRunResponse(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class MsgHaltRun(_message.Message):
    __slots__ = ("owner", "run_id")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    owner: str
    run_id: int
    def __init__(self, owner: _Optional[str] = ..., run_id: _Optional[int] = ...) -> None: ...

class MsgHaltRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgFundRun(_message.Message):
    __slots__ = ("funder", "run_id", "amount_udsc")
    FUNDER_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_UDSC_FIELD_NUMBER: _ClassVar[int]
    funder: str
    run_id: int
    amount_udsc: int
    def __init__(self, funder: _Optional[str] = ..., run_id: _Optional[int] = ..., amount_udsc: _Optional[int] = ...) -> None: ...

class MsgFundRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgRegister(_message.Message):
    __slots__ = ("coldkey", "run_id", "role", "hotkey", "max_burn_udsc", "endpoint")
    COLDKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    MAX_BURN_UDSC_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    coldkey: str
    run_id: int
    role: Role
    hotkey: str
    max_burn_udsc: int
    endpoint: str
    def __init__(self, coldkey: _Optional[str] = ..., run_id: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., hotkey: _Optional[str] = ..., max_burn_udsc: _Optional[int] = ..., endpoint: _Optional[str] = ...) -> None: ...

class MsgRegisterResponse(_message.Message):
    __slots__ = ("uid", "burned_udsc")
    UID_FIELD_NUMBER: _ClassVar[int]
    BURNED_UDSC_FIELD_NUMBER: _ClassVar[int]
    uid: int
    burned_udsc: int
    def __init__(self, uid: _Optional[int] = ..., burned_udsc: _Optional[int] = ...) -> None: ...

class MsgSetEndpoint(_message.Message):
    __slots__ = ("hotkey", "run_id", "endpoint")
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    hotkey: str
    run_id: int
    endpoint: str
    def __init__(self, hotkey: _Optional[str] = ..., run_id: _Optional[int] = ..., endpoint: _Optional[str] = ...) -> None: ...

class MsgSetEndpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgRotateHotkey(_message.Message):
    __slots__ = ("coldkey", "run_id", "uid", "new_hotkey")
    COLDKEY_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    NEW_HOTKEY_FIELD_NUMBER: _ClassVar[int]
    coldkey: str
    run_id: int
    uid: int
    new_hotkey: str
    def __init__(self, coldkey: _Optional[str] = ..., run_id: _Optional[int] = ..., uid: _Optional[int] = ..., new_hotkey: _Optional[str] = ...) -> None: ...

class MsgRotateHotkeyResponse(_message.Message):
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

class QueryRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: Run
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class QueryRunsRequest(_message.Message):
    __slots__ = ("pagination",)
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    pagination: _pagination_pb2.PageRequest
    def __init__(self, pagination: _Optional[_Union[_pagination_pb2.PageRequest, _Mapping]] = ...) -> None: ...

class QueryRunsResponse(_message.Message):
    __slots__ = ("runs", "pagination")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    pagination: _pagination_pb2.PageResponse
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., pagination: _Optional[_Union[_pagination_pb2.PageResponse, _Mapping]] = ...) -> None: ...

class QueryParticipantRequest(_message.Message):
    __slots__ = ("run_id", "uid", "hotkey")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    HOTKEY_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    uid: int
    hotkey: str
    def __init__(self, run_id: _Optional[int] = ..., uid: _Optional[int] = ..., hotkey: _Optional[str] = ...) -> None: ...

class QueryParticipantResponse(_message.Message):
    __slots__ = ("participant",)
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    participant: Participant
    def __init__(self, participant: _Optional[_Union[Participant, _Mapping]] = ...) -> None: ...

class QueryParticipantsRequest(_message.Message):
    __slots__ = ("run_id", "pagination")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    pagination: _pagination_pb2.PageRequest
    def __init__(self, run_id: _Optional[int] = ..., pagination: _Optional[_Union[_pagination_pb2.PageRequest, _Mapping]] = ...) -> None: ...

class QueryParticipantsResponse(_message.Message):
    __slots__ = ("participants", "pagination")
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    pagination: _pagination_pb2.PageResponse
    def __init__(self, participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., pagination: _Optional[_Union[_pagination_pb2.PageResponse, _Mapping]] = ...) -> None: ...

class QueryBurnPriceRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class QueryBurnPriceResponse(_message.Message):
    __slots__ = ("price_udsc", "height")
    PRICE_UDSC_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    price_udsc: int
    height: int
    def __init__(self, price_udsc: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...
