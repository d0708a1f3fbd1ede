"""Sessions, their subscriptions, and what these are told after every block.

A session that does not read fast enough is ended, without harm to others. What a subscription asks
for is computed and written down once a block, however many sessions ask.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.doors.node_view import NodeView
from node.doors.substrate.limits import RateLimit, Unread
from node.doors.substrate.rpc import (
    LIMIT,
    MethodNotFound,
    Subscribed,
    TooMany,
    build_notification,
    dump_json,
)

MAX_SUBSCRIPTIONS = 1024  # a connection, as Substrate's default
MAX_WEIGHT = 2**14  # a connection: subscriptions and the storage keys they name
MAX_TOTAL_WEIGHT = 2**17  # all connections together
QUEUE_MESSAGES = 4096  # a connection; full means it reads too slowly
QUEUE_BYTES = 16 * 2**20  # the same; an answer may be larger if nothing else waits

Update = Callable[[int], list[Any] | None]
"""What to tell after the block of a height; None ends the subscription."""


@dataclass
class Subscription:
    """One subscription: the notification's method, what it is told, how much it asks for.

    height: of the newest block it was told of.
    """

    method: str
    update: Update
    height: int
    weight: int = 1


@dataclass(eq=False)
class Session:
    """One WebSocket client; `None` in the queue ends it."""

    remote: str = ""
    unread: Unread = field(default_factory=Unread)
    rate: RateLimit = field(default_factory=lambda: RateLimit(None))
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_MESSAGES)
    )
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    """Subscriptions whose id the client does not have yet; they are told of nothing."""
    is_slow: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    queued_bytes: int = 0
    weight: int = 0
    """Subscriptions and the storage keys they name."""

    def add(self, subscription_id: str, item: Subscription) -> None:
        """Add a subscription."""
        self.subscriptions[subscription_id] = item
        self.unanswered.add(subscription_id)
        self.weight += item.weight

    def remove(self, subscription_id: str) -> bool:
        """Remove a subscription; False if there is none."""
        item = self.subscriptions.pop(subscription_id, None)
        self.weight -= 0 if item is None else item.weight
        return item is not None

    def push(self, message: bytes) -> None:
        """Queue a message; a full queue ends the session."""
        if self.is_slow:
            return
        is_over = self.queued_bytes > 0 and self.queued_bytes + len(message) > QUEUE_BYTES
        if is_over or self.queue.full():
            self.end()
            return
        self.queued_bytes += len(message)
        self.queue.put_nowait(message)
        self.unread.add(self, len(message))

    def end(self) -> None:
        """Let go of a session that does not read."""
        self.is_slow = True
        self.subscriptions.clear()
        self.unanswered.clear()
        self.weight = 0
        self.unread.remove(self)
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)
        self.ended.set()

    async def take(self) -> bytes | None:
        """Wait for the next message; None ends the session."""
        message = await self.queue.get()
        size = len(message or b"")
        self.queued_bytes -= size
        if not self.is_slow:
            self.unread.remove(self, size)
        return message


class Hub:
    """Follows committed blocks and feeds the sessions.

    Args:
        calls_per_minute: of one session, None for any number.
    """

    def __init__(self, view: NodeView, calls_per_minute: int | None = None) -> None:
        self.view = view
        self.unread = Unread()
        self._calls_per_minute = calls_per_minute
        self.sessions: list[Session] = []
        self._ids = itertools.count(1)
        self._height = view.get_heights()[1]  # sessions are told up to here

    def open_session(self, remote: str) -> Session:
        """Open a session."""
        session = Session(remote, self.unread, RateLimit(self._calls_per_minute))
        self.sessions.append(session)
        return session

    def close_session(self, session: Session) -> None:
        """Forget a session."""
        self.sessions = [item for item in self.sessions if item is not session]
        self.unread.remove(session)

    def subscribe(
        self,
        session: Session | None,
        method: str,
        update: Update,
        greeting: list[Any] | None = None,
        weight: int = 1,
    ) -> Subscribed:
        """Subscribe a session: it is told of the newest block at once, then of each after it.

        Args:
            method: of the notifications.
            greeting: told before the newest block.
            weight: storage keys it names, at least 1.
        Raises:
            MethodNotFound: over HTTP.
            TooMany: the session has as many as it may.
        """
        if session is None:
            raise MethodNotFound("subscriptions need a WebSocket")
        if len(session.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise TooMany(LIMIT.format(MAX_SUBSCRIPTIONS))
        weight = max(weight, 1)
        if weight + session.weight > MAX_WEIGHT:
            raise TooMany(LIMIT.format(f"{MAX_WEIGHT} storage keys"))
        if weight + sum(item.weight for item in self.sessions) > MAX_TOTAL_WEIGHT:
            raise TooMany(LIMIT.format(f"{MAX_TOTAL_WEIGHT} on all connections"))
        subscription_id = f"{next(self._ids):016x}"
        height = self.view.get_heights()[1]  # this hub may not have come to it yet
        first = [*(greeting or []), *(update(height) or [])]
        session.add(subscription_id, Subscription(method, update, height, weight))
        messages = [build_notification(method, subscription_id, dump_json(item)) for item in first]
        return Subscribed(subscription_id, messages)

    def unsubscribe(self, session: Session | None, subscription_id: Any) -> bool:
        """End a subscription; False if there is none."""
        if session is None or not isinstance(subscription_id, str):
            return False
        return session.remove(subscription_id)

    def answer(self, session: Session, replies: list[bytes]) -> None:
        """Send what answers a message; then tell its subscriptions of the blocks meanwhile."""
        for reply in replies:
            session.push(reply)
        unanswered, session.unanswered = session.unanswered, set()
        for subscription_id in sorted(unanswered & session.subscriptions.keys()):
            self._tell_one(session, subscription_id, {})

    async def run(self) -> None:
        """Follow the chain for ever."""
        while True:
            newest = await self.view.wait_for_height(self._height + 1)
            while self._height < newest:
                self._height += 1
                await self._tell_all()

    async def _tell_all(self) -> None:
        """Tell every subscription of a block; others have their turn between two sessions."""
        written: dict[int, tuple[Any, bytes]] = {}
        for session in self.sessions:
            for subscription_id in list(session.subscriptions):
                if subscription_id not in session.unanswered:
                    self._tell_one(session, subscription_id, written)
            await asyncio.sleep(0)

    def _tell_one(
        self, session: Session, subscription_id: str, written: dict[int, tuple[Any, bytes]]
    ) -> None:
        """Tell a subscription of the blocks it was not told of yet.

        Args:
            written: what was written down for this block already, by the result's identity.
        """
        item = session.subscriptions.get(subscription_id)
        while item is not None and item.height < self._height:
            item.height += 1
            results = item.update(item.height)
            if results is None:
                session.remove(subscription_id)
                return
            for result in results:
                if id(result) not in written:
                    written[id(result)] = result, dump_json(result)
                body = written[id(result)][1]
                session.push(build_notification(item.method, subscription_id, body))
