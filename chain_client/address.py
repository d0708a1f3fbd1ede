"""Addresses: bech32 `descent1...` and SS58 for accounts, `descentvaloper1...` for operators.

An account is 20 bytes (secp256k1) or 32 (sr25519, ed25519). SS58 always holds 32: of a 20-byte
account its bytes and a fixed tag, which come back as the 20.
"""

import hashlib

import base58
import bech32
from Crypto.Hash import RIPEMD160

from chain_client.errors import InvalidInput

ACCOUNT_PREFIX = "descent"
OPERATOR_PREFIX = "descentvaloper"
ADDRESS_BYTES = 20
LONG_ADDRESS_BYTES = 32
ACCOUNT_ID_TAG = b"descent/acct"
SS58_PREFIX = 42
SS58_CHECKSUM_BYTES = 2


def encode_address(raw: bytes, prefix: str = ACCOUNT_PREFIX) -> str:
    """Write 20 or 32 raw bytes as bech32."""
    words = bech32.convertbits(raw, 8, 5)
    assert words is not None
    return bech32.bech32_encode(prefix, words)


def decode_address(address: str, prefix: str = ACCOUNT_PREFIX) -> bytes:
    """Read a bech32 address back to its 20 or 32 raw bytes.

    Raises:
        InvalidInput: wrong prefix, checksum or length.
    """
    found_prefix, words = bech32.bech32_decode(address)
    raw = None if words is None else bech32.convertbits(words, 5, 8, False)
    if raw is None:
        raise InvalidInput(
            f"{address!r} is not an address: its bech32 checksum does not hold",
            hint=f"an address starts with {prefix}1 and has no capital letters in between",
        )
    if found_prefix != prefix:
        raise InvalidInput(f"{address!r} has prefix {found_prefix!r}, this chain uses {prefix!r}")
    if len(raw) not in (ADDRESS_BYTES, LONG_ADDRESS_BYTES):
        raise InvalidInput(f"{address!r} holds {len(raw)} bytes, an address holds {ADDRESS_BYTES}")
    return bytes(raw)


def _compute_ss58_checksum(data: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + data).digest()[:SS58_CHECKSUM_BYTES]


def encode_ss58(address: str) -> str:
    """Write an account address (bech32) as Substrate clients do.

    Raises:
        InvalidInput: `address` is no account address.
    """
    raw = decode_address(address)
    data = bytes((SS58_PREFIX,)) + raw + (ACCOUNT_ID_TAG if len(raw) == ADDRESS_BYTES else b"")
    return base58.b58encode(data + _compute_ss58_checksum(data)).decode()


def decode_ss58(text: str) -> str:
    """Read an SS58 address of this chain to the bech32 spelling of the account.

    Raises:
        InvalidInput: another alphabet, length, prefix or checksum.
    """
    try:
        data = base58.b58decode(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not an address") from None
    account_id, checksum = data[1:-SS58_CHECKSUM_BYTES], data[-SS58_CHECKSUM_BYTES:]
    if len(account_id) != LONG_ADDRESS_BYTES or data[0] != SS58_PREFIX:
        raise InvalidInput(
            f"{text!r} is not an SS58 address of this chain: its prefix must be {SS58_PREFIX}"
        )
    if checksum != _compute_ss58_checksum(data[:-SS58_CHECKSUM_BYTES]):
        raise InvalidInput(f"{text!r} is not an address: its SS58 checksum does not hold")
    is_short = account_id.endswith(ACCOUNT_ID_TAG)
    return encode_address(account_id[:ADDRESS_BYTES] if is_short else account_id)


def is_ss58(text: str) -> bool:
    """Tell an SS58 address of this chain from a name."""
    try:
        decode_ss58(text)
    except InvalidInput:
        return False
    return True


def is_address(text: str, prefix: str = ACCOUNT_PREFIX) -> bool:
    """Tell an address from a name: true when `text` is well-formed bech32 of this prefix."""
    try:
        decode_address(text, prefix)
    except InvalidInput:
        return False
    return True


def compute_address(public_key: bytes, prefix: str = ACCOUNT_PREFIX) -> str:
    """Return the address of a 33-byte compressed secp256k1 key: RIPEMD-160 of its SHA-256."""
    digest = RIPEMD160.new(hashlib.sha256(public_key).digest()).digest()
    return encode_address(digest, prefix)


def operator_address(account: str) -> str:
    """Return the operator spelling of an account address.

    Raises:
        InvalidInput: `account` is no account address.
    """
    return encode_address(decode_address(account), OPERATOR_PREFIX)


def account_address(operator: str) -> str:
    """Return the account spelling of an operator address.

    Raises:
        InvalidInput: `operator` is no operator address.
    """
    return encode_address(decode_address(operator, OPERATOR_PREFIX))
