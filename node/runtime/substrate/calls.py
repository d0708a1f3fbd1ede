"""Calls by (pallet, call) index, made from the pallets' declarations.

The arguments of a call are the fields of its message without the signer, which is the account that
signed. Some calls belong to no pallet but are what Substrate clients expect; they become messages
of ours:

| call                                              | becomes                              |
|---------------------------------------------------|--------------------------------------|
| `Balances.transfer_allow_death`, `_keep_alive`    | `MsgSend` of the base denomination   |
| `Utility.batch_all`                               | its calls, all or none               |
| `Timestamp.set`, `Cosmos.transact`, `.inherent`   | nothing: they show what a block holds|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos.bank.v1beta1 import tx_pb2

from node.runtime.addresses import ADDRESS_BYTES, encode_account, encode_operator
from node.runtime.coins import BASE_DENOM, build_coin
from node.runtime.pallet import CallSpec
from node.runtime.runtime import Runtime
from node.runtime.substrate.accounts import ACCOUNT, ACCOUNT_ID
from node.runtime.substrate.messages import OPERATOR_MARK, MessageType, get_mark
from node.runtime.substrate.scale import (
    BYTES,
    U8,
    U64,
    U128,
    UNIT,
    Case,
    Compact,
    Field,
    FixedBytes,
    Reader,
    ScaleError,
    Sequence,
    Type,
    Variant,
    decode_length,
)

SYSTEM, TIMESTAMP, UTILITY, BALANCES, TRANSACTION_PAYMENT, COSMOS = range(6)
TRANSFER_ALLOW_DEATH, TRANSFER_KEEP_ALIVE = 0, 3
BATCH_ALL = 2
TIMESTAMP_SET, TRANSACT, INHERENT = 0, 0, 1
MAX_BATCH_CALLS = 256
MAX_BATCH_DEPTH = 3
SEND_TYPE_URL = "/" + tx_pb2.MsgSend.DESCRIPTOR.full_name
ADDRESS_20, ADDRESS_32, ADDRESS_ID = 4, 3, 0
COMPACT_U128, COMPACT_U64 = Compact(U128), Compact(U64)

MULTI_ADDRESS = Variant(
    ("sp_runtime", "multiaddress", "MultiAddress"),
    [
        Case("Id", ADDRESS_ID, (Field("", ACCOUNT, "AccountId"),)),
        Case("Index", 1, (Field("", Compact(UNIT), "AccountIndex"),)),
        Case("Raw", 2, (Field("", BYTES, "Vec<u8>"),)),
        Case("Address32", ADDRESS_32, (Field("", FixedBytes(32), "[u8; 32]"),)),
        Case("Address20", ADDRESS_20, (Field("", FixedBytes(20), "[u8; 20]"),)),
    ],
    (("AccountId", ACCOUNT_ID), ("AccountIndex", UNIT)),
)
_TRANSFER_FIELDS = (
    Field("dest", MULTI_ADDRESS, "AccountIdLookupOf<T>"),
    Field("value", COMPACT_U128, "T::Balance"),
)


def decode_multi_address(reader: Reader) -> bytes:
    """Decode an address to account bytes; index and raw forms are refused.

    Raises: ScaleError.
    """
    form = reader.take(1)[0]
    if form in (ADDRESS_ID, ADDRESS_32):
        return ACCOUNT.decode(reader)
    if form == ADDRESS_20:
        return reader.take(ADDRESS_BYTES)
    raise ScaleError(f"address of form {form} is not supported")


@dataclass(frozen=True)
class CallEntry:
    """A declared call and the SCALE type of its arguments."""

    spec: CallSpec
    arguments: MessageType

    def build_message(self, reader: Reader, origin: bytes) -> Any:
        """Decode the arguments and put the signer in.

        Raises: ScaleError.
        """
        message = self.arguments.decode(reader)
        name = self.spec.signer_field
        if name:
            mark = get_mark(message.DESCRIPTOR.fields_by_name[name])
            is_operator = mark == OPERATOR_MARK
            setattr(
                message, name, encode_operator(origin) if is_operator else encode_account(origin)
            )
        return message


class CallTable:
    """Every call a client can name.

    Args:
        runtime: declares them.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.entries: dict[tuple[int, int], CallEntry] = {}
        self.pallet_calls: dict[str, list[CallEntry]] = {}
        for name, pallet in runtime.pallets.items():
            for spec in pallet.list_calls():
                without = (spec.signer_field,) if spec.signer_field else ()
                arguments = MessageType(spec.message_class.DESCRIPTOR, without)
                entry = CallEntry(spec, arguments)
                self.entries[runtime.pallet_indexes[name], spec.index] = entry
                self.pallet_calls.setdefault(name, []).append(entry)

    def decode_call(self, reader: Reader, origin: bytes, depth: int = 0) -> list[tuple[str, Any]]:
        """Decode a call to (type URL, message) in order of execution.

        Raises: ScaleError.
        """
        pallet_index, call_index = reader.take(2)
        if (pallet_index, call_index) == (UTILITY, BATCH_ALL):
            if depth >= MAX_BATCH_DEPTH:
                raise ScaleError(f"batches nested over {MAX_BATCH_DEPTH} deep")
            count = decode_length(reader, 2)
            messages: list[tuple[str, Any]] = []
            for _ in range(count):
                messages += self.decode_call(reader, origin, depth + 1)
                if len(messages) > MAX_BATCH_CALLS:
                    raise ScaleError(f"more than {MAX_BATCH_CALLS} calls")
            return messages
        is_transfer = call_index in (TRANSFER_ALLOW_DEATH, TRANSFER_KEEP_ALIVE)
        if pallet_index == BALANCES and is_transfer:
            return [decode_transfer(reader, origin)]
        entry = self.entries.get((pallet_index, call_index))
        if entry is None:
            raise ScaleError(f"there is no call {call_index} of pallet {pallet_index} to sign")
        return [(entry.spec.type_url, entry.build_message(reader, origin))]


