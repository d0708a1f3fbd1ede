"""What the meters make of blocks, and that they only look on."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tendermint.abci import types_pb2 as abci
from tendermint.types import validator_pb2

from node.monitor.meters import NUM_HASH_SLOTS, MeteredApplication, NodeMeters
from node.pallets.beacon.types import BEACON_TAG, BeaconDrawn
from node.runtime.events import encode_event

OWN, OTHER = b"\1" * 20, b"\2" * 20
COMMIT = validator_pb2.BLOCK_ID_FLAG_COMMIT
ABSENT = validator_pb2.BLOCK_ID_FLAG_ABSENT


def make_request(height: int, votes: dict[bytes, int], txs: tuple[bytes, ...] = ()) -> Any:
    request = abci.RequestFinalizeBlock(height=height, txs=txs)
    request.time.seconds = 1_000 + height
    for address, flag in votes.items():
        vote = request.decided_last_commit.votes.add(block_id_flag=flag)
        vote.validator.address, vote.validator.power = address, 1
    return request


class Scripted:
    """An application that answers what it is told, and remembers what it was asked."""

    def __init__(self, num_reveals: int = 0, codes: tuple[int, ...] = ()) -> None:
        self.num_reveals = num_reveals
        self.codes = codes
        self.last_block = abci.RequestFinalizeBlock(height=0)
        self.asked: list[str] = []

    def check_tx(self, request: Any) -> Any:
        return abci.ResponseCheckTx(code=len(request.tx) % 2)

    def finalize_block(self, request: Any) -> Any:
        self.last_block = request
        drawn = abci.Event.FromString(encode_event(BeaconDrawn(b"x", self.num_reveals)))
        return abci.ResponseFinalizeBlock(
            events=[drawn],
            tx_results=[abci.ExecTxResult(code=code) for code in self.codes],
            app_hash=request.height.to_bytes(32, "little"),
        )

    def commit(self, request: Any = None) -> Any:
        return abci.ResponseCommit(retain_height=3)

    def info(self, request: Any) -> str:
        self.asked.append("info")
        return "the application's own answer"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meters(registry: CollectorRegistry) -> NodeMeters:
    return NodeMeters(registry, OWN)


def test_votes_and_reveals(registry: CollectorRegistry, meters: NodeMeters) -> None:
    application = MeteredApplication(Scripted(num_reveals=1), meters)
    application.finalize_block(make_request(2, {OWN: COMMIT, OTHER: COMMIT}))
    application.finalize_block(make_request(3, {OWN: ABSENT, OTHER: COMMIT}))
    read = registry.get_sample_value
    assert read("descent_beacon_reveals_total") == 2
    assert read("descent_beacon_missed_reveals_total") == 2
    assert read("descent_node_missed_votes_total") == 1
    assert read("descent_node_is_decider") == 1
    application.finalize_block(make_request(4, {OTHER: COMMIT}))
    assert read("descent_node_is_decider") == 0
    assert read("descent_node_missed_votes_total") == 1
    assert read("descent_node_block_time_seconds") == 1_004


def test_transactions(registry: CollectorRegistry, meters: NodeMeters) -> None:
    application = MeteredApplication(Scripted(codes=(0, 0, 5)), meters)
    txs = (bytes((BEACON_TAG, 1)), b"good", b"bad")
    application.finalize_block(make_request(2, {}, txs))
    for tx in (b"12", b"123"):
        application.check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW))
    application.check_tx(abci.RequestCheckTx(tx=b"12", type=abci.RECHECK))
    read = registry.get_sample_value
    assert [read("descent_node_txs_total", {"result": r}) for r in ("ok", "refused")] == [1, 1]
    assert [read("descent_node_checks_total", {"result": r}) for r in ("ok", "refused")] == [1, 1]


def test_hash_slots_go_round(registry: CollectorRegistry, meters: NodeMeters) -> None:
    application = MeteredApplication(Scripted(), meters)
    for height in range(1, 10 * NUM_HASH_SLOTS + 21):
        application.finalize_block(make_request(height, {}))
    heights = {
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "descent_node_app_hash_height"
    }
    assert heights == {10 * number for number in range(3, NUM_HASH_SLOTS + 3)}


def test_answers_pass_unchanged(meters: NodeMeters) -> None:
    scripted = Scripted()
    application = MeteredApplication(scripted, meters)
    application.finalize_block(make_request(7, {}))
    assert application.commit(abci.RequestCommit()).retain_height == 3
    assert application.info(None) == "the application's own answer"
    assert scripted.asked == ["info"]
    assert meters.summarise()["height"] == 7
