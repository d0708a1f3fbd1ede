"""What a real node tells those who watch it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.doors.supervisor import DoorSupervisor
from node.monitor.look import EngineState
from node.monitor.node_monitor import STALLED_AFTER_S, NodeMonitor
from node.operation import NODE_SETTINGS, make_node_settings
from node.settings import resolve
from node.store.state import StateStore
from tests.support.devnet_node import DevnetNode, kill_door
from tests.support.monitors import ask_monitor, scrape


def call_rpc(node: DevnetNode, method: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.rpc_port}/", body, {"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=30).read()
    except urllib.error.HTTPError as error:
        error.close()


def test_metrics_of_a_node(devnet_node: DevnetNode) -> None:
    devnet_node.wait_for_height(12)  # of height 11 the meters know for sure then
    found, later = (scrape(devnet_node.monitor_port) for _ in range(2))
    assert found["descent_node_height"][()] >= 11
    assert found["descent_engine_up"][()] == found["descent_node_is_decider"][()] == 1
    assert found["descent_node_app_lag_blocks"][()] <= 1
    assert found["descent_node_height"][()] <= later["descent_engine_height"][()]
    assert found["descent_engine_height"][()] <= later["descent_node_height"][()] + 1
    assert set(found["descent_door_up"].values()) == {1.0}
    assert found["descent_beacon_reveals_total"][()] >= 10
    assert found["descent_beacon_missed_reveals_total"][()] == 0
    assert found["descent_store_bytes"][("state",)] > 0
    assert found["descent_disk_free_bytes"][()] < found["descent_disk_bytes"][()]
    heights = found["descent_node_app_hash_height"]
    slot = max(heights, key=heights.__getitem__)
    assert heights[slot] % 10 == 0
    assert abs(heights[slot] - found["descent_node_height"][()]) <= 10
    assert 0 < found["descent_node_app_hash_bits"][slot] < 2**48
    finalized = found["descent_node_block_step_seconds_count"]["finalize",]
    assert finalized >= found["descent_node_height"][()] - 1


def test_requests_are_counted(devnet_node: DevnetNode) -> None:
    path = "/cosmos.base.node.v1beta1.Service/Status"
    before = scrape(devnet_node.monitor_port)["descent_door_requests_total"]
    devnet_node.get_height()
    call_rpc(devnet_node, "status")
    url = f"http://127.0.0.1:{devnet_node.rest_port}/cosmos/base/node/v1beta1/status"
    urllib.request.urlopen(url, timeout=30).close()
    after = scrape(devnet_node.monitor_port)
    counts = after["descent_door_requests_total"]
    assert counts["grpc", path, "ok"] >= before.get(("grpc", path, "ok"), 0) + 1
    assert counts["rpc", "status", "ok"] >= 1
    assert counts["rest", path, "ok"] >= 1
    assert {door for door, _, _ in counts} <= {"grpc", "rpc", "substrate", "rest"}
    assert after["descent_door_request_seconds_count"]["grpc",] >= 1


def test_unknown_methods_make_no_labels(devnet_node: DevnetNode) -> None:
    for number in range(3):
        call_rpc(devnet_node, f"method_{number}")
    counts = scrape(devnet_node.monitor_port)["descent_door_requests_total"]
    assert not [method for _, method, _ in counts if method.startswith("method_")]


def test_ready_while_it_serves(devnet_node: DevnetNode) -> None:
    devnet_node.wait_until(
        lambda: ask_monitor(devnet_node.monitor_port, "/readyz") == (200, "ok\n")
    )
    assert ask_monitor(devnet_node.monitor_port, "/healthz") == (200, "ok\n")


def test_scrapes_are_cheap(devnet_node: DevnetNode) -> None:
    started = time.perf_counter()
    for _ in range(10):
        scrape(devnet_node.monitor_port)
    assert time.perf_counter() - started < 5


# Readiness, by cause


class HeldClock:
    """Stands until it is set."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(devnet_node: DevnetNode, monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    held = HeldClock()
    monkeypatch.setattr(time, "monotonic", held)
    return held


@pytest.fixture
def monitor(devnet_node: DevnetNode, clock: HeldClock, tmp_path: Path) -> Iterator[NodeMonitor]:
    """A monitor of a folder without a running engine."""
    (tmp_path / "config").mkdir()
    genesis = (devnet_node.home / "config" / "genesis.json").read_bytes()
    (tmp_path / "config" / "genesis.json").write_bytes(genesis)
    flags = {"monitor.listen": "127.0.0.1:0"}
    settings = make_node_settings(tmp_path, resolve(NODE_SETTINGS, flags=flags, environ={}))
    with StateStore.open(tmp_path / "data" / "state") as store:
        yield NodeMonitor(settings, store, DoorSupervisor(tmp_path, []))


def test_unready_by_cause(monitor: NodeMonitor, clock: HeldClock) -> None:
    assert monitor.explain_unready() == "the engine does not answer"
    monitor.set_look(lambda: EngineState(0))
    assert monitor.explain_unready() == "there is no block yet"
    monitor.set_look(lambda: EngineState(7, is_catching_up=True))
    assert monitor.explain_unready() == "catching up, at height 7"
    monitor.set_look(lambda: EngineState(7))
    assert monitor.explain_unready() == ""
    monitor.meters.note_commit(7)
    assert monitor.meters.summarise()["height"] == 7
    clock.now += STALLED_AFTER_S + 1
    assert monitor.explain_unready() == "no block for 31 s, at height 7"
    assert monitor.explain_dead() == ""
    clock.now += 100 - (STALLED_AFTER_S + 1)
    assert monitor.explain_dead() == "the process is stuck for 100 s"


def test_killed_door_is_counted_and_not_ready(devnet_node: DevnetNode) -> None:
    port = devnet_node.monitor_port
    devnet_node.wait_until(lambda: ask_monitor(port, "/readyz")[0] == 200)
    before = scrape(port)["descent_door_restarts"]["substrate",]
    killed = set()
    for _ in range(10):  # until it is not back before we look
        killed.add(kill_door(devnet_node, "node.doors.substrate_door"))
        reason = ask_monitor(port, "/readyz")[1]
        if reason != "ok\n":
            break
    assert "substrate" in reason
    devnet_node.wait_until(lambda: ask_monitor(port, "/readyz")[0] == 200)
    assert scrape(port)["descent_door_restarts"]["substrate",] == before + len(killed)
