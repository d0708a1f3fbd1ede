"""The evidence document: everything needed to find a verdict again.

Canonical bytes are JSON with sorted keys, no spaces, ASCII, integers only (no floats), bytes as
lower-case hex. Its sha256 is in the verdict on chain; the document is served as a blob.
"""

import hashlib
import json
from typing import Any

MAX_EVIDENCE_BYTES = 1 << 20


def encode_evidence(document: dict[str, Any]) -> bytes:
    """Return the canonical bytes.

    Raises:
        TypeError: a value is not a string, integer, boolean, null, list or object.
    """
    _ensure_plain(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def decode_evidence(data: bytes, evidence_hash: bytes) -> dict[str, Any]:
    """Parse a served document and check it against the hash on chain.

    Raises:
        ValueError: too large, another hash, not canonical.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        raise ValueError(f"evidence of {len(data)} bytes is over {MAX_EVIDENCE_BYTES}")
    if hashlib.sha256(data).digest() != evidence_hash:
        raise ValueError("the evidence does not have the hash that is on chain")
    document = json.loads(data)
    if not isinstance(document, dict) or encode_evidence(document) != data:
        raise ValueError("the evidence is not in canonical form")
    return document


def _ensure_plain(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"evidence key {key!r} is not a string")
            _ensure_plain(item)
    elif isinstance(value, list):
        for item in value:
            _ensure_plain(item)
    elif value is not None and not isinstance(value, str | int | bool):
        raise TypeError(f"evidence holds a {type(value).__name__}")