def decode_transfer(reader: Reader, origin: bytes) -> tuple[str, Any]:
    """Decode the arguments of a transfer to a `MsgSend`.

    Raises: ScaleError.
    """
    recipient = decode_multi_address(reader)
    amount = COMPACT_U128.decode(reader)
    message = tx_pb2.MsgSend(
        from_address=encode_account(origin),
        to_address=encode_account(recipient),
        amount=[build_coin(BASE_DENOM, amount)],
    )
    return SEND_TYPE_URL, message


def list_facade_calls(runtime_call: Type) -> dict[int, list[Case]]:
    """List the calls that belong to no pallet, by pallet index.

    Args:
        runtime_call: type of any call, for batches.
    """
    transfer_doc = "Send coins of the base denomination to one account."
    moment = Field("now", COMPACT_U64, "T::Moment")
    return {
        TIMESTAMP: [
            Case("set", TIMESTAMP_SET, (moment,), "Time of the block in milliseconds since 1970.")
        ],
        UTILITY: [
            Case(
                "batch_all",
                BATCH_ALL,
                (Field("calls", Sequence(runtime_call), "Vec<RuntimeCall>"),),
                "Run several calls, all or none.",
            )
        ],
        BALANCES: [
            Case("transfer_allow_death", TRANSFER_ALLOW_DEATH, _TRANSFER_FIELDS, transfer_doc),
            Case("transfer_keep_alive", TRANSFER_KEEP_ALIVE, _TRANSFER_FIELDS, transfer_doc),
        ],
        COSMOS: [
            Case(
                "transact",
                TRANSACT,
                (Field("tx", BYTES, "Vec<u8>"),),
                "A Cosmos transaction of the block, as its `TxRaw` bytes. Not to be signed.",
            ),
            Case(
                "inherent",
                INHERENT,
                (Field("tag", U8, "u8"), Field("data", BYTES, "Vec<u8>")),
                "A pseudo transaction of the block, made by its proposer. Not to be signed.",
            ),
        ],
    }
