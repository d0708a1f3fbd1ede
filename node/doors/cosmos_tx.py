"""`cosmos.tx.v1beta1.Service`: simulate, broadcast and look up transactions.

Codes and texts as clients parse them: `tx not found: HASH` with NOT_FOUND until a transaction is
in a block; a failed simulation is UNKNOWN; a refused broadcast is a normal answer with a code.
Source: Cosmos SDK v0.53 x/auth/tx/service.go; cosmpy 0.12 aerial/client.
"""

from __future__ import annotations

from typing import Any

import grpc
from cosmos.base.abci.v1beta1 import abci_pb2
from cosmos.tx.v1beta1 import service_pb2, tx_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

import proto  # noqa: F401  (puts cosmos.* on the path)
from node.doors import comet_json as cj
from node.doors.event_query import QuerySyntaxError, parse_query
from node.doors.grpc_services import MethodError, Query, ServiceTable
from node.doors.node_view import NodeView
from node.doors.tx_search import find_txs
from node.engine.errors import TxRefused
from node.runtime.addresses import encode_account
from node.runtime.coins import BASE_DENOM, build_coin
from node.runtime.errors import TxDecodeFailed
from node.runtime.simulation import (
    build_simulate_response,
    describe_failure,
    encode_tx,
    get_simulated_tx,
)
from node.runtime.substrate.calls import CallTable
from node.runtime.substrate.extrinsic import decode_extrinsic, is_extrinsic

TX_TYPE_URL = "/cosmos.tx.v1beta1.Tx"
DEFAULT_LIMIT, MAX_LIMIT = 30, 100
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


def decode_tx(data: bytes, table: CallTable) -> Any:
    """Decode a `Tx`; None if the bytes are something else, such as a pseudo transaction.

    An extrinsic is shown as the messages it runs, with its signer, nonce and most it can pay.
    """
    if is_extrinsic(data):
        return show_extrinsic(data, table)
    try:
        return tx_pb2.Tx.FromString(data)
    except DecodeError:
        return None


def show_extrinsic(data: bytes, table: CallTable) -> Any:
    """Show an extrinsic as a `Tx`; None if it does not decode."""
    try:
        extrinsic = decode_extrinsic(data, table)
    except TxDecodeFailed:
        return None
    tx = tx_pb2.Tx(signatures=[extrinsic.signature])
    for type_url, message in extrinsic.messages:
        value = message.SerializeToString(deterministic=True)
        tx.body.messages.add(type_url=type_url, value=value)
    tx.auth_info.signer_infos.add(sequence=extrinsic.nonce)
    fee = tx.auth_info.fee
    fee.gas_limit, fee.payer = extrinsic.gas_limit, encode_account(extrinsic.signer)
    fee.amount.append(build_coin(BASE_DENOM, extrinsic.fee_udsc + extrinsic.tip))
    return tx


def build_tx_response(view: NodeView, height: int, index: int) -> tuple[Any, Any] | None:
    """Build (Tx, TxResponse) of a transaction in a block; None if it is not kept."""
    block, results = view.load_block(height), view.load_results(height)
    if block is None or results is None or index >= len(block.data.txs):
        return None
    data, result = block.data.txs[index], results.tx_results[index]
    tx = decode_tx(data, view.chain.call_table)
    if tx is None:
        return None
    response = abci_pb2.TxResponse(
        height=height,
        txhash=cj.format_hex(cj.compute_tx_hash(data)),
        codespace=result.codespace,
        code=result.code,
        data=cj.format_hex(result.data),
        raw_log=result.log,
        info=result.info,
        gas_wanted=result.gas_wanted,
        gas_used=result.gas_used,
        tx=AnyMessage(
            type_url=TX_TYPE_URL,
            value=tx.SerializeToString(deterministic=True) if is_extrinsic(data) else data,
        ),
        timestamp=cj.format_second(block.header.time),
        events=result.events,
    )
    return tx, response


