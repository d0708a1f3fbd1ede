"""The JSON that `SIGN_MODE_LEGACY_AMINO_JSON` signs: that of hardware wallets and of older ones.

    {"account_number": "7", "chain_id": ..., "fee": ..., "memo": ..., "msgs": ..., "sequence": "0"}

Keys sorted, no spaces; a message is {"type": its amino name, "value": its fields}. How a field is
written is said by the options of its `.proto` (`amino.name`, `dont_omitempty`, `encoding`,
`cosmos_proto.scalar`): 64-bit integers and `cosmos.Int` as text, `cosmos.Dec` with its point, bytes
in base64, enums as numbers, times in RFC 3339, durations in nanoseconds. Messages without an amino
name go by their type URL.

A transaction with anything this JSON does not say is refused: its signer did not sign that.

Source: Cosmos SDK, `x/tx/signing/aminojson`; ADR-020.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from amino import amino_pb2
from cosmos.authz.v1beta1 import authz_pb2
from cosmos.bank.v1beta1 import authz_pb2 as bank_authz_pb2
from cosmos.crypto.ed25519 import keys_pb2 as ed25519_pb2
from cosmos.crypto.secp256k1 import keys_pb2 as secp256k1_pb2
from cosmos.distribution.v1beta1 import distribution_pb2
from cosmos.feegrant.v1beta1 import feegrant_pb2
from cosmos.gov.v1beta1 import gov_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2
from cosmos_proto import cosmos_pb2
from google.protobuf.descriptor import FieldDescriptor

from node.runtime.errors import ChainError, Unauthorized
from node.runtime.times import is_valid_time
from node.runtime.tx import DecodedTx, parse_strict
from proto.descent.authz.v1 import authz_pb2 as own_authz_pb2

MAX_TX_BYTES = 64 * 2**10
"""Larger ones are refused: who sends them has not paid yet when this JSON is made."""
MAX_DEPTH = 16
"""Messages within messages, packed ones included."""
DEC_DIGITS = 18

_WIDE = {
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
}
_PLAIN = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_BOOL,
    FieldDescriptor.CPPTYPE_ENUM,
}
# What may be packed in an `Any` besides messages that pallets take.
_PACKED: dict[str, Any] = {
    f"/{message.DESCRIPTOR.full_name}": message
    for message in (
        authz_pb2.GenericAuthorization,
        bank_authz_pb2.SendAuthorization,
        own_authz_pb2.SessionAuthorization,
        distribution_pb2.CommunityPoolSpendProposal,
        ed25519_pb2.PubKey,
        feegrant_pb2.AllowedMsgAllowance,
        feegrant_pb2.BasicAllowance,
        feegrant_pb2.PeriodicAllowance,
        gov_pb2.TextProposal,
        secp256k1_pb2.PubKey,
        upgrade_pb2.CancelSoftwareUpgradeProposal,
        upgrade_pb2.SoftwareUpgradeProposal,
    )
}
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


class NotSigned(Exception):
    """Amino JSON has no words for a part of a transaction."""


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is written."""

    descriptor: Any
    name: str
    is_repeated: bool
    is_kept: bool
    encoding: str
    scalar: str


def build_sign_bytes(
    tx: DecodedTx,
    chain_id: str,
    account_number: int,
    sequence: int,
    get_message_class: Callable[[str], Any],
) -> bytes:
    """Build what a signer of a transaction signed.

    Args:
        get_message_class: message class of a type URL; raises ChainError.

    Raises:
        Unauthorized: the transaction says something that this JSON does not.
    """
    try:
        document = _build_document(tx, chain_id, account_number, sequence, get_message_class)
    except NotSigned as error:
        raise Unauthorized(f"SIGN_MODE_LEGACY_AMINO_JSON does not cover {error}") from error
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPES).encode()


def _build_document(
    tx: DecodedTx,
    chain_id: str,
    account_number: int,
    sequence: int,
    get_message_class: Callable[[str], Any],
) -> dict[str, Any]:
    body, fee = tx.body, tx.fee
    if len(tx.raw) > MAX_TX_BYTES:
        raise NotSigned(f"transactions over {MAX_TX_BYTES} bytes")
    if body.ByteSize() != len(tx.body_bytes):
        raise NotSigned("unknown fields of the body")
    if tx.has_deadline:
        raise NotSigned("timeout_timestamp")
    if body.non_critical_extension_options:
        raise NotSigned("extension options")
    writer = _Writer(get_message_class)
    amount = [writer.write_message(coin, 0) for coin in fee.amount]
    document = {
        "account_number": str(account_number),
        "chain_id": chain_id,
        "fee": {"amount": amount, "gas": str(fee.gas_limit)},
        "memo": body.memo,
        "msgs": [writer.write_named(message, 0) for _, message in tx.messages],
        "sequence": str(sequence),
    }
    for name in ("payer", "granter"):
        if address := getattr(fee, name):
            document["fee"][name] = address
    if body.timeout_height:
        document["timeout_height"] = str(body.timeout_height)
    return document


