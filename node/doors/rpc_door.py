"""CometBFT RPC on its usual port: URIs, JSON-RPC by POST, and a WebSocket at `/websocket`.

A process of its own: `python -m node.doors.rpc_door --home H --port 26657`. It reads the node's
LMDB and hands transactions to the engine's control socket.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from node.doors.jsonrpc import (
    MAX_BODY_BYTES,
    URI_REQUEST_ID,
    Dispatcher,
    InternalError,
    InvalidRequest,
    Reply,
    RpcError,
    build_error_reply,
    build_response,
    dump_json,
)
from node.doors.limits import BodyRefused, build_http_server, read_body
from node.doors.meter import RequestMeter
from node.doors.node_view import NodeView
from node.doors.process import add_door_arguments, add_http_arguments, run_door
from node.doors.rate import RateLimiter
from node.doors.rpc_chain import ChainRoutes
from node.doors.rpc_events import EventHub
from node.doors.rpc_tx import TxRoutes
from node.doors.sockets import SocketProtocol, exchange, follow_chain, get_remote

DEFAULT_PORT = 26657

logger = logging.getLogger(__name__)


class RpcApp:
    """The ASGI application over a node's view.

    Args:
        view: the node's home, read-only.
        address: `tcp://host:port` told in `status`.
        requests_per_second: HTTP requests taken of one client address, 0 for any number.
    """

    def __init__(
        self, view: NodeView, moniker: str, address: str, requests_per_second: float = 0
    ) -> None:
        self.hub = EventHub(view)
        self._limiter = RateLimiter(requests_per_second)
        self.num_failures = 0
        routes = {
            **ChainRoutes(view, moniker, address).list_routes(),
            **TxRoutes(view).list_routes(),
            **self.hub.list_routes(),
        }
        meter = RequestMeter("rpc")
        self.dispatcher = Dispatcher(
            {
                name: replace(route, handler=meter.wrap(name, route.handler))
                for name, route in routes.items()
            }
        )

    def build(self, cors_origins: list[str]) -> Starlette:
        """Build the application; CORS is off unless origins are given."""
        middleware = []
        if cors_origins:
            cors = Middleware(
                CORSMiddleware, allow_origins=cors_origins, allow_methods=["*"], allow_headers=["*"]
            )
            middleware.append(cors)
        return Starlette(
            routes=[
                WebSocketRoute("/websocket", self.serve_socket),
                HttpRoute("/{path:path}", self.serve_http, methods=["GET", "HEAD", "POST"]),
            ],
            middleware=middleware,
            lifespan=lambda _: follow_chain(self.hub),
        )

    async def serve_http(self, request: Request) -> Response:
        """Answer one HTTP request."""
        name = request.path_params["path"].strip("/")
        wait_s = self._limiter.take(request.client.host if request.client else "")
        if wait_s:
            return Response(status_code=429, headers={"retry-after": str(math.ceil(wait_s))})
        try:
            reply = await self.answer_http(request, name)
        except Exception as error:  # the one place: a bug in one route must not stop the door
            reply = build_error_reply(500, self.note_failure(name, error), URI_REQUEST_ID)
        return Response(
            reply.body, reply.status, dict(reply.headers), media_type=reply.content_type
        )

    async def answer_http(self, request: Request, name: str) -> Reply:
        """Route an HTTP request: a body at the root is JSON-RPC, a path is a URI call."""
        remote = get_remote(request)
        if name in ("", "v1"):
            try:
                is_post = request.method == "POST"
                body = await read_body(request, MAX_BODY_BYTES) if is_post else b""
            except BodyRefused as error:
                refusal = InvalidRequest(f"error reading request body: {error}")
                return build_error_reply(400, refusal)
            return await self.dispatcher.answer_post(body, remote)
        arguments = dict(request.query_params)
        return await self.dispatcher.answer_uri(name.removeprefix("v1/"), arguments, remote)

    def note_failure(self, name: str, error: Exception) -> RpcError:
        """Log and count an unexpected exception; build what the caller is told."""
        self.num_failures += 1
        logger.exception("route failed: %s", name)
        return InternalError(f"{type(error).__name__} in {name[:40]!r}")

    async def serve_socket(self, socket: WebSocket) -> None:
        """Serve one WebSocket until either side closes it."""
        await socket.accept()
        remote = get_remote(socket)
        try:
            session = self.hub.open_session(remote)
        except InternalError as error:
            await socket.send_text(dump_json(build_response(None, error)).decode())
            await socket.close(1013)
            return

        async def handle(text: str | bytes) -> None:
            try:
                reply = await self.dispatcher.answer_socket(text, session, remote)
            except Exception as error:  # as in serve_http
                refusal = self.note_failure("websocket", error)
                reply = dump_json(build_response(None, refusal))
            if reply is not None:
                session.push(reply)

        close = partial(self.hub.close_session, session)
        await exchange(socket, handle, session.queue.get, close, session.ended)


async def serve(
    view: NodeView,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    moniker: str = "descent",
    cors_origins: list[str] | None = None,
    requests_per_second: float = 0,
) -> None:
    """Serve until cancelled or told to stop by a signal.

    Args:
        view: the node's home, read-only.
        host, port: address to listen on.
        cors_origins: browsers' origins that may call; none by default.
        requests_per_second: see `RpcApp`.
    """
    rpc = RpcApp(view, moniker, f"tcp://{host}:{port}", requests_per_second)
    app = rpc.build(cors_origins or [])
    server = build_http_server(
        app, host, port, ws=SocketProtocol, ws_max_size=MAX_BODY_BYTES, ws_ping_timeout=None
    )
    await server.serve()


def main() -> None:
    """Run the door as a process."""
    parser = argparse.ArgumentParser(prog="python -m node.doors.rpc_door", description=__doc__)
    add_door_arguments(parser, DEFAULT_PORT)
    add_http_arguments(parser, default_per_second=0)
    arguments = parser.parse_args()

    async def run(view: NodeView) -> None:
        await serve(
            view,
            arguments.host,
            arguments.port,
            moniker=arguments.moniker,
            cors_origins=arguments.cors_allowed_origin,
            requests_per_second=arguments.max_requests_per_second,
        )

    run_door(arguments, run)


if __name__ == "__main__":
    main()
