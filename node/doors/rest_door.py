"""Cosmos REST on its usual port: a twin of every gRPC method that has an HTTP option.

A process of its own: `python -m node.doors.rest_door --home H --port 1317`. Requests become those
of the gRPC door and are answered by the same `Router`; `node/doors/rest/` makes JSON of them.
`/` lists the routes, `/openapi.json` describes them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from node.doors.cosmos_base import APP_NAME, APP_VERSION
from node.doors.grpc_services import (
    HEIGHT_HEADER,
    MAX_DETAIL_CHARS,
    MethodError,
    Query,
    Router,
    parse_height_header,
)
from node.doors.limits import BodyRefused, build_http_server, read_body
from node.doors.meter import OK, RequestMeter
from node.doors.node_view import NodeView
from node.doors.process import add_door_arguments, add_http_arguments, run_door
from node.doors.rate import RateLimiter
from node.doors.rest.json_form import format_message
from node.doors.rest.openapi import build_document
from node.doors.rest.page import ASSETS, POLICY, build_page, load_asset
from node.doors.rest.routes import HTTP_STATUS, Route, RouteError, build_tree, collect_routes
from node.doors.rest.templates import PathError, Values, split_path
from node.doors.services import build_router

DEFAULT_PORT = 1317
DEFAULT_REQUESTS_PER_SECOND = 100
MAX_BODY_BYTES = 1_000_000
ANSWER_TIMEOUT_S = 30.0
HEADERS = {"x-content-type-options": "nosniff"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestSettings:
    """What the operator of the door chooses.

    Args:
        requests_per_second: of one client address, 0 for no limit.
        cors_origins: browsers' origins that may call, `*` for all.
    """

    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND
    cors_origins: Sequence[str] = ()


class RestApp:
    """The ASGI application over a node's view."""

    def __init__(self, view: NodeView, moniker: str, settings: RestSettings) -> None:
        self.view = view
        self.router: Router = build_router(view, moniker)
        self.routes = collect_routes(self.router.list_services())
        self._tree = build_tree(self.routes)
        self._settings = settings
        self._limiter = RateLimiter(settings.requests_per_second)
        self._moniker = moniker
        self._meter = RequestMeter("rest")
        self._documents: dict[str, Response] = {}

    def build(self) -> ASGIApp:
        """Build the application; CORS is off unless origins are given."""
        if not self._settings.cors_origins:
            return self.run
        return CORSMiddleware(
            self.run,
            allow_origins=list(self._settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["content-type", HEIGHT_HEADER],
            expose_headers=[HEIGHT_HEADER],
        )

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of ASGI; paths are matched by `PathTree` alone."""
        response = await self.serve_http(Request(scope, receive))
        await response(scope, receive, send)

    async def serve_http(self, request: Request) -> Response:
        """Answer one HTTP request."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self.answer(request)
        except RouteError as error:
            return build_refusal(error.http_status, error.status, error.detail, error.headers)
        except BodyRefused as error:
            return build_refusal(error.status, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except TimeoutError:
            return build_refusal(504, grpc.StatusCode.DEADLINE_EXCEEDED, "it took too long")
        except Exception as error:  # the one place: a bug in one route must not stop the door
            path = request.scope["path"][:80]
            refusal = self.router.explain(path, error)
            return build_refusal(HTTP_STATUS[refusal.status], refusal.status, refusal.detail)

    async def answer(self, request: Request) -> Response:
        """Answer a request; raises what `serve_http` turns into refusals."""
        self.check_rate(request)
        path = request.scope["path"]
        if request.method in ("GET", "HEAD") and (
            path == "/openapi.json" or path in ("/", *ASSETS)
        ):
            return self.get_document(path)
        route, values = self.find_route(request)
        body = await read_body(request, MAX_BODY_BYTES) if route.has_body else b""
        data = route.build_request(values, request.scope["query_string"], body)
        query = Query(self.view, parse_height_header(request.headers.items()))
        started_s = time.perf_counter()
        answer = await self.router.answer(route.path, data, query)
        status = answer.status.name if isinstance(answer, MethodError) else OK
        self._meter.observe(route.path, status, time.perf_counter() - started_s)
        if isinstance(answer, MethodError):
            return build_refusal(HTTP_STATUS[answer.status], answer.status, answer.detail)
        message = GetMessageClass(route.descriptor.output_type).FromString(answer)
        return build_json(format_message(message), 200, {HEIGHT_HEADER: str(query.height)})

    def check_rate(self, request: Request) -> None:
        """Count a request.

        Raises:
            RouteError: RESOURCE_EXHAUSTED: too many of this client.
        """
        wait_s = self._limiter.take(request.client.host if request.client else "")
        if wait_s:
            raise RouteError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                self._limiter.limit,
                headers={"retry-after": str(math.ceil(wait_s))},
            )

    def find_route(self, request: Request) -> tuple[Route, Values]:
        """Find the route of a request.

        Raises:
            RouteError: UNIMPLEMENTED: there is none, or it has another HTTP method.
        """
        method = "GET" if request.method == "HEAD" else request.method
        try:
            segments = split_path(request.scope["raw_path"])
        except PathError as error:
            raise RouteError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        found = self._tree.find(method, segments)
        if found is None:
            others = self._tree.list_methods(segments)
            text = "Method Not Allowed" if others else "Not Implemented"
            raise RouteError(
                grpc.StatusCode.UNIMPLEMENTED,
                text,
                http_status=405 if others else 0,
                headers={"allow": ", ".join(others)} if others else {},
            )
        return found

    def get_document(self, path: str) -> Response:
        """Get the page, one of its files, or the description of the routes; made once."""
        if path not in self._documents:
            self._documents[path] = self.build_document(path)
        return self._documents[path]

    def build_document(self, path: str) -> Response:
        """Build one of them."""
        headers = {**HEADERS, "content-security-policy": POLICY}
        if path == "/":
            page = build_page(self.routes, APP_NAME, self._moniker)
            return Response(page, headers=headers, media_type="text/html")
        if path in ASSETS:
            return Response(load_asset(path), headers=headers, media_type=ASSETS[path])
        return build_json(build_document(self.routes, f"{APP_NAME} REST", APP_VERSION), 200)


def build_json(value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """Build an answer in JSON."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(body, status, {**HEADERS, **(headers or {})}, media_type="application/json")


def build_refusal(
    http_status: int, status: Any, detail: str, headers: dict[str, str] | None = None
) -> Response:
    """Build a refusal as grpc-gateway has them."""
    value = {"code": status.value[0], "message": detail[:MAX_DETAIL_CHARS], "details": []}
    return build_json(value, http_status, headers)


async def serve(
    view: NodeView,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    moniker: str = "descent",
    settings: RestSettings | None = None,
) -> None:
    """Serve until cancelled or told to stop by a signal.

    Args:
        view: the node's home, read-only.
        host, port: address to listen on.
    """
    app = RestApp(view, moniker, settings or RestSettings()).build()
    server = build_http_server(
        app, host, port, ws="none", interface="asgi3", lifespan="off", proxy_headers=False
    )
    await server.serve()


def main() -> None:
    """Run the door as a process."""
    parser = argparse.ArgumentParser(prog="python -m node.doors.rest_door", description=__doc__)
    add_door_arguments(parser, DEFAULT_PORT)
    add_http_arguments(parser, DEFAULT_REQUESTS_PER_SECOND)
    arguments = parser.parse_args()
    settings = RestSettings(arguments.max_requests_per_second, arguments.cors_allowed_origin)

    async def run(view: NodeView) -> None:
        await serve(
            view, arguments.host, arguments.port, moniker=arguments.moniker, settings=settings
        )

    run_door(arguments, run)


if __name__ == "__main__":
    main()
