"""Addresses: bech32 text of account, operator and consensus addresses, and how they are derived.

Source: BIP-173 for bech32; Cosmos conventions in `reference/chain.md` section 4.1.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

ACCOUNT_PREFIX = "descent"
OPERATOR_PREFIX = "descentvaloper"
CONSENSUS_PREFIX = "descentvalcons"
ADDRESS_BYTES = 20
LONG_ADDRESS_BYTES = 32
ACCOUNT_ID_TAG = b"descent/acct"
"""Last 12 of the 32 bytes by which Substrate clients know an account of 20 bytes."""

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHARSET_INDEX = {char: index for index, char in enumerate(CHARSET)}
DIGITS_32 = str.maketrans(CHARSET, "0123456789abcdefghijklmnopqrstuv")
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class AddressError(ValueError):
    """The text is not a bech32 address with the expected prefix."""


def make_residues() -> tuple[int, ...]:
    """Compute what each value of the top five bits adds to the checksum state."""
    residues = []
    for top in range(32):
        residue = 0
        for index, generator in enumerate(GENERATOR):
            residue ^= generator if top >> index & 1 else 0
        residues.append(residue)
    return tuple(residues)


RESIDUES = make_residues()


def compute_polymod(values: list[int], check: int = 1) -> int:
    """Compute the bech32 checksum state of 5-bit values, going on from the state `check`."""
    for value in values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ RESIDUES[check >> 25]
    return check


@lru_cache(maxsize=256)
def compute_prefix_state(prefix: str) -> int:
    """Compute the checksum state after the human-readable part."""
    high, low = [ord(char) >> 5 for char in prefix], [ord(char) & 31 for char in prefix]
    return compute_polymod([*high, 0, *low])


def encode_bech32(prefix: str, data: bytes) -> str:
    """Encode bytes as bech32 text."""
    num_words = -(-8 * len(data) // 5)
    number = int.from_bytes(data, "big") << (5 * num_words - 8 * len(data))
    words = [number >> shift & 31 for shift in range(5 * num_words - 5, -1, -5)]
    polymod = compute_polymod([*words, 0, 0, 0, 0, 0, 0], compute_prefix_state(prefix)) ^ 1
    words += [polymod >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return prefix + "1" + "".join([CHARSET[word] for word in words])


def decode_bech32(text: str) -> tuple[str, bytes]:
    """Decode bech32 text.

    Raises: AddressError.
    """
    if text.lower() != text and text.upper() != text:
        raise AddressError("string not all lowercase or all uppercase")
    text = text.lower()
    split = text.rfind("1")
    if split < 1 or len(text) - split < 7 or len(text) > 128:
        raise AddressError(f"decoding bech32 failed: invalid separator index {split}")
    prefix, body = text[:split], text[split + 1 :]
    try:
        words = [CHARSET_INDEX[char] for char in body]
    except KeyError as error:
        raise AddressError(f"decoding bech32 failed: invalid character {error}") from error
    if compute_polymod(words, compute_prefix_state(prefix)) != 1:
        raise AddressError("decoding bech32 failed: invalid checksum")
    num_bits = 5 * (len(words) - 6)
    number = int("0" + body[:-6].translate(DIGITS_32), 32)
    padding = num_bits & 7
    if padding >= 5 or number & ((1 << padding) - 1):
        raise AddressError("bad padding")
    return prefix, (number >> padding).to_bytes(num_bits >> 3, "big")


@lru_cache(maxsize=65536)
def decode_address(text: str, prefix: str) -> bytes:
    """Decode text that must carry `prefix` and hold 20 or 32 bytes.

    The tagged 32 bytes of a 20-byte account come back as its 20 bytes.

    Raises: AddressError.
    """
    if not text:
        raise AddressError("empty address string is not allowed")
    found, data = decode_bech32(text)
    if found != prefix:
        raise AddressError(f"invalid Bech32 prefix; expected {prefix}, got {found}")
    if len(data) not in (ADDRESS_BYTES, LONG_ADDRESS_BYTES):
        raise AddressError(f"address has {len(data)} bytes, expected {ADDRESS_BYTES}")
    return normalise_address(data)


def normalise_address(data: bytes) -> bytes:
    """Bring the 32-byte view of a 20-byte account back to 20 bytes; others stay as they are."""
    is_tagged = len(data) == LONG_ADDRESS_BYTES and data.endswith(ACCOUNT_ID_TAG)
    return data[:ADDRESS_BYTES] if is_tagged else data


@lru_cache(maxsize=65536)
def encode_account(data: bytes) -> str:
    """Encode account address bytes as `descent1...`."""
    return encode_bech32(ACCOUNT_PREFIX, data)


def decode_account(text: str) -> bytes:
    """Decode `descent1...`.

    Raises: AddressError.
    """
    return decode_address(text, ACCOUNT_PREFIX)


def encode_operator(data: bytes) -> str:
    """Encode the account address of an operator as `descentvaloper1...`."""
    return encode_bech32(OPERATOR_PREFIX, data)


def decode_operator(text: str) -> bytes:
    """Decode `descentvaloper1...` to the operator's account address.

    Raises: AddressError.
    """
    return decode_address(text, OPERATOR_PREFIX)


def encode_consensus(data: bytes) -> str:
    """Encode a consensus address as `descentvalcons1...`."""
    return encode_bech32(CONSENSUS_PREFIX, data)


@lru_cache(maxsize=16384)
def compute_account_address(public_key: bytes) -> bytes:
    """Derive the address of a compressed secp256k1 key (33 bytes): ripemd160(sha256(key))."""
    return hashlib.new("ripemd160", hashlib.sha256(public_key).digest()).digest()


def compute_consensus_address(public_key: bytes) -> bytes:
    """Derive the consensus address of an ed25519 key (32 bytes): sha256(key)[:20]."""
    return hashlib.sha256(public_key).digest()[:ADDRESS_BYTES]


@lru_cache(maxsize=256)
def compute_module_address(name: str) -> bytes:
    """Derive the address of a module account: sha256(name)[:20]."""
    return hashlib.sha256(name.encode()).digest()[:ADDRESS_BYTES]
