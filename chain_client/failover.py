"""Several nodes as one transport: the next is asked when one is lost.

```
client = ChainClient.connect("127.0.0.1:9090,127.0.0.1:9100,127.0.0.1:9110")
```

A node is left when it does not answer, and when it answers but tells of no new block for
`PATIENCE_S`, as one does that lost its peers. The next is taken if it is not behind what was seen
of the chain already: what a client has read never becomes unread. Every call goes to one node, so
the questions of one `Watch` are answered from one state. The call that failed is not repeated here:
the core does that, after a pause that grows, and knows which calls may be. Nobody goes back to a
node by itself: with all of them lost, they are tried in turn.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from chain_client.effects import AsyncTransport, Call, SyncTransport
from chain_client.errors import NodeUnreachable
from proto.descent.node.v1 import node_pb2

PATIENCE_S = 6.0
"""Of several nodes, one that holds a call so long without a block is left for the next."""

WATCH = "/descent.node.v1.Service/Watch"
PATIENCE_MS = int(PATIENCE_S * 1000)

T = TypeVar("T")


def split_endpoints(text: str) -> list[str]:
    """List the endpoints of `HOST:PORT,HOST:PORT`, each once."""
    found = dict.fromkeys(part.strip() for part in text.split(","))
    return [part for part in found if part]


class _Turns(Generic[T]):
    """Whose turn it is among several transports."""

    def __init__(self, transports: Sequence[T]) -> None:
        assert transports
        self.transports = list(transports)
        self.index = 0
        self.num_changes = 0
        self.seen_height = 0
        self.is_known = True

    def leave(self, index: int) -> None:
        """Go on with the next, unless another call that failed has done so."""
        if index == self.index:
            self.index = (index + 1) % len(self.transports)
            self.num_changes += 1
            self.is_known = False

    def meet(self, index: int, height: int) -> None:
        """Take a node that is at a height.

        Raises:
            NodeUnreachable: it is behind; it is left.
        """
        if height < self.seen_height:
            self.leave(index)
            raise NodeUnreachable(f"a node is at height {height}, behind {self.seen_height}")
        if index == self.index:
            self.is_known = True

    def note(self, index: int, call: Call, answer: Any) -> None:
        """Learn from an answer how far the chain is, and whether the node is stuck."""
        if call.method == WATCH:
            self.seen_height = max(self.seen_height, answer.height)
            if is_stuck(call, answer):
                self.leave(index)


HOW_FAR = Call(WATCH, node_pb2.WatchRequest(), node_pb2.WatchResponse)


def limit_patience(call: Call) -> Call:
    """Let no node hold a `Watch` longer than `PATIENCE_S`."""
    if call.method != WATCH or call.request.wait_ms <= PATIENCE_MS:
        return call
    request = node_pb2.WatchRequest()
    request.CopyFrom(call.request)
    request.wait_ms = PATIENCE_MS
    timeout_s = call.timeout_s - (call.request.wait_ms - PATIENCE_MS) / 1000
    return Call(call.method, request, call.response_type, timeout_s, call.metadata)


def is_stuck(call: Call, answer: Any) -> bool:
    """Tell whether a node was asked to wait for a block for a while and there was none."""
    if call.method != WATCH or call.request.wait_ms < PATIENCE_MS:
        return False
    return bool(call.request.above_height and answer.height <= call.request.above_height)


class FailoverTransport:
    """Several nodes behind the asyncio transport.

    Args:
        transports: one a node, the preferred first.
    """

    def __init__(self, transports: Sequence[AsyncTransport]) -> None:
        self._turns = _Turns(transports)

    @property
    def num_changes(self) -> int:
        """How often a node was left for the next."""
        return self._turns.num_changes

    async def unary(self, call: Call) -> Any:
        """Send `call` to the node whose turn it is.

        Raises:
            NodeUnreachable: no answer; the next call goes to the next node.
            NotFound, QueryFailed: the node says so.
        """
        turns, call = self._turns, limit_patience(call)
        index = turns.index
        try:
            if not turns.is_known:
                turns.meet(index, (await turns.transports[index].unary(HOW_FAR)).height)
            answer = await turns.transports[index].unary(call)
        except NodeUnreachable:
            turns.leave(index)
            raise
        turns.note(index, call, answer)
        return answer

    async def close(self) -> None:
        """Give all sockets back."""
        for transport in self._turns.transports:
            await transport.close()


class SyncFailoverTransport:
    """The blocking twin of `FailoverTransport`."""

    def __init__(self, transports: Sequence[SyncTransport]) -> None:
        self._turns = _Turns(transports)

    @property
    def num_changes(self) -> int:
        """How often a node was left for the next."""
        return self._turns.num_changes

    def unary(self, call: Call) -> Any:
        """Send `call` to the node whose turn it is.

        Raises:
            NodeUnreachable: no answer; the next call goes to the next node.
            NotFound, QueryFailed: the node says so.
        """
        turns, call = self._turns, limit_patience(call)
        index = turns.index
        try:
            if not turns.is_known:
                turns.meet(index, (turns.transports[index].unary(HOW_FAR)).height)
            answer = turns.transports[index].unary(call)
        except NodeUnreachable:
            turns.leave(index)
            raise
        turns.note(index, call, answer)
        return answer

    def close(self) -> None:
        """Give all sockets back."""
        for transport in self._turns.transports:
            transport.close()
