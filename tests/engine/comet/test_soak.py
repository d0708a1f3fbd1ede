"""Long: a node killed again and again at random moments, and four perturbed at random.

`DESCENT_SOAK_KILLS` and `DESCENT_SOAK_PERTURBATIONS` say how often; 100 and 30 by default.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.engine.comet.replay import replay
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = [needs_cometbft, pytest.mark.soak]

RECOVERY_S = 20.0  # as CometBFT's own perturbation tests demand


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Nothing committed is lost, and all blocks replay to the same app hashes."""
    source, num_kills = random.Random(1), int(os.environ.get("DESCENT_SOAK_KILLS", "100"))
    hashes: dict[int, str] = {}
    with CometNetwork(tmp_path / "nodes") as network:
        network.start_all()
        for _ in range(num_kills):
            height = network.get_height()
            if height > 1:
                hashes[height - 1] = network.get_app_hash(height - 1)
            time.sleep(source.random())
            network.kill(only_engine=source.random() < 0.3)
            network.start()
            network.wait_for_height(height + 1, timeout_s=RECOVERY_S)
        for height, app_hash in hashes.items():
            assert network.get_app_hash(height) == app_hash
        top = network.get_height()
        network.wait_for_height(top + 2)
        assert network.stop() == 0
        replayed = replay(network.homes[0], tmp_path / "again")
        assert {height: replayed[height] for height in hashes} == hashes


def test_four_nodes_perturbed_at_random(tmp_path: Path) -> None:
    """One at a time is killed, paused or restarted; the chain goes on and all agree."""
    source = random.Random(2)
    count = int(os.environ.get("DESCENT_SOAK_PERTURBATIONS", "30"))
    with CometNetwork(tmp_path, 4) as network:
        network.start_all()
        for _ in range(count):
            index, kind = source.randrange(4), source.choice(["kill", "pause", "restart", "engine"])
            other = (index + 1) % 4
            before = network.get_height(other)
            if kind == "pause":
                network.signal_all(index, signal.SIGSTOP)
            elif kind == "restart":
                assert network.stop(index) == 0
            else:
                network.kill(index, only_engine=kind == "engine")
            network.wait_for_height(before + 2, other, timeout_s=RECOVERY_S)
            if kind == "pause":
                network.signal_all(index, signal.SIGCONT)
            else:
                network.start(index)
            top = network.get_height(other)
            network.wait_for_height(top + 1, index, timeout_s=RECOVERY_S)
            for height in range(max(1, top - 5), top):
                hashes = {network.get_app_hash(height, at) for at in (index, other)}
                assert len(hashes) == 1, (height, hashes)
