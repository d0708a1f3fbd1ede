"""What the doors over HTTP bear from one client: how slowly it may go, and how much it may send.

uvicorn waits without end for the headers of a first request and for a client that does not read;
`GuardedProtocol` drops such connections. Bodies are limited where they are read.
"""

from __future__ import annotations

import asyncio
import logging
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
TOO_LARGE, TOO_LATE = 413, 408


HTTP_LOGGER = logging.getLogger("node.doors.http")
HTTP_LOGGER.setLevel(logging.ERROR)
"""Errors only: a line for every malformed request would let strangers fill the disk."""


class BodyRefused(Exception):
    """A body that is over the limit, late, or cut off; `status` is that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


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
        self._plan_look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the connection."""
        self._check.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client took most of what was waiting."""
        self._is_moving = True
        super().resume_writing()

    def _plan_look(self) -> None:
        self._check_s = self.loop.time() + CHECK_S
        self._check = self.loop.call_at(self._check_s, self._look)

    def _look(self) -> None:
        """Drop the connection if it stands still; look again later if it does not.

        A look that comes late finds what this process did not send while it stood still itself.
        """
        if self.transport.get_protocol() is not self:
            return  # a WebSocket now
        unsent = self.transport.get_write_buffer_size()
        is_answered = self.cycle is None or self.cycle.response_complete
        is_slow = self._seen_unsent > 0 and unsent > self._seen_unsent - MIN_PROGRESS_BYTES
        is_silent = is_answered and self.cycle is self._seen_cycle
        is_late = self.loop.time() > self._check_s + CHECK_S / 2
        if not (self._is_moving or is_late) and (is_slow if unsent else is_silent):
            self.transport.abort()
            return
        self._is_moving = False
        self._seen_unsent, self._seen_cycle = unsent, self.cycle
        self._plan_look()


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
