"""CometBFT's dialect of JSON-RPC 2.0, without any I/O.

Requests arrive three ways: a JSON document by POST (one call or a batch), a URI with arguments in
its query string, and a message on a WebSocket. All three meet here and leave as `Reply` values;
`rpc_door.py` moves bytes.

    RpcError            becomes the `error` object of a response (base: `rpc_errors.py`)
    |- ParseError       -32700  the body is not JSON, or not a request
    |- InvalidRequest   -32600  too many calls in a batch, wrong path, body too large
    |- MethodNotFound   -32601
    |- InvalidParams    -32602  an argument does not convert
    |- InternalError    -32603  the route itself refused; the text is in `data`
    |- ServerError      -32000  a subscription was cancelled

Source: CometBFT v0.39 rpc/jsonrpc (argument rules, error texts, HTTP status of each error).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from node.doors.rpc_errors import JsonRpcError

MAX_BODY_BYTES = 1_000_000
MAX_BATCH_SIZE = 10
URI_REQUEST_ID = -1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_INTEGER = re.compile(r"-?[0-9]+\Z")


class RpcError(JsonRpcError):
    """A refusal in CometBFT's words; `data` is what the caller reads."""


class ParseError(RpcError):
    """The body is not JSON, or not a request."""

    code = -32700
    message = "Parse error. Invalid JSON"


class InvalidRequest(RpcError):
    """The request is JSON but cannot be taken."""

    code = -32600
    message = "Invalid Request"


class MethodNotFound(RpcError):
    """No such route, or a route of the WebSocket asked over HTTP."""

    code = -32601
    message = "Method not found"


class InvalidParams(RpcError):
    """An argument does not convert to the type of the parameter."""

    code = -32602
    message = "Invalid params"


class InternalError(RpcError):
    """The route refused; `data` says why."""


class ServerError(RpcError):
    """A subscription was cancelled by the server."""

    code = -32000
    message = "Server error"


class Kind(Enum):
    """How the text of an argument becomes a value."""

    INT64 = "int64"
    UINT = "uint"
    BOOL = "bool"
    STRING = "string"
    BYTES = "bytes"
    HEX_BYTES = "hex bytes"


@dataclass(frozen=True)
class Param:
    """A parameter of a route; `default` is used where the caller gives none."""

    name: str
    kind: Kind
    default: Any = None


@dataclass(frozen=True)
class Call:
    """Who calls: `remote` is the peer's address, `socket` its WebSocket session if it has one."""

    request_id: int | str
    remote: str = ""
    socket: Any = None


Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """A method: its handler takes the `Call` and the parameters by name."""

    handler: Handler
    params: tuple[Param, ...] = ()
    is_socket_only: bool = False


@dataclass(frozen=True)
class Request:
    """A parsed call. `params` is the JSON value of the member, None when absent."""

    request_id: int | str
    method: str
    params: Any = None


