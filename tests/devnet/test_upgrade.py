"""A planned upgrade on a real node: decided by a vote, it stops the old program at its height."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cosmos.gov.v1 import gov_pb2, query_pb2, tx_pb2
from cosmos.upgrade.v1beta1 import tx_pb2 as upgrade_tx_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2

from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from chain_client.tx import pack_any
from node.pallets.gov.types import GovParams
from node.runtime.addresses import encode_account
from node.runtime.pallet import AUTHORITY_ADDR
from node.runtime.params import ParamsCodec
from node.store.state import StateStore
from tests.support.devnet_node import DevnetNode, get_secret

VOTERS = [Key(f"validator-{index}", get_secret(f"validator-{index}")) for index in range(8)]
BLOCKS_UNTIL = 40
FAST_VOTES = ParamsCodec(GovParams).to_json(GovParams(max_deposit_seconds=60, voting_seconds=5))


def decide_upgrade(client: SyncChainClient, height: int) -> None:
    """Propose an upgrade and vote for it until it is planned."""
    plan = upgrade_pb2.Plan(name="v2", height=height, info="download v2")
    message = upgrade_tx_pb2.MsgSoftwareUpgrade(authority=encode_account(AUTHORITY_ADDR), plan=plan)
    submit = tx_pb2.MsgSubmitProposal(
        messages=[pack_any(message)], proposer=VOTERS[0].address, title="v2", summary="v2"
    )
    submit.initial_deposit.add(denom="udsc", amount=str(10 * 10**6))
    client.submit(VOTERS[0], [submit])
    yes = gov_pb2.VOTE_OPTION_YES
    for key in VOTERS:
        client.submit(key, [tx_pb2.MsgVote(proposal_id=1, voter=key.address, option=yes)])
    deadline = time.monotonic() + 30
    while get_status(client) != gov_pb2.PROPOSAL_STATUS_PASSED:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def get_status(client: SyncChainClient) -> Any:
    request = query_pb2.QueryProposalRequest(proposal_id=1)
    path = "/cosmos.gov.v1.Query/Proposal"
    return client.query(path, request, query_pb2.QueryProposalResponse).proposal.status


@pytest.mark.slow
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