class TxService:
    """The service over a node's view."""

    def __init__(self, view: NodeView) -> None:
        self.view = view

    def _decode(self, data: bytes) -> Any:
        return decode_tx(data, self.view.chain.call_table)

    def build_table(self) -> ServiceTable:
        """Build the table of methods."""
        return ServiceTable(
            service_pb2.DESCRIPTOR.services_by_name["Service"],
            {
                "Simulate": self.simulate,
                "BroadcastTx": self.broadcast_tx,
                "GetTx": self.get_tx,
                "GetTxsEvent": self.get_txs_event,
                "GetBlockWithTxs": self.get_block_with_txs,
                "TxDecode": self.decode,
                "TxEncode": self.encode,
            },
        )

    async def simulate(self, request: Any, query: Query) -> Any:
        """Run a transaction without fee, gas limit or signature; answer gas and result.

        Raises:
            QueryInvalid: it is empty.
            MethodError: UNKNOWN with the log if it fails.
        """
        result = self.view.simulate(get_simulated_tx(request))
        if result.code:
            raise MethodError(
                grpc.StatusCode.UNKNOWN, describe_failure(result), result.codespace, result.code
            )
        return build_simulate_response(result)

    async def broadcast_tx(self, request: Any, query: Query) -> Any:
        """Hand a transaction to the engine; SYNC waits for its check, ASYNC does not.

        Raises:
            MethodError: INVALID_ARGUMENT for an empty transaction or another mode.
            EngineUnreachable: the engine does not answer.
        """
        if not request.tx_bytes:
            raise MethodError(_INVALID, "invalid empty tx")
        response = abci_pb2.TxResponse(txhash=cj.format_hex(cj.compute_tx_hash(request.tx_bytes)))
        if request.mode not in (
            service_pb2.BROADCAST_MODE_SYNC,
            service_pb2.BROADCAST_MODE_ASYNC,
        ):
            known = service_pb2.BroadcastMode.DESCRIPTOR.values_by_number.get(request.mode)
            name = known.name if known else request.mode
            raise MethodError(_INVALID, f"unsupported return type {name}; supported: sync, async")
        try:
            checked = await self.view.engine.broadcast_tx(request.tx_bytes)
        except TxRefused as refusal:
            response.code, response.codespace = refusal.code, "sdk"
            return service_pb2.BroadcastTxResponse(tx_response=response)
        if request.mode == service_pb2.BROADCAST_MODE_SYNC:
            response.code, response.codespace = checked.code, checked.codespace
            response.raw_log, response.data = checked.log, cj.format_hex(checked.data)
        return service_pb2.BroadcastTxResponse(tx_response=response)

    async def get_tx(self, request: Any, query: Query) -> Any:
        """Answer a transaction by hash.

        Raises:
            MethodError: NOT_FOUND with `tx not found: HASH` until it is in a block.
        """
        if not request.hash:
            raise MethodError(_INVALID, "tx hash cannot be empty")
        try:
            tx_hash = bytes.fromhex(request.hash)
        except ValueError:
            raise MethodError(_INVALID, f"{request.hash[:80]!r} is not hex") from None
        place = self.view.find_tx(tx_hash)
        built = build_tx_response(self.view, *place) if place else None
        if built is None:
            raise MethodError(grpc.StatusCode.NOT_FOUND, f"tx not found: {request.hash}")
        tx, response = built
        return service_pb2.GetTxResponse(tx=tx, tx_response=response)

    async def get_txs_event(self, request: Any, query: Query) -> Any:
        """Answer a page of the transactions whose events match.

        Raises:
            MethodError: INVALID_ARGUMENT for a query that does not parse.
        """
        text = request.query or " AND ".join(request.events)
        if not text:
            raise MethodError(_INVALID, "query cannot be empty")
        try:
            parsed = parse_query(text)
        except QuerySyntaxError as error:
            raise MethodError(_INVALID, f"failed to parse query: {error}") from None
        places = await find_txs(self.view, parsed, lambda data: self._decode(data) is not None)
        if request.order_by == service_pb2.ORDER_BY_DESC:
            places.reverse()
        limit = min(request.limit or request.pagination.limit or DEFAULT_LIMIT, MAX_LIMIT)
        start = (max(1, request.page) - 1) * limit or request.pagination.offset
        response = service_pb2.GetTxsEventResponse(total=len(places))
        for place in places[start : start + limit]:
            built = build_tx_response(self.view, *place)
            if built is not None:
                response.txs.append(built[0])
                response.tx_responses.append(built[1])
        return response

    async def get_block_with_txs(self, request: Any, query: Query) -> Any:
        """Answer a block with its transactions decoded; pseudo transactions are left out.

        Raises:
            MethodError: INVALID_ARGUMENT for a height that is not there.
        """
        earliest, latest = self.view.get_heights()
        if not earliest <= request.height <= latest:
            raise MethodError(
                _INVALID,
                f"requested height {request.height} but the blocks {earliest} to {latest} are kept",
            )
        block = self.view.load_block(request.height)
        decoded = [tx for data in block.data.txs if (tx := self._decode(data)) is not None]
        limit = request.pagination.limit or MAX_LIMIT
        offset = request.pagination.offset
        response = service_pb2.GetBlockWithTxsResponse(
            txs=decoded[offset : offset + limit],
            block_id=self.view.load_block_id(request.height),
            block=block,
        )
        response.pagination.total = len(decoded)
        return response

    async def decode(self, request: Any, query: Query) -> Any:
        """Decode the bytes of a transaction.

        Raises:
            MethodError: INVALID_ARGUMENT if they are not one.
        """
        tx = self._decode(request.tx_bytes) if request.tx_bytes else None
        if tx is None:
            raise MethodError(_INVALID, "invalid empty tx bytes" if not request.tx_bytes
                              else "tx parse error")  # fmt: skip
        return service_pb2.TxDecodeResponse(tx=tx)

    async def encode(self, request: Any, query: Query) -> Any:
        """Encode a transaction.

        Raises:
            MethodError: INVALID_ARGUMENT if there is none.
        """
        if not request.HasField("tx"):
            raise MethodError(_INVALID, "invalid empty tx")
        return service_pb2.TxEncodeResponse(tx_bytes=encode_tx(request.tx))
