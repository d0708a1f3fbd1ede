"""`descent keys`, as typed."""

import io
import json
import shutil
import stat
from pathlib import Path

import pytest

from chain_client.address import decode_ss58
from cli.main import run
from tests.support.typed import Typed

PHRASE = "abandon " * 23 + "art"


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys, tmp_path / "home")


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
    assert file.read_text().startswith("-----BEGIN TENDERMINT PRIVATE KEY-----")
    got = typed("keys", "import", "b", str(file), "--passphrase-file", passphrase)
    assert (got["name"], got["address"]) == ("b", made["address"])
    error = typed(
        "keys", "export", "a", "--out", str(file), "--passphrase-file", passphrase, code=1
    )
    assert str(file) in error["message"]


def test_export__unprotected(
    typed: Typed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = typed("keys", "add", "a", "--keyring-backend", "test")
    assert run(["keys", "export", "a", "--unprotected", "--home", str(typed.home)]) == 0
    text = capsys.readouterr().out
    assert len(bytes.fromhex(text)) == 32
    assert typed("keys", "export", "a", "--unprotected")["secret"] == text.strip()
    for name, form in (("b", text), ("c", f" 0x{text}")):
        monkeypatch.setattr("sys.stdin", io.StringIO(form))
        got = typed("keys", "import", name, "-", "--keyring-backend", "test")
        assert got["address"] == made["address"]


def test_import__key_file(typed: Typed, passphrase: str, tmp_path: Path) -> None:
    """A file of a keyring, copied from another machine."""
    made = typed("keys", "add", "a", "--passphrase-file", passphrase)
    file = shutil.copy(typed.home / "keys" / "a.json", tmp_path)
    got = typed("keys", "import", "b", file, "--passphrase-file", passphrase)
    assert got["address"] == made["address"]


def test_import__other_passphrase(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's lines answer in order; the environment names it as well as the flag."""
    lines = tmp_path / "lines"
    lines.write_text("for the keyring\nfor the export\n")
    monkeypatch.setenv("DESCENT_KEYRING_PASSPHRASE_FILE", str(lines))
    made = typed("keys", "add", "a")
    file = tmp_path / "a.asc"
    typed("keys", "export", "a", "--out", str(file))
    lines.write_text("for the export\nof this machine\n")
    assert typed("keys", "import", "b", str(file))["address"] == made["address"]
    error = typed("keys", "export", "b", code=1)
    assert "does not open" in error["message"]
    lines.write_text("of this machine\n")
    typed("keys", "export", "b", "--out", str(tmp_path / "b.asc"))


def test_rename_and_delete(typed: Typed, passphrase: str) -> None:
    made = typed("keys", "add", "a", "--passphrase-file", passphrase)
    typed("keys", "add", "c", "--keyring-backend", "test")
    got = typed("keys", "rename", "a", "b")
    assert (got["name"], got["address"]) == ("b", made["address"])
    typed("keys", "show", "a", code=1)
    typed("keys", "export", "b", "--passphrase-file", passphrase, "--out", str(typed.home / "x"))
    assert "already in" in typed("keys", "rename", "b", "c", code=1)["message"]
    assert "--yes" in typed("keys", "delete", "b", code=2)["hint"]
    assert typed("keys", "delete", "b", "--yes")["address"] == made["address"]
    assert [row["name"] for row in typed("keys", "list")] == ["c"]
    assert "no key named" in typed("keys", "delete", "b", "--yes", code=1)["message"]


def test_add__suri(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """subkey's //Alice and //Bob of scheme ecdsa."""
    monkeypatch.setattr("sys.stdin", io.StringIO("//Alice"))
    flags = ("--suri", "--mnemonic-file", "-", "--keyring-backend", "test")
    made = typed("keys", "add", "alice", *flags)
    assert made["public_key"] == (
        "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("//Alice/soft"))
    assert "soft junction" in typed("keys", "add", "b", *flags, code=1)["message"]


def test_backend_os__is_refused_where_there_is_none(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    error = typed("keys", "add", "a", "--keyring-backend", "os", code=1)
    assert "keyring of the operating system" in error["message"]
    assert "--keyring-backend file" in error["hint"]
    assert typed("keys", "list") == []


def test_backend_os(typed: Typed) -> None:
    keyring = pytest.importorskip("keyring", reason="the optional package keyring")
    from keyring.backend import KeyringBackend

    class Kept(KeyringBackend):  # type: ignore[misc]
        priority = 1
        kept: dict[tuple[str, str], str]

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    system = Kept()
    system.kept = {}
    before = keyring.get_keyring()
    keyring.set_keyring(system)
    try:
        made = typed("keys", "add", "a", "--keyring-backend", "os")
        assert made["protection"] == "os-keyring"
        (secret,) = system.kept.values()
        assert secret not in (typed.home / "keys" / "a.json").read_text()
        typed("keys", "rename", "a", "b")
        assert run(["keys", "export", "b", "--unprotected", "--home", str(typed.home)]) == 0
        assert typed.capsys.readouterr().out.strip() == secret
        typed("keys", "delete", "b", "--yes")
        assert system.kept == {}
    finally:
        keyring.set_keyring(before)


def test_invalid_folder_is_open(typed: Typed) -> None:
    typed("keys", "add", "a", "--keyring-backend", "test")
    folder = typed.home / "keys"
    folder.chmod(0o755)
    error = typed("keys", "show", "a", code=1)
    assert error["hint"] == f"chmod 700 {folder}"
    folder.chmod(0o700)
    (folder / "a.json").chmod(0o644)
    assert typed("keys", "list", code=1)["hint"] == f"chmod 600 {folder / 'a.json'}"


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
