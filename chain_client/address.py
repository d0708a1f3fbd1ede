"""Bech32 addresses: `descent1...` for accounts, `descentvaloper1...` for operators."""

import hashlib

import bech32
from Crypto.Hash import RIPEMD160

from chain_client.errors import InvalidInput

ACCOUNT_PREFIX = "descent"
OPERATOR_PREFIX = "descentvaloper"
ADDRESS_BYTES = 20


def encode_address(raw: bytes, prefix: str = ACCOUNT_PREFIX) -> str:
    """Write 20 raw bytes as bech32."""
    words = bech32.convertbits(raw, 8, 5)
    assert words is not None
    return bech32.bech32_encode(prefix, words)


def decode_address(address: str, prefix: str = ACCOUNT_PREFIX) -> bytes:
    """Read a bech32 address back to its 20 raw bytes.

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
    if len(raw) != ADDRESS_BYTES:
        raise InvalidInput(f"{address!r} holds {len(raw)} bytes, an address holds {ADDRESS_BYTES}")
    return bytes(raw)


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
