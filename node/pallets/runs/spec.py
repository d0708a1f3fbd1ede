"""What a run specification may say: canonical bytes, bounds of every field, and what must fit.

A specification is the deterministic serialisation of `descent.runs.v1.RunSpec`; its identity is the
SHA-256 of these bytes. `parse_spec` refuses anything that another reader could take for something
else (unknown fields, another byte form) and anything out of bounds, naming field, value and limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from node.pallets.runs.errors import SpecNotCanonical, SpecRefused
from node.pallets.runs.types import RunsParams
from node.runtime.errors import ensure, refuse
from proto.descent.runs.v1 import runs_pb2

HASH_BYTES = 32
FAMILIES = ("gpt", "llama")
VERIFICATIONS = ("exact",)
SECTIONS = (
    "model",
    "precision",
    "inner",
    "outer",
    "codec",
    "work",
    "data",
    "timeline",
    "judge",
    "membership",
    "incentive",
)
PPB = 10**9
PPM = 10**6
ACCUMULATOR_LIMIT = 2**31 - 1
"""A block's integer dot product fits an int32."""
OPERAND_ROLES = ("weight_max", "activation_max", "gradient_max", "softmax_max")
ROLE_PAIRS = (
    ("activation_max", "weight_max"),
    ("activation_max", "activation_max"),
    ("gradient_max", "weight_max"),
    ("gradient_max", "activation_max"),
    ("softmax_max", "weight_max"),
    ("softmax_max", "activation_max"),
    ("softmax_max", "gradient_max"),
)
"""Roles that meet in a product."""
LLAMA_FIELDS = ("num_kv_heads", "mlp_width", "rotary_theta", "norm_epsilon_ppb")
MAX_BLOCKS = 10**6
MAX_ROUNDS = 10**6
MAX_SEATS = 4096
"""uids fit 12 bits; the Yuma epoch relies on it."""
MAX_UDSC = 21 * 10**12

BOUNDS: tuple[tuple[str, int, int], ...] = (
    ("model.vocab_size", 2, 262_144),
    ("model.context_length", 2, 8_192),
    ("model.d_model", 8, 8_192),
    ("model.num_layers", 1, 128),
    ("model.num_heads", 1, 128),
    ("model.mlp_ratio", 1, 16),
    ("model.num_kv_heads", 0, 128),
    ("model.mlp_width", 0, 65_536),
    ("model.rotary_theta", 0, 10**9),
    ("model.norm_epsilon_ppb", 0, 10**6),
    ("precision.operand_max", 3, 32_767),
    ("precision.block_size", 1, 1_024),
    ("precision.weight_max", 0, 32_767),
    ("precision.activation_max", 0, 32_767),
    ("precision.gradient_max", 0, 32_767),
    ("precision.softmax_max", 0, 32_767),
    ("inner.learning_rate_ppb", 1, PPB),
    ("inner.beta1_ppb", 0, PPB - 1),
    ("inner.beta2_ppb", 0, PPB - 1),
    ("inner.epsilon_ppb", 1, PPB),
    ("inner.weight_decay_ppb", 0, PPB),
    ("inner.warmup_steps", 0, 10**6),
    ("inner.gradient_clip_ppb", 0, 1_000 * PPB),
    ("inner.decay_steps", 0, 10**9),
    ("outer.learning_rate_ppb", 1, 10 * PPB),
    ("codec.chunk_size", 16, 65_536),
    ("codec.top_k", 1, 65_536),
    ("codec.feedback_ppb", 0, PPB),
    ("work.inner_steps", 1, 10_000),
    ("work.batch_size", 1, 4_096),
    ("work.interval_steps", 1, 10_000),
    ("work.num_parts", 0, 4_096),
    ("data.num_train_bytes", 1, 2**50),
    ("data.num_heldout_bytes", 1, 2**50),
    ("timeline.commit_blocks", 1, MAX_BLOCKS),
    ("timeline.attest_blocks", 1, MAX_BLOCKS),
    ("timeline.judge_commit_blocks", 1, MAX_BLOCKS),
    ("timeline.judge_reveal_blocks", 1, MAX_BLOCKS),
    ("judge.num_assigned_sequences", 64, 65_536),
    ("judge.num_heldout_sequences", 64, 65_536),
    ("judge.audit_rate_ppm", 1, PPM),
    ("judge.num_auditors", 1, 64),
    ("judge.probation_rounds", 0, MAX_ROUNDS),
    ("membership.max_participants", 2, MAX_SEATS),
    ("membership.max_accepted", 1, MAX_SEATS),
    ("membership.min_miners", 1, MAX_SEATS),
    ("membership.min_validators", 1, MAX_SEATS),
    ("membership.immunity_rounds", 0, MAX_ROUNDS),
    ("membership.initial_burn_udsc", 0, MAX_UDSC),
    ("membership.min_burn_udsc", 0, MAX_UDSC),
    ("membership.max_burn_udsc", 0, MAX_UDSC),
    ("membership.burn_half_life_blocks", 1, 10**7),
    ("membership.burn_increase_ppm", PPM, 10 * PPM),
    ("incentive.bonds_moving_average_ppm", 0, PPM),
    ("incentive.bonds_penalty_u16", 0, 65_535),
    ("incentive.kappa_u16", 0, 65_535),
    ("num_rounds", 1, MAX_ROUNDS),
)


