"""Secrets in the operating system's keyring, through the Python package `keyring`.

A key file then holds a random name instead of the secret. Where there is no such package, or the
system has no keyring that answers (a server without a desktop session), this refuses at once.
"""

from importlib import import_module
from typing import Any

from chain_client.errors import KeyringError, KeyringUnavailable

SERVICE = "descent"
HINT = "use --keyring-backend file, which encrypts with a passphrase"


def save_secret(name: str, secret: bytes) -> None:
    """Keep a secret under a name.

    Raises:
        KeyringUnavailable: no keyring answers.
        KeyringError: it refused.
    """
    _call("set_password", SERVICE, name, secret.hex())


def load_secret(name: str) -> bytes | None:
    """Load a secret; None where there is none of that name.

    Raises:
        KeyringUnavailable, KeyringError: see `save_secret`.
    """
    found = _call("get_password", SERVICE, name)
    return None if found is None else bytes.fromhex(found)


def delete_secret(name: str) -> None:
    """Forget a secret; nothing happens if there is none.

    Raises:
        KeyringUnavailable, KeyringError: see `save_secret`.
    """
    if load_secret(name) is not None:
        _call("delete_password", SERVICE, name)


def _call(method: str, *arguments: str) -> Any:
    try:
        keyring = import_module("keyring")
        system_error = import_module("keyring.errors").KeyringError
    except ImportError:
        raise KeyringUnavailable(
            "the keyring of the operating system needs the Python package `keyring`, which is not "
            "installed here",
            hint=HINT,
        ) from None
    backend = keyring.get_keyring()
    if backend.priority <= 0:
        raise KeyringUnavailable("no keyring of the operating system answers here", hint=HINT)
    try:
        return getattr(keyring, method)(*arguments)
    except system_error as error:
        raise KeyringError(f"the keyring of the operating system refused: {error}") from error
