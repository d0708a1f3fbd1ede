"""`descent keys`, as typed."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from chain_client.address import decode_ss58
from cli.main import run

PHRASE = "abandon " * 23 + "art"


class Typed:
    """Runs command lines in one home and returns the JSON document."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        full = [*arguments, "--home", str(self.home), "--output", "json"]
        assert run(full) == code, self.capsys.readouterr().err
        out, err = self.capsys.readouterr()
        return json.loads(err)["error"] if code else json.loads(out)


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(tmp_path / "home", capsys)


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    return str(file)


def test_add_show_list(typed: Typed) -> None:
    made = typed("keys", "add", "a", "--keyring-backend", "test")
    assert len(made["mnemonic"].split()) == 24
    shown = typed("keys", "show", "a")
    assert made == shown | {"mnemonic": made["mnemonic"]}
    assert decode_ss58(shown["ss58_address"]) == shown["address"]
    assert typed("keys", "list") == [shown]


def test_add__recovered(
    typed: Typed, passphrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "phrase"
    file.write_text(PHRASE + "\n")
    made = typed("keys", "add", "a", "--mnemonic-file", str(file), "--passphrase-file", passphrase)
    assert "mnemonic" not in made
    assert made["protection"] == "scrypt-aes-256-gcm"
    monkeypatch.setattr("sys.stdin", io.StringIO(PHRASE))
    again = typed("keys", "add", "b", "--mnemonic-file", "-", "--keyring-backend", "test")
    assert again["address"] == made["address"]
    other = typed(
        "keys", "add", "c", "--mnemonic-file", str(file), "--index", "1",
        "--keyring-backend", "test",
    )  # fmt: skip
    assert other["path"] == "m/44'/118'/1'/0/0"
    assert other["address"] != made["address"]


def test_export_import(typed: Typed, passphrase: str, tmp_path: Path) -> None:
    made = typed("keys", "add", "a", "--passphrase-file", passphrase)
    file = tmp_path / "a.key"
    typed("keys", "export", "a", "--out", str(file), "--passphrase-file", passphrase)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    got = typed("keys", "import", "b", str(file), "--passphrase-file", passphrase)
    assert (got["name"], got["address"]) == ("b", made["address"])
    error = typed(
        "keys", "export", "a", "--out", str(file), "--passphrase-file", passphrase, code=1
    )
    assert str(file) in error["message"]


def test_export__unprotected(typed: Typed, tmp_path: Path) -> None:
    typed("keys", "add", "a", "--keyring-backend", "test")
    document = typed("keys", "export", "a", "--unprotected")
    assert len(bytes.fromhex(document["secret"])) == 32
    file = tmp_path / "a.key"
    file.write_text(json.dumps(document))
    typed("keys", "import", "b", str(file), "--keyring-backend", "test")


def test_invalid_no_passphrase_and_no_terminal(typed: Typed) -> None:
    error = typed("keys", "add", "a", code=1)
    assert "--passphrase-file" in error["hint"]


def test_invalid_wrong_passphrase(typed: Typed, passphrase: str, tmp_path: Path) -> None:
    typed("keys", "add", "a", "--passphrase-file", passphrase)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong horse!\n")
    error = typed("keys", "export", "a", "--unprotected", "--passphrase-file", str(wrong), code=1)
    assert "does not open" in error["message"]


def test_invalid_damaged_file(typed: Typed) -> None:
    typed("keys", "add", "a", "--keyring-backend", "test")
    file = typed.home / "keys" / "a.json"
    file.write_text(file.read_text()[:100])
    error = typed("keys", "list", code=1)
    assert str(file) in error["message"]
    assert "--recover" in error["hint"]


def test_invalid_mnemonic(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "phrase"
    file.write_text("abandon " * 24)
    error = typed(
        "keys", "add", "a", "--mnemonic-file", str(file), "--keyring-backend", "test", code=1
    )
    assert "checksum" in error["message"]
    assert "abandon" not in json.dumps(error)  # never print what may be a secret
