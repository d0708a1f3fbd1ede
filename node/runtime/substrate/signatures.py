"""Signatures of extrinsics: ed25519, sr25519 and ecdsa over secp256k1.

| kind    | verified against                                                                   |
|---------|------------------------------------------------------------------------------------|
| ed25519 | the account's 32 bytes, by the rules of ZIP 215                                    |
| sr25519 | the account's 32 bytes, Schnorrkel with context `substrate`                        |
| ecdsa   | the key recovered from r, s, v over BLAKE2b-256 of the message must have this      |
|         | account: its 20-byte address, or BLAKE2b-256 of the compressed key as Substrate's  |

Every node runs the same pinned libraries; a node without them cannot start.
"""

from __future__ import annotations

import coincurve
import ed25519_zebra
import sr25519

from node.runtime.addresses import ADDRESS_BYTES, compute_account_address
from node.runtime.substrate.headers import hash_blake2

ED25519, SR25519, ECDSA = range(3)
SIGNATURE_BYTES = {ED25519: 64, SR25519: 64, ECDSA: 65}
KIND_NAMES = {ED25519: "Ed25519", SR25519: "Sr25519", ECDSA: "Ecdsa"}
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Of secp256k1. Of s and -s, which sign the same, only the lower is taken."""


def recover_key(signature: bytes, message: bytes) -> bytes | None:
    """Recover the compressed secp256k1 key (33 bytes) that signed; None if there is none."""
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        return None
    try:
        digest = hash_blake2(message)
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except (ValueError, TypeError):
        return None
    compressed: bytes = key.format(compressed=True)
    return compressed


def is_signed_by(kind: int, addr: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether an account signed a message."""
    if kind == ECDSA:
        key = recover_key(signature, message)
        if key is None:
            return False
        is_short = len(addr) == ADDRESS_BYTES
        return addr == (compute_account_address(key) if is_short else hash_blake2(key))
    if len(addr) == ADDRESS_BYTES:
        return False
    verify = sr25519.verify if kind == SR25519 else ed25519_zebra.ed_verify
    try:
        return bool(verify(signature, message, addr))
    except (ValueError, TypeError):
        return False
