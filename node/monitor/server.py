"""`/metrics`, `/healthz` and `/readyz` on a port of their own, in a thread of the process.

`/healthz` answers 200 while the process works at all: a supervisor restarts it otherwise.
`/readyz` answers 200 while it can do its job now: a balancer sends nobody here otherwise. Both
answer 503 with the reason in a line of text.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

TIMEOUT_S = 5.0  # for a client to send its request and take the answer
MAX_CLIENTS = 16
PATHS = ("/metrics", "/healthz", "/readyz")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a further series for every series
logger = logging.getLogger(__name__)
Check = Callable[[], str]  # the reason why not, empty when all is well


class MonitorBusy(Exception):
    """The port is taken, or the address is not of this machine."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.0"

    def version_string(self) -> str:
        """Name the server."""
        return "descent"

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._send(200, encode(self.server.registry), content_type)
        elif path in ("/healthz", "/readyz"):
            check = self.server.check_alive if path == "/healthz" else self.server.check_ready
            reason = check()
            self._send(503 if reason else 200, f"{reason or 'ok'}\n".encode())
        else:
            self._send(404, f"here are {', '.join(PATHS)}\n".encode())

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: whoever scrapes does so every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self, address: tuple[str, int], registry: CollectorRegistry, alive: Check, ready: Check
    ) -> None:
        self.registry = registry
        self.check_alive = alive
        self.check_ready = ready
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, a bounded number at once; who comes on top is turned away."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one client and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, unless the client just went away."""
        logger.debug("a request failed", exc_info=True)


class MonitorServer:
    """Serves while it is open: `with MonitorServer(...)`, or `start` and `stop`.

    Args:
        host, port: to listen on; port 0 takes a free one, see `port`.
        registry: whose metrics are served.
        alive, ready: what `/healthz` and `/readyz` ask; called in threads of the server.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, alive: Check, ready: Check
    ) -> None:
        self.host, self.port = host, port
        self._arguments = (registry, alive, ready)
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            MonitorBusy: the port is taken, or the address is not of this machine.
        """
        try:
            self._server = _Server((self.host, self.port), *self._arguments)
        except OSError as error:
            raise MonitorBusy(
                f"cannot listen on {self.host}:{self.port} (metrics and health): "
                f"{error.strerror or error}; --monitor-listen moves it"
            ) from error
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> MonitorServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.stop()
