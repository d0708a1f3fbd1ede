"""Hashes and sign bytes of CometBFT v0.39: header, parts, commit, sets, params, results.

Source: CometBFT types/block.go, types/validator_set.go, types/params.go, types/part_set.go,
crypto/merkle, proto/tendermint/types/canonical.proto. Go writes embedded messages even when they
are empty; `fill_block` does the same, so that the bytes and the hashes are Go's.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from google.protobuf import wrappers_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from tendermint.abci import types_pb2 as abci
from tendermint.types import params_pb2, types_pb2

from node.store.proofs import encode_varint

PART_SIZE_BYTES = 65536
NANOS_PER_SECOND = 10**9
ZERO_TIME_SECONDS = -62135596800  # Go's zero time, year 1
PRECOMMIT = types_pb2.SIGNED_MSG_TYPE_PRECOMMIT


def merkle_root(items: Sequence[bytes]) -> bytes:
    """Compute the RFC 6962 root over byte strings; of none, sha256 of nothing."""
    if not items:
        return sha256(b"").digest()
    level = [sha256(b"\x00" + item).digest() for item in items]
    # Pairing neighbours and passing an odd last one on gives the RFC's left-complete shape.
    while len(level) > 1:
        paired = [
            sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def make_time(time_ns: int) -> Timestamp:
    """Make a protobuf time from nanoseconds since 1970."""
    return Timestamp(seconds=time_ns // NANOS_PER_SECOND, nanos=time_ns % NANOS_PER_SECOND)


def get_time_ns(time: Timestamp) -> int:
    """Return nanoseconds since 1970 of a protobuf time."""
    return int(time.seconds) * NANOS_PER_SECOND + int(time.nanos)


def fill_block_id(block_id: Any) -> None:
    """Make the embedded messages of a BlockID present."""
    block_id.part_set_header.SetInParent()


def fill_block(block: Any) -> None:
    """Make the embedded messages of a Block present that Go always writes."""
    header = block.header
    for part in (header.version, header.time, header.last_block_id, block.data, block.evidence):
        part.SetInParent()
    fill_block_id(header.last_block_id)
    fill_commit(block.last_commit)


def fill_commit(commit: Any) -> None:
    """Make the embedded messages of a Commit present."""
    commit.block_id.SetInParent()
    fill_block_id(commit.block_id)
    for signature in commit.signatures:
        signature.timestamp.SetInParent()


def _wrap_bytes(value: bytes) -> bytes:
    return bytes(wrappers_pb2.BytesValue(value=value).SerializeToString())


def hash_header(header: Any) -> bytes:
    """Hash a filled Header: the block's hash."""
    fields = [
        header.version.SerializeToString(),
        wrappers_pb2.StringValue(value=header.chain_id).SerializeToString(),
        wrappers_pb2.Int64Value(value=header.height).SerializeToString(),
        header.time.SerializeToString(),
        header.last_block_id.SerializeToString(),
    ]
    fields += [
        _wrap_bytes(value)
        for value in (
            header.last_commit_hash,
            header.data_hash,
            header.validators_hash,
            header.next_validators_hash,
            header.consensus_hash,
            header.app_hash,
            header.last_results_hash,
            header.evidence_hash,
            header.proposer_address,
        )
    ]
    return merkle_root(fields)


def hash_txs(txs: Iterable[bytes]) -> bytes:
    """Hash a block's transactions: the root over their hashes."""
    return merkle_root([sha256(tx).digest() for tx in txs])


def hash_commit(commit: Any) -> bytes:
    """Hash a filled Commit: the root over its signatures."""
    return merkle_root([signature.SerializeToString() for signature in commit.signatures])


def hash_consensus_params(params: Any) -> bytes:
    """Hash the parameters that a header commits to."""
    hashed = params_pb2.HashedParams(
        block_max_bytes=params.block.max_bytes, block_max_gas=params.block.max_gas
    )
    return sha256(hashed.SerializeToString()).digest()


def hash_results(results: Iterable[Any]) -> bytes:
    """Hash ExecTxResults: the root over code, data and gas only."""
    return merkle_root(
        [
            abci.ExecTxResult(
                code=result.code,
                data=result.data,
                gas_wanted=result.gas_wanted,
                gas_used=result.gas_used,
            ).SerializeToString()
            for result in results
        ]
    )


def make_block_id(block: Any) -> Any:
    """Make the BlockID of a filled Block: header hash, number of parts and their root."""
    raw = block.SerializeToString()
    parts = [raw[at : at + PART_SIZE_BYTES] for at in range(0, len(raw), PART_SIZE_BYTES)]
    return types_pb2.BlockID(
        hash=hash_header(block.header),
        part_set_header=types_pb2.PartSetHeader(total=len(parts), hash=merkle_root(parts)),
    )


def _encode_bytes(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | 2,)) + encode_varint(len(value)) + value


def _encode_fixed(field: int, value: int) -> bytes:
    return bytes((field << 3 | 1,)) + value.to_bytes(8, "little", signed=True) if value else b""


def make_vote_sign_bytes(
    chain_id: str, height: int, round_: int, block_id: Any, time: Timestamp
) -> bytes:
    """Make what a validator signs for a precommit: a length-prefixed CanonicalVote."""
    parts = block_id.part_set_header
    header = (b"\x08" + encode_varint(parts.total) if parts.total else b"") + (
        _encode_bytes(2, parts.hash) if parts.hash else b""
    )
    canonical_id = (_encode_bytes(1, block_id.hash) if block_id.hash else b"") + _encode_bytes(
        2, header
    )
    vote = b"".join(
        (
            b"\x08" + encode_varint(PRECOMMIT),
            _encode_fixed(2, height),
            _encode_fixed(3, round_),
            _encode_bytes(4, canonical_id) if block_id.hash else b"",
            _encode_bytes(5, time.SerializeToString()),
            _encode_bytes(6, chain_id.encode()) if chain_id else b"",
        )
    )
    return encode_varint(len(vote)) + vote
