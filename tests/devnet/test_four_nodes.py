"""Training on four nodes while each of them is killed, paused, cut off and restarted."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.devnet.layout import RUN_ID
from tests.engine.comet.replay import list_pythons, replay_elsewhere
from tests.support.comet_network import needs_cometbft
from tests.support.training_network import KINDS, TrainingNetwork, get_count

pytestmark = [needs_cometbft]

SNAPSHOT_BLOCKS = 15
BACK_S = 60.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingNetwork]:
    with TrainingNetwork(tmp_path_factory.mktemp("four"), cuttable=[2]) as network:
        network.start_all("--snapshot-interval", str(SNAPSHOT_BLOCKS))
        yield network


def test_training_goes_on_while_nodes_fail(network: TrainingNetwork) -> None:
    """Node 0 is killed and stays away for a round; then others are cut off and paused."""
    source = random.Random(3)
    network.kill("node")
    index = network.get_round()
    network.wait(lambda: network.get_round() >= index + 1, 60, "a round without node 0")
    network.start("node", "--snapshot-interval", str(SNAPSHOT_BLOCKS))
    for victim, kind in ((2, "disconnect"), (3, "pause")):
        assert network.perturb(victim, kind, source) < 20
    network.wait(lambda: network.get_height(0) >= network.get_height(1), 30, "node 0 is back")
    network.ensure_agreement()
    network.wait(lambda: network.client.get_epoch(RUN_ID, index), 60, "its epoch")
    epoch = network.client.get_epoch(RUN_ID, index)
    assert epoch.num_judgements == 2
    ensure_participants(network)


def ensure_participants(network: TrainingNetwork) -> None:
    """Check that everybody who trains and judges is still there."""
    names = [name for name in network.entries if name.startswith(("miner", "validator"))]
    assert len(names) == 4
    assert all(map(network.is_running, names)), network.read_logs()


@pytest.mark.parametrize("way", ["snapshot", "blocks"])
def test_a_node_without_data_comes_back(network: TrainingNetwork, way: str) -> None:
    """By state sync from a snapshot, and by every block, while the run goes on."""
    index, name = 1, network.get_name(1)
    server = f"127.0.0.1:{network.plan.get_port('rpc', 0)}"
    trusted = network.call(0, "block", height="3")["block_id"]["hash"]
    flags = ["--state-sync-rpc", server, "--state-sync-rpc", server]
    flags += ["--trust-height", "3", "--trust-hash", trusted]
    network.kill(name)
    network.wipe(index)
    first_round = network.get_round()
    network.start(name, *(flags if way == "snapshot" else ()))
    took = network.wait(
        lambda: 0 < network.get_height(0) <= network.get_height(index) + 1, BACK_S, f"back by {way}"
    )
    earliest = int(network.call(index, "status")["sync_info"]["earliest_block_height"])
    assert (earliest > 1) == (way == "snapshot")
    network.ensure_agreement()
    network.wait(lambda: network.get_round() > first_round, 60, "the next round")
    ensure_participants(network)
    print(f"back by {way} after {took:.1f} s, at height {network.get_height(index)}")


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
        expected = dict(enumerate(network.list_app_hashes(0, 1, last), start=1))
        network.stop("node")
        home, pythons = network.plan.list_node_homes()[0], [sys.executable, *list_pythons()]
        for number, python in enumerate(pythons):
            found = replay_elsewhere(home, tmp_path / str(number), python, str(number))
            assert {height: found[height].upper() for height in expected} == expected, python
    print(f"replayed by the embedded engine under {len(pythons)} versions of Python")
    print(
        f"{len(plan)} perturbations in {time.monotonic() - started:.0f} s, {last} heights agree on "
        f"4 nodes, rounds {first_round} to {index}; longest wait for two blocks, s: "
        + ", ".join(f"{kind} {longest[kind]:.1f}" for kind in KINDS)
    )
