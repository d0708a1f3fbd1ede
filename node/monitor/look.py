"""What a monitor sees of either engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

from node.engine.comet.client import CometRpc, RpcRefused
from node.engine.embedded import EmbeddedEngine
from node.engine.errors import EngineUnreachable

TIMEOUT_S = 2.0


@dataclass(frozen=True)
class EngineState:
    """Where an engine is.

    Args:
        height: newest block it has decided or fetched.
        is_catching_up: whether it fetches blocks that others decided long ago.
        num_peers: other nodes it talks to.
        num_waiting, waiting_bytes: transactions in the mempool.
    """

    height: int
    is_catching_up: bool = False
    num_peers: int = 0
    num_waiting: int = 0
    waiting_bytes: int = 0


class EngineLook(Protocol):
    """Looks at an engine from another thread; None while it does not answer."""

    def __call__(self) -> EngineState | None: ...


class EmbeddedLook:
    """Looks at the engine in this process."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    def __call__(self) -> EngineState | None:
        """Look."""
        mempool = self._engine.mempool
        return EngineState(
            height=max(self._engine.state.height, 0),
            num_waiting=len(mempool),
            waiting_bytes=mempool.total_bytes,
        )


class CometLook:
    """Looks at CometBFT by its RPC."""

    def __init__(self, host: str, port: int) -> None:
        self._rpc = CometRpc(host, port, TIMEOUT_S)

    def __call__(self) -> EngineState | None:
        """Look."""
        found: dict[str, Any] = {}
        with contextlib.suppress(EngineUnreachable, RpcRefused, KeyError, ValueError):
            for method in ("status", "net_info", "num_unconfirmed_txs"):
                found[method] = self._rpc.call(method)
            sync, waiting = found["status"]["sync_info"], found["num_unconfirmed_txs"]
            return EngineState(
                height=int(sync["latest_block_height"]),
                is_catching_up=bool(sync["catching_up"]),
                num_peers=int(found["net_info"]["n_peers"]),
                num_waiting=int(waiting["total"]),
                waiting_bytes=int(waiting["total_bytes"]),
            )
        return None
