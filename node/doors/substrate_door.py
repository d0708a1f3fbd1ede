"""Substrate JSON-RPC: WebSocket and HTTP POST on one port.

A process of its own: `python -m node.doors.substrate_door --home H --port 9944`. It reads the
node's LMDB and hands extrinsics to the engine.
"""

from __future__ import annotations

import argparse
import logging

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from node.doors.node_view import NodeView
from node.doors.process import add_door_arguments, run_door
from node.doors.sockets import exchange, follow_chain, get_remote
from node.doors.substrate.author import AuthorMethods
from node.doors.substrate.blocks import Blocks
from node.doors.substrate.chain_methods import ChainMethods
from node.doors.substrate.cosmos import CosmosMethods
from node.doors.substrate.metadata import Metadata
from node.doors.substrate.rpc import (
    MAX_BODY_BYTES,
    Dispatcher,
    InternalError,
    InvalidRequest,
    build_response,
    dump_json,
)
from node.doors.substrate.state_methods import StateMethods
from node.doors.substrate.subscriptions import Hub, Session

DEFAULT_PORT = 9944
MAX_CONNECTIONS = 900
KEEP_ALIVE_S = 10

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
    return Dispatcher(methods)


class SubstrateApp:
    """The ASGI application over a node's view."""

    def __init__(self, view: NodeView, moniker: str) -> None:
        self.hub = Hub(view)
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
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                error = InvalidRequest("the request is too large")
                return Response(dump_json(build_response(None, error)), 413)
        messages = await self.answer(bytes(body), None)
        return Response(messages[0] if messages else b"", media_type="application/json")

    async def serve_socket(self, socket: WebSocket) -> None:
        """Serve one WebSocket until either side closes it."""
        await socket.accept()
        session = self.hub.open_session(get_remote(socket))

        async def handle(text: str | bytes) -> None:
            for reply in await self.answer(text, session):
                session.push(reply)

        await exchange(socket, handle, session.take, lambda: self.hub.close_session(session))


async def serve(
    view: NodeView, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, moniker: str = "descent"
) -> None:
    """Serve until cancelled or told to stop by a signal.

    Args:
        view: the node's home, read-only.
        host, port: address to listen on.
    """
    config = uvicorn.Config(
        SubstrateApp(view, moniker).build(),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MAX_BODY_BYTES,
        ws_ping_timeout=None,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Run the door as a process."""
    parser = argparse.ArgumentParser(
        prog="python -m node.doors.substrate_door", description=__doc__
    )
    add_door_arguments(parser, DEFAULT_PORT)
    arguments = parser.parse_args()

    async def run(view: NodeView) -> None:
        await serve(view, arguments.host, arguments.port, moniker=arguments.moniker)

    run_door(arguments, run)


if __name__ == "__main__":
    main()
