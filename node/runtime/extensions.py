"""Vote extensions as they are signed: what a node adds to its vote for a block.

The engine checks these signatures where votes arrive; the chain checks them again where a proposer
puts extensions in a block, so that nobody can put in what a node did not sign.
Source: CometBFT v0.39 types/vote.go `VoteExtensionSignBytes`, ZIP 215.
"""

from __future__ import annotations

import ed25519_zebra

SIGNATURE_BYTES = 64


def encode_varint(value: int) -> bytes:
    """Encode an unsigned number as protobuf does."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _encode_bytes(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | 2,)) + encode_varint(len(value)) + value if value else b""


def _encode_fixed(field: int, value: int) -> bytes:
    return bytes((field << 3 | 1,)) + value.to_bytes(8, "little", signed=True) if value else b""


def make_extension_sign_bytes(chain_id: str, height: int, round_: int, extension: bytes) -> bytes:
    """Make what a node signs: a length-prefixed `CanonicalVoteExtension`.

    Args:
        height, round_: of the vote.
    """
    message = b"".join(
        (
            _encode_bytes(1, extension),
            _encode_fixed(2, height),
            _encode_fixed(3, round_),
            _encode_bytes(4, chain_id.encode()),
        )
    )
    return encode_varint(len(message)) + message


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an ed25519 key (32 bytes) signed a message, by the engine's rules."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(ed25519_zebra.ed_verify(signature, message, key))
    except (ValueError, TypeError):
        return False
