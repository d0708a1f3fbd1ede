"""Events of a block as `System.Events`: ABCI events turned back into what pallets declared.

| ABCI event                  | shown as                                                       |
|-----------------------------|----------------------------------------------------------------|
| one a pallet declares       | that pallet's event, fields by their declared types            |
| `transfer` of `udsc`        | `Balances.Transfer` in addition, unless a fee or its remainder |
| fee of a transaction        | `TransactionPayment.TransactionFeePaid`                        |
| `tx`, `message` otherwise   | nothing: they repeat what the extrinsic says                   |
| any other                   | `Cosmos.Event`, as text                                        |

Then one `System.ExtrinsicSuccess` or `ExtrinsicFailed` an extrinsic. Extrinsic 0 is the time;
extrinsic i + 1 is transaction i of the block. What hooks emit has phase Finalization.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from node.chain import Chain
from node.doors.node_view import NodeView
from node.doors.substrate.facade import (
    BALANCES_TRANSFER,
    COSMOS_EVENT,
    DISPATCH_INFO,
    EXTRINSIC_FAILED,
    EXTRINSIC_SUCCESS,
    FEE_PAID,
)
from node.doors.substrate.metadata import EventShape, Metadata
from node.runtime.addresses import decode_account, encode_account
from node.runtime.ante import FEE_COLLECTOR_ADDR
from node.runtime.coins import BASE_DENOM
from node.runtime.errors import SDK_CODESPACE, TxDecodeFailed
from node.runtime.events import get_event_shape
from node.runtime.substrate.accounts import ACCOUNT
from node.runtime.substrate.calls import BALANCES, COSMOS, SYSTEM, TRANSACTION_PAYMENT
from node.runtime.substrate.extrinsic import decode_extrinsic, is_extrinsic
from node.runtime.substrate.scale import (
    BOOL,
    BYTES,
    TEXT,
    U64,
    U128,
    ScaleError,
    Sequence,
    TupleType,
    Type,
    encode_compact,
)

FINALIZATION = b"\x01"
NO_TOPICS = b"\x00"
CACHED_BLOCKS = 64
SILENT = ("tx", "message")
FEE_COLLECTOR = encode_account(FEE_COLLECTOR_ADDR)
ATTRIBUTES = Sequence(TupleType(TEXT, TEXT))


def parse_attribute(text: str, made: Type) -> Any:
    """Parse the text of an attribute into a value of the declared type.

    Raises: ValueError.
    """
    if made is U64:
        return int(text)
    if made is BOOL:
        return text == "true"
    if made is BYTES:
        return bytes.fromhex(text)
    if isinstance(made, Sequence):
        return [parse_attribute(item, made.item) for item in text.split(",")] if text else []
    return text


def parse_base_amount(text: str) -> int | None:
    """Parse `5udsc`; None for several coins or another one."""
    amount = text.removesuffix(BASE_DENOM)
    return int(amount) if amount != text and amount.isdigit() else None


class EventBook:
    """Encodes the events of blocks; keeps the last few."""

    def __init__(self, view: NodeView, chain: Chain, metadata: Metadata) -> None:
        self.view = view
        self._table = chain.call_table
        self._error_pallets = {SDK_CODESPACE: SYSTEM}
        indexes = {pallet.name: pallet.index for pallet in metadata.pallets}
        for name, pallet in chain.runtime.pallets.items():
            for error in pallet.errors:
                self._error_pallets[error.codespace] = chain.runtime.pallet_indexes[name]
        self._shapes: dict[tuple[str, tuple[str, ...]], tuple[int, EventShape]] = {}
        for shape in metadata.event_shapes:
            kind, names = get_event_shape(shape.event_class)
            self._shapes[kind, names] = indexes[shape.pallet_name], shape
        self._cache: OrderedDict[int, bytes] = OrderedDict()

    def encode_block(self, height: int) -> bytes:
        """Encode the events of a block as a vector of `EventRecord`."""
        found = self._cache.get(height)
        if found is None:
            found = self._cache[height] = self._encode_block(height)
            if len(self._cache) > CACHED_BLOCKS:
                self._cache.popitem(last=False)
        return found

    def _encode_block(self, height: int) -> bytes:
        results = self.view.load_results(height)
        block = self.view.load_block(height)
        if results is None or block is None:
            return encode_compact(0)
        records = [build_record(encode_phase(0), encode_success(0, is_mandatory=True))]
        pairs = zip(block.data.txs, results.tx_results, strict=True)
        for index, (tx, result) in enumerate(pairs, 1):
            phase = encode_phase(index)
            for event in result.events:
                records += [build_record(phase, body) for body in self.encode_event(event, tx)]
            records.append(build_record(phase, self._encode_outcome(result)))
        for event in results.events:
            records += [build_record(FINALIZATION, body) for body in self.encode_event(event)]
        return encode_compact(len(records)) + b"".join(records)

    def _encode_outcome(self, result: Any) -> bytes:
        if not result.code:
            return encode_success(result.gas_used)
        pallet_index = self._error_pallets.get(result.codespace, SYSTEM)
        error = bytes((SYSTEM, EXTRINSIC_FAILED, 3, pallet_index, result.code & 0xFF, 0, 0, 0))
        return error + encode_info(result.gas_used)

    def encode_event(self, event: Any, tx: bytes = b"") -> list[bytes]:
        """Encode an ABCI event as the events clients see."""
        attributes = [(a.key, a.value) for a in event.attributes if a.key != "msg_index"]
        names = tuple(key for key, _ in attributes)
        values = dict(attributes)
        if event.type == "tx" and "fee_payer" in values:
            return [self._encode_fee(values, bytes(tx))]
        if event.type in SILENT:
            return []
        found = self._shapes.get((event.type, names))
        bodies = []
        if found is not None:
            try:
                bodies.append(encode_declared(*found, values))
            except (ValueError, ScaleError):
                found = None
        if found is None:
            text = TEXT.encode(event.type) + ATTRIBUTES.encode(attributes)
            bodies.append(bytes((COSMOS, COSMOS_EVENT)) + text)
        if event.type == "transfer" and names == ("recipient", "sender", "amount"):
            amount = parse_base_amount(values["amount"])
            is_refund = bool(tx) and values["sender"] == FEE_COLLECTOR
            is_fee = is_refund or values["recipient"] == FEE_COLLECTOR
            if amount is not None and not is_fee:
                parties = [decode_account(values[name]) for name in ("sender", "recipient")]
                encoded = b"".join(ACCOUNT.encode(addr) for addr in parties)
                head = bytes((BALANCES, BALANCES_TRANSFER))
                bodies.append(head + encoded + U128.encode(amount))
        return bodies

    def _encode_fee(self, values: dict[str, str], tx: bytes) -> bytes:
        tip = 0
        if is_extrinsic(tx):
            try:
                tip = decode_extrinsic(tx, self._table).tip
            except TxDecodeFailed:
                tip = 0
        fee = parse_base_amount(values["fee"]) or 0
        who = ACCOUNT.encode(decode_account(values["fee_payer"]))
        return bytes((TRANSACTION_PAYMENT, FEE_PAID)) + who + U128.encode(fee) + U128.encode(tip)


def encode_declared(pallet_index: int, shape: EventShape, values: dict[str, str]) -> bytes:
    """Encode an event a pallet declares.

    Raises: ValueError, if an attribute is not of its declared type.
    """
    fields = shape.case.fields
    parts = [item.type.encode(parse_attribute(values[item.name], item.type)) for item in fields]
    return bytes((pallet_index, shape.case.index)) + b"".join(parts)


def encode_phase(index: int) -> bytes:
    """Encode the phase of an extrinsic."""
    return b"\x00" + index.to_bytes(4, "little")


def encode_info(gas: int, is_mandatory: bool = False) -> bytes:
    """Encode a dispatch info."""
    weight = {"ref_time": gas, "proof_size": 0}
    kind = "Mandatory" if is_mandatory else "Normal"
    return DISPATCH_INFO.encode({"weight": weight, "class": kind, "pays_fee": "Yes"})


def encode_success(gas: int, is_mandatory: bool = False) -> bytes:
    """Encode `System.ExtrinsicSuccess`."""
    return bytes((SYSTEM, EXTRINSIC_SUCCESS)) + encode_info(gas, is_mandatory)


def build_record(phase: bytes, body: bytes) -> bytes:
    """Build an encoded `EventRecord`."""
    return phase + body + NO_TOPICS
