"""`descent_query`: any method of the Cosmos gRPC door, asked over this one.

    params  [path, request as hex, height or 0 for the newest]
    result  {"response": hex, "height": answered at}
    error   code 1, the text as message, data {"status", "codespace", "code"}

What our own client speaks with `--client substrate`, so that one open port is enough.
"""

from __future__ import annotations

from typing import Any

from node.doors.grpc_services import MAX_DETAIL_CHARS, Query
from node.doors.node_view import NodeView
from node.doors.services import build_router
from node.doors.substrate.rpc import InvalidParams, Method, SubstrateError, format_hex, parse_hex


class MethodRefused(SubstrateError):
    """The method refuses, as a gRPC status."""

    code = 1

    def __init__(self, detail: str, status: str, codespace: str, code: int) -> None:
        super().__init__("", detail)
        self.fields = {"status": status, "codespace": codespace, "code": code}

    def build_object(self) -> dict[str, Any]:
        return {**super().build_object(), "data": self.fields}


class CosmosMethods:
    """The method over the gRPC door's router."""

    def __init__(self, view: NodeView, moniker: str) -> None:
        self.view = view
        self._router = build_router(view, moniker)

    def list_methods(self) -> dict[str, Method]:
        """List the methods by name."""
        return {"descent_query": self.query}

    async def query(self, session: Any, path: Any, request: Any, height: Any = 0) -> dict[str, Any]:
        """Answer a method by its path.

        Raises:
            InvalidParams: an argument of another kind.
            MethodRefused: what gRPC would answer with a status.
        """
        is_height = isinstance(height, int) and not isinstance(height, bool) and height >= 0
        if not isinstance(path, str) or not path.startswith("/") or not is_height:
            raise InvalidParams("expected a path, hex and a height")
        query = Query(self.view, height)
        answer = await self._router.answer(path, parse_hex(request, "request"), query)
        if isinstance(answer, bytes):
            return {"response": format_hex(answer), "height": query.height}
        detail = answer.detail[:MAX_DETAIL_CHARS]
        raise MethodRefused(detail, answer.status.name, answer.codespace, answer.code)
