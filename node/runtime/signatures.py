"""secp256k1 signatures over SHA-256, 64 bytes r || s, low S only.

A signature that verified once is remembered, so that a transaction checked on arrival is not
verified again in the block. The answer never depends on what is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import coincurve
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]
from coincurve.context import GLOBAL_CONTEXT

SECP = GLOBAL_CONTEXT.ctx
CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SIGNATURE_BYTES = 64
PUBLIC_KEY_BYTES = 33
MAX_REMEMBERED = 20_000


@lru_cache(maxsize=20_000)
def parse_public_key(data: bytes) -> Any:
    """Parse a compressed public key.

    Raises: ValueError.
    """
    if len(data) != PUBLIC_KEY_BYTES:
        raise ValueError(f"length of pubkey is incorrect: {len(data)} bytes")
    return coincurve.PublicKey(data)


def is_low_s(signature: bytes) -> bool:
    """Tell whether a 64-byte signature has S in the lower half of the curve order."""
    return 0 < int.from_bytes(signature[32:], "big") <= CURVE_ORDER // 2


def is_valid_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify one signature over sha256(message)."""
    if len(signature) != SIGNATURE_BYTES or not is_low_s(signature):
        return False
    parsed = ffi.new("secp256k1_ecdsa_signature *")
    if not lib.secp256k1_ecdsa_signature_parse_compact(SECP, parsed, signature):
        return False
    try:
        point = parse_public_key(public_key).public_key
    except ValueError:
        return False
    # As coincurve does, without its way over the DER form and back.
    digest = hashlib.sha256(message).digest()
    return bool(lib.secp256k1_ecdsa_verify(SECP, parsed, digest, point))


class SignatureCache:
    """Remembers signatures that verified, oldest forgotten first.

    Args:
        verify: `(key, signature, message)`, secp256k1 unless given.
    """

    def __init__(
        self,
        verify: Callable[[bytes, bytes, bytes], bool] = is_valid_signature,
        capacity: int = MAX_REMEMBERED,
    ) -> None:
        self._verify = verify
        self._capacity = capacity
        self._seen: dict[bytes, None] = {}

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> bool:
        """Verify one signature, or remember that it was."""
        lengths = len(public_key).to_bytes(8, "big") + len(signature).to_bytes(8, "big")
        entry = hashlib.sha256(lengths + public_key + signature + message).digest()
        if entry in self._seen:
            return True
        if not self._verify(public_key, signature, message):
            return False
        if len(self._seen) >= self._capacity:
            del self._seen[next(iter(self._seen))]
        self._seen[entry] = None
        return True
