"""How requests travel: Cosmos gRPC for the asyncio and for the blocking shell.

A transport turns one `Call` into one answer, or raises `NodeUnreachable`, `NotFound` or
`QueryFailed`. It never retries; that is the core's work, so that it is tested without a network.
"""

from typing import Any

import grpc
import grpc.aio

from chain_client.effects import Call
from chain_client.errors import ChainClientError, NodeUnreachable, NotFound, QueryFailed

MAX_MESSAGE_BYTES = 64 * 2**20
CODESPACE_KEY = "descent-codespace"  # trailing metadata of the Cosmos door
CODE_KEY = "descent-code"

# A door that stops while a call waits cancels it; a caller that gives up raises something else.
_UNREACHABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    # A node that hangs, or whose machine is gone, is noticed while a call waits for news.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
)


def compute_error(error: Any, endpoint: str) -> ChainClientError:
    """Translate a `grpc.RpcError` of either flavour."""
    status: grpc.StatusCode = error.code()
    details: str = error.details() or ""
    if status in _UNREACHABLE:
        return NodeUnreachable(
            f"no answer from the node at {endpoint}: {details or status.name}",
            hint="is it running? `descent devnet status`; --node HOST:PORT names another one",
        )
    if status is grpc.StatusCode.NOT_FOUND:
        return NotFound(details or "not found", status=status.name)
    trailers = dict(error.trailing_metadata() or ())
    if CODESPACE_KEY in trailers and str(trailers.get(CODE_KEY, "")).isdigit():
        return QueryFailed(
            details,
            status=status.name,
            codespace=str(trailers[CODESPACE_KEY]),
            code=int(trailers[CODE_KEY]),
        )
    return QueryFailed(details or status.name, status=status.name)


def _encode(message: Any) -> bytes:
    return bytes(message.SerializeToString())


class GrpcTransport:
    """Cosmos gRPC on asyncio. The channel opens on the first call, inside the running loop."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._channel: Any = None
        self._stubs: dict[tuple[str, Any], Any] = {}

    async def unary(self, call: Call) -> Any:
        """Send `call`.

        Raises:
            NodeUnreachable: no answer within `call.timeout_s`.
            NotFound, QueryFailed: the node says so.
        """
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.endpoint, options=_CHANNEL_OPTIONS)
        key = (call.method, call.response_type)
        if key not in self._stubs:
            self._stubs[key] = self._channel.unary_unary(
                call.method, _encode, call.response_type.FromString
            )
        try:
            return await self._stubs[key](
                call.request, timeout=call.timeout_s, metadata=tuple(call.metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise compute_error(error, self.endpoint) from None

    async def close(self) -> None:
        """Close the channel; a later call opens a new one."""
        if self._channel is not None:
            await self._channel.close()
        self._channel = None
        self._stubs.clear()


class SyncGrpcTransport:
    """Cosmos gRPC, blocking."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._channel: Any = grpc.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)

    def unary(self, call: Call) -> Any:
        """Send `call`.

        Raises:
            NodeUnreachable: no answer within `call.timeout_s`.
            NotFound, QueryFailed: the node says so.
        """
        stub = self._channel.unary_unary(call.method, _encode, call.response_type.FromString)
        try:
            return stub(call.request, timeout=call.timeout_s, metadata=tuple(call.metadata))
        except grpc.RpcError as error:
            raise compute_error(error, self.endpoint) from None

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
