"""`devnet up --attacker KIND`: who cheats ends with nothing and a reason, and the honest are paid.

The file's name sorts first: its devnet is gone before the one that the other files share starts.
"""

from collections.abc import Iterator

import pytest

from cli.devnet.layout import RUN_ID
from proto.descent.weights.v1 import weights_pb2 as w
from tests.support.devnet import Devnet

HONEST = ("miner-0", "miner-1", "miner-2")
ATTACKERS = {
    "miner-3": ("copier", w.REASON_CODE_DUPLICATE, "duplicate"),
    "miner-4": ("free-rider", w.REASON_CODE_REPLAY_MISMATCH, "replay mismatch"),
    "miner-5": ("corrupt", w.REASON_CODE_INVALID_PAYLOAD, "invalid payload"),
    "miner-6": ("wrong-steps", w.REASON_CODE_REPLAY_MISMATCH, "replay mismatch"),
}
NUM_ROUNDS = 4


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    found = Devnet(tmp_path_factory.mktemp("attacked"))
    kinds = [option for kind, _, _ in ATTACKERS.values() for option in ("--attacker", kind)]
    try:
        found.up("--miners", str(len(HONEST)), *kinds)
        found.wait_judged(NUM_ROUNDS - 1, timeout_s=180)
        yield found
    finally:
        found.close()


def test_every_cheat_has_its_reason_and_earns_nothing(attacked: Devnet) -> None:
    uids = {name: attacked.get_member(name).uid for name in ATTACKERS}
    for index in range(NUM_ROUNDS):
        entries = {e.uid: e for e in attacked.client.get_epoch(RUN_ID, index).entries}
        for name, (kind, reason, _) in ATTACKERS.items():
            entry = entries[uids[name]]
            found = (entry.incentive_u16, entry.emission_udsc)
            assert found == (0, 0), (kind, index, entry)
            # A miner that needs longer than the deadline on a loaded machine is late for once.
            late = (w.REASON_CODE_LATE, w.REASON_CODE_MISSING)
            assert entry.reason in (reason, *late), (kind, index, entry)
        assert sum(e.reason == w.REASON_CODE_REPLAY_MISMATCH for e in entries.values()) <= 2
    last = [attacked.client.get_epoch(RUN_ID, i).entries for i in range(NUM_ROUNDS)]
    for name, (_, reason, _) in ATTACKERS.items():
        assert reason in [e.reason for entries in last for e in entries if e.uid == uids[name]]


def test_honest_miners_have_the_reward(attacked: Devnet) -> None:
    """At least 95 % of what miners earned."""
    uids = {attacked.get_member(name).uid for name in HONEST}
    earned = honest = 0
    for index in range(NUM_ROUNDS):
        epoch = attacked.client.get_epoch(RUN_ID, index)
        earned += epoch.miners_udsc
        honest += sum(entry.emission_udsc for entry in epoch.entries if entry.uid in uids)
    assert earned > 0
    assert honest >= 0.95 * earned


def test_status_and_explain_say_why(attacked: Devnet) -> None:
    status = attacked.type("devnet", "status")
    members = {member["name"]: member for member in status["members"]}
    for name, (_, _, words) in ATTACKERS.items():
        assert members[name]["paid_udsc"] == "0"
        assert members[name]["last_verdict"] in (words, "late", "missing")
    uid = attacked.get_member("miner-6").uid
    epochs = [attacked.client.get_epoch(RUN_ID, index) for index in range(NUM_ROUNDS)]
    mismatch = w.REASON_CODE_REPLAY_MISMATCH
    reasons = [next(e.reason for e in epoch.entries if e.uid == uid) for epoch in epochs]
    index = str(reasons.index(mismatch))
    found = attacked.type("explain", str(RUN_ID), "--uid", str(uid), "--round", index)
    assert "replay" in str(found).lower()
    assert "the trace repeats a state" in str(found)
