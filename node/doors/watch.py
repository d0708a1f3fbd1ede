"""`descent.node.v1.Service`: several questions about one height, answered when there is news.

What followers use in place of asking again and again: a call is held until the chain has a newer
height, or until the answers differ from those the caller has. The caller names what it knows, so
nothing is missed between two calls, whatever restarts meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from hashlib import sha256
from typing import Any

import grpc

from node.doors.grpc_services import MAX_DETAIL_CHARS, MethodError, Query, Router, ServiceTable
from node.doors.node_view import NodeView
from proto.descent.node.v1 import node_pb2

MAX_WAIT_S = 30.0
MAX_QUESTIONS = 64
MAX_WAITING = 1024  # calls held at the same time

_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class WatchService:
    """The service over a door's router, which answers the questions."""

    def __init__(self, view: NodeView, router: Router) -> None:
        self.view = view
        self._router = router
        self._num_waiting = 0

    def build_table(self) -> ServiceTable:
        """Build the table of methods."""
        return ServiceTable(node_pb2.DESCRIPTOR.services_by_name["Service"], {"Watch": self.watch})

    async def watch(self, request: Any, query: Query) -> Any:
        """Answer at once, or when there is news, or when the wait is over.

        Raises:
            MethodError: INVALID_ARGUMENT for too many questions or a question that waits itself,
                RESOURCE_EXHAUSTED when too many calls wait.
        """
        if len(request.questions) > MAX_QUESTIONS:
            raise MethodError(_INVALID, f"more than {MAX_QUESTIONS} questions in one call")
        if any(item.method.startswith("/descent.node.") for item in request.questions):
            raise MethodError(_INVALID, "a question cannot be one that waits")
        if query.asked_height or not request.wait_ms:
            return await self._answer(request, query)
        if self._num_waiting >= MAX_WAITING:
            raise MethodError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WAITING} calls are waiting already"
            )
        self._num_waiting += 1
        try:
            return await self._wait(request, query)
        finally:
            self._num_waiting -= 1

    async def _wait(self, request: Any, query: Query) -> Any:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(request.wait_ms / 1000, MAX_WAIT_S)
        above: int = request.above_height
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self.view.wait_for_height(above + 1)
            query.height = above = self.view.get_heights()[1]
            response = await self._answer(request, query)
            is_news = not request.known_digest or response.digest != request.known_digest
            if is_news or loop.time() >= deadline:
                return response

    async def _answer(self, request: Any, query: Query) -> Any:
        response = node_pb2.WatchResponse(height=query.height)
        digest = sha256()
        for question in request.questions:
            answer = response.answers.add()
            found = await self._router.answer(question.method, question.request, query)
            if isinstance(found, bytes):
                answer.response = found
            else:
                answer.status = found.status.name
                answer.detail = found.detail[:MAX_DETAIL_CHARS]
                answer.codespace, answer.code = found.codespace, found.code
            data = answer.SerializeToString(deterministic=True)
            digest.update(len(data).to_bytes(4, "big") + data)
        response.digest = digest.digest()
        return response
