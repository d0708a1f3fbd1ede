"""`--generate-only`, `tx sign|broadcast|show`, `--gas`: built, signed and sent apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from genesis.devnet import get_account
from tests.support.typed import Typed

SEND = ("tx", "send", "owner", "miner-0", "3DSC")


def save(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    return str(path)


def test_apart(typed: Typed, tmp_path: Path) -> None:
    before = int(typed("query", "bank", "balance", "miner-0")["balance_udsc"])
    unsigned = typed(*SEND, "--generate-only", "--memo", "later")
    assert unsigned["signatures"] == []
    (message,) = unsigned["body"]["messages"]
    assert (message["@type"], unsigned["body"]["memo"]) == ("/cosmos.bank.v1beta1.MsgSend", "later")
    assert int(unsigned["auth_info"]["fee"]["gas_limit"]) > 50_000
    made = save(tmp_path / "unsigned.json", unsigned)
    signed = tmp_path / "signed.json"
    typed("tx", "sign", "owner", made, "--out", str(signed))
    sent = typed("tx", "broadcast", str(signed))
    assert sent["signer"] == get_account("owner").address
    shown = typed("tx", "show", sent["tx_hash"])
    assert (shown["is_success"], shown["memo"]) == (True, "later")
    assert int(typed("query", "bank", "balance", "miner-0")["balance_udsc"]) == before + 3_000_000
    # Sent again, nothing happens; signed again, it is another transaction.
    again = typed("tx", "broadcast", str(signed))
    assert (again["tx_hash"], again["height"]) == (sent["tx_hash"], sent["height"])
    assert int(typed("query", "bank", "balance", "miner-0")["balance_udsc"]) == before + 3_000_000


def test_offline(typed: Typed, tmp_path: Path) -> None:
    """No node is asked before the broadcast."""
    account = typed("query", "accounts", "show", "validator-3")
    nowhere = ("--node", "127.0.0.1:1")
    words = ("tx", "send", "validator-3", "miner-0", "1DSC", "--generate-only", "--offline")
    assert "--gas N" in typed(*words, *nowhere, code=2)["message"]
    unsigned = typed(*words, "--gas", "200000", "--fee", "5000udsc", *nowhere)
    made = save(tmp_path / "unsigned.json", unsigned)
    numbers = ("--account-number", str(account["account_number"]))
    sequence = ("--sequence", str(account["sequence"]))
    offline = ("tx", "sign", "validator-3", made, "--offline", *nowhere)
    assert "--sequence" in typed(*offline, *numbers, code=2)["message"]
    signed = typed(*offline, *numbers, *sequence)
    sent = typed("tx", "broadcast", save(tmp_path / "signed.json", signed))
    assert sent["fee_udsc"] == "5000"


def test_generate_only_opens_no_key(typed: Typed, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    flags = ("--keyring-backend", "file", "--passphrase-file", str(secret))
    made = typed("keys", "add", "locked", *flags)
    typed("tx", "send", "faucet", "locked", "1DSC")
    words = ("tx", "send", "locked", "miner-0", "1udsc")
    unsigned = typed(*words, "--generate-only")
    assert unsigned["body"]["messages"][0]["from_address"] == made["address"]
    assert "passphrase" in typed(*words, code=1)["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["body"].update(memo="edited"), "signature verification failed"),
        (lambda d: d.update(signatures=[]), "0 signatures, not one"),
        (lambda d: d.update(body=5), "is no transaction"),
        (lambda d: d["body"]["messages"][0].update({"@type": "/no.Such"}), "no message of this"),
        (lambda d: d["body"]["messages"][0].update(amount="x"), "is no transaction"),
    ],
    ids=["edited", "unsigned", "no body", "unknown message", "no amount"],
)
def test_invalid_files(typed: Typed, tmp_path: Path, change: Any, words: str) -> None:
    unsigned = save(tmp_path / "unsigned.json", typed(*SEND, "--generate-only"))
    signed = typed("tx", "sign", "owner", unsigned)
    change(signed)
    error = typed("tx", "broadcast", save(tmp_path / "signed.json", signed), code=1)
    assert words in error["message"], error


def test_gas(typed: Typed) -> None:
    planned = typed(*SEND, "--dry-run", "--gas", "auto")
    assert planned["gas_limit"] == -(-planned["gas_used"] * 3 // 2)
    assert typed(*SEND, "--dry-run", "--gas", "345678")["gas_limit"] == 345_678
    assert "--gas 'much'" in typed(*SEND, "--gas", "much", code=2)["message"]
    assert "--generate-only" in typed(*SEND, "--offline", code=2)["message"]
    assert typed("tx", "show", "12", code=1)["message"].startswith("'12' is not")


def test_generated_json_is_alone_on_stdout(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table, too: the next command reads it."""
    assert run([*SEND, "--generate-only", "--home", str(typed.home)]) == 0
    assert json.loads(capsys.readouterr().out)["signatures"] == []