@dataclass(frozen=True)
class Reply:
    """What goes back over HTTP: status, body (empty for notifications) and content type."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def load_json(body: bytes | str) -> Any:
    """Parse JSON strictly.

    Raises:
        ParseError: not JSON, not UTF-8, NaN or Infinity, or nested too deep.
    """

    def refuse_constant(name: str) -> Any:
        raise ValueError(f"invalid value {name}")

    try:
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"error unmarshaling request: {error}") from None


def dump_json(value: Any) -> bytes:
    """Serialise a response."""
    return json.dumps(value, separators=(",", ":")).encode()


def parse_request(value: Any) -> Request | None:
    """Parse one call; None for a notification, which gets no reply.

    Raises:
        ParseError: not an object, or an id that is neither text nor a whole number.
    """
    if not isinstance(value, dict):
        raise ParseError("error unmarshaling request: expected a JSON object")
    request_id = value.get("id")
    if request_id is None:
        return None
    if isinstance(request_id, float) and request_id.is_integer():
        request_id = int(request_id)
    if isinstance(request_id, bool) or not isinstance(request_id, (int, str)):
        raise ParseError(
            "error unmarshaling request: json-rpc ID must be a string or a whole number"
        )
    if isinstance(request_id, int) and not INT64_MIN <= request_id <= INT64_MAX:
        raise ParseError("error unmarshaling request: json-rpc ID out of int64 range")
    method = value.get("method", "")
    if not isinstance(method, str):
        raise ParseError("error unmarshaling request: method must be a string")
    return Request(request_id, method, value.get("params"))


def parse_body(body: bytes) -> tuple[list[Request], bool]:
    """Parse the body of a POST into calls, notifications left out; the flag marks a batch.

    Raises:
        ParseError: see `parse_request`.
        InvalidRequest: more than `MAX_BATCH_SIZE` calls.
    """
    value = load_json(body)
    is_batch = isinstance(value, list)
    items = value if is_batch else [value]
    if len(items) > MAX_BATCH_SIZE:
        raise InvalidRequest(
            f"maximum JSON-RPC batch size exceeded, got: {len(items)}, max: {MAX_BATCH_SIZE}"
        )
    return [request for item in items if (request := parse_request(item))], is_batch


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with padding, as Go's StdEncoding does.

    Raises:
        ValueError: another alphabet or length.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"illegal base64 data: {error}") from None


def decode_hex(text: str) -> bytes:
    """Decode hex without separators.

    Raises:
        ValueError: odd length or another character.
    """
    if len(text) % 2:
        raise ValueError("encoding/hex: odd length hex string")
    if not re.fullmatch(r"[0-9a-fA-F]*", text):
        bad = next(char for char in text if char not in "0123456789abcdefABCDEF")
        raise ValueError(f"encoding/hex: invalid byte: {bad!a}")
    return bytes.fromhex(text)


def parse_integer(text: str, kind: Kind) -> int:
    """Parse a decimal integer in the range of its kind.

    Raises:
        ValueError: not an integer, or out of range.
    """
    if not _INTEGER.match(text) or len(text) > 20:
        raise ValueError(f"invalid 64-bit integer {text[:40]!r}")
    number = int(text)
    low, high = (0, 2**64 - 1) if kind is Kind.UINT else (INT64_MIN, INT64_MAX)
    if not low <= number <= high:
        raise ValueError(f"value out of range: {number}")
    return number


def convert_json_argument(kind: Kind, value: Any) -> Any:
    """Convert a JSON value: 64-bit integers are strings, bytes base64, hex bytes hex.

    Raises:
        ValueError: the value has another type or does not decode.
    """
    if kind in (Kind.INT64, Kind.UINT):
        if not isinstance(value, str):
            raise ValueError(f"invalid 64-bit integer encoding {value!r}, expected string")
        return parse_integer(value, kind)
    if kind is Kind.BOOL:
        if not isinstance(value, bool):
            raise ValueError(f"cannot unmarshal {type(value).__name__} into a bool")
        return value
    if not isinstance(value, str):
        raise ValueError(f"cannot unmarshal {type(value).__name__} into a {kind.value}")
    if kind is Kind.BYTES:
        return decode_base64(value)
    if kind is Kind.HEX_BYTES:
        return decode_hex(value)
    return value


def convert_uri_argument(kind: Kind, text: str) -> Any:
    """Convert an argument of a URI: bare integers, `0x` hex, quoted text, or JSON.

    Raises:
        ValueError: the text does not fit the parameter.
    """
    is_text_like = kind in (Kind.STRING, Kind.BYTES, Kind.HEX_BYTES)
    if kind in (Kind.INT64, Kind.UINT) and _INTEGER.match(text):
        return parse_integer(text, kind)
    if text[:2].lower() == "0x":
        if not is_text_like:
            raise ValueError(f"got a hex string arg, but expected '{kind.value}'")
        raw = decode_hex(text[2:])
        return raw.decode("utf-8", "replace") if kind is Kind.STRING else raw
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(
            f"invalid argument {text[:80]!r}: expected JSON, with quotes around text"
        ) from None
    if kind in (Kind.BYTES, Kind.HEX_BYTES) and isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return convert_json_argument(kind, value)


def bind_json(route: Route, params: Any) -> dict[str, Any]:
    """Bind the `params` member to a route's parameters, by name or by position.

    Raises:
        InvalidParams: wrong count, or an argument that does not convert.
    """
    bound = {param.name: param.default for param in route.params}
    if params is None:
        return bound
    if isinstance(params, list):
        if len(params) != len(route.params):
            names = " ".join(param.name for param in route.params)
            raise InvalidParams(
                "error converting json params to arguments: "
                f"expected {len(route.params)} parameters ([{names}]), got {len(params)}"
            )
        params = {param.name: value for param, value in zip(route.params, params, strict=True)}
    if not isinstance(params, dict):
        raise InvalidParams(
            "error converting json params to arguments: "
            "unknown type for JSON params. Expected map or array"
        )
    for param in route.params:
        if params.get(param.name) is not None:
            try:
                bound[param.name] = convert_json_argument(param.kind, params[param.name])
            except ValueError as error:
                raise InvalidParams(f"error converting json params to arguments: {error}") from None
    return bound


def bind_uri(route: Route, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Bind the arguments of a URI to a route's parameters.

    Raises:
        InvalidParams: an argument that does not convert.
    """
    bound = {param.name: param.default for param in route.params}
    for param in route.params:
        text = arguments.get(param.name, "")
        if text:
            try:
                bound[param.name] = convert_uri_argument(param.kind, text)
            except ValueError as error:
                raise InvalidParams(f"error converting http params to arguments: {error}") from None
    return bound


