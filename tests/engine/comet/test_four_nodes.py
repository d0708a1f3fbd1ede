"""Four validators on the real CometBFT: agreement, nodes that go and come, a node that lies."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from node.engine.keys import load_validator_key
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = needs_cometbft

LIAR = 3


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    with CometNetwork(tmp_path_factory.mktemp("comet"), 4) as network:
        network.start_all()
        yield network


def ensure_agreement(network: CometNetwork, indexes: list[int], height: int) -> None:
    """Check that nodes have the same app hash after every block up to a height."""
    for index in indexes:
        network.wait_for_height(height + 1, index)
    earliest = [
        int(network.call("status", index)["sync_info"]["earliest_block_height"])
        for index in indexes
    ]
    for at in range(max(*earliest, height - 30), height + 1):
        hashes = {network.get_app_hash(at, index) for index in indexes}
        assert len(hashes) == 1, (at, hashes)


def test_agreement(network: CometNetwork) -> None:
    network.wait_for_height(6)
    ensure_agreement(network, [0, 1, 2, 3], 5)


def test_beacon_mixes_the_reveals_of_all(network: CometNetwork) -> None:

    def count_reveals(height: int) -> int:
        events = network.call("block_results", height=str(height))["finalize_block_events"]
        (drawn,) = [event for event in events if event["type"] == "beacon_drawn"]
        found = {a["key"]: a["value"] for a in drawn["attributes"]}
        return int(found["num_reveals"])

    # A node that started late is away from the first blocks; results come a moment after a block.
    network.wait_for_height(8)
    network.wait_until(lambda: count_reveals(network.get_height() - 1) == 4)
    top = network.get_height() - 1
    numbers = [count_reveals(height) for height in range(3, top + 1)]
    assert min(numbers) >= 3
    assert max(numbers) == 4


@pytest.mark.parametrize("perturbation", ["kill", "pause"])
def test_one_node_goes_and_comes(network: CometNetwork, perturbation: str) -> None:
    """The chain goes on without it, and it catches up to the same state."""
    index = {"kill": 1, "pause": 2}[perturbation]
    before = network.get_height()
    if perturbation == "pause":
        network.signal_all(index, signal.SIGSTOP)
    else:
        network.kill(index)
    network.wait_for_height(before + 4, timeout_s=20)
    if perturbation == "pause":
        network.signal_all(index, signal.SIGCONT)
    else:
        network.start(index)
    top = network.get_height()
    network.wait_for_height(top + 2, index, timeout_s=20)
    ensure_agreement(network, [0, index], top)


def test_two_of_four_decide_nothing(network: CometNetwork) -> None:
    for index in (1, 2):
        network.kill(index)
    time.sleep(1.5)  # a block that was under way
    height = network.get_height()
    time.sleep(2.5)
    assert network.get_height() <= height + 1
    for index in (1, 2):
        network.start(index)
    network.wait_for_height(height + 3, timeout_s=30)
    ensure_agreement(network, [0, 1, 2, 3], height + 1)


def test_invalid_proposals_are_never_decided(
    network: CometNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reveals left out or forged, garbage, all twice, too large: rejected; others propose."""
    assert network.stop(LIAR) == 0
    monkeypatch.setenv("DESCENT_TEST_LIE", "proposals")
    first = network.get_height() + 1
    network.start(LIAR, "tests.support.byzantine_node")
    key = load_validator_key(network.homes[LIAR] / "config" / "priv_validator_key.json")
    liar = key.address.hex()

    def has_lied() -> bool:
        log = (network.homes[0] / "node.log").read_text()
        return "prevote step: state machine rejected a proposed block" in log

    network.wait_until(lambda: network.get_height(LIAR) > first, timeout_s=20)
    since = network.get_height()
    network.wait_for_height(since + 9, timeout_s=60)
    rounds, proposers = [], set()
    for height in range(since + 1, since + 9):
        block = network.call("block", height=str(height))["block"]
        proposers.add(block["header"]["proposer_address"].lower())
        rounds.append(
            network.call("commit", height=str(height))["signed_header"]["commit"]["round"]
        )
    assert liar not in proposers
    assert max(rounds) >= 1, "the liar was never the proposer"
    network.wait_until(has_lied)
    ensure_agreement(network, [0, 1, 2], since + 8)


def test_a_wrong_app_hash_stops_the_liar_only(
    network: CometNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.kill(LIAR)
    monkeypatch.setenv("DESCENT_TEST_LIE", "app-hash")
    network.start(LIAR, "tests.support.byzantine_node")
    height = network.get_height()
    network.wait_for_height(height + 8, timeout_s=60)
    ensure_agreement(network, [0, 1, 2], height + 7)
    assert network.get_height(LIAR) < height + 6