class _Writer:
    """Turns messages into what `json` writes.

    Raises, all methods: NotSigned.
    """

    def __init__(self, get_message_class: Callable[[str], Any]) -> None:
        self._get_message_class = get_message_class

    def write_named(self, message: Any, depth: int) -> dict[str, Any]:
        """Write a message under its name, as it stands in a list of messages or in an `Any`."""
        options = message.DESCRIPTOR.GetOptions()
        name = options.Extensions[amino_pb2.name] or f"/{message.DESCRIPTOR.full_name}"
        return {"type": name, "value": self.write_message(message, depth)}

    def write_message(self, message: Any, depth: int) -> Any:
        """Write a message without its name."""
        descriptor = message.DESCRIPTOR
        if depth > MAX_DEPTH:
            raise NotSigned(f"messages nested deeper than {MAX_DEPTH}")
        if descriptor.full_name == "google.protobuf.Timestamp":
            return _write_time(message)
        if descriptor.full_name == "google.protobuf.Duration":
            return str(message.seconds * 10**9 + message.nanos)
        if descriptor.full_name == "google.protobuf.Any":
            return self.write_named(self._unpack(message), depth + 1)
        encoding = descriptor.GetOptions().Extensions[amino_pb2.message_encoding]
        if encoding == "key_field":
            return base64.b64encode(message.key).decode()
        if encoding:
            raise NotSigned(f"{descriptor.full_name}, written as {encoding}")
        found = {}
        for field in _list_fields(descriptor):
            if not _is_present(message, field):
                if not field.is_kept:
                    continue
                if not field.is_repeated and _is_message(field):
                    raise NotSigned(f"a {descriptor.full_name} without {field.name}")
            value = getattr(message, field.descriptor.name)
            found[field.name] = self._write_field(value, field, depth)
        return found

    def _write_field(self, value: Any, field: _Field, depth: int) -> Any:
        if not field.is_repeated:
            return self._write_value(value, field, depth)
        if not value and field.encoding not in ("legacy_coins", "null_slice_as_empty"):
            return None
        return [self._write_value(item, field, depth) for item in value]

    def _write_value(self, value: Any, field: _Field, depth: int) -> Any:
        kind = field.descriptor.cpp_type
        if kind == FieldDescriptor.CPPTYPE_MESSAGE:
            return self.write_message(value, depth + 1)
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return _write_text(value, field.scalar)
        if kind in _WIDE:
            return str(value)
        if kind in _PLAIN:
            return value
        raise NotSigned(f"the number {field.descriptor.full_name}")

    def _unpack(self, packed: Any) -> Any:
        url = packed.type_url
        try:
            return parse_strict(_PACKED.get(url) or self._get_message_class(url), packed.value, url)
        except ChainError as error:
            raise NotSigned(f"what is packed as {url[:80]!r}") from error


@lru_cache(maxsize=1024)
def _list_fields(descriptor: Any) -> list[_Field]:
    found = []
    for field in descriptor.fields:
        options = field.GetOptions()
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if field.containing_oneof is not None or is_map:
            raise NotSigned(f"{field.full_name}, which is one of several or a map")
        found.append(
            _Field(
                descriptor=field,
                name=options.Extensions[amino_pb2.field_name] or field.name,
                is_repeated=field.label == FieldDescriptor.LABEL_REPEATED,
                is_kept=options.Extensions[amino_pb2.dont_omitempty],
                encoding=options.Extensions[amino_pb2.encoding],
                scalar=options.Extensions[cosmos_pb2.scalar],
            )
        )
    return found


def _is_message(field: _Field) -> bool:
    return bool(field.descriptor.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE)


def _is_present(message: Any, field: _Field) -> bool:
    name = field.descriptor.name
    if not field.is_repeated and _is_message(field):
        return bool(message.HasField(name))
    return bool(getattr(message, name))


def _write_text(text: str, scalar: str) -> str:
    if scalar == "cosmos.Int":
        return text or "0"
    if scalar != "cosmos.Dec":
        return text
    digits = text.removeprefix("-") or "0"
    if not (digits.isascii() and digits.isdigit()):
        raise NotSigned(f"the fraction {text[:80]!r}")
    padded = digits.rjust(DEC_DIGITS + 1, "0")
    sign = "-" if text.startswith("-") else ""
    return f"{sign}{padded[:-DEC_DIGITS]}.{padded[-DEC_DIGITS:]}"


def _write_time(stamp: Any) -> str:
    if not is_valid_time(stamp):
        raise NotSigned("a time before 1970 or after 2262")
    whole, _, fraction = stamp.ToJsonString().removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"
