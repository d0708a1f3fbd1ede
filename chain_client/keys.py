"""Keys: secp256k1 secrets, and the keyring that keeps them in `<home>/keys/<name>.json`.

Files have mode 0600, their folder 0700; they are written whole or not at all. The backend decides
how a new key is protected; reading finds it in the file:

| backend | the secret in the file                                                  |
|---------|-------------------------------------------------------------------------|
| `os`    | is not there, but in the operating system's keyring under a random name |
| `file`  | AES-256-GCM under scrypt of a passphrase; the address is bound in       |
| `test`  | plain hex: for a devnet                                                 |

Errors: see the tree in `errors.py`.
"""

import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from chain_client.address import compute_address
from chain_client.durable import sync_path
from chain_client.errors import (
    InvalidInput,
    KeyExists,
    KeyFileCorrupted,
    KeyFileExposed,
    KeyNotFound,
    KeyringError,
    WrongPassphrase,
)
from chain_client.mnemonic import account_path, derive_secret

KEY_FORMAT = "descent-key/1"
BACKENDS = ("os", "file", "test")
MIN_PASSPHRASE_CHARS = 8
SCRYPT_N = 2**15  # 32 MiB, about 0.1 s
SCRYPT_R = 8
SCRYPT_P = 1
_MAX_SCRYPT_N = 2**20
_MAX_FILE_BYTES = 16_384
_PLAIN = "none"
_SCRYPT = "scrypt-aes-256-gcm"
_OS = "os-keyring"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")


