"""Several queries as one question about one height, and waiting for news; no I/O.

`ask` is a function of `ReadOperations` that returns the queries wanted:

```
look = await client.look(lambda reads: [reads.get_run(1), reads.get_current_round(1)])
async for look in client.follow(lambda reads: [reads.get_current_round(1)], only_changes=True):
    (current,) = look.answers
```
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from chain_client.effects import Call, Operation
from chain_client.errors import ChainClientError, NodeUnreachable, NotFound, QueryFailed
from chain_client.reads import ReadOperations
from proto.descent.node.v1 import node_pb2

WATCH = "/descent.node.v1.Service/Watch"
HEIGHT_HEADER = "x-cosmos-block-height"
WAIT_S = 20.0  # a call without news is held so long, then asked again
ANSWER_S = 10.0  # and may take so much longer to be answered
MAX_QUESTIONS = 64  # in one call

Ask = Callable[[ReadOperations], Sequence[Operation[Any]]]


@dataclass(frozen=True)
class Look:
    """What the queries found at one height.

    Attributes:
        height: of the newest block then.
        digest: of the answers.
        answers: in the order asked; None where there is no such thing.
    """

    height: int
    digest: bytes
    answers: tuple[Any, ...]


class _Questions(ReadOperations):
    def query(
        self, method: str, request: Any, response_type: Any, *, height: int = 0
    ) -> Operation[Any]:
        return (yield Call(method, request, response_type))


class _Batch:
    """Queries that advance together, one question each at a time."""

    def __init__(self, ask: Ask) -> None:
        self._queries = list(ask(_Questions()))
        self.answers: list[Any] = [None] * len(self._queries)
        self.waiting: dict[int, Call] = {}
        for index, query in enumerate(self._queries):
            self._advance(index, query.send, None)

    def _advance(self, index: int, step: Callable[[Any], Any], value: Any) -> None:
        try:
            self.waiting[index] = step(value)
        except StopIteration as stop:
            self.answers[index] = stop.value
        except NotFound:
            pass

    def list_questions(self) -> list[Any]:
        """List what the queries ask next, no more than fits one call."""
        return [
            node_pb2.Question(method=call.method, request=call.request.SerializeToString())
            for call in islice(self.waiting.values(), MAX_QUESTIONS)
        ]

    def take(self, answers: Sequence[Any]) -> None:
        """Hand each query that was listed its answer.

        Raises:
            QueryFailed, NodeUnreachable: one was refused.
        """
        asked = list(islice(self.waiting.items(), MAX_QUESTIONS))
        for (index, call), answer in zip(asked, answers, strict=True):
            query = self._queries[index]
            del self.waiting[index]
            if answer.status:
                self._advance(index, query.throw, compute_error(answer))
            else:
                self._advance(index, query.send, call.response_type.FromString(answer.response))


def compute_error(answer: Any) -> ChainClientError:
    """Translate a refused question, as the transports translate a refused call."""
    if answer.status == "NOT_FOUND":
        return NotFound(answer.detail or "not found", status=answer.status)
    if answer.status == "UNAVAILABLE":
        return NodeUnreachable(answer.detail)
    return QueryFailed(
        answer.detail or answer.status,
        status=answer.status,
        codespace=answer.codespace,
        code=answer.code,
    )


def look(ask: Ask, *, after: int = 0, known: bytes = b"", wait_s: float = 0.0) -> Operation[Look]:
    """Ask all queries about the newest height; with `wait_s`, wait for news first.

    What the first call does not hold is asked of the same height in further calls, and is no news.

    Args:
        after: news is a height above this one.
        known: and, unless empty, answers with another digest.
        wait_s: answer after so long all the same.

    Raises:
        NodeUnreachable, QueryFailed: one query was refused, or all.
    """
    batch = _Batch(ask)
    request = node_pb2.WatchRequest(
        wait_ms=int(wait_s * 1000),
        above_height=after,
        known_digest=known,
        questions=batch.list_questions(),
    )
    response = yield Call(WATCH, request, node_pb2.WatchResponse, wait_s + ANSWER_S)
    batch.take(response.answers)
    metadata = ((HEIGHT_HEADER, str(response.height)),)
    while batch.waiting:
        request = node_pb2.WatchRequest(questions=batch.list_questions())
        more = yield Call(WATCH, request, node_pb2.WatchResponse, ANSWER_S, metadata)
        batch.take(more.answers)
    return Look(response.height, response.digest, tuple(batch.answers))
