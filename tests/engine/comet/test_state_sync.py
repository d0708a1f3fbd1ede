"""A node without data beside a validator: by state sync from a snapshot, and by blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.doors.supervisor import RPC_PORT
from node.engine.blockstore import BlockStore
from node.store.snapshots import list_snapshots
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = needs_cometbft

INTERVAL = 20


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CometNetwork]:
    with CometNetwork(tmp_path_factory.mktemp("comet")) as network:
        network.start_all(["--snapshot-interval", str(INTERVAL)])
        network.add_node()
        yield network


def build_flags(network: CometNetwork, trust_hash: str) -> list[str]:
    """Build the flags of state sync; one node's RPC serves as both sources of light blocks."""
    server = f"127.0.0.1:{network.get_port(RPC_PORT)}"
    flags = ["--state-sync-rpc", server, "--state-sync-rpc", server]
    return [*flags, "--trust-height", "3", "--trust-hash", trust_hash]


def get_earliest(network: CometNetwork, index: int) -> int:
    """Get the oldest block a node has."""
    return int(network.call("status", index)["sync_info"]["earliest_block_height"])


def ensure_agreement(network: CometNetwork, height: int) -> None:
    """Check that both nodes have the same app hash after the last blocks up to a height."""
    network.wait_for_height(height + 1, 1)
    for at in range(max(get_earliest(network, 1), height - 5), height + 1):
        assert network.get_app_hash(at, 0) == network.get_app_hash(at, 1)


def test_state_sync(network: CometNetwork) -> None:
    folder = network.homes[0] / "data" / "snapshots"
    network.wait_for_height(INTERVAL + 3)
    network.wait_until(lambda: bool(list_snapshots(folder)))
    trusted = network.call("block", height="3")["block_id"]["hash"]
    network.start(1, more=build_flags(network, trusted))
    network.wait_for_height(network.get_height() + 2, 1, timeout_s=60)
    earliest = get_earliest(network, 1)
    assert earliest >= INTERVAL
    ensure_agreement(network, network.get_height())
    blocks_folder = network.homes[1] / "data" / "blocks"

    def is_mirrored() -> bool:
        with BlockStore.open(blocks_folder, readonly=True) as blocks:
            return blocks.base >= earliest and blocks.height > blocks.base

    network.wait_until(is_mirrored)
    # It goes on from there as any node does.
    assert network.stop(1) == 0
    network.start(1)
    ensure_agreement(network, network.get_height() + 2)
    network.kill(1)


def test_wrong_trusted_hash(network: CometNetwork) -> None:
    """The light client refuses; nothing is restored."""
    network.wipe(1)
    log: Path = network.homes[1] / "node.log"
    before = len(log.read_text())
    network.start(1, more=build_flags(network, "00" * 32))
    network.wait_until(lambda: network.processes[1].poll() is not None, timeout_s=60)
    assert "expected header's hash" in log.read_text()[before:]
    network.kill(1)


def test_by_blocks(network: CometNetwork) -> None:
    network.wipe(1)
    network.start(1)
    ensure_agreement(network, network.get_height() + 1)
    assert get_earliest(network, 1) == 1
