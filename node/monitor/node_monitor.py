"""The monitor of one node: its meters, its collector and the server that shows them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector

from node.doors.supervisor import DoorSupervisor
from node.engine.genesis_doc import GenesisDoc
from node.engine.keys import load_node_id, load_validator_key
from node.monitor.collector import NodeCollector
from node.monitor.look import EngineLook
from node.monitor.meters import MeteredApplication, NodeMeters
from node.monitor.server import MonitorServer
from node.operation import NodeSettings
from node.runtime.application import APP_VERSION
from node.store.state import StateStore

DOOR_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BEAT_S = 1.0
TELL_EVERY_BEATS = 60
DEAD_AFTER_S = 60.0  # a block of the largest size takes a few seconds
STALLED_AFTER_S = 30.0

logger = logging.getLogger(__name__)


def get_door_metrics_folder(home: Path) -> Path:
    """Return where the doors of a node write their metrics."""
    return home / "data" / "door_metrics"


class NodeMonitor:
    """Watches one node and tells of it.

    Args:
        settings: of the node; `monitor` must be set.
        store: the node's state.
        supervisor: of its doors.
        look: at its engine, None until `set_look`.
    """

    def __init__(
        self, settings: NodeSettings, store: StateStore, supervisor: DoorSupervisor
    ) -> None:
        assert settings.monitor is not None
        home = settings.home
        self._supervisor = supervisor
        self._look: EngineLook = lambda: None
        self._beat_s = time.monotonic()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        key = load_validator_key(home / "config" / "priv_validator_key.json")
        self.meters = NodeMeters(self.registry, key.address)
        folder = get_door_metrics_folder(home)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        supervisor.environment[DOOR_METRICS_VARIABLE] = str(folder)
        MultiProcessCollector(self.registry, str(folder))  # type: ignore[no-untyped-call]
        info = {
            "version": APP_VERSION,
            "engine": settings.engine,
            "moniker": settings.moniker,
            "chain_id": GenesisDoc.load(home / "config" / "genesis.json").chain_id,
            "node_id": load_node_id(home / "config" / "node_key.json"),
        }
        collector = NodeCollector(home, store, lambda: self._look(), info, supervisor.list_states)
        self.registry.register(collector)
        host, port = settings.monitor
        self.server = MonitorServer(
            host, port, self.registry, self.explain_dead, self.explain_unready
        )

    def wrap(self, application: Any) -> MeteredApplication:
        """Put the meters before an application."""
        return MeteredApplication(application, self.meters)

    def set_look(self, look: EngineLook) -> None:
        """Tell how to look at the engine, once there is one."""
        self._look = look

    async def beat(self) -> None:
        """Show that the loop of this process turns, and now and then how far it is."""
        for number in itertools.count():
            self._beat_s = time.monotonic()
            if number and number % TELL_EVERY_BEATS == 0:
                logger.info("at height", extra={"fields": self.meters.summarise()})
            await asyncio.sleep(BEAT_S)

    def explain_dead(self) -> str:
        """Say why this process should be started again, empty while it works."""
        idle_s = time.monotonic() - self._beat_s
        return f"the process is stuck for {idle_s:.0f} s" if idle_s > DEAD_AFTER_S else ""

    def explain_unready(self) -> str:
        """Say why clients should go elsewhere, empty while this node serves."""
        if reason := self.explain_dead():
            return reason
        state = self._look()
        if state is None:
            return "the engine does not answer"
        if not state.height:
            return "there is no block yet"
        if state.is_catching_up:
            return f"catching up, at height {state.height}"
        if (idle_s := self.meters.get_idle_s()) > STALLED_AFTER_S:
            return f"no block for {idle_s:.0f} s, at height {state.height}"
        down = [name for name, is_up, _ in self._supervisor.list_states() if not is_up]
        return f"doors that do not answer: {', '.join(down)}" if down else ""
