"""SS58: the text of addresses in Substrate clients.

Source: https://docs.substrate.io/reference/address-formats/.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from node.doors.substrate.facade import SS58_PREFIX
from node.runtime.addresses import ACCOUNT_PREFIX, AddressError, decode_account, normalise_address

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CHECKSUM_BYTES = 2
MAX_CHARS = 64


class AddressFormatError(ValueError):
    """The text is no address."""


def compute_checksum(data: bytes) -> bytes:
    """Compute the two checksum bytes."""
    return blake2b(b"SS58PRE" + data).digest()[:CHECKSUM_BYTES]


def encode_ss58(account_id: bytes) -> str:
    """Encode 32 bytes as SS58 text of this chain."""
    data = bytes((SS58_PREFIX,)) + account_id
    data += compute_checksum(data)
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def decode_ss58(text: str) -> bytes:
    """Decode SS58 text of any simple prefix to 32 bytes.

    Raises: AddressFormatError.
    """
    number = 0
    for char in text[:MAX_CHARS]:
        digit = ALPHABET.find(char)
        if digit < 0:
            raise AddressFormatError(f"{text[:80]!r} is no SS58 address")
        number = number * 58 + digit
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    data = b"\0" * (len(text) - len(text.lstrip("1"))) + data
    is_whole = len(data) == 1 + 32 + CHECKSUM_BYTES and len(text) <= MAX_CHARS
    if not is_whole or compute_checksum(data[:-CHECKSUM_BYTES]) != data[-CHECKSUM_BYTES:]:
        raise AddressFormatError(f"{text[:80]!r} is no SS58 address: its checksum does not hold")
    return data[1:-CHECKSUM_BYTES]


def decode_any_address(text: Any) -> bytes:
    """Decode an address in either spelling, or 0x and hex, to the chain's bytes.

    Raises: AddressFormatError.
    """
    if not isinstance(text, str):
        raise AddressFormatError("an address is text")
    if text.startswith(ACCOUNT_PREFIX + "1"):
        try:
            return decode_account(text)
        except AddressError as error:
            raise AddressFormatError(str(error)) from None
    if text.startswith("0x"):
        try:
            data = bytes.fromhex(text[2:])
        except ValueError:
            raise AddressFormatError(f"{text[:80]!r} is not hex") from None
        if len(data) not in (20, 32):
            raise AddressFormatError(f"an address of {len(data)} bytes")
        return normalise_address(data)
    return normalise_address(decode_ss58(text))