def parse_spec(raw: bytes, params: RunsParams) -> Any:
    """Parse and check the bytes of a run specification.

    Args:
        raw: canonical `RunSpec` bytes.
        params: limits on bytes, name and model size.
    Returns: the `RunSpec`.
    Raises: SpecRefused, SpecNotCanonical.
    """
    limit = params.max_spec_bytes
    ensure(len(raw) <= limit, SpecRefused, f"{len(raw)} bytes, the limit is {limit}")
    spec = runs_pb2.RunSpec()
    try:
        spec.ParseFromString(raw)
    except DecodeError:
        refuse(SpecNotCanonical, "the bytes do not parse as descent.runs.v1.RunSpec")
    ensure_known_fields(spec)
    canonical = spec.SerializeToString(deterministic=True)
    ensure(
        canonical == raw,
        SpecNotCanonical,
        f"{len(raw)} bytes given, the deterministic serialisation has {len(canonical)} or differs",
    )
    for section in SECTIONS:
        ensure(spec.HasField(section), SpecRefused, f"section {section} is missing")
    ensure_texts(spec, params)
    ensure_bounds(spec)
    ensure_hashes(spec)
    ensure_consistent(spec)
    ensure_family(spec.model)
    ensure_precision(spec.precision)
    ensure_model_fits(spec.model, params)
    ensure_data_suffices(spec)
    return spec


@lru_cache(maxsize=256)
def decode_stored_spec(raw: bytes) -> Any:
    """Decode a specification that was checked when it was stored. Shared: never write to it."""
    return runs_pb2.RunSpec.FromString(raw)


def compute_spec_hash(raw: bytes) -> bytes:
    """Compute the identity of a specification (32 bytes)."""
    return hashlib.sha256(raw).digest()


def compute_num_model_params(model: Any) -> int:
    """Compute how many numbers a model has.

    Embedding and head, then attention and feed-forward matrices a layer; llama has gains too.
    Source: `exact/families/`; a test compares the two.
    """
    width = model.d_model
    embeddings = model.vocab_size * width * (1 if model.tied_head else 2)
    if model.family == "llama":
        hidden = model.mlp_width or model.mlp_ratio * width
        kv_width = width // model.num_heads * (model.num_kv_heads or model.num_heads)
        layer = 2 * width * width + 2 * kv_width * width + 3 * hidden * width + 2 * width
        return int(embeddings + model.num_layers * layer + width)
    layer = 4 * width * width + 2 * model.mlp_ratio * width * width
    return int(embeddings + model.num_layers * layer)


