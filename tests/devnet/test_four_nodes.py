"""Training on four nodes while each of them is killed, paused, cut off and restarted."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from cli.devnet.layout import RUN_ID
from tests.support.comet_network import needs_cometbft
from tests.support.training_network import KINDS, TrainingNetwork, get_count

pytestmark = [needs_cometbft]


@pytest.mark.slow
def test_training_goes_on_while_nodes_fail(tmp_path: Path) -> None:
    """Node 0 is killed and stays away for a round; then others are cut off and paused."""
    source = random.Random(3)
    with TrainingNetwork(tmp_path, cuttable=[2]) as network:
        network.start_all()
        network.kill("node")
        index = network.get_round()
        network.wait(lambda: network.get_round() >= index + 1, 60, "a round without node 0")
        network.start("node")
        for victim, kind in ((2, "disconnect"), (3, "pause")):
            assert network.perturb(victim, kind, source) < 20
        network.wait(lambda: network.get_height(0) >= network.get_height(1), 30, "node 0 is back")
        network.ensure_agreement()
        names = [name for name in network.entries if name.startswith(("miner", "validator"))]
        assert len(names) == 4
        assert all(map(network.is_running, names)), network.read_logs()
        network.wait(lambda: network.client.get_epoch(RUN_ID, index), 30, "its epoch")
        epoch = network.client.get_epoch(RUN_ID, index)
        assert epoch.num_judgements == 2


@pytest.mark.soak
def test_perturbed_at_random(tmp_path: Path) -> None:
    """Each kind on each node in turn, then `DESCENT_SOAK_PERTURBATIONS` (40) at random."""
    source = random.Random(4)
    plan = [(index, kind) for kind in KINDS for index in range(4)]
    count = get_count("DESCENT_SOAK_PERTURBATIONS", 40)
    plan += [(source.randrange(4), source.choice(KINDS)) for _ in range(count)]
    longest: dict[str, float] = {}
    with TrainingNetwork(tmp_path, cuttable=range(4)) as network:
        network.start_all()
        started, first_round = time.monotonic(), network.get_round()
        for index, kind in plan:
            took = network.perturb(index, kind, source)
            longest[kind] = max(longest.get(kind, 0.0), took)
        last = network.ensure_agreement()
        index = network.get_round()
        network.wait(lambda: network.get_round() > index, 60, "the next round")
    print(
        f"{len(plan)} perturbations in {time.monotonic() - started:.0f} s, {last} heights agree on "
        f"4 nodes, rounds {first_round} to {index}; longest wait for two blocks, s: "
        + ", ".join(f"{kind} {longest[kind]:.1f}" for kind in KINDS)
    )
