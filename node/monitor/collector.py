"""What is read at the moment somebody asks for metrics: engine, doors, disk, runs in training.

Runs are read from committed state by the queries everybody uses, on a chain object of the
monitor's own, so that no pallet is shared with the thread that executes blocks.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from node.chain import build_chain
from node.doors.snapshot import Snapshot
from node.monitor.look import EngineLook
from node.runtime.application import Application, HeightUnavailable
from node.runtime.errors import QueryError
from node.runtime.options import NodeOptions
from node.store.errors import VersionUnavailable
from node.store.state import StateStore
from node.upkeep.home import measure_disk
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

MAX_RUNS = 16  # the newest that are not over
LIVE_STATUSES = (
    runs_pb2.RUN_STATUS_PENDING,
    runs_pb2.RUN_STATUS_TRAINING,
    runs_pb2.RUN_STATUS_VERIFYING,
)
PHASES = [name for name, _ in rounds_pb2.Phase.items() if name != "PHASE_UNSPECIFIED"]


class Family:
    """Gauges by name, in the order they are first written."""

    def __init__(self) -> None:
        self._made: dict[str, GaugeMetricFamily] = {}

    def set(self, name: str, help_text: str, value: float, **labels: str) -> None:
        """Write one value."""
        if name not in self._made:
            self._made[name] = GaugeMetricFamily(name, help_text, labels=list(labels))
        self._made[name].add_metric(list(labels.values()), value)

    def list_metrics(self) -> list[Metric]:
        """List what was written."""
        return list(self._made.values())


class NodeCollector:
    """Reads the node for one scrape.

    Args:
        home: of the node.
        store: its state.
        look: at the engine.
        info: labels of `descent_node_info`.
        list_doors: (name, whether it answers, how often it was started again) of every door.
    """

    def __init__(
        self,
        home: Path,
        store: StateStore,
        look: EngineLook,
        info: dict[str, str],
        list_doors: Callable[[], list[tuple[str, bool, int]]],
    ) -> None:
        self._home = home
        self._store = store
        self._look = look
        self._info = info
        self._list_doors = list_doors
        self._chain = build_chain()

    def collect(self) -> Iterable[Metric]:
        """Read everything; prometheus calls this."""
        found = Family()
        self._read_engine(found)
        self._read_disk(found)
        for name, is_up, num_restarts in self._list_doors():
            found.set("descent_door_up", "1 while a door accepts connections.", is_up, door=name)
            found.set(
                "descent_door_restarts", "Times a door was started again.", num_restarts, door=name
            )
        with contextlib.suppress(QueryError, HeightUnavailable, VersionUnavailable):
            self._read_runs(found)
        yield InfoMetricFamily("descent_node", "What this node is.", value=self._info)
        yield from found.list_metrics()

    def _read_engine(self, found: Family) -> None:
        state = self._look()
        found.set("descent_engine_up", "1 while the engine answers.", state is not None)
        if state is None:
            return
        with self._store.view() as view:
            height = view.latest
        lag = max(0, state.height - height)
        found.set("descent_engine_height", "Newest block the engine has.", state.height)
        found.set("descent_node_app_lag_blocks", "Blocks the engine has and state has not.", lag)
        found.set("descent_node_catching_up", "1 while old blocks come in.", state.is_catching_up)
        found.set("descent_node_peers", "Other nodes it talks to.", state.num_peers)
        found.set("descent_mempool_txs", "Transactions that wait.", state.num_waiting)
        found.set("descent_mempool_bytes", "Their bytes.", state.waiting_bytes)

    def _read_disk(self, found: Family) -> None:
        data = self._home / "data"
        for name in sorted(path.name for path in data.iterdir() if path.is_dir()):
            size = measure_disk(data / name)
            found.set("descent_store_bytes", "Bytes on disk below data/.", size, folder=name)
        usage = shutil.disk_usage(data)
        found.set("descent_disk_free_bytes", "Free where the home is.", usage.free)
        found.set("descent_disk_bytes", "Size of that file system.", usage.total)

    def _read_runs(self, found: Family) -> None:
        with Snapshot(self._store) as snapshot:
            if not snapshot.version:
                return
            application = self._chain.open_application(snapshot, NodeOptions())
            for run in _list_live_runs(application):
                read_run(application, run, found)


def _list_live_runs(application: Application) -> list[Any]:
    request = runs_pb2.QueryRunsRequest()
    request.pagination.reverse = True
    request.pagination.limit = 4 * MAX_RUNS
    answer = runs_pb2.QueryRunsResponse.FromString(
        application.query_method("/descent.runs.v1.Query/Runs", request.SerializeToString(), 0)
    )
    return [run for run in answer.runs if run.status in LIVE_STATUSES][:MAX_RUNS]


def read_run(application: Application, run: Any, found: Family) -> None:
    """Read what the chain tells of a run."""
    label = str(run.id)
    found.set("descent_run_participants", "Seats of a run.", run.num_participants, run=label)
    found.set("descent_run_bounty_udsc", "Bounty in escrow.", run.bounty_udsc, run=label)
    if run.status == runs_pb2.RUN_STATUS_PENDING:
        return
    found.set("descent_run_round", "Round in work.", run.current_round, run=label)
    # For a block after each settlement, and after the last one, the round to come is not there.
    current = _ask(
        application,
        "/descent.rounds.v1.Query/CurrentRound",
        rounds_pb2.QueryCurrentRoundRequest(run_id=run.id),
        rounds_pb2.QueryRoundResponse,
    )
    if current is not None:
        _read_round(application, current.round, found, label)
    epoch = _ask(
        application,
        "/descent.weights.v1.Query/LatestEpoch",
        weights_pb2.QueryLatestEpochRequest(run_id=run.id),
        weights_pb2.QueryEpochResponse,
    )
    if epoch is None:
        return
    found.set(
        "descent_run_judged_round", "Newest round that was paid.", epoch.epoch.round, run=label
    )
    found.set(
        "descent_run_judgements",
        "Validators that revealed weights for it.",
        epoch.epoch.num_judgements,
        run=label,
    )
    found.set(
        "descent_run_heldout_loss_nats",
        "Loss a token on the held-out text at its start.",
        epoch.epoch.base_heldout_loss_nanonats / 1e9,
        run=label,
    )


def _read_round(application: Application, current: Any, found: Family, label: str) -> None:
    for name in PHASES:
        is_now = rounds_pb2.Phase.Name(current.phase) == name
        phase = name.removeprefix("PHASE_").lower()
        found.set("descent_run_phase", "1 for the phase of it.", is_now, run=label, phase=phase)
    found.set(
        "descent_run_commitments", "Payloads committed in it.", current.num_commitments, run=label
    )
    previous = _ask_round(application, current.run_id, current.index - 1) if current.index else None
    if previous is not None:
        found.set(
            "descent_run_accepted_payloads",
            "Payloads accepted in the round before.",
            len(previous.accepted),
            run=label,
        )
    settles = _ask(
        application,
        "/descent.rounds.v1.Query/Attestations",
        rounds_pb2.QueryAttestationsRequest(run_id=current.run_id, round=max(0, current.index - 1)),
        rounds_pb2.QueryAttestationsResponse,
    )
    if settles is not None and current.index:
        found.set(
            "descent_run_state_attestations",
            "Validators that attested the state at the end of the round before.",
            len(settles.attestations),
            run=label,
        )


def _ask_round(application: Application, run_id: int, index: int) -> Any | None:
    answer = _ask(
        application,
        "/descent.rounds.v1.Query/Round",
        rounds_pb2.QueryRoundRequest(run_id=run_id, round=index),
        rounds_pb2.QueryRoundResponse,
    )
    return None if answer is None else answer.round


def _ask(application: Application, path: str, request: Any, response: Any) -> Any | None:
    try:
        return response.FromString(application.query_method(path, request.SerializeToString(), 0))
    except QueryError:
        return None