def build_response(request_id: int | str | None, outcome: Any) -> dict[str, Any]:
    """Build a response object from a result or an `RpcError`."""
    built: dict[str, Any] = {"jsonrpc": "2.0"}
    if request_id is not None:
        built["id"] = request_id
    if isinstance(outcome, RpcError):
        built["error"] = outcome.build_object()
    else:
        built["result"] = outcome
    return built


def build_error_reply(status: int, error: RpcError, request_id: int | None = None) -> Reply:
    """Build the HTTP reply of a request that was refused as a whole."""
    return Reply(status, dump_json(build_response(request_id, error)))


class Dispatcher:
    """Routes by name, with the three ways of calling them.

    An exception that is not an `RpcError` is a bug of the door: it is left to the server, which
    logs it and answers with an internal error, so that one request never stops the door.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = dict(routes)

    async def answer_post(self, body: bytes, remote: str = "") -> Reply:
        """Answer a JSON-RPC document: 200 with a response a call, or a refusal as a whole."""
        if len(body) > MAX_BODY_BYTES:
            error = InvalidRequest("error reading request body: http: request body too large")
            return build_error_reply(400, error)
        if not body:
            return self.list_endpoints()
        try:
            requests, _ = parse_body(body)
        except InvalidRequest as error:
            return build_error_reply(400, error)
        except ParseError as error:
            return build_error_reply(500, error)
        responses = [await self.answer_request(request, remote) for request in requests]
        if not responses:
            return Reply(200, b"")
        return Reply(200, dump_json(responses[0] if len(responses) == 1 else responses))

    async def answer_request(self, request: Request, remote: str = "") -> dict[str, Any]:
        """Answer one call of a POST."""
        route = self.routes.get(request.method)
        if route is None or route.is_socket_only:
            return build_response(request.request_id, MethodNotFound())
        try:
            bound = bind_json(route, request.params)
            result = await route.handler(Call(request.request_id, remote), **bound)
        except RpcError as error:
            return build_response(request.request_id, error)
        return build_response(request.request_id, result)

    async def answer_uri(self, name: str, arguments: Mapping[str, str], remote: str = "") -> Reply:
        """Answer a call by URI; errors have an HTTP status of their own."""
        route = self.routes.get(name)
        if route is None:
            return Reply(404, b"404 page not found\n", "text/plain; charset=utf-8")
        if route.is_socket_only:
            return build_error_reply(404, MethodNotFound(), URI_REQUEST_ID)
        try:
            bound = bind_uri(route, arguments)
            result = await route.handler(Call(URI_REQUEST_ID, remote), **bound)
        except RpcError as error:
            return build_error_reply(500, error, URI_REQUEST_ID)
        return Reply(200, dump_json(build_response(URI_REQUEST_ID, result)))

    async def answer_socket(self, text: str | bytes, socket: Any, remote: str) -> bytes | None:
        """Answer one message of a WebSocket; None for a notification."""
        try:
            request = parse_request(load_json(text))
        except RpcError as error:
            return dump_json(build_response(None, error))
        if request is None:
            return None
        route = self.routes.get(request.method)
        if route is None:
            return dump_json(build_response(request.request_id, MethodNotFound()))
        try:
            bound = bind_json(route, request.params)
            call = Call(request.request_id, remote, socket)
            result = await route.handler(call, **bound)
        except RpcError as error:
            return dump_json(build_response(request.request_id, error))
        return dump_json(build_response(request.request_id, result))

    def list_endpoints(self) -> Reply:
        """List the routes as the HTML page shown to a browser."""
        lines = ["<html><body>", "<br>Available endpoints:<br>"]
        for name, route in sorted(self.routes.items()):
            arguments = "&".join(f"{param.name}=_" for param in route.params)
            link = f"/{name}?{arguments}" if arguments else f"/{name}"
            lines.append(f'<a href="{link}">{link}</a><br>')
        lines.append("</body></html>")
        return Reply(200, "\n".join(lines).encode(), "text/html")
