"""Long: one node, and four, killed again and again at random moments.

`DESCENT_SOAK_KILLS` says how often, 100 by default; `DESCENT_SOAK_SEED` gives other moments;
`DESCENT_SOAK_RECOVERY_S` is for a machine that does other work. Perturbations with training going
on are in `tests/devnet/test_four_nodes.py`.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from cosmos.bank.v1beta1.tx_pb2 import MsgSend

from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from chain_client.tx import TxResult
from genesis.devnet import get_account
from node.doors.supervisor import GRPC_PORT
from tests.engine.comet.replay import replay
from tests.support.comet_network import CometNetwork, needs_cometbft

pytestmark = [needs_cometbft, pytest.mark.soak]

# 20 s are what CometBFT's own perturbation tests demand.
RECOVERY_S = float(os.environ.get("DESCENT_SOAK_RECOVERY_S", "20"))
SEED = int(os.environ.get("DESCENT_SOAK_SEED", "1"))


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Nothing committed is lost, and all blocks replay to the same app hashes."""
    source, num_kills = random.Random(SEED), int(os.environ.get("DESCENT_SOAK_KILLS", "100"))
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
    print(f"seed {SEED}: {num_kills} kills of one node, {len(replayed)} heights replayed alike")


def test_four_nodes_killed_at_random_moments(tmp_path: Path) -> None:
    """Whole nodes and engines alone, one or two at once: no fork, nothing committed is lost."""
    source, num_kills = random.Random(SEED), int(os.environ.get("DESCENT_SOAK_KILLS", "100"))
    key = Key("faucet", get_account("faucet").secret)
    committed: list[TxResult] = []
    longest, done = 0.0, 0
    with CometNetwork(tmp_path, 4) as network:
        network.start_all()
        endpoints = ",".join(f"127.0.0.1:{network.get_port(GRPC_PORT, i)}" for i in range(4))
        with SyncChainClient.connect(endpoints, retry_for_s=30.0) as client:
            while done < num_kills:
                message = MsgSend(from_address=key.address, to_address=get_account("owner").address)
                message.amount.add(denom="udsc", amount="1")
                committed.append(client.submit(key, [message], timeout_s=60.0))
                time.sleep(source.random())
                victims = source.sample(range(4), source.choice((1, 1, 1, 2)))
                before = max(map(network.get_height, range(4)))
                for index in victims:
                    network.kill(index, only_engine=source.random() < 0.3)
                done += len(victims)
                if source.random() < 0.5:
                    time.sleep(2 * source.random())
                for index in victims:
                    network.start(index)
                started = time.monotonic()
                network.wait_until(
                    lambda top=before: min(map(network.get_height, range(4))) >= top + 1, 60.0
                )
                longest = max(longest, time.monotonic() - started)
        top = min(map(network.get_height, range(4))) - 1
        for height in range(1, top + 1):
            hashes = {network.get_app_hash(height, index) for index in range(4)}
            assert len(hashes) == 1, (height, hashes)
        for index in range(4):
            endpoint = f"127.0.0.1:{network.get_port(GRPC_PORT, index)}"
            with SyncChainClient.connect(endpoint, retry_for_s=30.0) as client:
                for result in committed:
                    found = client.get_tx(result.tx_hash)
                    assert (found.height, found.code) == (result.height, 0)
    print(
        f"seed {SEED}: {done} kills, {top} heights agree on 4 nodes, {len(committed)} transfers "
        f"kept by all, every node back {longest:.1f} s after the start at the latest"
    )
