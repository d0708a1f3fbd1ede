"""Count and time what an engine asks of the application, whichever engine it is.

`MeteredApplication` stands before the application and passes every call on; it looks only at what
goes in and comes out, after the fact. Per transaction it adds an integer, per block a few clock
reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from tendermint.abci import types_pb2 as abci
from tendermint.types import validator_pb2

from node.pallets.beacon.types import BEACON_TAG, BeaconDrawn
from node.runtime.events import get_event_shape

BLOCK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
INTERVAL_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
HASH_EVERY_BLOCKS = 10
NUM_HASH_SLOTS = 16
HASH_BYTES_SHOWN = 6  # 48 bits: what a double holds exactly
COMMITTED = validator_pb2.BLOCK_ID_FLAG_COMMIT
INHERENT = bytes((BEACON_TAG,))  # first byte of what is no transaction of anybody's
BEACON_DRAWN, _ = get_event_shape(BeaconDrawn)
OK, REFUSED = "ok", "refused"


class NodeMeters:
    """The metrics that are written as things happen.

    Args:
        registry: they are put into.
        own_address: of this node's consensus key, 20 bytes.
    """

    def __init__(self, registry: CollectorRegistry, own_address: bytes) -> None:
        self._own_address = own_address
        self._last_commit_s = 0.0
        self._height = self._num_txs = self._num_absent = 0
        self.checks = {OK: 0, REFUSED: 0}
        self.height = Gauge(
            "descent_node_height", "Newest block whose state is committed.", registry=registry
        )
        self.block_time = Gauge(
            "descent_node_block_time_seconds", "Unix time in that block.", registry=registry
        )
        self.steps = Histogram(
            "descent_node_block_step_seconds",
            "What the application does for a block, by step.",
            ["step"],
            registry=registry,
            buckets=BLOCK_BUCKETS_S,
        )
        self.interval = Histogram(
            "descent_node_block_interval_seconds",
            "From one commit to the next, by this node's clock.",
            registry=registry,
            buckets=INTERVAL_BUCKETS_S,
        )
        self.txs = Counter(
            "descent_node_txs", "Transactions in blocks.", ["result"], registry=registry
        )
        self.reveals = Counter(
            "descent_beacon_reveals", "Onion values revealed in blocks.", registry=registry
        )
        self.missed_reveals = Counter(
            "descent_beacon_missed_reveals",
            "Deciders of blocks whose reveal was not in the next block.",
            registry=registry,
        )
        self.own_absent = Counter(
            "descent_node_missed_votes",
            "Blocks that this node's key should have voted on and did not.",
            registry=registry,
        )
        self.is_decider = Gauge(
            "descent_node_is_decider", "1 while this node's key decides blocks.", registry=registry
        )
        names = ("slot",)
        self.hash_bits = Gauge(
            "descent_node_app_hash_bits",
            "First 48 bits of the app hash at every tenth height; two nodes with the same "
            "descent_node_app_hash_height in a slot must have the same bits.",
            names,
            registry=registry,
        )
        self.hash_height = Gauge(
            "descent_node_app_hash_height", "Height of that app hash.", names, registry=registry
        )
        registry.register(self)
        for result in (OK, REFUSED):
            self.txs.labels(result)

    def collect(self) -> Iterable[Metric]:
        """Tell the tallies that are kept as plain integers; prometheus calls this."""
        found = CounterMetricFamily(
            "descent_node_checks", "Transactions checked on arrival.", labels=["result"]
        )
        for result in (OK, REFUSED):
            found.add_metric([result], self.checks[result])
        return [found]

    def note_block(self, request: Any, response: Any) -> None:
        """Take note of an executed block."""
        self.block_time.set(request.time.seconds + request.time.nanos / 1e9)
        votes = request.decided_last_commit.votes
        num_reveals = sum(_get_num_reveals(event) for event in response.events)
        self.reveals.inc(num_reveals)
        self.missed_reveals.inc(max(0, len(votes) - num_reveals))
        own = [vote for vote in votes if vote.validator.address == self._own_address]
        self.is_decider.set(len(own))
        num_absent = sum(vote.block_id_flag != COMMITTED for vote in own)
        self._num_absent += num_absent
        self.own_absent.inc(num_absent)
        results = zip(request.txs, response.tx_results, strict=True)
        codes = [result.code for tx, result in results if tx[:1] != INHERENT]
        self._num_txs += len(codes)
        failed = sum(code != 0 for code in codes)
        self.txs.labels(OK).inc(len(codes) - failed)
        self.txs.labels(REFUSED).inc(failed)
        if request.height % HASH_EVERY_BLOCKS == 0:
            slot = str(request.height // HASH_EVERY_BLOCKS % NUM_HASH_SLOTS)
            bits = int.from_bytes(response.app_hash[:HASH_BYTES_SHOWN], "big")
            self.hash_bits.labels(slot).set(bits)
            self.hash_height.labels(slot).set(request.height)

    def note_commit(self, height: int) -> None:
        """Take note of a committed block."""
        self._height = height
        self.height.set(height)
        now = time.monotonic()
        if self._last_commit_s:
            self.interval.observe(now - self._last_commit_s)
        self._last_commit_s = now

    def summarise(self) -> dict[str, Any]:
        """Describe how far this node is, for the log."""
        return {
            "height": self._height,
            "idle_s": round(self.get_idle_s(), 1),
            "txs": self._num_txs,
            "missed_votes": self._num_absent,
        }

    def get_idle_s(self) -> float:
        """Return the seconds since the last commit, 0 before the first."""
        return time.monotonic() - self._last_commit_s if self._last_commit_s else 0.0


def _get_num_reveals(event: Any) -> int:
    """Return how many reveals an event of the beacon tells of; 0 for another event."""
    if event.type != BEACON_DRAWN:
        return 0
    for attribute in event.attributes:
        if attribute.key == "num_reveals":
            return int(attribute.value)
    return 0


class MeteredApplication:
    """The application as an engine sees it, with meters."""

    def __init__(self, application: Any, meters: NodeMeters) -> None:
        self._application = application
        self._meters = meters
        self._check_tx = application.check_tx
        self._checks = meters.checks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    def check_tx(self, request: Any) -> Any:
        """Check a transaction and count it."""
        response = self._check_tx(request)
        if request.type == abci.NEW:
            self._checks[REFUSED if response.code else OK] += 1
        return response

    def prepare_proposal(self, request: Any) -> Any:
        """Make a proposal and time it."""
        with self._meters.steps.labels("prepare").time():
            return self._application.prepare_proposal(request)

    def process_proposal(self, request: Any) -> Any:
        """Judge a proposal and time it."""
        with self._meters.steps.labels("process").time():
            return self._application.process_proposal(request)

    def finalize_block(self, request: Any) -> Any:
        """Execute a block, time it and take note of what is in it."""
        with self._meters.steps.labels("finalize").time():
            response = self._application.finalize_block(request)
        self._meters.note_block(request, response)
        return response

    def commit(self, request: Any = None) -> Any:
        """Persist a block and time it."""
        with self._meters.steps.labels("commit").time():
            response = self._application.commit(request)
        self._meters.note_commit(self._application.last_block.height)
        return response
