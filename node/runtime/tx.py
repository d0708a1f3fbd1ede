"""Strict decoding of a transaction: `TxRaw` bytes to body, auth info and messages.

The hash is that of the received bytes, never of a re-encoding. Bytes that are not the canonical
encoding of a `TxRaw`, and unknown fields that are not marked non-critical (bit 11 of the field
number), are refused.

Source: Cosmos ADR-020 and ADR-027, `reference/chain.md` section 4.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cosmos.tx.v1beta1 import tx_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from node.runtime.errors import TxDecodeFailed

NON_CRITICAL_BIT = 1 << 10
"""Bit 11 of a field number, counted from 1."""


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """What a transaction says about one signer.

    Args:
        key: type URL and bytes of the public key; None if it carries none.
        mode: how it signed, a `SignMode`; 0 where several signed as one.
    """

    sequence: int
    key: tuple[str, bytes] | None
    mode: int


@dataclass(slots=True)
class TxFacts:
    """What a run found out that every later run of the same bytes would find again.

    Args:
        is_well_formed: it passed the checks that look at the transaction alone.
        signers: addresses that must sign; empty until they were listed.
        verified: of each signer whose signature verified: key, chain id, account number.
    """

    is_well_formed: bool = False
    signers: list[bytes] = field(default_factory=list)
    verified: dict[int, tuple[bytes, str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodedTx:
    """A transaction as received and as parsed.

    Args:
        raw: received bytes; `tx_hash` is their SHA-256.
        messages: (type URL, message) in order.
        gas_limit: gas the sender pays for.
        has_deadline: whether it is valid up to some block time only.
        facts: for whoever runs it; they never change a result.
    """

    raw: bytes
    tx_hash: bytes
    body_bytes: bytes
    auth_info_bytes: bytes
    body: Any
    auth_info: Any
    signatures: tuple[bytes, ...]
    messages: tuple[tuple[str, Any], ...]
    signer_infos: tuple[SignerInfo, ...]
    fee: Any
    gas_limit: int
    has_deadline: bool
    facts: TxFacts = field(default_factory=TxFacts, compare=False)


def parse_strict(message_class: Any, data: bytes, what: str) -> Any:
    """Parse a message and refuse unknown fields at any depth.

    Raises: TxDecodeFailed.
    """
    try:
        message = message_class.FromString(data)
    except DecodeError as error:
        raise TxDecodeFailed(f"{what} does not parse") from error
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise TxDecodeFailed(f"{what} has an unknown field")
    return message


def parse_body(data: bytes) -> Any:
    """Parse a `TxBody`; unknown fields of its own level may be there if they are non-critical.

    Raises: TxDecodeFailed.
    """
    try:
        body = tx_pb2.TxBody.FromString(data)
    except DecodeError as error:
        raise TxDecodeFailed("body does not parse") from error
    size = body.ByteSize()
    body.DiscardUnknownFields()
    if body.ByteSize() != size:
        ensure_non_critical(tx_pb2.TxBody.FromString(data))
    return body


def ensure_non_critical(body: Any) -> None:
    """Refuse unknown fields of a `TxBody` unless all are its own and non-critical.

    Raises: TxDecodeFailed.
    """
    size = body.ByteSize()
    unknown = UnknownFieldSet(body)
    numbers = [unknown[index].field_number for index in range(len(unknown))]
    own_size = compute_unknown_size(body) if numbers else 0
    body.DiscardUnknownFields()
    is_nested = body.ByteSize() + own_size != size
    if is_nested or any(not number & NON_CRITICAL_BIT for number in numbers):
        raise TxDecodeFailed("body has an unknown field")


def compute_unknown_size(message: Any) -> int:
    """Compute the encoded size of unknown fields of the message's own level, in bytes."""
    bare = type(message)()
    bare.MergeFrom(message)
    for descriptor, _ in message.ListFields():
        bare.ClearField(descriptor.name)
    size: int = bare.ByteSize()
    return size


def decode_tx(raw: bytes, get_message_class: Callable[[str], Any]) -> DecodedTx:
    """Decode a transaction.

    Args:
        get_message_class: message class of a type URL; raises UnknownRequest.
    Raises: TxDecodeFailed, UnknownRequest.
    """
    tx_raw = parse_strict(tx_pb2.TxRaw, raw, "tx")
    if tx_raw.SerializeToString(deterministic=True) != raw:
        raise TxDecodeFailed("tx is not canonically encoded")
    body = parse_body(tx_raw.body_bytes)
    auth_info = parse_strict(tx_pb2.AuthInfo, tx_raw.auth_info_bytes, "auth info")
    messages = []
    for packed in body.messages:
        message_class = get_message_class(packed.type_url)
        message = parse_strict(message_class, packed.value, packed.type_url)
        messages.append((packed.type_url, message))
    return DecodedTx(
        raw=raw,
        tx_hash=hashlib.sha256(raw).digest(),
        body_bytes=tx_raw.body_bytes,
        auth_info_bytes=tx_raw.auth_info_bytes,
        body=body,
        auth_info=auth_info,
        signatures=tuple(tx_raw.signatures),
        messages=tuple(messages),
        signer_infos=tuple(read_signer_info(info) for info in auth_info.signer_infos),
        fee=auth_info.fee,
        gas_limit=auth_info.fee.gas_limit,
        has_deadline=body.HasField("timeout_timestamp"),
    )


def read_signer_info(info: Any) -> SignerInfo:
    """Read a protobuf `SignerInfo`."""
    key = (info.public_key.type_url, info.public_key.value) if info.HasField("public_key") else None
    return SignerInfo(info.sequence, key, info.mode_info.single.mode)
