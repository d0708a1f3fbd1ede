"""CometBFT's RPC as the node's other parts use it: one connection, JSON-RPC by POST.

`call` is for threads of their own (the mirror); `CometEngineClient` gives the doors what the
embedded engine's control socket gives them.
"""

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

from tendermint.abci import types_pb2 as abci

from node.engine.control import UnconfirmedTxs
from node.engine.errors import EngineUnreachable, TxRefused
from node.engine.mempool import FULL_CODE, IN_CACHE_CODE, TOO_LARGE_CODE

TIMEOUT_S = 15.0
POLL_S = 0.03
MAX_CONNECTIONS = 16
REFUSALS = (
    ("already exists in cache", IN_CACHE_CODE),
    ("mempool is full", FULL_CODE),
    ("too large", TOO_LARGE_CODE),
    ("too big", TOO_LARGE_CODE),
)


class RpcRefused(Exception):
    """CometBFT answered with an error; its text is the argument."""


class CometRpc:
    """A blocking JSON-RPC client; one thread at a time."""

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, **params: Any) -> Any:
        """Call a method; return its result.

        Raises:
            RpcRefused: CometBFT refused.
            EngineUnreachable: nothing answers.
        """
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with self._lock:
            answer = json.loads(self.post(json.dumps(request).encode()))
        if answer.get("error"):
            error = answer["error"]
            raise RpcRefused(str(error.get("data") or error.get("message")))
        if answer["result"] is None:  # what CometBFT says of a commit it does not have
            raise RpcRefused(f"{method}: nothing there")
        return answer["result"]

    def post(self, body: bytes) -> bytes:
        """Send one body, which may be a batch; return the answer's.

        Raises:
            EngineUnreachable: nothing answers.
        """
        is_old = self._connection is not None
        try:
            return self._post_once(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # A connection that idled may have been closed by the other side.
            if not is_old or isinstance(error, TimeoutError):
                raise self._explain(error) from error
        try:
            return self._post_once(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> EngineUnreachable:
        return EngineUnreachable(
            f"CometBFT does not answer at {self._host}:{self._port} ({error}): is it running?"
        )

    def _post_once(self, body: bytes) -> bytes:
        if self._connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return self._connection.getresponse().read()


class CometEngineClient:
    """What doors need of an engine, from CometBFT's RPC; calls may overlap."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[CometRpc] = []
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def close(self) -> None:
        """End the connections."""
        while self._idle:
            self._idle.pop().close()

    async def broadcast_tx(self, tx: bytes) -> Any:
        """Hand a transaction to the mempool; return its ResponseCheckTx.

        Raises:
            TxRefused: known already (19), mempool full (20) or too large (21).
            EngineUnreachable: nothing answers.
        """
        try:
            answer = await self._call("broadcast_tx_sync", tx=base64.b64encode(tx).decode())
        except RpcRefused as error:
            for text, code in REFUSALS:
                if text in str(error).lower():
                    raise TxRefused(code, str(error)) from None
            raise EngineUnreachable(f"CometBFT refuses: {error}") from None
        return parse_check(answer)

    async def check_tx(self, tx: bytes) -> Any:
        """Check a transaction without keeping it; return its ResponseCheckTx.

        Raises:
            EngineUnreachable: nothing answers.
        """
        try:
            return parse_check(await self._call("check_tx", tx=base64.b64encode(tx).decode()))
        except RpcRefused as error:
            raise EngineUnreachable(f"CometBFT refuses: {error}") from None

    async def list_unconfirmed(self, limit: int = 30) -> UnconfirmedTxs:
        """Return the first `limit` transactions of the mempool, and how many there are.

        Raises:
            EngineUnreachable: nothing answers.
        """
        try:
            answer = await self._call("unconfirmed_txs", limit=str(max(1, limit)))
        except RpcRefused as error:
            raise EngineUnreachable(f"CometBFT refuses: {error}") from None
        txs = [base64.b64decode(text) for text in answer["txs"] or []][:limit]
        return UnconfirmedTxs(txs, int(answer["total"]), int(answer["total_bytes"]))

    async def follow_heights(self) -> AsyncIterator[int]:
        """Yield every so often: the mirror, which runs behind CometBFT, may have a new block."""
        while True:
            await asyncio.sleep(POLL_S)
            yield 0

    async def _call(self, method: str, **params: Any) -> Any:
        async with self._slots:
            rpc = self._idle.pop() if self._idle else CometRpc(self._host, self._port)
            try:
                return await asyncio.to_thread(rpc.call, method, **params)
            finally:
                self._idle.append(rpc)


def parse_check(answer: dict[str, Any]) -> Any:
    """Read the answer of broadcast_tx_sync or check_tx as a ResponseCheckTx.

    `data` is left out: the application gives none, and the two methods encode it differently.
    """
    return abci.ResponseCheckTx(
        code=int(answer["code"]),
        log=answer.get("log") or "",
        codespace=answer.get("codespace") or "",
        gas_wanted=int(answer.get("gas_wanted") or 0),
        gas_used=int(answer.get("gas_used") or 0),
    )


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        ValueError: it is none.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit():
        raise ValueError(f"{text!r} is not host:port")
    return host, int(port)
