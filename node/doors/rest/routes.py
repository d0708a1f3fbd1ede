"""The REST routes of a node: every gRPC method that is answered and has a `google.api.http` option.

    RouteError     a request that a route does not take: HTTP status, gRPC code and text

Source: google/api/http.proto; grpc-gateway v1 runtime/errors.go for the status of each code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import grpc
from google.api import annotations_pb2
from google.protobuf.message_factory import GetMessageClass

from node.doors.grpc_services import AnsweredService
from node.doors.rest.json_form import FormError, parse_message
from node.doors.rest.parameters import ParameterError, set_parameter
from node.doors.rest.templates import PathTree, Values

MAX_PARAMETERS = 100
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 408,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


class RouteError(Exception):
    """A request that is refused before it reaches a method.

    Args:
        status: a `grpc.StatusCode`.
        http_status: instead of the code's own.
        headers: of the answer.
    """

    def __init__(
        self,
        status: Any,
        detail: str,
        *,
        http_status: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.http_status = http_status or HTTP_STATUS[status]
        super().__init__(detail)


@dataclass(frozen=True)
class Route:
    """One route.

    Args:
        http_method: GET or POST.
        template: of the path, as in the option.
        path: of the gRPC method, `/package.Service/Method`.
        descriptor: of the method.
        has_body: whether the request is the JSON body.
        doc: what the method answers, one line.
    """

    http_method: str
    template: str
    path: str
    descriptor: Any
    has_body: bool
    doc: str

    @property
    def service(self) -> str:
        """Full name of the gRPC service."""
        return self.path[1:].partition("/")[0]

    def build_request(self, values: Values, query: bytes, body: bytes) -> bytes:
        """Build the request message, serialised.

        Args:
            values: texts of the fields in the path.
            query: the raw query string.
            body: of the HTTP request.
        Raises:
            RouteError: INVALID_ARGUMENT, with what does not fit.
        """
        request_class = GetMessageClass(self.descriptor.input_type)
        try:
            if self.has_body:
                request = parse_message(load_json(body), request_class)
            else:
                request = request_class()
                for name, texts in parse_query(query).items():
                    if name not in values:
                        set_parameter(request, name, texts)
            for name, text in values.items():
                set_parameter(request, name, [text])
        except (FormError, ParameterError) as error:
            raise RouteError(_INVALID, str(error)) from None
        data: bytes = request.SerializeToString()
        return data


def load_json(body: bytes) -> Any:
    """Parse a JSON body; an empty one is an empty object.

    Raises:
        RouteError: INVALID_ARGUMENT.
    """
    if not body.strip():
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RouteError(_INVALID, f"invalid JSON: {error}"[:200]) from None


def parse_query(raw: bytes) -> Mapping[str, Sequence[str]]:
    """Parse a query string; the texts given for each name, in order.

    Raises:
        RouteError: INVALID_ARGUMENT: not UTF-8, or too many parameters.
    """
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise RouteError(_INVALID, f"invalid query string: {error}"[:200]) from None
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(name, []).append(text)
    return found


def list_bindings(descriptor: Any) -> list[tuple[str, str, bool]]:
    """List (HTTP method, template, whether the body is the request) of a gRPC method.

    Raises:
        ValueError: an option this door does not know: other HTTP methods, or a part as the body.
    """
    options = descriptor.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return []
    rule = options.Extensions[annotations_pb2.http]
    found = []
    for item in (rule, *rule.additional_bindings):
        kind = item.WhichOneof("pattern")
        if kind not in ("get", "post") or item.body not in ("", "*") or item.response_body:
            raise ValueError(f"{descriptor.full_name}: an HTTP rule of kind {kind} {item.body}")
        found.append((kind.upper(), getattr(item, kind), item.body == "*"))
    return found


def collect_routes(services: Iterable[AnsweredService]) -> list[Route]:
    """Collect the routes of the methods that are answered, by template."""
    routes = [
        Route(
            http_method,
            template,
            f"/{service.full_name}/{name}",
            service.descriptor.methods_by_name[name],
            has_body,
            doc,
        )
        for service in services
        for name, doc in service.methods.items()
        for http_method, template, has_body in list_bindings(
            service.descriptor.methods_by_name[name]
        )
    ]
    return sorted(routes, key=lambda route: (route.template, route.http_method))


def build_tree(routes: Iterable[Route]) -> PathTree[Route]:
    """Build the tree that finds the route of a path."""
    tree: PathTree[Route] = PathTree()
    for route in routes:
        tree.add(route.http_method, route.template, route)
    return tree
