"""Substrate JSON-RPC: WebSocket and HTTP POST on one port.

A process of its own: `python -m node.doors.substrate_door --home H --port 9944`. It reads the
node's LMDB and hands extrinsics to the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from node.doors.limits import TOO_LARGE, BodyRefused, build_http_server, read_body
from node.doors.meter import RequestMeter
from node.doors.node_view import NodeView
from node.doors.process import add_door_arguments, run_door
from node.doors.sockets import SocketProtocol, exchange, follow_chain, get_remote
from node.doors.substrate.author import AuthorMethods
from node.doors.substrate.blocks import Blocks
from node.doors.substrate.chain_methods import ChainMethods
from node.doors.substrate.cosmos import CosmosMethods
from node.doors.substrate.limits import Unread
from node.doors.substrate.metadata import Metadata
from node.doors.substrate.rpc import (
    LIMIT,
    MAX_BODY_BYTES,
    Dispatcher,
    InternalError,
    RequestTooBig,
    ServerBusy,
    build_response,
    dump_json,
)
from node.doors.substrate.state_methods import StateMethods
from node.doors.substrate.subscriptions import Hub, Session

DEFAULT_PORT = 9944
PING_INTERVAL_S = 20.0
PART_BYTES = 2**16
READ_S = 60.0
"""A client that has not read a response by then is cut off."""

logger = logging.getLogger(__name__)


def build_dispatcher(view: NodeView, hub: Hub, moniker: str) -> Dispatcher:
    """Build every method over a node's view."""
    metadata = Metadata(view.chain)
    blocks = Blocks(view, view.chain, metadata)
    author = AuthorMethods(blocks, hub, view.chain)
    state = StateMethods(blocks, hub, metadata)
    state.calls |= author.calls
    methods = ChainMethods(blocks, hub).list_methods() | state.list_methods()
    methods |= author.list_methods() | CosmosMethods(view, moniker).list_methods()
    meter = RequestMeter("substrate")
    return Dispatcher({name: meter.wrap(name, method) for name, method in methods.items()})


class PacedResponse(Response):
    """A response sent as fast as the client reads it; one that is not read in time is cut off."""

    def __init__(self, content: bytes, unread: Unread) -> None:
        super().__init__(content, media_type="application/json")
        self._unread = unread
        self._is_over = False
        self._deadline: asyncio.Timeout | None = None

    def end(self) -> None:
        """Stop sending."""
        self._is_over = True
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and body, a part at a time."""
        self._unread.add(self, len(self.body))
        if self._is_over:
            error = dump_json(build_response(None, ServerBusy()))
            await Response(error, 503, media_type=self.media_type)(scope, receive, send)
            return
        try:
            async with asyncio.timeout(READ_S) as self._deadline:
                await self._send_parts(send)
        except TimeoutError:
            return  # an unfinished response closes the connection
        finally:
            self._unread.remove(self)

    async def _send_parts(self, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        for start in range(0, max(len(self.body), 1), PART_BYTES):
            part = bytes(self.body[start : start + PART_BYTES])
            more = start + PART_BYTES < len(self.body)
            await send({"type": "http.response.body", "body": part, "more_body": more})


class SubstrateApp:
    """The ASGI application over a node's view."""

    def __init__(self, view: NodeView, moniker: str, calls_per_minute: int | None = None) -> None:
        self.hub = Hub(view, calls_per_minute)
        self.dispatcher = build_dispatcher(view, self.hub, moniker)
        self.num_failures = 0

    def build(self) -> Starlette:
        """Build the application."""
        return Starlette(
            routes=[
                WebSocketRoute("/{path:path}", self.serve_socket),
                Route("/{path:path}", self.serve_http, methods=["POST"]),
            ],
            lifespan=lambda _: follow_chain(self.hub),
        )

    async def answer(self, body: bytes | str, session: Session | None) -> list[bytes]:
        """Answer one message."""
        try:
            return await self.dispatcher.answer(body, session)
        except Exception:  # the one place: a bug in one method must not stop the door
            self.num_failures += 1
            logger.exception("a method failed: %s", body[:200])
            return [dump_json(build_response(None, InternalError()))]

    async def serve_http(self, request: Request) -> Response:
        """Answer a POST."""
        try:
            body = await read_body(request, MAX_BODY_BYTES)
        except BodyRefused as refused:
            error = RequestTooBig(LIMIT.format(MAX_BODY_BYTES))
            is_large = refused.status == TOO_LARGE
            content = dump_json(build_response(None, error)) if is_large else b""
            return Response(content, refused.status)
        messages = await self.answer(body, None)
        return PacedResponse(messages[0] if messages else b"", self.hub.unread)

    async def serve_socket(self, socket: WebSocket) -> None:
        """Serve one WebSocket until either side closes it."""
        await socket.accept()
        session = self.hub.open_session(get_remote(socket))

        async def handle(text: str | bytes) -> None:
            self.hub.answer(session, await self.answer(text, session))

        close = partial(self.hub.close_session, session)
        await exchange(socket, handle, session.take, close, session.ended)


def build_server(
    app: SubstrateApp, host: str, port: int, *, ping_interval_s: float = PING_INTERVAL_S
) -> uvicorn.Server:
    """Build the server of an application; clients need not answer its pings."""
    return build_http_server(
        app.build(),
        host,
        port,
        ws=SocketProtocol,
        ws_max_size=MAX_BODY_BYTES,
        ws_ping_interval=ping_interval_s,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
    )


def main() -> None:
    """Run the door as a process."""
    parser = argparse.ArgumentParser(
        prog="python -m node.doors.substrate_door", description=__doc__
    )
    add_door_arguments(parser, DEFAULT_PORT)
    parser.add_argument(
        "--rpc-rate-limit", type=int, metavar="CALLS", help="calls a minute of one connection"
    )
    arguments = parser.parse_args()

    async def run(view: NodeView) -> None:
        app = SubstrateApp(view, arguments.moniker, arguments.rpc_rate_limit)
        await build_server(app, arguments.host, arguments.port).serve()

    run_door(arguments, run)


if __name__ == "__main__":
    main()
