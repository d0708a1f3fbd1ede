"""Extrinsics of version 4: how they are decoded, what their signature covers, how long they live.

    compact length | 0x84 | MultiAddress | MultiSignature | era | compact nonce | compact tip | call

In a block an extrinsic is one byte `EXTRINSIC_TAG` and its bytes as clients send them, length
included: no `TxRaw` and no pseudo transaction begins with that byte.

The signature covers call, era, nonce, tip, spec version, transaction version, genesis hash and the
hash of the block the era began with (genesis for an immortal one); of more than 256 bytes, their
BLAKE2b-256. The signed extensions are those of `SIGNED_EXTENSIONS`, in that order.

Source: `reference/chain.md` section 5.2; sp-runtime `generic/era.rs`, `unchecked_extrinsic.rs`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from node.runtime.errors import TxDecodeFailed
from node.runtime.substrate.accounts import ACCOUNT
from node.runtime.substrate.calls import ADDRESS_ID, CallTable
from node.runtime.substrate.headers import hash_blake2
from node.runtime.substrate.scale import Reader, ScaleError, decode_compact, encode_compact
from node.runtime.substrate.signatures import SIGNATURE_BYTES

EXTRINSIC_TAG = 0x58  # "X"
SIGNED_VERSION, UNSIGNED_VERSION = 0x84, 0x04
SPEC_NAME = "descent"
SPEC_VERSION = 2
"""Raised with every change of the metadata; clients keep metadata by it."""
TRANSACTION_VERSION = 1
"""Raised when extrinsics signed for the last version must not be valid any more."""
SIGNED_EXTENSIONS = (
    "CheckNonZeroSender",
    "CheckSpecVersion",
    "CheckTxVersion",
    "CheckGenesis",
    "CheckMortality",
    "CheckNonce",
    "CheckWeight",
    "ChargeTransactionPayment",
)
HASHED_PAYLOAD_BYTES = 256
MIN_ERA_BLOCKS = 4
GAS_PER_CALL = 1_000_000
GAS_PER_BYTE = 1_000
UDSC_PER_MILLION_GAS = 1_000
"""An extrinsic names no gas: it may use this much, and pays this price for what it used."""


@dataclass(frozen=True)
class Era:
    """How long an extrinsic is valid; `period_blocks` is 0 for ever."""

    period_blocks: int = 0
    phase: int = 0

    def compute_birth(self, height: int) -> int:
        """Compute the first block of the period that `height` is in."""
        since = max(height, self.phase) - self.phase
        return since // self.period_blocks * self.period_blocks + self.phase


def decode_era(reader: Reader) -> Era:
    """Decode an era.

    Raises: ScaleError.
    """
    first = reader.take(1)[0]
    if first == 0:
        return Era()
    packed = first | reader.take(1)[0] << 8
    period = 2 << (packed & 15)
    phase = (packed >> 4) * max(period >> 12, 1)
    if period < MIN_ERA_BLOCKS or phase >= period:
        raise ScaleError("era with an invalid period or phase")
    return Era(period, phase)


@dataclass(frozen=True)
class Extrinsic:
    """A signed extrinsic as received and as parsed.

    Args:
        raw: with the tag, as in a block; `tx_hash` is the SHA-256 of these bytes.
        signer: address bytes of the account, 20 or 32.
        kind: of the signature, see `signatures`.
        extra: era, nonce and tip as encoded.
        messages: (type URL, message) in order.
    """

    raw: bytes
    tx_hash: bytes
    signer: bytes
    kind: int
    signature: bytes
    era: Era
    nonce: int
    tip: int
    extra: bytes
    call: bytes
    messages: tuple[tuple[str, Any], ...]

    @property
    def gas_limit(self) -> int:
        """Gas it may use."""
        return compute_gas_limit(len(self.messages), len(self.raw) - 1)

    @property
    def fee_udsc(self) -> int:
        """The most it pays without the tip, in udsc; held until its calls have run."""
        return compute_fee(self.gas_limit)

    def build_payload(self, genesis_hash: bytes, birth_hash: bytes) -> bytes:
        """Build what the signature covers."""
        versions = SPEC_VERSION.to_bytes(4, "little") + TRANSACTION_VERSION.to_bytes(4, "little")
        payload = self.call + self.extra + versions + genesis_hash + birth_hash
        return hash_blake2(payload) if len(payload) > HASHED_PAYLOAD_BYTES else payload


def compute_gas_limit(num_calls: int, size_bytes: int) -> int:
    """Compute the gas an extrinsic may use."""
    return GAS_PER_CALL * max(num_calls, 1) + GAS_PER_BYTE * size_bytes


def compute_fee(gas: int) -> int:
    """Compute the fee for an amount of gas in udsc, rounded up."""
    return -(-gas * UDSC_PER_MILLION_GAS // 1_000_000)


def wrap_extrinsic(encoded: bytes) -> bytes:
    """Put an extrinsic as clients send it into the envelope blocks hold."""
    return bytes((EXTRINSIC_TAG,)) + encoded


def is_extrinsic(raw: bytes) -> bool:
    """Tell whether a transaction of a block is an extrinsic."""
    return raw[:1] == bytes((EXTRINSIC_TAG,))


def decode_extrinsic(raw: bytes, table: CallTable) -> Extrinsic:
    """Decode a transaction that begins with `EXTRINSIC_TAG`.

    Raises: TxDecodeFailed.
    """
    try:
        return _decode(raw, table)
    except ScaleError as error:
        raise TxDecodeFailed(f"extrinsic: {error}") from error


def _decode(raw: bytes, table: CallTable) -> Extrinsic:
    reader = Reader(raw)
    reader.take(1)
    length = decode_compact(reader)
    if length != reader.left:
        raise ScaleError(f"{length} bytes announced, {reader.left} there")
    version = reader.take(1)[0]
    if version != SIGNED_VERSION:
        raise ScaleError(f"version byte {version:#04x}, only signed version 4 is taken")
    form = reader.take(1)[0]
    if (
        form != ADDRESS_ID
    ):  # one spelling of a signer: nobody else can give a transaction a new hash
        raise ScaleError(f"signer of form {form}, only an account id is taken")
    signer = ACCOUNT.decode(reader)
    kind = reader.take(1)[0]
    if kind not in SIGNATURE_BYTES:
        raise ScaleError(f"signature of unknown kind {kind}")
    signature = reader.take(SIGNATURE_BYTES[kind])
    start = reader.offset
    era = decode_era(reader)
    nonce, tip = decode_compact(reader), decode_compact(reader)
    if nonce >> 32 or tip >> 128:
        raise ScaleError("nonce or tip out of range")
    extra, call = raw[start : reader.offset], raw[reader.offset :]
    messages = table.decode_call(reader, signer)
    reader.finish()
    return Extrinsic(
        raw=raw,
        tx_hash=hashlib.sha256(raw).digest(),
        signer=signer,
        kind=kind,
        signature=signature,
        era=era,
        nonce=nonce,
        tip=tip,
        extra=extra,
        call=call,
        messages=tuple(messages),
    )


def encode_signed(
    account_id: bytes, kind: int, signature: bytes, extra: bytes, call: bytes
) -> bytes:
    """Encode a signed extrinsic as clients send it."""
    body = bytes((SIGNED_VERSION, 0)) + account_id + bytes((kind,)) + signature + extra + call
    return encode_compact(len(body)) + body


def encode_bare(call: bytes) -> bytes:
    """Encode an unsigned extrinsic, which only shows what a block holds."""
    return encode_compact(len(call) + 1) + bytes((UNSIGNED_VERSION,)) + call
