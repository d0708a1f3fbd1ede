"""Wherever a person types an account: the name of a key, bech32 and SS58 mean the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from chain_client.address import encode_ss58
from chain_client.keys import Keyring
from cli.main import run
from genesis.devnet import init_devnet_home
from tests.cli.conftest import Typed
from tests.cli.walk import is_group, iterate_commands

WHO = "validator-0"
ACCOUNTS = ("NAME|ADDRESS", "OPERATOR", "GRANTEE", "TO")


def list_questions() -> list[tuple[str, ...]]:
    """List the commands that ask about one account and need nothing else."""
    found = []
    for words, item in iterate_commands():
        if is_group(item) or "query" not in words:
            continue
        needed = [param for param in item.params if param.required]
        if len(needed) == 1 and str(needed[0].metavar) in ACCOUNTS:
            found.append(words)
    return found


def test_there_are_such_questions() -> None:
    assert len(list_questions()) >= 8


@pytest.mark.parametrize("words", list_questions(), ids=" ".join)
def test_every_spelling(typed: Typed, home: Path, words: tuple[str, ...]) -> None:
    address = Keyring(home).info(WHO).address
    at_height = ("--height", str(typed("status")["height"]))
    answers = []
    for who in (WHO, address, encode_ss58(address)):
        answer: Any = typed(*words, who, *at_height, code=None)
        if isinstance(answer, dict):
            answer.pop("name", None)
        answers.append(json.loads(json.dumps(answer).replace(encode_ss58(address), address)))
    assert answers[0] == answers[1] == answers[2]


def test_every_spelling__sending(typed: Typed, home: Path) -> None:
    address = Keyring(home).info(WHO).address
    for who in (WHO, address, encode_ss58(address)):
        for command in (
            ("tx", "send", "faucet", who, "1udsc"),
            ("tx", "stake", "delegate", "faucet", who, "1udsc"),
        ):
            assert typed(*command, "--dry-run")["gas_used"] > 0


def test_every_spelling__of_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first"
    init_devnet_home(first, time_ns=1_800_000_000 * 10**9, onion_seed=b"\x01" * 32)
    genesis = str(first / "config" / "genesis.json")
    address = (first / "config" / "operator").read_text().strip()
    for number, who in enumerate((address, encode_ss58(address))):
        home = tmp_path / str(number)
        command = ["node", "init", "--genesis", genesis, "--operator", who, "--home", str(home)]
        assert run([*command, "--output", "json"]) == 0, capsys.readouterr().err
        assert (home / "config" / "operator").read_text().strip() == address