def compute_num_sequences(num_bytes: int, context_length: int) -> int:
    """Compute how many sequences of `context_length` + 1 bytes, one byte shared, a stream holds."""
    return max(0, (num_bytes - 1) // context_length)


def get_field(spec: Any, path: str) -> Any:
    """Get a field by dotted path."""
    value = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


def iterate_messages(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate a message and the messages in it, with their paths."""
    yield path or "the specification", message
    for field, value in message.ListFields():
        if field.message_type is not None:
            yield from iterate_messages(value, f"{path}.{field.name}" if path else field.name)


def ensure_known_fields(spec: Any) -> None:
    """Refuse fields that this chain does not know.

    Raises: SpecRefused.
    """
    for path, message in reversed(list(iterate_messages(spec))):
        clean = type(message)()
        clean.CopyFrom(message)
        clean.DiscardUnknownFields()
        ensure(clean.ByteSize() == message.ByteSize(), SpecRefused, f"unknown field in {path}")


def ensure_texts(spec: Any, params: RunsParams) -> None:
    """Refuse names and kinds that are not supported.

    Raises: SpecRefused.
    """
    size = len(spec.name.encode())
    ensure(
        0 < size <= params.max_name_bytes and spec.name.isprintable(),
        SpecRefused,
        f"name has {size} bytes, it must have 1 to {params.max_name_bytes}, all printable",
    )
    for path, supported in (("model.family", FAMILIES), ("verification", VERIFICATIONS)):
        value = get_field(spec, path)
        ensure(
            value in supported,
            SpecRefused,
            f"{path} = {value!r}, supported: {', '.join(supported)}",
        )
    variants = (runs_pb2.YUMA_VARIANT_YUMA3, runs_pb2.YUMA_VARIANT_ORIGINAL)
    ensure(
        spec.incentive.variant in variants,
        SpecRefused,
        f"incentive.variant = {spec.incentive.variant}, supported: 1 (Yuma3), 2 (original)",
    )


def ensure_bounds(spec: Any) -> None:
    """Refuse numbers outside their bounds.

    Raises: SpecRefused.
    """
    for path, low, high in BOUNDS:
        value = get_field(spec, path)
        ensure(low <= value <= high, SpecRefused, f"{path} = {value}, the bounds are {low}..{high}")


def ensure_hashes(spec: Any) -> None:
    """Refuse hashes of another length.

    Raises: SpecRefused.
    """
    paths = ["data.dataset_root", "data.tokenizer_hash", "initial_root"]
    if spec.HasField("parent"):
        paths.append("parent.root")
    for path in paths:
        size = len(get_field(spec, path))
        ensure(size == HASH_BYTES, SpecRefused, f"{path} has {size} bytes, not {HASH_BYTES}")


def ensure_consistent(spec: Any) -> None:
    """Refuse fields that contradict each other.

    Raises: SpecRefused.
    """
    timeline, membership, work = spec.timeline, spec.membership, spec.work
    model = spec.model
    judging = timeline.judge_commit_blocks + timeline.judge_reveal_blocks
    working = timeline.commit_blocks + timeline.attest_blocks
    rules = (
        (
            judging <= working,
            f"timeline: judge_commit_blocks + judge_reveal_blocks = {judging}, at most "
            f"commit_blocks + attest_blocks = {working}",
        ),
        (
            work.inner_steps % work.interval_steps == 0,
            f"work.inner_steps = {work.inner_steps} is not a multiple of "
            f"work.interval_steps = {work.interval_steps}",
        ),
        (
            model.d_model % (2 * model.num_heads) == 0,
            f"model.d_model = {model.d_model} is not a multiple of "
            f"2 * model.num_heads = {2 * model.num_heads}",
        ),
        (
            work.batch_size % (work.num_parts or 1) == 0,
            f"work.batch_size = {work.batch_size} is not a multiple of "
            f"work.num_parts = {work.num_parts}",
        ),
        (
            spec.codec.top_k <= spec.codec.chunk_size,
            f"codec.top_k = {spec.codec.top_k} is above codec.chunk_size = {spec.codec.chunk_size}",
        ),
        (
            membership.max_accepted <= membership.max_participants,
            f"membership.max_accepted = {membership.max_accepted} is above "
            f"membership.max_participants = {membership.max_participants}",
        ),
        (
            membership.min_miners + membership.min_validators <= membership.max_participants,
            f"membership.min_miners + min_validators = "
            f"{membership.min_miners + membership.min_validators} is above "
            f"membership.max_participants = {membership.max_participants}",
        ),
        (
            membership.min_burn_udsc <= membership.initial_burn_udsc <= membership.max_burn_udsc,
            f"membership.initial_burn_udsc = {membership.initial_burn_udsc} is not between "
            f"min_burn_udsc = {membership.min_burn_udsc} and "
            f"max_burn_udsc = {membership.max_burn_udsc}",
        ),
        (
            not spec.HasField("parent") or spec.parent.root == spec.initial_root,
            "initial_root differs from parent.root",
        ),
        (
            not (spec.HasField("parent") and spec.imported_weights),
            "imported_weights: a run with a parent starts from the parent's checkpoint",
        ),
    )
    for holds, detail in rules:
        ensure(holds, SpecRefused, detail)


def ensure_family(model: Any) -> None:
    """Refuse fields that the family does not have, and head counts that do not fit.

    Raises: SpecRefused.
    """
    if model.family == "gpt":
        for name in LLAMA_FIELDS:
            value = getattr(model, name)
            ensure(value == 0, SpecRefused, f"model.{name} = {value} is only for family llama")
        return
    kv_heads = model.num_kv_heads or model.num_heads
    ensure(
        model.num_heads % kv_heads == 0,
        SpecRefused,
        f"model.num_heads = {model.num_heads} is not a multiple of model.num_kv_heads = {kv_heads}",
    )
    theta = model.rotary_theta
    ensure(theta != 1, SpecRefused, "model.rotary_theta = 1, the bounds are 2..1000000000, or 0")


def ensure_precision(precision: Any) -> None:
    """Refuse operands that are not 2^b - 1, or whose block product is beyond an int32.

    Raises: SpecRefused.
    """
    largest = {name: getattr(precision, name) or precision.operand_max for name in OPERAND_ROLES}
    for name, value in (("operand_max", precision.operand_max), *sorted(largest.items())):
        ensure(
            value & (value + 1) == 0 and value >= 3,
            SpecRefused,
            f"precision.{name} = {value} is not 2**b - 1",
        )
    for a, b in ROLE_PAIRS:
        product = largest[a] * largest[b] * precision.block_size
        ensure(
            product <= ACCUMULATOR_LIMIT,
            SpecRefused,
            f"precision.{a} * {b} * block_size = {product} is above {ACCUMULATOR_LIMIT}, what an "
            f"int32 accumulator holds",
        )


def ensure_model_fits(model: Any, params: RunsParams) -> None:
    """Refuse a model larger than the chain's limit.

    Raises: SpecRefused.
    """
    num_params = compute_num_model_params(model)
    limit = params.max_model_params
    ensure(
        num_params <= limit,
        SpecRefused,
        f"the model has {num_params} parameters, the limit is {limit}",
    )


def ensure_data_suffices(spec: Any) -> None:
    """Refuse streams too short for the sequences a round draws from them.

    Raises: SpecRefused.
    """
    length, judge = spec.model.context_length, spec.judge
    share = spec.work.inner_steps * spec.work.batch_size
    needed = share * spec.membership.max_participants
    num_train = compute_num_sequences(spec.data.num_train_bytes, length)
    num_heldout = compute_num_sequences(spec.data.num_heldout_bytes, length)
    ensure(
        needed <= num_train,
        SpecRefused,
        f"data.num_train_bytes = {spec.data.num_train_bytes} holds {num_train} sequences, a round "
        f"of {spec.membership.max_participants} participants needs {needed}",
    )
    ensure(
        judge.num_heldout_sequences <= num_heldout,
        SpecRefused,
        f"data.num_heldout_bytes = {spec.data.num_heldout_bytes} holds {num_heldout} sequences, "
        f"judge.num_heldout_sequences = {judge.num_heldout_sequences}",
    )
    ensure(
        judge.num_assigned_sequences <= share,
        SpecRefused,
        f"judge.num_assigned_sequences = {judge.num_assigned_sequences} is above the {share} "
        f"sequences of one participant (work.inner_steps * work.batch_size)",
    )
