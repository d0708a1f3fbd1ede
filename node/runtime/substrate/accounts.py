"""The 32-byte view of accounts that Substrate clients have.

An account of the chain is 20 bytes (secp256k1, as Cosmos derives it) or 32 bytes (an sr25519 or
ed25519 public key, or the hash of an ecdsa one). Of a 20-byte account the view is its bytes and a
fixed tag: reversible, so that neither side can misread an address. No key can be found whose
32 bytes end in the tag by less than 2^96 tries.
"""

from __future__ import annotations

from node.runtime.addresses import (
    ACCOUNT_ID_TAG,
    ADDRESS_BYTES,
    OPERATOR_PREFIX,
    AddressError,
    decode_account,
    decode_operator,
    encode_account,
    encode_operator,
    normalise_address,
)
from node.runtime.substrate.scale import Composite, Field, FixedBytes, Reader, ScaleError, Type

ACCOUNT_ID_BYTES = 32
NOBODY = bytes(ACCOUNT_ID_BYTES)
"""Stands for an empty address text; no key has it."""

ACCOUNT_ID = Composite(
    ("sp_core", "crypto", "AccountId32"), [Field("", FixedBytes(ACCOUNT_ID_BYTES), "[u8; 32]")]
)


def compute_account_id(addr: bytes) -> bytes:
    """Compute the 32-byte view of an account address."""
    return addr + ACCOUNT_ID_TAG if len(addr) == ADDRESS_BYTES else addr


class AccountBytes(Type):
    """An account as the chain's address bytes."""

    @property
    def structure(self) -> Type:
        return ACCOUNT_ID

    def encode(self, value: bytes) -> bytes:
        account_id = compute_account_id(value)
        if len(account_id) != ACCOUNT_ID_BYTES:
            raise ScaleError(f"an address of {len(value)} bytes")
        return account_id

    def decode(self, reader: Reader) -> bytes:
        return normalise_address(reader.take(ACCOUNT_ID_BYTES))


class AddressText(Type):
    """An account in a message: bech32 text.

    Both prefixes are read; what is written has the operator prefix if `is_operator`.
    """

    def __init__(self, is_operator: bool = False) -> None:
        self.is_operator = is_operator

    @property
    def structure(self) -> Type:
        return ACCOUNT_ID

    def encode(self, value: str) -> bytes:
        if not value:
            return NOBODY
        try:
            is_operator = value.startswith(OPERATOR_PREFIX)
            addr = decode_operator(value) if is_operator else decode_account(value)
        except AddressError as error:
            raise ScaleError(f"{value!r} is no address: {error}") from error
        return compute_account_id(addr)

    def decode(self, reader: Reader) -> str:
        account_id = reader.take(ACCOUNT_ID_BYTES)
        if account_id == NOBODY:
            return ""
        addr = normalise_address(account_id)
        return encode_operator(addr) if self.is_operator else encode_account(addr)


ACCOUNT = AccountBytes()
