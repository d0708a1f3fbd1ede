"""`devnet up --until reward`: miners and validators are paid for a model that learns."""

import json
import re

from cli.devnet.layout import RUN_ID
from genesis.devnet import get_account
from proto.descent.weights.v1 import weights_pb2
from tests.support.devnet import Devnet

MINERS = ("miner-0", "miner-1", "miner-2")
VALIDATORS = ("validator-0", "validator-1")


def test_reward(devnet: Devnet) -> None:
    report = devnet.first_report
    assert report["reached"] == "reward"
    assert report["height"] > 0
    assert report["memory_bytes"] < 4 << 30
    assert {"node", "owner", *MINERS, *VALIDATORS} == set(devnet.list_names())
    document = json.loads((devnet.home / "devnet.json").read_text())
    assert document["chain_id"] == "descent-devnet-1"
    assert document["endpoints"]["grpc"] == devnet.grpc


def test_balances_go_up(devnet: Devnet) -> None:
    """A first epoch pays a part, the rest vests: a seat's price is earned back within rounds."""

    def is_earning() -> bool:
        members = {name: devnet.get_member(name) for name in (*MINERS, *VALIDATORS)}
        return all(member.total_paid_udsc for member in members.values())

    devnet.wait(is_earning, 60, "everybody is paid")
    before = {name: devnet.get_balance(name) for name in (*MINERS, *VALIDATORS)}
    # A round's rewards are far above its fees.
    devnet.wait(
        lambda: all(devnet.get_balance(name) > before[name] + 100_000 for name in before),
        60,
        "every balance goes up",
    )
    status = devnet.type("devnet", "status")
    assert status["run_status"] == "training"
    assert {member["name"] for member in status["members"]} == {*MINERS, *VALIDATORS}
    for member in status["members"]:
        assert int(member["paid_udsc"]) > 0, member
    assert {name: status["processes"][name] for name in MINERS} == dict.fromkeys(MINERS, "running")
    assert status["processes"]["owner"] == "done"


def test_loss_falls(devnet: Devnet) -> None:
    """The loss of checkpoints on held-out text; every round draws other sequences."""
    devnet.wait_judged(5)
    epochs = [devnet.client.get_epoch(RUN_ID, index) for index in range(6)]
    losses = [epoch.base_heldout_loss_nanonats for epoch in epochs]
    assert sum(losses[4:]) / 2 < 0.9 * losses[0], losses


def test_nobody_is_refused(devnet: Devnet) -> None:
    for name in VALIDATORS:
        log = devnet.read_log(name)
        assert "REASON_CODE_OK" in log
        assert "REPLAY_MISMATCH" not in log
        assert "settlement_differs" not in log
    for name in MINERS:
        assert "Traceback" not in devnet.read_log(name)


def test_lineage_from_genesis(devnet: Devnet) -> None:
    report = devnet.type("lineage", "verify", str(RUN_ID), "--from-genesis")
    assert (report["verified"], report["from_round"], report["from_seed"]) == (True, 0, True)
    assert report["round"] >= 1
    assert report["payloads_applied"] >= report["round"]
    rows = devnet.type("lineage", "tree", str(RUN_ID))
    assert rows[-1]["round"] == 0
    wrong = devnet.type("lineage", "verify", str(RUN_ID), "--app-hash", "11" * 32, code=4)
    assert re.search(r"is not in the state with app hash 1111", wrong["message"])


def test_explain(devnet: Devnet) -> None:
    uid = devnet.get_member("miner-0").uid

    def find_good_round() -> str | None:
        """A round in which it was in time and lowered the loss, as text."""
        for index in range(1, devnet.client.get_epoch(RUN_ID).round + 1):
            entries = {entry.uid: entry for entry in devnet.client.get_epoch(RUN_ID, index).entries}
            if entries[uid].reason == weights_pb2.REASON_CODE_OK:
                return str(index)
        return None

    index = devnet.wait(find_good_round, 60, "a good round of miner-0")
    found = devnet.type("explain", str(RUN_ID), "--uid", str(uid), "--round", index, "--recompute")
    assert "OK" in json.dumps(found)
    assert found["recomputed"]["result"] == "the same bits"


def test_up_again(devnet: Devnet) -> None:
    error = devnet.type("devnet", "up", "--detach", code=1)
    assert "is running" in error["message"]
    assert "descent devnet status, logs or down" in error["hint"]


def test_busy_port(devnet: Devnet) -> None:
    other = str(devnet.folder / "other")
    command = ("devnet", "up", "--home", other, "--port-offset", str(devnet.port_offset))
    error = devnet.type(*command, "--detach", code=1)
    assert re.fullmatch(r"port \d+ is in use", error["message"])
    assert "--port-offset" in error["hint"]


def test_accounts_are_the_published_ones(devnet: Devnet) -> None:
    keys = {key["name"]: key["address"] for key in devnet.type("keys", "list")}
    assert keys["miner-3"] == get_account("miner-3").address
