"""JSON-RPC 2.0 as a Substrate node speaks it, without any I/O.

    SubstrateError      becomes the `error` object of a response
    |- ParseError       -32700  not JSON
    |- InvalidRequest   -32600  not a request, or a batch of none or within a batch
    |- MethodNotFound   -32601
    |- InvalidParams    -32602  an argument is missing, too many or of another kind
    |- InternalError    -32603  a bug of the door
    |- TooMany          -32006  subscriptions of one connection
    |- RequestTooBig    -32007
    |- ResponseTooBig   -32008  of one call or of a whole batch
    |- ServerBusy       -32009  others have not read what they asked for
    |- BatchTooBig      -32010
    |- RateLimited      -32999  calls of one connection
    |- ClientError       4003   a block that is not known, state that is not kept, a call that fails
    |- InvalidFormat     1001   bytes are no extrinsic: their length does not fit
    |- Unverified        1002   what the length encloses is no extrinsic of this chain
    |- InvalidTx         1010   `Invalid Transaction`, with the reason as data
    |- UnknownValidity   1011   nobody signed it
    |- AlreadyImported   1013
    |- LowPriority       1014   another extrinsic with that nonce waits already
    |- PoolFull          1016

Source: jsonrpsee error codes; substrate `client/rpc-api/src/{author,chain,state}/error.rs`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

from node.doors.rpc_errors import JsonRpcError

MAX_BODY_BYTES = 8 * 2**20
MAX_RESPONSE_BYTES = 15 * 2**20
MAX_BATCH_CALLS = 100
LIMIT = "Exceeded max limit of {}"


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


class RequestTooBig(SubstrateError):
    """The request has more bytes than are read."""

    code = -32007
    message = "Request is too big"


class ResponseTooBig(SubstrateError):
    """The response has more bytes than are sent."""

    code = -32008
    message = "Response is too big"


class ServerBusy(SubstrateError):
    """Too many answers wait for clients to read them."""

    code = -32009
    message = "Server is busy, try again later"


class BatchTooBig(SubstrateError):
    """The batch has more calls than are answered."""

    code = -32010
    message = "The batch request was too large"


class RateLimited(SubstrateError):
    """The connection called more often than it may."""

    code = -32999
    message = "RPC rate limit exceeded"


class ClientError(SubstrateError):
    """What was asked for is not there."""

    code = 4003
    message = "Client error"


class InvalidFormat(SubstrateError):
    """The bytes are no extrinsic."""

    code = 1001

    def __init__(self, reason: str) -> None:
        super().__init__("", f"Extrinsic has invalid format: {reason}")


class Unverified(SubstrateError):
    """The runtime cannot decode the extrinsic; a Substrate node's runtime traps here."""

    code = 1002

    def __init__(self, reason: str) -> None:
        super().__init__(reason, f"Verification Error: Runtime error: Execution failed: {reason}")


class InvalidTx(SubstrateError):
    """The chain refuses the extrinsic."""

    code = 1010
    message = "Invalid Transaction"


class UnknownValidity(SubstrateError):
    """Nobody signed the extrinsic."""

    code = 1011
    message = "Unknown Transaction Validity"


class AlreadyImported(SubstrateError):
    """The extrinsic waits for a block already."""

    code = 1013
    message = "Transaction Already Imported"


class LowPriority(SubstrateError):
    """Another extrinsic with that nonce waits for a block; none is ever replaced."""

    code = 1014

    def __init__(self, old_tip: int, new_tip: int) -> None:
        super().__init__(
            "The transaction has too low priority to replace another transaction already in the "
            "pool.",
            f"Priority is too low: ({old_tip} vs {new_tip})",
        )


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


def build_notification(method: str, subscription_id: str, result: bytes) -> bytes:
    """Build what a subscription is told; `result` is JSON already."""
    head = f'{{"jsonrpc":"2.0","method":"{method}","params":{{"subscription":"{subscription_id}",'
    return head.encode() + b'"result":' + result + b"}}"


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
            return [*([] if response is None else [response]), *first]
        if not value:
            return [dump_json(build_response(None, InvalidRequest()))]
        if len(value) > MAX_BATCH_CALLS:
            too_big = BatchTooBig(LIMIT.format(MAX_BATCH_CALLS))
            return [dump_json(build_response(None, too_big))]
        return await self._answer_batch(value, session)

    async def _answer_batch(self, items: list[Any], session: Any) -> list[bytes]:
        responses: list[bytes] = []
        later: list[bytes] = []
        size = 0
        for item in items:
            response, first = await self._answer_one(item, session)
            if response is not None:
                responses.append(response)
                size += len(response)
            if size > MAX_RESPONSE_BYTES:
                error = ResponseTooBig(LIMIT.format(MAX_RESPONSE_BYTES))
                return [dump_json(build_response(None, error))]
            later += first
            await asyncio.sleep(0)  # others have their turn between the calls of a batch
        return [*([b"[" + b",".join(responses) + b"]"] if responses else []), *later]

    async def _answer_one(self, value: Any, session: Any) -> tuple[bytes | None, list[bytes]]:
        if not isinstance(value, dict) or not isinstance(value.get("method"), str):
            return dump_json(build_response(None, InvalidRequest())), []
        request_id = value.get("id")
        if not isinstance(request_id, str | int | None) or isinstance(request_id, bool):
            return dump_json(build_response(None, InvalidRequest())), []
        try:
            if session is not None:
                wait_s = session.rate.take()
                if wait_s:
                    await asyncio.sleep(wait_s)
            result = await self._call(value["method"], value.get("params"), session)
        except SubstrateError as error:
            result = error
        if "id" not in value:
            return None, []
        if isinstance(result, Subscribed):
            return dump_json(build_response(request_id, result.subscription_id)), result.first
        response = dump_json(build_response(request_id, result))
        if len(response) > MAX_RESPONSE_BYTES:
            too_big = ResponseTooBig(LIMIT.format(MAX_RESPONSE_BYTES))
            response = dump_json(build_response(request_id, too_big))
        return response, []

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
