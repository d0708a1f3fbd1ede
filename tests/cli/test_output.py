"""What commands print, where, and how they exit."""

import json
import os
from pathlib import Path

import pytest

from cli.main import run
from cli.output import VerificationFailed, report, to_json, to_table
from tests.support.ports import find_free_port


def test_json_form() -> None:
    document = {
        "amount_udsc": 5,
        "hash": b"\xab\xcd",
        "height": 7,
        "rows": [{"fee_udsc": 1}],
        "n": None,
    }
    assert to_json(document) == {
        "amount_udsc": "5",
        "hash": "abcd",
        "height": 7,
        "rows": [{"fee_udsc": "1"}],
        "n": None,
    }


def test_table_form() -> None:
    assert to_table({"amount_udsc": 1_500_000, "is_ok": True}) == "amount  1.5 DSC\nis ok   yes"
    rows = [{"name": "a", "stake_udsc": 1}, {"name": "bcd", "stake_udsc": 20_000_000}]
    assert to_table(rows) == "name         stake\na     0.000001 DSC\nbcd         20 DSC"
    assert to_table([]) == ""


def test_table_form__units() -> None:
    document = {"gain_nanonats": -1_500, "incentive_u16": 65_535, "time_unix_ms": 1_000}
    assert to_table(document).splitlines() == [
        "gain       -0.000001500 nats a token",
        "incentive  1.0000",
        "time       1970-01-01T00:00:01.000+00:00",
    ]


def test_table_form__rows_wider_than_the_terminal() -> None:
    rows = [{"name": "a", "hash": "00" * 10}, {"name": "b", "hash": "11" * 10}]
    assert len(to_table(rows, width=26).splitlines()) == 3
    assert to_table({"rows": rows}, width=26).splitlines() == [
        "rows",
        "  name  a",
        "  hash  " + "00" * 10,
        "",
        "  name  b",
        "  hash  " + "11" * 10,
    ]


def test_verification_failure_exits_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(VerificationFailed("leaf 3 differs"), "table") == 4
    assert capsys.readouterr().err == "error: leaf 3 differs\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["keys", "lst"], 2, "Did you mean 'list'"),
        (["key", "list"], 2, "Did you mean 'keys'"),
        (["keys", "list", "--outptu", "json"], 2, "--outptu"),
        (["keys", "list", "--output", "yaml"], 2, "yaml"),
        (["keys", "show", "nobody"], 1, "nobody"),
        (["query", "tx", "abc"], 1, "64 hex digits"),
        (["tx", "send", "nobody", "nobody", "5"], 1, "no unit"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--home", str(tmp_path)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert run([*arguments, "--home", str(tmp_path), "--output=json"]) in (code, 0)
    if "--output" in arguments:
        return
    error = json.loads(capsys.readouterr().err)["error"]
    assert set(error) == {"codespace", "code", "message", "hint"}
    assert words in error["message"] + error["hint"]


@pytest.mark.parametrize(
    "arguments", [["status"], ["query", "block"], ["run", "list"], ["node", "debug", "app-hash"]]
)
def test_unreachable_exits_3(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = f"127.0.0.1:{find_free_port()}"
    full = [*arguments, "--home", str(tmp_path), "--node", node, "--output", "json"]
    assert run(full) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert node in json.loads(err)["error"]["message"]


def test_home__devnet_started_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESCENT_HOME", raising=False)
    monkeypatch.delenv("DESCENT_NODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    node = f"127.0.0.1:{find_free_port()}"
    (tmp_path / ".devnet").mkdir()
    (tmp_path / ".devnet" / "devnet.json").write_text(
        json.dumps({"chain_id": "x-1", "endpoints": {"grpc": node}})
    )
    assert run(["keys", "add", "a"]) == 0  # plain: a devnet's home
    assert (tmp_path / ".devnet" / "keys" / "a.json").exists()
    assert run(["status"]) == 3
    assert node in capsys.readouterr().err


def test_home__devnet_file_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "devnet.json").write_text('{"chain')
    assert run(["keys", "list", "--home", str(tmp_path)]) == 1
    assert str(tmp_path / "devnet.json") in capsys.readouterr().err


def test_home__environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESCENT_HOME", str(tmp_path))
    assert run(["keys", "add", "a", "--keyring-backend", "test"]) == 0
    assert os.listdir(tmp_path / "keys") == ["a.json"]
    capsys.readouterr()


def test_explain_keeps_logs_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    from cli import explain

    explain._keep_logs_off_stdout()
    log = structlog.get_logger()
    log.info("checkpoint_fetched")
    log.warning("stored_state_refused")
    structlog.reset_defaults()
    out, err = capsys.readouterr()
    assert out == ""
    assert "stored_state_refused" in err
    assert "checkpoint_fetched" not in err
