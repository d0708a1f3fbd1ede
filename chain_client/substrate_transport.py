"""How requests travel over the Substrate door: JSON-RPC `descent_query` on a WebSocket.

The same methods and answers as gRPC, through the one port that Substrate clients use. Transactions
keep their Cosmos form.
"""

import asyncio
import contextlib
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as connect_sync

from chain_client.effects import Call
from chain_client.errors import ChainClientError, NodeUnreachable, NotFound, QueryFailed

HEIGHT_KEY = "x-cosmos-block-height"
SCHEMES = ("ws://", "wss://")


def is_substrate(endpoint: str) -> bool:
    """Tell whether an endpoint names a Substrate door."""
    return endpoint.startswith(SCHEMES)


def _build_request(request_id: int, call: Call) -> str:
    height = int(dict(call.metadata).get(HEIGHT_KEY, "0"))
    request = "0x" + bytes(call.request.SerializeToString()).hex()
    return json.dumps(
        {
            "jsonrpc": "2.0",
            "id": request_id,
            "method": "descent_query",
            "params": [call.method, request, height],
        }
    )


def _take_answer(call: Call, answer: dict[str, Any], endpoint: str) -> Any:
    if "error" not in answer:
        return call.response_type.FromString(bytes.fromhex(answer["result"]["response"][2:]))
    error = answer["error"]
    fields = error.get("data")
    if not isinstance(fields, dict):
        raise QueryFailed(str(error.get("message", "")), status="INTERNAL")
    status, detail = str(fields["status"]), str(error["message"])
    if status in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        raise _explain(endpoint, detail)
    if status == "NOT_FOUND":
        raise NotFound(detail or "not found", status=status)
    codespace, code = str(fields["codespace"]), int(fields["code"])
    raise QueryFailed(detail, status=status, codespace=codespace, code=code)


def _explain(endpoint: str, detail: object) -> ChainClientError:
    return NodeUnreachable(
        f"no answer from the node at {endpoint}: {detail}",
        hint="is it running? `descent devnet status`; --node ws://HOST:PORT names another one",
    )


class SubstrateTransport:
    """On asyncio, any number of calls at once. The socket opens on the first call."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._connection: ClientConnection | None = None
        self._lock: asyncio.Lock | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 0

    async def unary(self, call: Call) -> Any:
        """Send `call`.

        Raises:
            NodeUnreachable: no answer within `call.timeout_s`.
            NotFound, QueryFailed: the node says so.
        """
        self._next_id += 1
        request_id = self._next_id
        try:
            async with asyncio.timeout(call.timeout_s):
                connection = await self._open()
                future = asyncio.get_running_loop().create_future()
                self._waiting[request_id] = future
                await connection.send(_build_request(request_id, call))
                answer = await future
        except (OSError, WebSocketException, TimeoutError) as error:
            raise _explain(self.endpoint, error or type(error).__name__) from None
        finally:
            self._waiting.pop(request_id, None)
        return _take_answer(call, answer, self.endpoint)

    async def _open(self) -> ClientConnection:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._connection is None:
                self._connection = await connect(self.endpoint, max_size=None, proxy=None)
                self._reader = asyncio.create_task(self._read(self._connection))
            return self._connection

    async def _read(self, connection: ClientConnection) -> None:
        """Hand answers to those who wait; when the socket ends, they are told."""
        with contextlib.suppress(WebSocketException, OSError):
            async for text in connection:
                answer = json.loads(text)
                future = self._waiting.get(answer.get("id"))
                if future is not None and not future.done():
                    future.set_result(answer)
        self._connection = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the connection ended"))

    async def close(self) -> None:
        """Close the socket; a later call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        if self._reader is not None:
            await self._reader
            self._reader = None


class SyncSubstrateTransport:
    """Blocking, one call at a time."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._connection: SyncConnection | None = None
        self._next_id = 0

    def unary(self, call: Call) -> Any:
        """Send `call`.

        Raises:
            NodeUnreachable: no answer within `call.timeout_s`.
            NotFound, QueryFailed: the node says so.
        """
        self._next_id += 1
        try:
            if self._connection is None:
                self._connection = connect_sync(self.endpoint, max_size=None, proxy=None)
            self._connection.send(_build_request(self._next_id, call))
            answer: dict[str, Any] = {}
            while answer.get("id") != self._next_id:
                answer = json.loads(self._connection.recv(timeout=call.timeout_s))
        except (OSError, WebSocketException, TimeoutError) as error:
            self.close()
            raise _explain(self.endpoint, error or type(error).__name__) from None
        return _take_answer(call, answer, self.endpoint)

    def close(self) -> None:
        """Close the socket."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(WebSocketException, OSError):
                connection.close()
