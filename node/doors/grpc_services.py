"""How a gRPC method is answered here: raw bytes in, raw bytes out, refusals as status codes.

    MethodError        a refusal with a gRPC status
    QueryError         (runtime) refusals of pallets carry a status name of their own

Pallet queries are answered by the runtime from its registry; services that belong to no pallet are
`ServiceTable`s. Neither needs generated servicer classes, so a new pallet needs no edit here.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from node.doors.meter import OK, UNKNOWN, RequestMeter
from node.doors.node_view import NodeView
from node.doors.rate import RateLimiter
from node.engine.errors import EngineUnreachable
from node.runtime.application import HeightUnavailable
from node.runtime.errors import QueryError
from node.store.errors import VersionUnavailable

HEIGHT_HEADER = "x-cosmos-block-height"
CODESPACE_TRAILER, CODE_TRAILER = "descent-codespace", "descent-code"
MAX_DETAIL_CHARS = 4_000
MAX_CACHED_BYTES = 8 * 2**20

Handler = Callable[[Any, "Query"], Awaitable[Any]]
logger = logging.getLogger(__name__)


class MethodError(Exception):
    """A refusal: `status` is a `grpc.StatusCode`, the text goes to the caller.

    A refusal by the chain carries its `(codespace, code)`, which travel in the trailing metadata.
    """

    def __init__(self, status: Any, detail: str, codespace: str = "", code: int = 0) -> None:
        self.status = status
        self.detail = detail
        self.codespace, self.code = codespace, code
        self.trailers = ((CODESPACE_TRAILER, codespace), (CODE_TRAILER, str(code))) if code else ()
        super().__init__(detail)


@dataclass(frozen=True)
class AnsweredService:
    """A service with what is answered of it: one line about each method, by name."""

    full_name: str
    descriptor: Any
    methods: Mapping[str, str]


class Query:
    """One call: the height it asks for and, once answered, the height it was answered at."""

    def __init__(self, view: NodeView, asked_height: int) -> None:
        self.view = view
        self.asked_height = asked_height
        self.height = asked_height or view.get_state_heights()[1]


class AnswerCache:
    """Answers of pallets at one height, the newest asked: many clients ask the same of a block."""

    def __init__(self) -> None:
        self._height = 0
        self._answers: dict[tuple[str, bytes], bytes] = {}
        self._num_bytes = 0

    def get(self, height: int, path: str, request: bytes) -> bytes | None:
        """Return what is remembered."""
        return self._answers.get((path, request)) if height == self._height else None

    def put(self, height: int, path: str, request: bytes, response: bytes) -> None:
        """Remember an answer, unless it is of an older height; forget those of older heights."""
        if height > self._height:
            self._answers.clear()
            self._height, self._num_bytes = height, 0
        size = len(path) + len(request) + len(response)
        if height == self._height and self._num_bytes + size <= MAX_CACHED_BYTES:
            self._answers[path, request] = response
            self._num_bytes += size


class ServiceTable:
    """A gRPC service that belongs to no pallet: its descriptor and the methods it answers.

    Args:
        descriptor: of the service, from the `*_pb2` module.
        methods: coroutine functions `(request, query) -> response` by method name.
    """

    def __init__(self, descriptor: Any, methods: Mapping[str, Handler]) -> None:
        self.full_name = str(descriptor.full_name)
        self.descriptor = descriptor
        self._requests = {
            name: GetMessageClass(descriptor.methods_by_name[name].input_type) for name in methods
        }
        self._methods = dict(methods)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that are answered."""
        return tuple(sorted(self._methods))

    def describe(self) -> AnsweredService:
        """Describe what is answered."""
        docs = {name: get_summary(method.__doc__) for name, method in self._methods.items()}
        return AnsweredService(self.full_name, self.descriptor, docs)

    async def answer(self, method: str, request: bytes, query: Query) -> bytes:
        """Answer one call.

        Raises:
            MethodError: refused.
        """
        try:
            message = self._requests[method].FromString(request)
        except DecodeError:
            raise MethodError(
                grpc.StatusCode.INVALID_ARGUMENT, f"{method}: request does not parse"
            ) from None
        response = await self._methods[method](message, query)
        data: bytes = response.SerializeToString()
        return data


def get_summary(doc: str | None) -> str:
    """Get the first line of a docstring."""
    return (doc or "").strip().partition("\n")[0]


def parse_height_header(metadata: Any) -> int:
    """Parse the height a caller asks for; 0 when there is no such header.

    Raises:
        MethodError: not a height.
    """
    for key, value in metadata or ():
        if key.lower() == HEIGHT_HEADER:
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            if not text.isascii() or not text.isdigit() or len(text) > 18:
                raise MethodError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f'invalid height header "{HEIGHT_HEADER}": {text[:40]!r} is not a height',
                )
            return int(text)
    return 0