@dataclass(frozen=True)
class Key:
    """A secret that signs; its address is what the chain knows."""

    name: str
    secret: bytes = field(repr=False)  # 32 bytes, big-endian
    path: str = ""
    public_key: bytes = field(init=False, repr=False)  # 33 bytes, compressed
    address: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            public_key = PrivateKey(self.secret).public_key.format(compressed=True)
        except ValueError:
            raise InvalidInput("32 bytes that are no secp256k1 secret") from None
        object.__setattr__(self, "public_key", public_key)
        object.__setattr__(self, "address", compute_address(public_key))

    @classmethod
    def from_mnemonic(cls, name: str, phrase: str, index: int = 0) -> "Key":
        """Derive account `index` of a BIP-39 phrase.

        Raises:
            InvalidMnemonic: the phrase is no BIP-39 phrase.
        """
        return cls(name, derive_secret(phrase, index), account_path(index))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte r|s signature, low s, of the SHA-256 of `message`."""
        return PrivateKey(self.secret).sign_recoverable(message)[:64]


@dataclass(frozen=True)
class WatchedKey(Key):
    """What is known of a key without its secret: enough to build and simulate, not to sign."""

    def __init__(self, info: "KeyInfo") -> None:
        for name, value in {
            "name": info.name,
            "secret": b"",
            "path": info.path,
            "public_key": bytes.fromhex(info.public_key),
            "address": info.address,
        }.items():
            object.__setattr__(self, name, value)

    def sign(self, message: bytes) -> bytes:
        """Return a signature that no chain takes, of the right size for simulation."""
        return bytes(64)


@dataclass(frozen=True)
class KeyInfo:
    """What a key file tells without a passphrase."""

    name: str
    address: str
    public_key: str  # hex
    path: str
    protection: str
    file: Path


class Keyring:
    """The keys of one home directory.

    Args:
        home: keys are in `home/keys`.
        backend: how new keys are protected, `os`, `file` or `test`.
        passphrase: asked when one is needed; gets the question, returns the passphrase.
        new_passphrase: the same for a new one, which a person types twice; `passphrase` if None.
    """

    def __init__(
        self,
        home: Path,
        *,
        backend: str = "file",
        passphrase: Callable[[str], str] | None = None,
        new_passphrase: Callable[[str], str] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise InvalidInput(f"unknown keyring backend {backend!r}, not one of {BACKENDS}")
        self.directory = Path(home) / "keys"
        self.backend = backend
        self._ask = passphrase
        self._ask_new = new_passphrase or passphrase

    def list(self) -> list[KeyInfo]:
        """Return every key, by name.

        Raises:
            KeyFileCorrupted, KeyFileExposed: see `get`.
        """
        return [self._info(path) for path in sorted(self.directory.glob("*.json"))]

    def info(self, name: str) -> KeyInfo:
        """Return what the file of `name` tells.

        Raises:
            KeyNotFound, KeyFileCorrupted, KeyFileExposed: see `get`.
        """
        return self._info(self._path(name))

    def get(self, name: str) -> Key:
        """Return a key ready to sign.

        Raises:
            KeyNotFound: no such file.
            KeyFileCorrupted: the file is truncated, was edited or is no key file.
            KeyFileExposed: others may read the file.
            WrongPassphrase: the passphrase does not open it.
        """
        path = self._path(name)
        return open_document(_read_document(path), path=path, passphrase=self._ask)

    def add(self, key: Key) -> KeyInfo:
        """Write a key under its name.

        Raises:
            KeyExists: the name is taken.
            WrongPassphrase: the new passphrase is too short.
            KeyringUnavailable: the operating system's keyring does not answer.
        """
        path = self._path(key.name)
        self._ensure_free(path)
        ask = self._ask_new if self.backend == "file" else None
        if self.backend == "file" and ask is None:
            raise WrongPassphrase("a passphrase is needed to protect a new key")
        if self.backend == "os":
            write_document(path, _hand_over(key))
        else:
            write_document(path, seal_document(key, passphrase=ask))
        return self._info(path)

    def rename(self, name: str, new_name: str) -> KeyInfo:
        """Give a key another name; its protection stays.

        Raises:
            KeyExists: the new name is taken.
            KeyNotFound, KeyFileCorrupted, KeyFileExposed: see `get`.
        """
        path, new_path = self._path(name), self._path(new_name)
        document = _read_document(path)
        self._ensure_free(new_path)
        write_document(new_path, document | {"name": new_name})
        path.unlink()
        sync_path(self.directory)
        return self._info(new_path)

    def delete(self, name: str) -> KeyInfo:
        """Remove a key for ever; return what it was.

        Raises:
            KeyNotFound, KeyFileCorrupted, KeyFileExposed: see `get`.
            KeyringUnavailable: the operating system's keyring does not answer.
        """
        path = self._path(name)
        document, info = _read_document(path), self._info(path)
        if document["protection"] == _OS:
            from chain_client.os_keyring import delete_secret

            delete_secret(_get_os_name(document, path))
        path.unlink()
        sync_path(self.directory)
        return info

    def _ensure_free(self, path: Path) -> None:
        if path.exists():
            raise KeyExists(
                f"a key named {path.stem!r} is already in {self.directory}",
                path=str(path),
                hint="choose another name; a key file is never overwritten",
            )

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is not a key name",
                hint="letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
            )
        return self.directory / f"{name}.json"

    def _info(self, path: Path) -> KeyInfo:
        document = _read_document(path)
        return KeyInfo(
            name=document["name"],
            address=document["address"],
            public_key=document["public_key"],
            path=document["path"],
            protection=document["protection"],
            file=path,
        )


def seal_document(key: Key, *, passphrase: Callable[[str], str] | None) -> dict[str, Any]:
    """Return the JSON document of a key, encrypted unless `passphrase` is None.

    Raises:
        WrongPassphrase: shorter than eight characters.
    """
    document = _describe(key, _PLAIN if passphrase is None else _SCRYPT)
    if passphrase is None:
        return document | {"secret": key.secret.hex()}
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    phrase = passphrase(f"New passphrase for key {key.name!r}")
    if len(phrase) < MIN_PASSPHRASE_CHARS:
        raise WrongPassphrase(f"a passphrase has at least {MIN_PASSPHRASE_CHARS} characters")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    costs = {"n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}
    sealing_key = _stretch(phrase, salt, costs)
    ciphertext = AESGCM(sealing_key).encrypt(nonce, key.secret, _bound_data(document))
    return document | {
        "scrypt": {**costs, "salt": salt.hex()},
        "nonce": nonce.hex(),
        "ciphertext": ciphertext.hex(),
    }


def _describe(key: Key, protection: str) -> dict[str, Any]:
    return {
        "format": KEY_FORMAT,
        "name": key.name,
        "address": key.address,
        "public_key": key.public_key.hex(),
        "path": key.path,
        "protection": protection,
    }


def _hand_over(key: Key) -> dict[str, Any]:
    """Give a secret to the operating system; return the document that names it."""
    from chain_client.os_keyring import save_secret

    name = secrets.token_hex(16)
    save_secret(name, key.secret)
    return _describe(key, _OS) | {"os_name": name}


def _take_over(document: dict[str, Any], path: Path) -> bytes:
    from chain_client.os_keyring import load_secret

    secret = load_secret(_get_os_name(document, path))
    if secret is None:
        raise KeyringError(
            f"the operating system's keyring does not hold the secret of {path}",
            path=str(path),
            hint="log in as the user who made the key, or recover it from its mnemonic",
        )
    return secret


def _get_os_name(document: dict[str, Any], path: Path) -> str:
    name = document.get("os_name")
    if not isinstance(name, str) or not name:
        raise _corrupted(path, "no field 'os_name'")
    return name


def open_document(
    document: dict[str, Any],
    *,
    path: Path,
    passphrase: Callable[[str], str] | None,
    name: str | None = None,
) -> Key:
    """Return the key of a document; `name` renames it.

    Raises:
        KeyFileCorrupted: the secret does not belong to the address.
        WrongPassphrase: none given, or one that does not open it.
    """
    try:
        if document["protection"] == _PLAIN:
            secret = bytes.fromhex(document["secret"])
        elif document["protection"] == _OS:
            secret = _take_over(document, path)
        else:
            if passphrase is None:
                raise WrongPassphrase(
                    f"key {document['name']!r} is encrypted and no passphrase was given",
                    path=str(path),
                    hint="run at a terminal, or give --passphrase-file FILE",
                )
            secret = _decrypt(document, passphrase(f"Passphrase of key {document['name']!r}"), path)
        key = Key(name or document["name"], secret, document["path"])
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise _corrupted(path, f"field {error}") from None
    if key.address != document["address"] or key.public_key.hex() != document["public_key"]:
        raise _corrupted(path, "the secret does not belong to the address")
    return key


def parse_document(text: str, path: Path) -> dict[str, Any]:
    """Read the text of a key file; the secret is checked when it is opened.

    Raises:
        KeyFileCorrupted: not a whole key document.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _corrupted(path, f"not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != KEY_FORMAT:
        raise _corrupted(path, f"its format is not {KEY_FORMAT!r}")
    for name in ("name", "address", "public_key", "path", "protection"):
        if not isinstance(document.get(name), str):
            raise _corrupted(path, f"no field {name!r}")
    if document["protection"] not in (_PLAIN, _SCRYPT, _OS):
        raise _corrupted(path, f"unknown protection {document['protection']!r}")
    return document


def _read_document(path: Path) -> dict[str, Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyNotFound(
            f"no key named {path.stem!r} in {path.parent}",
            path=str(path),
            hint="`descent keys list` shows what is there; --home names another directory",
        ) from None
    except OSError as error:
        raise KeyringError(f"cannot read {path}: {error.strerror}", path=str(path)) from None
    with os.fdopen(descriptor, "rb") as handle:
        folder_mode = path.parent.stat().st_mode
        if folder_mode & 0o077:
            raise KeyFileExposed(
                f"{path.parent} has mode {folder_mode & 0o777:04o}: others may look into it",
                path=str(path.parent),
                hint=f"chmod 700 {path.parent}",
            )
        mode = os.fstat(descriptor).st_mode
        if mode & 0o077:
            raise KeyFileExposed(
                f"{path} has mode {mode & 0o777:04o}: others may read the key",
                path=str(path),
                hint=f"chmod 600 {path}",
            )
        raw = handle.read(_MAX_FILE_BYTES + 1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _corrupted(path, "not text") from None
    document = parse_document(text, path)
    if document["name"] != path.stem:
        raise _corrupted(path, f"it names key {document['name']!r}")
    return document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a document into a file that must not exist yet; see `write_text`."""
    write_text(path, json.dumps(document, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file that must not exist yet, mode 0600, durable before the name appears.

    Raises:
        KeyExists: there is one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise KeyExists(f"a key is already at {path}", path=str(path)) from None
    finally:
        temporary.unlink()
    sync_path(path.parent)


def _decrypt(document: dict[str, Any], phrase: str, path: Path) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    costs = document["scrypt"]
    if costs["n"] > _MAX_SCRYPT_N or costs["r"] != SCRYPT_R or costs["p"] != SCRYPT_P:
        raise _corrupted(path, "its scrypt costs are out of range")
    sealing_key = _stretch(phrase, bytes.fromhex(costs["salt"]), costs)
    nonce, ciphertext = bytes.fromhex(document["nonce"]), bytes.fromhex(document["ciphertext"])
    try:
        return AESGCM(sealing_key).decrypt(nonce, ciphertext, _bound_data(document))
    except InvalidTag:
        raise WrongPassphrase(
            f"the passphrase does not open {path}",
            path=str(path),
            hint="or the file was edited: restore it from a copy or from the mnemonic",
        ) from None


def _stretch(phrase: str, salt: bytes, costs: dict[str, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    kdf = Scrypt(salt=salt, length=32, n=costs["n"], r=costs["r"], p=costs["p"])
    return kdf.derive(phrase.encode("utf-8"))


def _bound_data(document: dict[str, Any]) -> bytes:
    return "|".join((KEY_FORMAT, document["address"], document["public_key"])).encode()


def _corrupted(path: Path, what: str) -> KeyFileCorrupted:
    return KeyFileCorrupted(
        f"{path} is not a whole key file: {what}",
        path=str(path),
        hint="restore it from a copy, or move it away and `descent keys add NAME --recover`",
    )
