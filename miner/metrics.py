"""What a participant counts and times, for `/metrics`; names and meanings are in docs/metrics.md.

One process is one participant, so the metrics are of the module. Counting costs microseconds and
changes nothing of the work.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, Metric

from chain_client.blob.server import BlobServicer

STAGE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
# stages of a round: what a miner does, then what a validator does
TRAIN, COMMIT, COLLECT, SETTLE, JUDGE, REVEAL = (
    "train",
    "commit",
    "collect",
    "settle",
    "judge",
    "reveal",
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

STAGE_SECONDS = Histogram(
    "descent_participant_stage_seconds",
    "Time of one stage of a round.",
    ["stage"],
    buckets=STAGE_BUCKETS_S,
    registry=REGISTRY,
)
EVENTS = Counter(
    "descent_participant_events",
    "What the log says, by message and level.",
    ["event", "level"],
    registry=REGISTRY,
)
ROUND = Gauge("descent_participant_round", "Round in work.", registry=REGISTRY)
LOSS = Gauge(
    "descent_miner_loss_nats",
    "Loss a token of the newest round trained, at its first and its last step.",
    ["step"],
    registry=REGISTRY,
)
PAYLOAD_BYTES = Gauge(
    "descent_miner_payload_bytes", "Size of the newest payload.", registry=REGISTRY
)
VERDICTS = Counter(
    "descent_validator_verdicts", "Verdicts given, by reason.", ["reason"], registry=REGISTRY
)
AUDITS = Counter(
    "descent_validator_audits", "Audits done, by outcome.", ["outcome"], registry=REGISTRY
)
MATCHES, DIFFERS = "matches", "differs"
for _outcome in (MATCHES, DIFFERS):
    AUDITS.labels(_outcome)
# An alert on the first of these needs a zero before it.
for _event, _level in (
    ("deadline_missed", "warning"),
    ("judged_too_late", "warning"),
    ("settlement_differs", "error"),
):
    EVENTS.labels(_event, _level)


def count_event(
    logger: Any, level: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Count a line of the log; a processor of structlog."""
    EVENTS.labels(str(event.get("event", "")), level).inc()
    return event


class BlobCollector:
    """Tells what a blob server has sent."""

    def __init__(self, servicer: BlobServicer) -> None:
        self._servicer = servicer

    def collect(self) -> Iterable[Metric]:
        """Read the servicer; prometheus calls this."""
        return [
            CounterMetricFamily(
                "descent_blobs_served", "Streams finished.", self._servicer.num_streams_done
            ),
            CounterMetricFamily(
                "descent_blob_sent_bytes", "Bytes sent.", self._servicer.num_bytes_sent
            ),
        ]


def watch_blobs(servicer: BlobServicer) -> None:
    """Show what a blob server sends from now on."""
    REGISTRY.register(BlobCollector(servicer))
