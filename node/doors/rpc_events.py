"""Subscriptions by WebSocket: `subscribe`, `unsubscribe`, `unsubscribe_all`.

One `EventHub` a door follows new heights and hands each subscription what matches its query; a
client that does not read fast enough is told so and dropped. Events: `NewBlock`,
`NewBlockHeader`, `NewBlockEvents`, `Tx`. Source: CometBFT v0.39 rpc/core/events.go,
types/events.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from node.doors import comet_json as cj
from node.doors.event_query import EventQuery, Events, QuerySyntaxError, collect_events, parse_query
from node.doors.jsonrpc import (
    Call,
    InternalError,
    Kind,
    Param,
    Route,
    ServerError,
    build_response,
    dump_json,
)
from node.doors.node_view import NodeView
from node.doors.tx_search import collect_tx_events

MAX_SOCKETS = 100
MAX_SUBSCRIPTIONS = 5  # a client
QUEUE_MESSAGES = 200  # a client; full means it reads too slowly

logger = logging.getLogger(__name__)


@dataclass
class SocketSession:
    """One WebSocket client: its subscriptions by query text, and messages waiting to be sent."""

    remote: str
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_MESSAGES)
    )
    subscriptions: dict[str, tuple[EventQuery, int | str]] = field(default_factory=dict)
    is_slow: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, message: bytes) -> None:
        """Queue a message; a full queue marks the client as slow and ends it."""
        if self.is_slow:
            return
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.is_slow = True
            while not self.queue.empty():
                self.queue.get_nowait()
            error = ServerError("subscription was canceled (reason: slow client)")
            for _, request_id in self.subscriptions.values():
                self.queue.put_nowait(dump_json(build_response(request_id, error)))
            self.queue.put_nowait(None)
            self.ended.set()


class EventHub:
    """Follows committed blocks and feeds the sessions that subscribed."""

    def __init__(self, view: NodeView) -> None:
        self.view = view
        self.sessions: list[SocketSession] = []
        self._height = 0

    def list_routes(self) -> dict[str, Route]:
        """List the WebSocket routes."""
        query = (Param("query", Kind.STRING, ""),)
        return {
            "subscribe": Route(self.subscribe, query, is_socket_only=True),
            "unsubscribe": Route(self.unsubscribe, query, is_socket_only=True),
            "unsubscribe_all": Route(self.unsubscribe_all, is_socket_only=True),
        }

    def open_session(self, remote: str) -> SocketSession:
        """Open a session.

        Raises:
            InternalError: too many clients.
        """
        if len(self.sessions) >= MAX_SOCKETS:
            raise InternalError(f"max_subscription_clients {MAX_SOCKETS} reached")
        session = SocketSession(remote)
        self.sessions.append(session)
        return session

    def close_session(self, session: SocketSession) -> None:
        """Forget a session."""
        self.sessions = [item for item in self.sessions if item is not session]

    async def subscribe(self, call: Call, query: str) -> cj.Json:
        """Subscribe the caller; events carry the id of this request.

        Raises:
            InternalError: not a query, already subscribed, or too many subscriptions.
        """
        session: SocketSession = call.socket
        parsed = parse_text(query)
        if query in session.subscriptions:
            raise InternalError("already subscribed")
        if len(session.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise InternalError(f"max_subscriptions_per_client {MAX_SUBSCRIPTIONS} reached")
        session.subscriptions[query] = (parsed, call.request_id)
        return {}

    async def unsubscribe(self, call: Call, query: str) -> cj.Json:
        """End one subscription.

        Raises:
            InternalError: not a query, or not subscribed to it.
        """
        session: SocketSession = call.socket
        parse_text(query)
        if session.subscriptions.pop(query, None) is None:
            raise InternalError("subscription not found")
        return {}

    async def unsubscribe_all(self, call: Call) -> cj.Json:
        """End every subscription of the caller.

        Raises:
            InternalError: there is none.
        """
        session: SocketSession = call.socket
        if not session.subscriptions:
            raise InternalError("subscription not found")
        session.subscriptions.clear()
        return {}

    async def run(self) -> None:
        """Follow the chain until cancelled."""
        self._height = self.view.get_heights()[1]
        while True:
            latest = await self.view.wait_for_height(self._height + 1)
            for height in range(self._height + 1, latest + 1):
                if any(session.subscriptions for session in self.sessions):
                    self.publish(height)
            self._height = latest

    def publish(self, height: int) -> None:
        """Hand the events of one block to the sessions."""
        for data, events in build_block_events(self.view, height):
            for session in self.sessions:
                for text, (query, request_id) in list(session.subscriptions.items()):
                    if query.is_match(events):
                        result = {"query": text, "data": data, "events": events}
                        session.push(dump_json(build_response(request_id, result)))


def parse_text(query: str) -> EventQuery:
    """Parse a query; raises InternalError if it is not one."""
    try:
        return parse_query(query)
    except QuerySyntaxError as error:
        raise InternalError(f"failed to parse query: {error}") from None


def build_block_events(view: NodeView, height: int) -> Iterator[tuple[cj.Json, Events]]:
    """Build (data, events) of a block: first the block's, then one a transaction."""
    block, results = view.load_block(height), view.load_results(height)
    if block is None or results is None:
        return
    finalized = {
        "events": cj.format_list_or_null([cj.format_event(event) for event in results.events]),
        "tx_results": cj.format_list_or_null(
            [cj.format_tx_result(result) for result in results.tx_results]
        ),
        "validator_updates": cj.format_list_or_null(
            [cj.format_validator_update(update) for update in results.validator_updates]
        ),
        "app_hash": cj.format_base64(results.app_hash),
    }
    block_json = cj.format_block(block)
    values: dict[str, cj.Json] = {
        "NewBlock": {
            "block": block_json,
            "block_id": cj.format_block_id(view.load_block_id(height)),
            "result_finalize_block": finalized,
        },
        "NewBlockHeader": {"header": block_json["header"]},
        "NewBlockEvents": {
            "height": str(height),
            "events": finalized["events"],
            "num_txs": str(len(block.data.txs)),
        },
    }
    for name, value in values.items():
        events = {} if name == "NewBlockHeader" else results.events
        base = {"tm.event": [name], "block.height": [str(height)]}
        yield build_data(name, value), collect_events(events, base)
    for index, (tx, result) in enumerate(zip(block.data.txs, results.tx_results, strict=True)):
        yield (
            build_data("Tx", build_tx_value(height, index, tx, result)),
            collect_tx_events(height, tx, result),
        )


def build_data(name: str, value: cj.Json) -> cj.Json:
    """Build the tagged `data` member."""
    return {"type": f"tendermint/event/{name}", "value": value}


def build_tx_value(height: int, index: int, tx: bytes, result: Any) -> cj.Json:
    """Build the value of a Tx event; an index of 0 is left out, as CometBFT does."""
    built: cj.Json = {
        "height": str(height),
        "tx": cj.format_base64(tx),
        "result": cj.format_tx_result(result),
    }
    if index:
        built["index"] = index
    return {"TxResult": built}
