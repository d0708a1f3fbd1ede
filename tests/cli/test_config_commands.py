"""`descent config` as typed, and a node that takes its settings from all four places."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from genesis.devnet import init_devnet_home
from genesis.node_home import init_node_home


def typed(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0, more: tuple[str, ...] = ()
) -> Any:
    assert run([*arguments, "--output", "json", *more]) == code
    out, err = capsys.readouterr()
    return json.loads(err)["error"] if code else json.loads(out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DESCENT_GRPC_LISTEN", raising=False)
    (tmp_path / "config").mkdir()
    return tmp_path


def test_show_origin(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "config" / "node.toml"
    path.write_text('[node]\nengine = "cometbft"\nmoniker = "a"\n')
    monkeypatch.setenv("DESCENT_NODE_MONIKER", "b")
    command = ("config", "show", "node", "--origin", "--home", str(home))
    rows = typed(capsys, *command, more=("--", "--grpc-listen", "0.0.0.0:1"))
    found = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert found["node.engine"] == ("cometbft", f"file {path}")
    assert found["node.moniker"] == ("b", "environment DESCENT_NODE_MONIKER")
    assert found["grpc.listen"] == ("0.0.0.0:1", "flag --grpc-listen")
    assert found["rpc.listen"] == ("127.0.0.1:26657", "default")


def test_validate(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("config", "validate", "node", "--home", str(home))
    assert typed(capsys, *command) == {"valid": True, "file": None}
    path = home / "config" / "node.toml"
    path.write_text('[grpc]\nlisn = "127.0.0.1:1"\n')
    error = typed(capsys, *command, code=1)
    assert error["message"].endswith("did you mean grpc.listen?")
    path.write_text("")
    assert typed(capsys, *command)["file"] == str(path)


def test_validate__variable(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCENT_GRPC_LISTN", "127.0.0.1:1")
    error = typed(capsys, "config", "validate", "node", "--home", str(home), code=1)
    assert "did you mean DESCENT_GRPC_LISTEN?" in error["message"]


def test_invalid_program_and_flag(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none of" in typed(capsys, "config", "show", "cook", code=2)["message"]
    command = ("config", "show", "node", "--home", str(home))
    error = typed(capsys, *command, code=2, more=("--", "--grpc-lisn", "x"))
    assert "no flag --grpc-lisn" in error["message"]


def test_template_is_what_init_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_devnet_home(tmp_path / "devnet", time_ns=1, onion_seed=bytes(32))
    init_node_home(tmp_path / "node", tmp_path / "devnet" / "config" / "genesis.json", None)
    assert run(["config", "template", "node"]) == 0
    template = capsys.readouterr().out.splitlines()
    written = (tmp_path / "node" / "config" / "node.toml").read_text().splitlines()
    assert written[1:] == template[1:]


def test_invalid_start_names_the_setting(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config" / "node.toml").write_text('[node]\nengine = "tendermint"\n')
    assert run(["node", "start", "--home", str(home)]) == 2
    assert "node.engine is 'tendermint', one of embedded, cometbft" in capsys.readouterr().err
