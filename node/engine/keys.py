"""Key files of a node, in CometBFT's form: the validator's ed25519 key and the node's own.

`config/priv_validator_key.json`: {address, pub_key {type, value}, priv_key {type, value}};
`config/node_key.json`: {priv_key {type, value}}. A private value is base64 of the 32-byte seed
followed by the 32-byte public key.
"""

import base64
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.engine.errors import KeyFileInvalid

PRIVATE_TYPE = "tendermint/PrivKeyEd25519"
PUBLIC_TYPE = "tendermint/PubKeyEd25519"
SEED_SIZE = 32
ADDRESS_SIZE = 20


def compute_address(public_key: bytes) -> bytes:
    """Compute the 20-byte consensus address of an ed25519 public key."""
    return sha256(public_key).digest()[:ADDRESS_SIZE]


@dataclass(frozen=True, slots=True)
class ValidatorKey:
    """An ed25519 key that signs votes, or stands for a node."""

    seed: bytes

    @property
    def public_key(self) -> bytes:
        """Public key, 32 bytes."""
        return self._load().public_key().public_bytes_raw()

    @property
    def address(self) -> bytes:
        """Consensus address, 20 bytes."""
        return compute_address(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Sign; 64 bytes."""
        return self._load().sign(message)

    def _load(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def encode_private(self) -> dict[str, str]:
        """Return the JSON object of the private key."""
        value = base64.b64encode(self.seed + self.public_key).decode()
        return {"type": PRIVATE_TYPE, "value": value}


def load_validator_key(path: Path) -> ValidatorKey:
    """Read the validator's key, or make one where the file is not there.

    Raises:
        KeyFileInvalid: the file is not such a key.
    """
    if not path.exists():
        key = ValidatorKey(os.urandom(SEED_SIZE))
        save_validator_key(path, key)
        return key
    return read_key(path)


def save_validator_key(path: Path, key: ValidatorKey) -> None:
    """Write the validator's key file, readable by its owner only."""
    public = base64.b64encode(key.public_key).decode()
    document = {
        "address": key.address.hex().upper(),
        "pub_key": {"type": PUBLIC_TYPE, "value": public},
        "priv_key": key.encode_private(),
    }
    _write_private(path, document)


def load_node_id(path: Path) -> str:
    """Read the node's key, or make one; return the node id: hex of the key's address.

    Raises:
        KeyFileInvalid: the file is not such a key.
    """
    if not path.exists():
        _write_private(path, {"priv_key": ValidatorKey(os.urandom(SEED_SIZE)).encode_private()})
    return read_key(path).address.hex()


def read_key(path: Path) -> ValidatorKey:
    """Read a key file of either kind.

    Raises:
        KeyFileInvalid: it is not there, or is not such a key.
    """
    try:
        private = json.loads(path.read_text())["priv_key"]
        raw = base64.b64decode(private["value"], validate=True)
        if private["type"] != PRIVATE_TYPE or len(raw) != 2 * SEED_SIZE:
            raise ValueError("not an ed25519 key")
        key = ValidatorKey(raw[:SEED_SIZE])
        if key.public_key != raw[SEED_SIZE:]:
            raise ValueError("public and private part do not belong together")
    except FileNotFoundError as error:
        raise KeyFileInvalid(f"{path} is not there: `descent node init` makes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileInvalid(
            f"{path} is not a key file ({error}): restore it from a backup, or remove it and a "
            "new key is made, which is a new identity"
        ) from error
    return key


def _write_private(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
