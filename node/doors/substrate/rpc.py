"""JSON-RPC 2.0 as a Substrate node speaks it, without any I/O.

    SubstrateError      becomes the `error` object of a response
    |- ParseError       -32700  not JSON
    |- InvalidRequest   -32600  not a request, or a batch that is too long or within a batch
    |- MethodNotFound   -32601
    |- InvalidParams    -32602  an argument is missing, too many or of another kind
    |- InternalError    -32603  a bug of the door
    |- TooMany          -32006  subscriptions of one connection
    |- ClientError       4003   a block that is not known, state that is not kept, a call that fails
    |- InvalidFormat     1001   bytes are no extrinsic
    |- InvalidTx         1010   `Invalid Transaction`, with the reason as data
    |- PoolError         1013.. already imported, no room

Source: jsonrpsee error codes; substrate `client/rpc-api/src/{author,chain,state}/error.rs`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

from node.doors.rpc_errors import JsonRpcError

MAX_BODY_BYTES = 8 * 2**20
MAX_BATCH_CALLS = 100


class SubstrateError(JsonRpcError):
    """A refusal in Substrate's words."""


class ParseError(SubstrateError):
    """The text is not JSON."""

    code = -32700
    message = "Parse error"


class InvalidRequest(SubstrateError):
    """The JSON is no request that can be taken."""

    code = -32600
    message = "Invalid request"


class MethodNotFound(SubstrateError):
    """There is no such method, or not over HTTP."""

    code = -32601
    message = "Method not found"


class InvalidParams(SubstrateError):
    """An argument is missing, too many or of another kind."""

    code = -32602
    message = "Invalid params"


class InternalError(SubstrateError):
    """A bug of the door."""


class TooMany(SubstrateError):
    """The connection has as many subscriptions as it may."""

    code = -32006
    message = "Too many subscriptions on the connection"


class ClientError(SubstrateError):
    """What was asked for is not there."""

    code = 4003
    message = "Client error"


class InvalidFormat(SubstrateError):
    """The bytes are no extrinsic."""

    code = 1001
    message = "Extrinsic has invalid format"


class InvalidTx(SubstrateError):
    """The chain refuses the extrinsic."""

    code = 1010
    message = "Invalid Transaction"


class AlreadyImported(SubstrateError):
    """The extrinsic waits for a block already."""

    code = 1013
    message = "Transaction is already imported"


class PoolFull(SubstrateError):
    """There is no room for the extrinsic."""

    code = 1016
    message = "Immediately Dropped"


@dataclass(frozen=True)
class Subscribed:
    """Result of a method that subscribes: the id, and what is sent right after it."""

    subscription_id: str
    first: list[bytes] = field(default_factory=list)


Method = Callable[..., Awaitable[Any]]


def dump_json(value: Any) -> bytes:
    """Serialise a response."""
    return json.dumps(value, separators=(",", ":")).encode()


def build_response(request_id: Any, outcome: Any) -> dict[str, Any]:
    """Build a response from a result or an error."""
    built: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id}
    if isinstance(outcome, SubstrateError):
        built["error"] = outcome.build_object()
    else:
        built["result"] = outcome
    return built


def build_notification(method: str, subscription_id: str, result: Any) -> bytes:
    """Build what a subscription is told."""
    params = {"subscription": subscription_id, "result": result}
    return dump_json({"jsonrpc": "2.0", "method": method, "params": params})


def parse_hex(text: Any, what: str = "argument") -> bytes:
    """Parse `0x...`; async-substrate-interface leaves the 0x away.

    Raises: InvalidParams.
    """
    if not isinstance(text, str):
        raise InvalidParams(f"{what}: expected 0x and hex digits")
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise InvalidParams(f"{what}: expected 0x and hex digits") from None


def format_hex(data: bytes) -> str:
    """Write bytes as `0x...`."""
    return "0x" + data.hex()


class Dispatcher:
    """Methods by name. The first argument of each is the session of the caller, None over HTTP."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = dict(methods)
        self.methods["rpc_methods"] = self._list_methods
        self._arity = {name: count_arguments(method) for name, method in self.methods.items()}

    async def _list_methods(self, session: Any) -> dict[str, Any]:
        return {"methods": sorted(self.methods), "version": 1}

    async def answer(self, body: bytes | str, session: Any) -> list[bytes]:
        """Answer one message: the response or batch of responses, then what follows it.

        An exception that is no `SubstrateError` is a bug and left to the server.
        """
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return [dump_json(build_response(None, ParseError()))]
        if not isinstance(value, list):
            response, first = await self._answer_one(value, session)
            return [*([] if response is None else [dump_json(response)]), *first]
        if not 0 < len(value) <= MAX_BATCH_CALLS:
            error = InvalidRequest(f"a batch has 1 to {MAX_BATCH_CALLS} calls")
            return [dump_json(build_response(None, error))]
        responses, later = [], []
        for item in value:
            response, first = await self._answer_one(item, session)
            responses += [] if response is None else [response]
            later += first
        return [*([dump_json(responses)] if responses else []), *later]

    async def _answer_one(
        self, value: Any, session: Any
    ) -> tuple[dict[str, Any] | None, list[bytes]]:
        if not isinstance(value, dict) or not isinstance(value.get("method"), str):
            return build_response(None, InvalidRequest()), []
        request_id = value.get("id")
        if not isinstance(request_id, str | int | None) or isinstance(request_id, bool):
            return build_response(None, InvalidRequest()), []
        try:
            result = await self._call(value["method"], value.get("params"), session)
        except SubstrateError as error:
            result = error
        if "id" not in value:
            return None, []
        if isinstance(result, Subscribed):
            return build_response(request_id, result.subscription_id), result.first
        return build_response(request_id, result), []

    async def _call(self, name: str, params: Any, session: Any) -> Any:
        method = self.methods.get(name)
        if method is None:
            raise MethodNotFound()
        arguments = [] if params is None else params
        if not isinstance(arguments, list):
            raise InvalidParams("expected an array")
        least, most = self._arity[name]
        while len(arguments) > most and arguments[-1] is None:
            arguments = arguments[:-1]
        if not least <= len(arguments) <= most:
            raise InvalidParams(f"expected {least} to {most} arguments, got {len(arguments)}")
        return await method(session, *arguments)


def count_arguments(method: Method) -> tuple[int, int]:
    """Count how many arguments a method takes beside the session: at least, at most."""
    parameters = list(signature(method).parameters.values())[1:]
    needed = [item for item in parameters if item.default is Parameter.empty]
    return len(needed), len(parameters)
