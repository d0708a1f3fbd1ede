"""CometBFT RPC routes that hand transactions to the engine, and the ABCI routes.

Source: CometBFT v0.39 rpc/core/mempool.go, abci.go; texts of refusals are what clients match on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from node.doors import comet_json as cj
from node.doors.jsonrpc import Call, InternalError, Kind, Param, Route
from node.doors.node_view import NodeView
from node.doors.rpc_chain import compute_per_page
from node.engine.control import UnconfirmedTxs
from node.engine.errors import EngineUnreachable, TxRefused

COMMIT_TIMEOUT_S = 10.0


class TxRoutes:
    """Routes over the engine's control socket and the application's queries."""

    def __init__(self, view: NodeView) -> None:
        self.view = view

    def list_routes(self) -> dict[str, Route]:
        """List the routes by name."""
        tx = (Param("tx", Kind.BYTES, b""),)
        query = (
            Param("path", Kind.STRING, ""),
            Param("data", Kind.HEX_BYTES, b""),
            Param("height", Kind.INT64, 0),
            Param("prove", Kind.BOOL, False),
        )
        return {
            "broadcast_tx_sync": Route(self.broadcast_sync, tx),
            "broadcast_tx_async": Route(self.broadcast_async, tx),
            "broadcast_tx_commit": Route(self.broadcast_commit, tx),
            "check_tx": Route(self.check_tx, tx),
            "unconfirmed_txs": Route(self.get_unconfirmed_txs, (Param("limit", Kind.INT64),)),
            "num_unconfirmed_txs": Route(self.get_num_unconfirmed_txs),
            "abci_info": Route(self.get_abci_info),
            "abci_query": Route(self.query_abci, query),
        }

    async def submit(self, tx: bytes) -> Any:
        """Hand a transaction to the engine; answer the result of its check.

        Raises:
            InternalError: the mempool refuses it unchecked, or the engine does not answer.
        """
        try:
            return await self.view.engine.broadcast_tx(tx)
        except (TxRefused, EngineUnreachable) as error:
            raise InternalError(str(error)) from None

    async def broadcast_sync(self, call: Call, tx: bytes) -> cj.Json:
        """Answer the check of a transaction; raises InternalError as `submit`."""
        checked = await self.submit(tx)
        return {
            "code": checked.code,
            "data": cj.format_hex(checked.data),
            "log": checked.log,
            "codespace": checked.codespace,
            "hash": cj.format_hex(cj.compute_tx_hash(tx)),
        }

    async def broadcast_async(self, call: Call, tx: bytes) -> cj.Json:
        """Answer the hash only; raises InternalError as `submit`."""
        await self.submit(tx)
        tx_hash = cj.format_hex(cj.compute_tx_hash(tx))
        return {"code": 0, "data": "", "log": "", "codespace": "", "hash": tx_hash}

    async def broadcast_commit(self, call: Call, tx: bytes) -> cj.Json:
        """Answer check and result once the transaction is in a block.

        Raises:
            InternalError: as `submit`, or no block had it in time.
        """
        tx_hash = cj.compute_tx_hash(tx)
        checked = await self.submit(tx)
        built: cj.Json = {
            "check_tx": cj.format_tx_result(checked),
            "tx_result": cj.format_tx_result(type(checked)()),
            "hash": cj.format_hex(tx_hash),
            "height": "0",
        }
        if checked.code:
            return built
        place = await self.wait_for_tx(tx_hash)
        results = self.view.load_results(place[0])
        if results is None:
            raise InternalError(f"could not find results for height #{place[0]}")
        built["tx_result"] = cj.format_tx_result(results.tx_results[place[1]])
        built["height"] = str(place[0])
        return built

    async def wait_for_tx(self, tx_hash: bytes) -> tuple[int, int]:
        """Wait until a transaction is in a block.

        Raises:
            InternalError: it is not, after `COMMIT_TIMEOUT_S`.
        """
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                while True:
                    height = self.view.get_heights()[1]
                    place = self.view.find_tx(tx_hash)
                    if place is not None:
                        return place
                    await self.view.wait_for_height(height + 1)
        except TimeoutError:
            raise InternalError("timed out waiting for tx to be included in a block") from None

    async def check_tx(self, call: Call, tx: bytes) -> cj.Json:
        """Check a transaction without keeping it; raises InternalError as `submit`."""
        try:
            return cj.format_tx_result(await self.view.engine.check_tx(tx))
        except EngineUnreachable as error:
            raise InternalError(str(error)) from None

    async def load_mempool(self, limit: int) -> UnconfirmedTxs:
        """Load the first `limit` waiting transactions, and how many there are.

        Raises:
            InternalError: the engine does not answer.
        """
        try:
            return await self.view.engine.list_unconfirmed(limit)
        except EngineUnreachable as error:
            raise InternalError(str(error)) from None

    async def get_unconfirmed_txs(self, call: Call, limit: int | None) -> cj.Json:
        """Answer waiting transactions, `limit` of them at most; raises as `load_mempool`."""
        waiting = await self.load_mempool(compute_per_page(limit))
        return {
            "n_txs": str(len(waiting.txs)),
            "total": str(waiting.total),
            "total_bytes": str(waiting.total_bytes),
            "txs": [cj.format_base64(tx) for tx in waiting.txs],
        }

    async def get_num_unconfirmed_txs(self, call: Call) -> cj.Json:
        """Answer how many transactions wait; raises as `load_mempool`."""
        waiting = await self.load_mempool(0)
        total, num_bytes = str(waiting.total), str(waiting.total_bytes)
        return {"n_txs": total, "total": total, "total_bytes": num_bytes, "txs": None}

    async def get_abci_info(self, call: Call) -> cj.Json:
        """Answer the last committed height and app hash: the commit signal clients poll."""
        return {"response": cj.format_abci_info(self.view.abci_info())}

    async def query_abci(
        self, call: Call, path: str, data: bytes, height: int, prove: bool
    ) -> cj.Json:
        """Answer a query of the application; its refusals are answers with a code."""
        answer = self.view.abci_query(path, data, height, prove)
        return {"response": cj.format_abci_query(answer)}
