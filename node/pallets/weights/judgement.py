"""What a judgement may say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from node.pallets.weights.errors import InvalidRow, InvalidVerdict
from node.pallets.weights.types import HASH_BYTES, U16_MAX
from node.runtime.errors import ensure
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

REASONS: tuple[int, ...] = tuple(
    sorted(code for code in weights_pb2.ReasonCode.values() if code)  # 0 is no verdict
)


def compute_commitment(judgement: Any, salt: bytes) -> bytes:
    """Compute what a validator commits: sha256(canonical judgement bytes | salt)."""
    canonical: bytes = judgement.SerializeToString(deterministic=True)
    return hashlib.sha256(canonical + salt).digest()


def ensure_ascending(uids: Sequence[int], error: type[InvalidRow] | type[InvalidVerdict]) -> None:
    """Refuse uids that are not strictly ascending.

    Raises: InvalidRow, InvalidVerdict.
    """
    for low, high in pairwise(uids):
        detail = f"uid {high} is listed twice" if low == high else f"uid {high} comes after {low}"
        ensure(low < high, error, f"{detail}, uids must be ascending")


def ensure_row(judgement: Any, roles: Mapping[int, int]) -> None:
    """Refuse a weights row that is not a sparse row over miners with verdict OK.

    Args:
        roles: role by uid of every participant of the run.
    Raises: InvalidRow.
    """
    uids, weights = judgement.uids, judgement.weights_u16
    sizes = f"{len(uids)} uids, {len(weights)} weights"
    ensure(len(uids) == len(weights), InvalidRow, sizes)
    ensure_ascending(uids, InvalidRow)
    reasons = {verdict.uid: verdict.reason for verdict in judgement.verdicts}
    for uid, weight in zip(uids, weights, strict=True):
        is_miner = roles.get(uid) == runs_pb2.ROLE_MINER
        ensure(is_miner, InvalidRow, f"uid {uid} is no miner of the run")
        ensure(weight <= U16_MAX, InvalidRow, f"uid {uid} has weight {weight} over {U16_MAX}")
        is_ok = reasons.get(uid) == weights_pb2.REASON_CODE_OK
        ensure(
            weight == 0 or is_ok, InvalidRow, f"uid {uid} has weight {weight} without verdict OK"
        )


def ensure_verdicts(judgement: Any, roles: Mapping[int, int], max_detail_bytes: int) -> None:
    """Refuse verdicts that do not name miners in order, with known reasons and whole hashes.

    Args:
        roles: role by uid of every participant of the run.
    Raises: InvalidVerdict.
    """
    ensure_ascending([verdict.uid for verdict in judgement.verdicts], InvalidVerdict)
    for verdict in judgement.verdicts:
        uid = verdict.uid
        is_miner = roles.get(uid) == runs_pb2.ROLE_MINER
        ensure(is_miner, InvalidVerdict, f"uid {uid} is no miner of the run")
        ensure(verdict.reason in REASONS, InvalidVerdict, f"uid {uid}: reason {verdict.reason}")
        size = len(verdict.detail.encode())
        ensure(
            size <= max_detail_bytes,
            InvalidVerdict,
            f"uid {uid}: detail has {size} bytes, the limit is {max_detail_bytes}",
        )
        needs_evidence = verdict.reason == weights_pb2.REASON_CODE_REPLAY_MISMATCH
        ensure_hash(uid, "evidence_hash", verdict.evidence_hash, needs_evidence)
        if verdict.HasField("audit"):
            for field in ("claimed_root", "replayed_root", "inside_root"):
                ensure_hash(uid, field, getattr(verdict.audit, field), False)


def ensure_hash(uid: int, field: str, value: bytes, is_needed: bool) -> None:
    """Refuse a hash that has not 32 bytes; no bytes pass unless it is needed.

    Raises: InvalidVerdict.
    """
    size = len(value)
    is_whole = size == HASH_BYTES or (size == 0 and not is_needed)
    ensure(is_whole, InvalidVerdict, f"uid {uid}: {field} has {size} bytes, not {HASH_BYTES}")
