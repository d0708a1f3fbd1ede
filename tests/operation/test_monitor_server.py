"""`/metrics`, `/healthz`, `/readyz`, and clients that misbehave."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from node.monitor import server as server_module
from node.monitor.server import MAX_CLIENTS, MonitorBusy, MonitorServer


class Reasons:
    """What the checks answer."""

    alive = ""
    ready = ""


@pytest.fixture
def reasons() -> Reasons:
    return Reasons()


@pytest.fixture
def server(reasons: Reasons) -> Iterator[MonitorServer]:
    registry = CollectorRegistry()
    Gauge("descent_test", "A test.", registry=registry).set(5)
    with MonitorServer(
        "127.0.0.1", 0, registry, lambda: reasons.alive, lambda: reasons.ready
    ) as made:
        yield made


def ask(server: MonitorServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_metrics(server: MonitorServer) -> None:
    status, text = ask(server, "/metrics")
    assert status == 200
    assert "descent_test 5.0" in text.splitlines()


def test_health(server: MonitorServer, reasons: Reasons) -> None:
    assert ask(server, "/healthz") == ask(server, "/readyz") == (200, "ok\n")
    reasons.ready = "catching up"
    assert ask(server, "/readyz") == (503, "catching up\n")
    assert ask(server, "/healthz") == (200, "ok\n")
    reasons.alive = "stuck"
    assert ask(server, "/healthz?x=1") == (503, "stuck\n")
    assert ask(server, "/healthz", "HEAD") == (503, "")


def test_invalid_requests(server: MonitorServer) -> None:
    assert ask(server, "/") == (404, "here are /metrics, /healthz, /readyz\n")
    assert ask(server, "/metrics", "POST")[0] == 501


def test_invalid_port(server: MonitorServer) -> None:
    other = MonitorServer("127.0.0.1", server.port, CollectorRegistry(), str, str)
    with pytest.raises(MonitorBusy, match="--monitor-listen moves it"):
        other.start()


def test_silent_clients_are_bounded(server: MonitorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 0.5)
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    try:
        for client in silent[MAX_CLIENTS:]:
            client.settimeout(20)
            assert client.recv(1) == b""  # turned away, or timed out
        assert threading.active_count() <= before + MAX_CLIENTS
    finally:
        for client in silent:
            client.close()
    deadline = time.monotonic() + 20
    while threading.active_count() > before:  # their places are free once these have ended
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ask(server, "/healthz") == (200, "ok\n")
