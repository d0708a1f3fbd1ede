"""Stake, rewards and governance typed at a real node."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.params import format_fraction, parse_fraction
from genesis.devnet import get_account
from node.runtime.addresses import encode_operator
from tests.cli.conftest import VALIDATORS, Typed

FIRST, SECOND = (encode_operator(get_account(f"validator-{i}").addr) for i in (0, 1))


def wait_until(is_done: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_delegate_earn_withdraw(typed: Typed) -> None:
    """The consensus set is validator-0: who delegates to it gets a part of the emission."""
    typed("tx", "stake", "delegate", "miner-0", "validator-0", "20DSC")

    def get_reward() -> float:
        rows = typed("query", "distribution", "rewards", "miner-0")
        return sum(float(row["reward_udsc"]) for row in rows)

    wait_until(lambda: get_reward() > 0)
    before = int(typed("query", "bank", "balance", "miner-0")["balance_udsc"])
    done = typed("tx", "withdraw-rewards", "miner-0")
    after = int(typed("query", "bank", "balance", "miner-0")["balance_udsc"])
    withdrawn = int(done["withdrawn_udsc"])
    assert withdrawn > 0
    assert done["operators"] == [FIRST]
    assert after == before + withdrawn - int(done["fee_udsc"])
    held = typed("query", "distribution", "operator", "validator-0")
    assert held["operator"] == FIRST
    assert float(held["commission_udsc"]) > 0
    done = typed("tx", "withdraw-rewards", "validator-0", "--commission")
    assert int(done["withdrawn_udsc"]) > withdrawn
    assert float(typed("query", "distribution", "community-pool")["community_pool_udsc"]) > 0


def test_redelegate(typed: Typed) -> None:
    typed("tx", "stake", "delegate", "miner-0", "validator-0", "3DSC")
    moved = typed("tx", "stake", "redelegate", "miner-0", "validator-0", SECOND, "2DSC")
    assert (moved["from_operator"], moved["to_operator"]) == (FIRST, SECOND)
    rows = typed("query", "staking", "redelegations", "miner-0")
    assert [int(row["amount_udsc"]) for row in rows] == [2_000_000]
    error = typed("tx", "stake", "redelegate", "miner-0", SECOND, FIRST, "1DSC", code=1)
    assert "already in progress" in error["message"]


def test_edit_operator(typed: Typed) -> None:
    done = typed("tx", "stake", "edit-operator", "validator-1", "--moniker", "second")
    assert done["operator"] == SECOND
    rows = {row["operator"]: row for row in typed("query", "staking", "validators")}
    assert rows[SECOND]["moniker"] == "second"
    assert rows[SECOND]["commission"] == "0.1"
    error = typed("tx", "stake", "unjail", "validator-1", code=1)
    assert "not jailed" in error["message"]


def test_signing_infos(typed: Typed) -> None:
    rows = typed("query", "slashing", "signing-infos")
    assert [row["operator"] for row in rows] == [FIRST]
    assert rows[0]["missed_blocks"] == 0
    assert typed("query", "slashing", "evidence") == []


def test_parameters_are_changed_by_a_vote(typed: Typed) -> None:
    before = typed("query", "params", "staking")
    assert (before["unbonding_time"], before["min_commission_rate"]) == ("60s", "0")
    changes = ("staking.unbonding_time=90s", "staking.max_entries=9")
    changes += ("consensus.block.max_gas=50000000", "consensus.evidence.max_age_num_blocks=5000")
    more = ("slashing.slash_fraction_downtime=2%", "mint.consensus_share_ppm=50000")
    flags = [text for change in (*changes, *more) for text in ("--param", change)]
    made = typed("tx", "gov", "propose", "owner", "--title", "Longer", "--deposit", "4DSC", *flags)
    number = str(made["proposal"])
    assert typed("query", "gov", "proposal", number)["status"] == "deposit_period"
    typed("tx", "gov", "deposit", "owner", number, "6DSC")
    for name in VALIDATORS[:-1]:
        typed("tx", "gov", "vote", name, number, "yes")
    typed("tx", "gov", "vote", VALIDATORS[-1], number, "yes=0.5,abstain=0.5")
    votes = typed("query", "gov", "votes", number)
    assert {row["option"] for row in votes} == {"yes", "abstain"}
    shown = typed("query", "gov", "proposal", number)
    assert int(shown["yes_udsc"]) >= 6_500 * 10**6
    assert shown["messages"][0]["type"] == "/cosmos.staking.v1beta1.MsgUpdateParams"
    wait_until(
        lambda: typed("query", "gov", "proposal", number)["status"] not in ("voting_period",)
    )
    assert typed("query", "gov", "proposal", number)["failed_reason"] == ""
    params = typed("query", "params")
    assert params["consensus"]["block"]["max_gas"] == 50_000_000
    assert params["consensus"]["evidence"]["max_age_num_blocks"] == 5_000
    assert params["staking"] == {**before, "unbonding_time": "90s", "max_entries": 9}
    assert params["slashing"]["slash_fraction_downtime"] == "0.02"
    assert typed("query", "mint", "emission")["consensus_emission_udsc"] == "50000"
    passed = typed("query", "gov", "proposals", "--status", "passed")
    assert [row["proposal"] for row in passed] == [int(number)]


def test_upgrade_is_proposed(typed: Typed) -> None:
    plan = ("--upgrade", "v2", "--height", "1000000")
    made = typed("tx", "gov", "propose", "owner", "--title", "v2", *plan)
    shown = typed("query", "gov", "proposal", str(made["proposal"]))
    assert shown["messages"][0]["plan"]["name"] == "v2"
    assert typed("query", "upgrade", "plan")["plan"] is None
    typed("tx", "gov", "cancel", "owner", str(made["proposal"]))
    typed("query", "gov", "proposal", str(made["proposal"]), code=1)


def test_messages_from_a_file(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    message: dict[str, Any] = {"@type": "/cosmos.upgrade.v1beta1.MsgCancelUpgrade"}
    path.write_text(json.dumps([message]))
    file_flags = ("--message", str(path), "--deposit", "0DSC")
    made = typed("tx", "gov", "propose", "owner", "--title", "x", *file_flags)
    assert made["proposal"] > 0
    path.write_text(json.dumps({"@type": "/no.such.Message"}))
    error = typed("tx", "gov", "propose", "owner", "--title", "x", *file_flags, code=1)
    assert "not a message of this chain" in error["message"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--param", "staking.nothing=1"),
        ("--param", "nothing.x=1"),
        ("--param", "staking"),
        ("--param", "consensus.block=1"),
        ("--param", "staking.max_validators=many"),
        ("--upgrade", "v2"),
        ("--spend", "owner"),
    ],
)
def test_invalid_proposals(typed: Typed, flags: tuple[str, ...]) -> None:
    typed("tx", "gov", "propose", "owner", "--title", "x", *flags, code=1)


@pytest.mark.parametrize("text", ["0", "0.05", "1", "0.000000000000000001", "0.334"])
def test_fractions(text: str) -> None:
    assert format_fraction(parse_fraction(text)) == text
    assert parse_fraction("5%") == 5 * 10**16


def test_session_and_fee_grants(typed: Typed) -> None:
    flags = ("--call", "miner", "--call", "/cosmos.bank.v1beta1.MsgSend", "--spend", "2DSC")
    made = typed("tx", "grant", "session", "owner", "miner-0", *flags, "--for", "1h")
    assert len(made["calls"]) == 3
    typed("tx", "grant", "fees", "owner", "miner-0", "--limit", "1DSC")
    rows = typed("query", "grants", "miner-0")
    assert [row["kind"] for row in rows] == ["SessionAuthorization", "BasicAllowance"]
    assert rows[0]["grant"]["spend_limit_udsc"] == "2000000"
    typed("tx", "grant", "revoke", "owner", "miner-0")
    typed("tx", "grant", "revoke", "owner", "miner-0", "--fees")
    assert typed("query", "grants", "miner-0") == []
    typed("tx", "grant", "session", "owner", "miner-0", code=1)
    typed("tx", "grant", "session", "owner", "miner-0", "--call", "miner", "--for", "x", code=1)
