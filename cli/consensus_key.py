"""The ed25519 key of a consensus node, in the format of CometBFT's priv_validator_key.json."""

import base64
import hashlib
import json
from pathlib import Path

from chain_client.keys import write_document
from cli.output import CommandFailed

_PUBLIC_TYPE = "tendermint/PubKeyEd25519"
_SECRET_TYPE = "tendermint/PrivKeyEd25519"


def load_public_key(path: Path) -> bytes:
    """Return the 32-byte public key of a file; make key and file when there is none.

    Raises:
        CommandFailed: the file is no such key.
    """
    if not path.exists():
        _write_new_key(path)
    try:
        document = json.loads(path.read_text())
        public_key = base64.b64decode(document["pub_key"]["value"], validate=True)
        is_whole = document["pub_key"]["type"] == _PUBLIC_TYPE and len(public_key) == 32
    except (OSError, ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise CommandFailed(
            f"{path} is not a consensus key file",
            hint="restore it from a copy, or name another with --consensus-key",
        )
    return public_key


def _write_new_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    document = {
        "address": hashlib.sha256(public).hexdigest()[:40].upper(),
        "pub_key": {"type": _PUBLIC_TYPE, "value": _encode(public)},
        "priv_key": {"type": _SECRET_TYPE, "value": _encode(key.private_bytes_raw() + public)},
    }
    write_document(path, document)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
