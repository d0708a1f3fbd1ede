"""What the `error` member of a JSON-RPC 2.0 response is made of, in either dialect.

JsonRpcError        code, message, data
|- RpcError         CometBFT's codes, `jsonrpc.py`
|- SubstrateError   Substrate's codes, `substrate/rpc.py`
"""

from __future__ import annotations

from typing import Any


class JsonRpcError(Exception):
    """A response without a result; `code` and `message` are those of the class.

    Args:
        data: what the caller reads; the member is left out when empty.
        message: instead of the class's own.
    """

    code = -32603
    message = "Internal error"

    def __init__(self, data: str = "", message: str = "") -> None:
        self.data = data
        self.text = message or self.message
        super().__init__(f"{self.text}: {data}" if data else self.text)

    def build_object(self) -> dict[str, Any]:
        """Build the `error` member of the response."""
        built: dict[str, Any] = {"code": self.code, "message": self.text}
        if self.data:
            built["data"] = self.data
        return built
