"""The keyring: what is on disk, and what a damaged, exposed or locked file says."""

import json
import os
import stat
from pathlib import Path

import pytest

from chain_client.errors import (
    InvalidInput,
    KeyExists,
    KeyFileCorrupted,
    KeyFileExposed,
    KeyNotFound,
    WrongPassphrase,
)
from chain_client.keys import Key, Keyring, open_document, seal_document

KEY = Key("alice", bytes(range(1, 33)), "m/44'/118'/0'/0/0")


def ask(answer: str) -> object:
    return lambda _question: answer


@pytest.fixture
def plain(tmp_path: Path) -> Keyring:
    keyring = Keyring(tmp_path, backend="test")
    keyring.add(KEY)
    return keyring


def test_add_and_get(plain: Keyring, tmp_path: Path) -> None:
    assert plain.get("alice") == KEY
    assert [info.name for info in plain.list()] == ["alice"]
    file = tmp_path / "keys" / "alice.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert os.listdir(file.parent) == ["alice.json"]
    assert "secret" not in repr(KEY)


def test_add_and_get__encrypted(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path, passphrase=ask("correct horse"))
    info = keyring.add(KEY)
    assert KEY.secret.hex() not in info.file.read_text()
    assert keyring.get("alice") == KEY
    assert Keyring(tmp_path).list() == [info]
    with pytest.raises(WrongPassphrase, match=str(info.file)):
        Keyring(tmp_path, passphrase=ask("wrong horse")).get("alice")
    with pytest.raises(WrongPassphrase, match="no passphrase was given"):
        Keyring(tmp_path).get("alice")


def test_export_under_another_passphrase(tmp_path: Path) -> None:
    document = seal_document(KEY, passphrase=ask("battery staple"))
    key = open_document(document, path=tmp_path, passphrase=ask("battery staple"), name="copy")
    assert (key.name, key.secret) == ("copy", KEY.secret)


def test_invalid_name_taken(plain: Keyring) -> None:
    before = plain.info("alice").file.read_bytes()
    with pytest.raises(KeyExists, match="alice"):
        plain.add(Key("alice", b"\x02" * 32))
    assert plain.info("alice").file.read_bytes() == before


def test_invalid_truncated(plain: Keyring) -> None:
    """Whatever is left of the file, the error names it and nothing else happens."""
    file = plain.info("alice").file
    whole = file.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        file.write_bytes(whole[:length])
        with pytest.raises(KeyFileCorrupted, match=str(file)):
            plain.get("alice")


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "00" * 32},
        {"secret": "ff" * 32},
        {"secret": "zz"},
        {"secret": None},
        {"secret": (b"\x05" * 32).hex()},
        {"address": "descent1qqqq"},
        {"public_key": "02" + "11" * 32},
        {"name": "bob"},
        {"format": "descent-key/9"},
        {"protection": "rot13"},
        {"protection": "scrypt-aes-256-gcm"},
    ],
)
def test_invalid_edited(plain: Keyring, change: dict[str, str]) -> None:
    file = plain.info("alice").file
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    keyring = Keyring(file.parent.parent, passphrase=ask("correct horse"))
    with pytest.raises(KeyFileCorrupted, match=str(file)):
        keyring.get("alice")


def test_invalid_edited__encrypted(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path, passphrase=ask("correct horse"))
    file = keyring.add(KEY).file
    document = json.loads(file.read_text())
    ciphertext = bytearray.fromhex(document["ciphertext"])
    ciphertext[3] ^= 1
    file.write_text(json.dumps(document | {"ciphertext": ciphertext.hex()}))
    with pytest.raises(WrongPassphrase, match=str(file)):
        keyring.get("alice")
    costs = document["scrypt"] | {"n": 2**30}  # must not be tried: it would take 128 GiB
    file.write_text(json.dumps(document | {"scrypt": costs}))
    with pytest.raises(KeyFileCorrupted, match="scrypt"):
        keyring.get("alice")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_invalid_mode(plain: Keyring, mode: int) -> None:
    file = plain.info("alice").file
    file.chmod(mode)
    with pytest.raises(KeyFileExposed, match=f"{mode:04o}") as caught:
        plain.get("alice")
    assert caught.value.hint == f"chmod 600 {file}"


def test_invalid_unknown(plain: Keyring) -> None:
    with pytest.raises(KeyNotFound, match="'bob'"):
        plain.get("bob")


@pytest.mark.parametrize("name", ["", "../alice", ".alice", "a/b", "a" * 65, "a b"])
def test_invalid_name(plain: Keyring, name: str) -> None:
    with pytest.raises(InvalidInput, match="key name"):
        plain.get(name)


def test_invalid_passphrase_too_short(tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="at least 8"):
        Keyring(tmp_path, passphrase=ask("short")).add(KEY)
    assert Keyring(tmp_path).list() == []
