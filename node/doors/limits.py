"""What the doors over HTTP bear from one client: requests a second, and how slowly it may go.

uvicorn waits without end for the headers of a first request and for a client that does not read;
`GuardedProtocol` drops such connections. Bodies are limited where they are read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server, ServerState

CHECK_S = 5.0
"""How often a connection is looked at; what stands still at two looks in a row is dropped."""
MIN_PROGRESS_BYTES = 16 * 2**10
BODY_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 900
KEEP_ALIVE_S = 10
MAX_CLIENTS = 10_000
IPV6_PREFIX_BITS = 64  # what one subscriber is given
BURST_S = 2.0
TOO_LARGE, TOO_LATE = 413, 408


HTTP_LOGGER = logging.getLogger("node.doors.http")
HTTP_LOGGER.setLevel(logging.ERROR)
"""Errors only: a line for every malformed request would let strangers fill the disk."""


class BodyRefused(Exception):
    """A body that is over the limit, late, or cut off; `status` is that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class RateLimiter:
    """A bucket of tokens a client address: so many requests a second, and a burst of two seconds'.

    Args:
        per_second: requests; 0 for no limit.
    """

    def __init__(self, per_second: float, get_time: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second * BURST_S)
        self._get_time = get_time
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, host: str) -> float:
        """Take a token; the seconds until there is one if there is none, else 0."""
        if not self.per_second:
            return 0.0
        key, now = compute_client_key(host), self._get_time()
        tokens, then = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self.per_second
        self._buckets[key] = (tokens if wait_s else tokens - 1, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait_s


def compute_client_key(host: str) -> str:
    """Compute what counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in host:
        return host
    try:
        network = ipaddress.ip_network((host.partition("%")[0], IPV6_PREFIX_BITS), strict=False)
    except ValueError:
        return host
    return str(network)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a body.

    Raises:
        BodyRefused: more than `max_bytes`, not there in time, or the client left.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyRefused(TOO_LARGE, "http: request body too large")
    except TimeoutError:
        raise BodyRefused(TOO_LATE, "the body did not arrive in time") from None
    except ClientDisconnect:
        raise BodyRefused(400, "the client left") from None
    return bytes(body)


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 that drops clients who send no request, or who do not take their answer."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = HTTP_LOGGER

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the connection."""
        super().connection_made(transport)
        self._is_moving = True
        self._seen_unsent, self._seen_cycle = 0, self.cycle
        self._check = self.loop.call_later(CHECK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the connection."""
        self._check.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client took most of what was waiting."""
        self._is_moving = True
        super().resume_writing()

    def _look(self) -> None:
        """Drop the connection if it stands still; look again later if it does not."""
        if self.transport.get_protocol() is not self:
            return  # a WebSocket now
        unsent = self.transport.get_write_buffer_size()
        is_answered = self.cycle is None or self.cycle.response_complete
        is_slow = self._seen_unsent > 0 and unsent > self._seen_unsent - MIN_PROGRESS_BYTES
        is_silent = is_answered and self.cycle is self._seen_cycle
        if not self._is_moving and (is_slow if unsent else is_silent):
            self.transport.abort()
            return
        self._is_moving = False
        self._seen_unsent, self._seen_cycle = unsent, self.cycle
        self._check = self.loop.call_later(CHECK_S, self._look)


def build_http_server(app: ASGIApp, host: str, port: int, **settings: Any) -> Server:
    """Build the server of a door: guarded, bounded, and silent about what strangers send.

    Args:
        app: what answers.
        host, port: address to listen on.
        settings: of `uvicorn.Config`, beyond what all doors have in common.
    """
    config = Config(
        app,
        host=host,
        port=port,
        http=GuardedProtocol,
        log_config=None,
        access_log=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        server_header=False,
        **settings,
    )
    return Server(config)
