"""kill -9 of node, miners and validators at random moments: each goes on where it was.

That the chain is the same as one never disturbed is in `test_shutdown.py`, which replays it.
"""

import random
import time

import pytest

from cli.devnet.layout import RUN_ID
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.support.devnet import Devnet

MINERS = ("miner-0", "miner-1", "miner-2")
VALIDATORS = ("validator-0", "validator-1")
LONGEST_PAUSE_SECONDS = 1.0
RECOVERY_SECONDS = 120.0


def kill_at_random(devnet: Devnet, num_times: int) -> None:
    """Kill the node, a miner and a validator in turn, each at any moment, and start it again."""
    rng = random.Random(num_times)
    for _ in range(num_times):
        for name in ("node", rng.choice(MINERS), rng.choice(VALIDATORS)):
            time.sleep(rng.uniform(0, LONGEST_PAUSE_SECONDS))
            devnet.kill(name)
            devnet.up()


def ensure_recovery(devnet: Devnet) -> None:
    """Wait for a round in which every miner is paid for work that replays; check the logs."""
    uids = [devnet.get_member(name).uid for name in MINERS]
    first = devnet.client.get_current_round(RUN_ID).index

    def find_good_round() -> bool:
        newest = devnet.client.get_epoch(RUN_ID).round
        for index in range(first, newest + 1):
            entries = {entry.uid: entry for entry in devnet.client.get_epoch(RUN_ID, index).entries}
            if all(entries[uid].reason == weights_pb2.REASON_CODE_OK for uid in uids):
                return True
        return False

    devnet.wait(find_good_round, RECOVERY_SECONDS, "a round with every miner after the kills")
    assert all(devnet.get_member(name).optimiser_root for name in MINERS)
    for name in (*MINERS, *VALIDATORS):
        log = devnet.read_log(name)
        for sign in ("optimiser_lost", "another state", "settlement_differs", "Traceback"):
            assert sign not in log, f"{name}: {sign}\n{log[-3000:]}"
    assert "Traceback" not in devnet.read_log("node")


def test_miner_that_misses_a_deadline(devnet: Devnet) -> None:
    """One that is down for the rest of a round says so when it is back, and takes the next."""
    devnet.wait_round(lambda r: r.phase == rounds_pb2.PHASE_TRAINING, "a round begins")
    devnet.kill("miner-1")
    uid = devnet.get_member("miner-1").uid

    def has_missed(current: rounds_pb2.Round) -> bool:
        found = devnet.client.get_commitments(RUN_ID, current.index)
        is_over = current.phase == rounds_pb2.PHASE_ATTESTING
        return is_over and uid not in {commitment.uid for commitment in found}

    missed = devnet.wait_round(has_missed, "a round without miner-1")
    num_lines = devnet.read_log("miner-1").count("\n")
    devnet.up()

    def is_back() -> bool:
        lines = "\n".join(devnet.read_log("miner-1").splitlines()[num_lines:])
        return "deadline_missed" in lines and "taking the next round" in lines

    devnet.wait(is_back, 60, "miner-1 says that it missed a deadline")
    epoch = devnet.wait_judged(missed.index)
    reasons = {entry.uid: entry.reason for entry in epoch.entries}
    assert reasons[uid] in (weights_pb2.REASON_CODE_MISSING, weights_pb2.REASON_CODE_LATE)


def test_kill_at_random_moments(devnet: Devnet) -> None:
    """Twelve kills; the validators replay all work in every round, so they would tell of a
    state that was lost.
    """
    kill_at_random(devnet, 4)
    ensure_recovery(devnet)


@pytest.mark.soak
def test_kill_at_random_moments__hundred(devnet: Devnet) -> None:
    for _ in range(7):
        kill_at_random(devnet, 5)
        ensure_recovery(devnet)
