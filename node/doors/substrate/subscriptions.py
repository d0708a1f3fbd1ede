"""Sessions, their subscriptions, and what these are told after every block.

A session that does not read fast enough is ended, without harm to others. What a subscription asks
for is computed once a block, however many sessions ask.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.doors.node_view import NodeView
from node.doors.substrate.rpc import MethodNotFound, Subscribed, TooMany, build_notification

MAX_SUBSCRIPTIONS = 1024  # a connection, as Substrate's default
MAX_WEIGHT = 2**14  # a connection: subscriptions and the storage keys they name
QUEUE_MESSAGES = 4096  # a connection; full means it reads too slowly
QUEUE_BYTES = 16 * 2**20  # the same; an answer may be larger if nothing else waits

Update = Callable[[int], list[Any] | None]
"""What to tell after the block of a height; None ends the subscription."""


@dataclass
class Subscription:
    """One subscription: the notification's method, what it is told, how much it asks for."""

    method: str
    update: Update
    weight: int = 1


@dataclass
class Session:
    """One WebSocket client; `None` in the queue ends it."""

    remote: str = ""
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_MESSAGES)
    )
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    is_slow: bool = False
    queued_bytes: int = 0

    def push(self, message: bytes) -> None:
        """Queue a message; a full queue ends the session."""
        if self.is_slow:
            return
        is_over = self.queued_bytes > 0 and self.queued_bytes + len(message) > QUEUE_BYTES
        if not is_over and not self.queue.full():
            self.queued_bytes += len(message)
            self.queue.put_nowait(message)
            return
        self.is_slow = True
        self.subscriptions.clear()
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    async def take(self) -> bytes | None:
        """Wait for the next message; None ends the session."""
        message = await self.queue.get()
        self.queued_bytes -= len(message or b"")
        return message


class Hub:
    """Follows committed blocks and feeds the sessions."""

    def __init__(self, view: NodeView) -> None:
        self.view = view
        self.sessions: list[Session] = []
        self.before_update: list[Callable[[int], None]] = []
        self._ids = itertools.count(1)

    def open_session(self, remote: str) -> Session:
        """Open a session."""
        session = Session(remote)
        self.sessions.append(session)
        return session

    def close_session(self, session: Session) -> None:
        """Forget a session."""
        self.sessions = [item for item in self.sessions if item is not session]

    def subscribe(
        self,
        session: Session | None,
        method: str,
        update: Update,
        first: list[Any],
        weight: int = 1,
    ) -> Subscribed:
        """Subscribe a session.

        Args:
            method: of the notifications.
            first: told right after the answer.
            weight: storage keys it names, at least 1.
        Raises:
            MethodNotFound: over HTTP.
            TooMany: the session has as many as it may.
        """
        if session is None:
            raise MethodNotFound("subscriptions need a WebSocket")
        if len(session.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise TooMany(f"Exceeded max limit of {MAX_SUBSCRIPTIONS}")
        weight = max(weight, 1)
        if weight + sum(item.weight for item in session.subscriptions.values()) > MAX_WEIGHT:
            raise TooMany(f"Exceeded max limit of {MAX_WEIGHT} storage keys")
        subscription_id = f"{next(self._ids):016x}"
        session.subscriptions[subscription_id] = Subscription(method, update, weight)
        messages = [build_notification(method, subscription_id, item) for item in first]
        return Subscribed(subscription_id, messages)

    def unsubscribe(self, session: Session | None, subscription_id: Any) -> bool:
        """End a subscription; False if there is none."""
        if session is None or not isinstance(subscription_id, str):
            return False
        return session.subscriptions.pop(subscription_id, None) is not None

    async def run(self) -> None:
        """Follow the chain for ever."""
        height = self.view.get_heights()[1]
        while True:
            newest = await self.view.wait_for_height(height + 1)
            while height < newest:
                height += 1
                self.tell(height)

    def tell(self, height: int) -> None:
        """Tell every subscription of a block."""
        if not any(session.subscriptions for session in self.sessions):
            return
        for prepare in self.before_update:
            prepare(height)
        for session in self.sessions:
            for subscription_id, item in list(session.subscriptions.items()):
                results = item.update(height)
                if results is None:
                    session.subscriptions.pop(subscription_id, None)
                for result in results or []:
                    session.push(build_notification(item.method, subscription_id, result))