class Router(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method of the door by path: pallet queries first, then the service tables.

    Args:
        view: the node's home.
        tables: services that belong to no pallet.
        requests_per_second: of one client address by gRPC; 0 for no limit.
    """

    def __init__(
        self, view: NodeView, tables: list[ServiceTable], requests_per_second: float = 0
    ) -> None:
        self.view = view
        self._limiter = RateLimiter(requests_per_second)
        self._meter = RequestMeter("grpc")
        self.num_failures = 0
        self._tables = {table.full_name: table for table in tables}
        self._cache = AnswerCache()

    def add_table(self, table: ServiceTable) -> None:
        """Add a service, one that needs the router itself."""
        self._tables[table.full_name] = table

    def list_service_names(self) -> list[str]:
        """List the services for reflection."""
        return [service.full_name for service in self.list_services()]

    def list_services(self) -> list[AnsweredService]:
        """List the services, by name; no service has methods in both registries."""
        queries = self.view.runtime.queries
        found = {
            service.full_name: AnsweredService(
                service.full_name,
                service.descriptor,
                {
                    name: get_summary(queries[f"/{service.full_name}/{name}"].doc)
                    for name in service.methods
                },
            )
            for service in self.view.runtime.list_query_services()
        }
        found.update({name: table.describe() for name, table in self._tables.items()})
        return [found[name] for name in sorted(found)]

    def service(self, handler_call_details: Any) -> Any:
        """Find the handler of a path; grpc calls this."""
        path = str(handler_call_details.method)

        async def handle(request: bytes, context: Any) -> bytes:
            return await self.handle(path, request, context)

        if not self.is_answered(path) and not path.startswith(("/cosmos.", "/descent.", "/ibc.")):
            return None  # reflection, health: another handler has it, or grpc says unimplemented
        return grpc.unary_unary_rpc_method_handler(handle)

    def is_answered(self, path: str) -> bool:
        """Tell whether a path has a handler."""
        service, _, method = path[1:].partition("/")
        table = self._tables.get(service)
        return path in self.view.runtime.queries or (table is not None and method in table.methods)

    async def handle(self, path: str, request: bytes, context: Any) -> bytes:
        """Answer one call, with the height it was answered at in the reply's header."""
        answer: bytes | MethodError
        started_s = time.perf_counter()
        try:
            self.check_rate(context.peer())
            query = Query(self.view, parse_height_header(context.invocation_metadata()))
            answer = await self.answer(path, request, query)
        except MethodError as error:
            answer = error
        status = OK if isinstance(answer, bytes) else answer.status.name
        name = path if self.is_answered(path) else UNKNOWN
        self._meter.observe(name, status, time.perf_counter() - started_s)
        if isinstance(answer, bytes):
            await context.send_initial_metadata(((HEIGHT_HEADER, str(query.height)),))
            return answer
        await context.abort(answer.status, answer.detail[:MAX_DETAIL_CHARS], answer.trailers)
        raise AssertionError("abort returned")

    def check_rate(self, peer: str) -> None:
        """Count a call of a client, which gRPC names `ipv4:HOST:PORT` or `ipv6:[HOST]:PORT`.

        Raises:
            MethodError: RESOURCE_EXHAUSTED: too many of this client.
        """
        if not self._limiter.per_second:
            return
        host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
        wait_s = self._limiter.take(host)
        if wait_s:
            detail = f"{self._limiter.limit}: try again in {math.ceil(wait_s)} s"
            raise MethodError(grpc.StatusCode.RESOURCE_EXHAUSTED, detail)

    async def answer(self, path: str, request: bytes, query: Query) -> bytes | MethodError:
        """Answer one question, or say why not; the query tells the height afterwards."""
        try:
            return await self.dispatch(path, request, query)
        except Exception as error:  # the one place: a bug in one query must not stop the door
            return self.explain(path, error)

    def explain(self, path: str, error: Exception) -> MethodError:
        """Turn what went wrong in a call into a refusal."""
        if isinstance(error, MethodError):
            return error
        if isinstance(error, QueryError):
            status = getattr(grpc.StatusCode, error.status, grpc.StatusCode.UNKNOWN)
            return MethodError(status, str(error))
        if isinstance(error, HeightUnavailable | VersionUnavailable):
            return MethodError(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if isinstance(error, EngineUnreachable):
            return MethodError(grpc.StatusCode.UNAVAILABLE, str(error))
        self.num_failures += 1
        logger.error("query failed: %s", path, exc_info=error)
        return MethodError(grpc.StatusCode.INTERNAL, f"{type(error).__name__} in {path}")

    async def dispatch(self, path: str, request: bytes, query: Query) -> bytes:
        """Route a call to the pallets or to a table.

        Raises:
            MethodError, QueryError: refused, or nothing answers the path.
        """
        if path in self.view.runtime.queries:
            answer = self._cache.get(query.height, path, request)
            if answer is None:
                answer = self.view.query_pallet(path, request, query.height)
                self._cache.put(query.height, path, request, answer)
            return answer
        service, _, method = path[1:].partition("/")
        table = self._tables.get(service)
        if table is not None and method in table.methods:
            return await table.answer(method, request, query)
        kind = "method" if table or self.has_service(service) else "service"
        raise MethodError(grpc.StatusCode.UNIMPLEMENTED, f"unknown {kind} {path[1:]}")

    def has_service(self, name: str) -> bool:
        """Tell whether some pallet declares a service."""
        return any(name == item.full_name for item in self.view.runtime.list_query_services())
