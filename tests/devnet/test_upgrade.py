"""A planned upgrade on real nodes: decided by a vote, it stops the old program at its height."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cosmos.gov.v1 import gov_pb2, query_pb2, tx_pb2
from cosmos.slashing.v1beta1 import query_pb2 as slashing_query_pb2
from cosmos.upgrade.v1beta1 import tx_pb2 as upgrade_tx_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2

from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from node.doors.supervisor import GRPC_PORT
from node.pallets.gov.types import GovParams
from node.runtime.addresses import encode_account
from node.runtime.pallet import AUTHORITY_ADDR
from node.runtime.params import ParamsCodec
from node.store.state import StateStore
from proto.packing import pack_any
from tests.support.comet_network import CometNetwork, needs_cometbft
from tests.support.devnet_node import DevnetNode, get_secret
from tests.support.upgraded_node import NAME, WINDOW_BLOCKS

VOTERS = [Key(f"validator-{index}", get_secret(f"validator-{index}")) for index in range(8)]
BLOCKS_UNTIL = 68  # 17 seconds at least, of which the vote takes nine
COMET_BLOCKS_UNTIL = 60  # as long
FAST_VOTES = ParamsCodec(GovParams).to_json(GovParams(max_deposit_seconds=60, voting_seconds=8))


def decide_upgrade(client: SyncChainClient, height: int) -> None:
    """Propose an upgrade and vote for it until it is planned."""
    plan = upgrade_pb2.Plan(name=NAME, height=height, info="download v2")
    message = upgrade_tx_pb2.MsgSoftwareUpgrade(authority=encode_account(AUTHORITY_ADDR), plan=plan)
    submit = tx_pb2.MsgSubmitProposal(
        messages=[pack_any(message)], proposer=VOTERS[0].address, title="v2", summary="v2"
    )
    submit.initial_deposit.add(denom="udsc", amount=str(10 * 10**6))
    client.submit(VOTERS[0], [submit])
    yes = gov_pb2.VOTE_OPTION_YES

    def vote(key: Key) -> None:
        client.submit(key, [tx_pb2.MsgVote(proposal_id=1, voter=key.address, option=yes)])

    with ThreadPoolExecutor(len(VOTERS)) as pool:
        list(pool.map(vote, VOTERS))
    deadline = time.monotonic() + 60
    while get_status(client) != gov_pb2.PROPOSAL_STATUS_PASSED:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def get_status(client: SyncChainClient) -> Any:
    request = query_pb2.QueryProposalRequest(proposal_id=1)
    path = "/cosmos.gov.v1.Query/Proposal"
    return client.query(path, request, query_pb2.QueryProposalResponse).proposal.status


def test_node_stops_at_the_height(tmp_path: Path) -> None:
    node = DevnetNode(tmp_path / "home", params={"gov": FAST_VOTES})
    node.start()
    assert node.process is not None
    try:
        height = node.get_height() + BLOCKS_UNTIL
        with SyncChainClient.connect(f"127.0.0.1:{node.grpc_port}", node.chain_id) as client:
            decide_upgrade(client, height)
        assert node.process.wait(60) == 1
    finally:
        if node.process.poll() is None:
            node.process.kill()
    log = (node.home / "node.log").read_text()
    assert f"error: upgrade 'v2' is needed at height {height}" in log
    assert "download v2" in log
    assert "Traceback" not in log
    with StateStore.open(node.home / "data" / "state", readonly=True) as store:
        assert store.version == height - 1


NEXT_VERSION = "tests.support.upgraded_node"
LATE, AWAY = 2, 3


def get_window(network: CometNetwork, index: int) -> int:
    """Get a node's slashing window from its gRPC door."""
    endpoint = f"127.0.0.1:{network.get_port(GRPC_PORT, index)}"
    with SyncChainClient.connect(endpoint) as client:
        answer = client.query(
            "/cosmos.slashing.v1beta1.Query/Params",
            slashing_query_pb2.QueryParamsRequest(),
            slashing_query_pb2.QueryParamsResponse,
        )
    return int(answer.params.signed_blocks_window)


def wait_for_halt(network: CometNetwork, index: int, height: int) -> None:
    """Wait until a node has stopped because another version is needed."""
    network.wait_until(lambda: network.processes[index].poll() is not None, timeout_s=60)
    assert network.processes.pop(index).returncode == 1
    log = (network.homes[index] / "node.log").read_text()
    assert f"upgrade 'v2' is needed at height {height}" in log[-3000:], log[-3000:]


@needs_cometbft
def test_four_nodes_are_upgraded(tmp_path: Path) -> None:
    """All stop at the height; three go on with the next version, the late ones follow.

    One node is away from before the upgrade until after it: the next version refuses its old
    blocks, the version before brings it to the height, then the next version takes over.
    """
    with CometNetwork(tmp_path, 4, params={"gov": FAST_VOTES}) as network:
        network.start_all()
        with SyncChainClient.connect(f"127.0.0.1:{network.get_port(GRPC_PORT)}") as client:
            height = client.height() + COMET_BLOCKS_UNTIL
            decide_upgrade(client, height)
        assert network.get_height() < height - 3
        network.stop(AWAY)
        for index in (0, 1, LATE):
            wait_for_halt(network, index, height)
        # The old program is of no more use; the next one needs two thirds of the power.
        network.start(0)
        wait_for_halt(network, 0, height)
        # Too early for the node that was away: its next block is before the upgrade.
        network.start(AWAY, NEXT_VERSION)
        network.start(0, NEXT_VERSION)
        network.start(1, NEXT_VERSION)
        network.wait_until(lambda: network.processes[AWAY].poll() is not None, timeout_s=60)
        log = (network.homes[AWAY] / "node.log").read_text()
        assert f"this program is for upgrade 'v2' at height {height}" in log
        network.processes.pop(AWAY)
        network.start(LATE, NEXT_VERSION)
        network.wait_for_height(height + 3, timeout_s=60)
        network.start(AWAY)
        wait_for_halt(network, AWAY, height)
        network.start(AWAY, NEXT_VERSION)
        top = network.get_height() + 2
        for index in range(4):
            network.wait_for_height(top + 1, index, timeout_s=60)
        for at in range(height - 3, top + 1):
            assert len({network.get_app_hash(at, index) for index in range(4)}) == 1, at
        assert [get_window(network, index) for index in range(4)] == [WINDOW_BLOCKS] * 4
