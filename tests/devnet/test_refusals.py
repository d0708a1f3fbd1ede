"""`devnet up` with what cannot work: it says why, and leaves nothing running."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.devnet import ROOT, find_port_offset, list_living

SMALL = ("--miners", "1", "--validators", "1")


def type_up(home: Path, *options: str, code: int = 1) -> dict[str, Any]:
    """Type `devnet up` for a devnet of its own; return the error."""
    offset = str(find_port_offset())
    command = [sys.executable, "-m", "cli.main", "devnet", "up", "--home", str(home), *SMALL]
    done = subprocess.run(
        [*command, "--port-offset", offset, *options, "--output", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert list_living(home) == []
    return json.loads(done.stderr.splitlines()[-1])["error"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dataset", "absent"), "absent is not a folder"),
        (("--until", "tomorrow"), "say reward, round:N or height:N"),
        (("--attacker", "thief"), "--attacker 'thief' is none of copier"),
        (("--engine", "abacus"), "--engine 'abacus' is none of embedded"),
        (("--nodes", "3"), "--nodes 3 needs --engine cometbft"),
        (("--miners", "0"), "both above 0 for a run, or both 0"),
    ],
)
def test_invalid_option(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    assert words in type_up(tmp_path / "home", *options, code=2)["message"]
    assert not (tmp_path / "home").exists()


def test_invalid_devnet_file(tmp_path: Path) -> None:
    (tmp_path / "devnet.json").write_text('{"processes": {}, "later": 1}')
    error = type_up(tmp_path)
    assert f"{tmp_path / 'devnet.json'} is damaged" in error["message"]
    assert f"remove {tmp_path}" in error["hint"]


def test_invalid_genesis(tmp_path: Path) -> None:
    """The node refuses; its words are shown."""
    (tmp_path / "node" / "config").mkdir(parents=True)
    (tmp_path / "node" / "config" / "genesis.json").write_text('{"chain_id"')
    error = type_up(tmp_path)
    assert "the node ended; its log ends with" in error["message"]
    assert "genesis.json is not a JSON object" in error["message"]


def test_invalid_run_spec(tmp_path: Path) -> None:
    """The owner cannot create the run: nobody waits for it in vain."""
    (tmp_path / "run.toml").write_text("[model]\nd_model = 16384\nnum_layers = 500\n")
    error = type_up(tmp_path, "--until", "reward")
    assert "the owner did not create the run" in error["message"]
    assert "parameters, the limit is 2000000000" in error["message"]
