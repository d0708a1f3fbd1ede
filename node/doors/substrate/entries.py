"""Storage entries: how a Substrate storage key names a value of our store.

An entry has a 32-byte prefix, typed key parts and a typed value. Entries of pallets are made from
their storage declarations; a few that clients expect of any chain are made here from several
values. Keys of one entry are listed in the order of our store, not of the hashed bytes: the order
is the same in every answer, which is all that paging needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from node.chain import Chain
from node.doors.substrate.facade import ACCOUNT_INFO, RuntimeTypes
from node.doors.substrate.hashers import (
    BLAKE2_128_CONCAT,
    IDENTITY,
    TWOX_64_CONCAT,
    KeyPart,
    twox_128,
)
from node.runtime.codecs import (
    AddressCodec,
    AmountCodec,
    BytesCodec,
    FixedBytesCodec,
    ProtoCodec,
    TextCodec,
    TupleCodec,
    UintCodec,
    UnitCodec,
)
from node.runtime.coins import BASE_DENOM
from node.runtime.params import ParamsCodec
from node.runtime.storage import Element, KeySet
from node.runtime.substrate.accounts import ACCOUNT
from node.runtime.substrate.messages import build_message_type
from node.runtime.substrate.scale import (
    BOOL,
    BYTES,
    HASH,
    TEXT,
    U32,
    U64,
    U128,
    FixedBytes,
    Reader,
    ScaleError,
    Sequence,
    Type,
    Uint,
)

PREFIX_BYTES = 32
NANOS_PER_MILLI = 1_000_000
AMOUNT_DEFAULT = bytes(16)


@dataclass(frozen=True)
class StateAt:
    """Committed state after a block.

    Args:
        height: of the block.
        view: reads `(store, key)` and iterates, at that height.
        encode_events: SCALE of the events of the block.
    """

    height: int
    view: Any
    encode_events: Callable[[int], bytes]


class Entry(ABC):
    """A storage entry.

    Args:
        default: what clients take for an absent value; None if absence means None.
    """

    def __init__(
        self,
        pallet: str,
        name: str,
        keys: tuple[KeyPart, ...],
        value: Type,
        default: bytes | None = None,
        doc: str = "",
    ) -> None:
        self.pallet = pallet
        self.name = name
        self.keys = keys
        self.value = value
        self.default = default
        self.doc = doc
        self.prefix = twox_128(pallet.encode()) + twox_128(name.encode())

    @abstractmethod
    def read(self, state: StateAt, key: tuple[Any, ...]) -> bytes | None:
        """Read the SCALE value of a key, None if it is absent."""

    def locate(self, key: tuple[Any, ...]) -> tuple[str, bytes] | None:
        """Find where in our store a value is, None for one that is made of several."""
        return None

    def iterate(
        self, state: StateAt, first: tuple[Any, ...], start: tuple[Any, ...] | None
    ) -> Iterator[tuple[Any, ...]]:
        """Iterate keys whose first components are `first`, from `start` (inclusive) on."""
        yield ()

    def encode_key(self, key: tuple[Any, ...]) -> bytes:
        """Encode a storage key."""
        pairs = zip(self.keys, key, strict=True)
        parts = [part.hasher.apply(part.type.encode(value)) for part, value in pairs]
        return self.prefix + b"".join(parts)

    def decode_key(self, data: bytes, is_prefix: bool = False) -> tuple[Any, ...]:
        """Decode what follows the prefix; of a prefix of a key, as many components as it has.

        Raises: ScaleError, if a hash is not that of its component, or bytes are missing.
        """
        reader = Reader(data)
        values = []
        for part in self.keys:
            if is_prefix and not reader.left:
                break
            start = reader.offset
            try:
                reader.take(part.hasher.hash_bytes)
                begin = reader.offset
                value = part.type.decode(reader)
            except ScaleError:
                if is_prefix:
                    break
                raise
            encoded = reader.data[begin : reader.offset]
            if part.hasher.apply(encoded) != reader.data[start : reader.offset]:
                raise ScaleError(f"{self.pallet}.{self.name}: hash of a key does not fit the key")
            values.append(value)
        if not is_prefix:
            reader.finish()
        return tuple(values)


def build_key_part(codec: Any) -> KeyPart:
    """Build the key part of a key codec."""
    if isinstance(codec, UintCodec):
        return KeyPart(TWOX_64_CONCAT, Uint(8 * codec.width))
    if isinstance(codec, FixedBytesCodec):
        return KeyPart(IDENTITY, FixedBytes(codec.width))
    if isinstance(codec, AddressCodec):
        return KeyPart(BLAKE2_128_CONCAT, ACCOUNT)
    return KeyPart(BLAKE2_128_CONCAT, TEXT if isinstance(codec, TextCodec) else BYTES)


def build_key_parts(codec: Any) -> tuple[KeyPart, ...]:
    """Build the key parts of an element's key codec."""
    if isinstance(codec, UnitCodec):
        return ()
    parts = codec.parts if isinstance(codec, TupleCodec) else (codec,)
    return tuple(build_key_part(part) for part in parts)


def build_value(codec: Any) -> tuple[Type, Callable[[bytes], Any], bytes | None]:
    """Build (type, how stored bytes become its value, default) of a value codec."""
    if codec is None:
        return BOOL, bool, b"\x00"
    if isinstance(codec, ParamsCodec):
        message_class = codec.params_class.message_class
        return build_message_type(message_class.DESCRIPTOR), message_class.FromString, None
    if isinstance(codec, ProtoCodec):
        made = build_message_type(codec.message_class.DESCRIPTOR)
        return made, codec.message_class.FromString, None
    if isinstance(codec, AmountCodec):
        return U128, codec.decode, AMOUNT_DEFAULT
    if isinstance(codec, UintCodec):
        return Uint(8 * codec.width), codec.decode, None
    if isinstance(codec, FixedBytesCodec):
        return FixedBytes(codec.width), codec.decode, None
    if isinstance(codec, AddressCodec):
        return ACCOUNT, codec.decode, None
    if isinstance(codec, TextCodec):
        return TEXT, codec.decode, None
    return BYTES, bytes if not isinstance(codec, BytesCodec) else codec.decode, None


def format_name(name: str) -> str:
    """Write a snake-case name as Substrate does: `next_run_id` is `NextRunId`."""
    return "".join(word[:1].upper() + word[1:] for word in name.replace(".", "_").split("_"))


class ElementEntry(Entry):
    """An element of a pallet's storage."""

    def __init__(self, element: Element[Any, Any]) -> None:
        codec = None if isinstance(element, KeySet) else element.value_codec
        value, self._decode_value, default = build_value(codec)
        self._element = element
        self._is_single = not isinstance(element.key_codec, TupleCodec | UnitCodec)
        pallet, name = format_name(element.store), format_name(element.name)
        super().__init__(pallet, name, build_key_parts(element.key_codec), value, default)

    def _encode_raw(self, key: tuple[Any, ...]) -> bytes:
        return self._element.encode_key(key[0] if self._is_single else key)

    def locate(self, key: tuple[Any, ...]) -> tuple[str, bytes] | None:
        return self._element.store, self._encode_raw(key)

    def read(self, state: StateAt, key: tuple[Any, ...]) -> bytes | None:
        raw = state.view.get(self._element.store, self._encode_raw(key))
        return None if raw is None else self.value.encode(self._decode_value(raw))

    def iterate(
        self, state: StateAt, first: tuple[Any, ...], start: tuple[Any, ...] | None
    ) -> Iterator[tuple[Any, ...]]:
        element = self._element
        if self._is_single:
            scope = element.encode_key(first[0]) if first else element.prefix
        else:
            scope = element.encode_key_prefix(first or None)
        raw_start = None if start is None else self._encode_raw(start)
        for raw_key, _ in state.view.iterate(element.store, scope, raw_start):
            key = element.decode_key(raw_key)
            yield (key,) if self._is_single else key


class AccountEntry(Entry):
    """`System.Account`: sequence and balance of an account, from two pallets."""

    def __init__(self, chain: Chain) -> None:
        self._accounts = chain.accounts.storage.accounts
        self._balances = chain.bank.storage.balances
        doc = "Sequence and balance of the base denomination of an account."
        default = bytes(16 + 4 * 16)
        key = KeyPart(BLAKE2_128_CONCAT, ACCOUNT)
        super().__init__("System", "Account", (key,), ACCOUNT_INFO, default, doc)

    def read(self, state: StateAt, key: tuple[Any, ...]) -> bytes | None:
        (addr,) = key
        accounts, balances = self._accounts, self._balances
        raw = state.view.get(accounts.store, accounts.encode_key(addr))
        if raw is None:
            return None
        amount = state.view.get(balances.store, balances.encode_key((addr, BASE_DENOM)))
        free = 0 if amount is None else balances.value_codec.decode(amount)
        data = {"free": free, "reserved": 0, "frozen": 0, "flags": 0}
        nonce = accounts.value_codec.decode(raw).sequence
        info = {"nonce": nonce, "consumers": 0, "providers": 1, "sufficients": 0, "data": data}
        return self.value.encode(info)

    def iterate(
        self, state: StateAt, first: tuple[Any, ...], start: tuple[Any, ...] | None
    ) -> Iterator[tuple[Any, ...]]:
        accounts = self._accounts
        scope = accounts.encode_key(first[0]) if first else accounts.prefix
        raw_start = None if start is None else accounts.encode_key(start[0])
        for raw_key, _ in state.view.iterate(accounts.store, scope, raw_start):
            yield (accounts.decode_key(raw_key),)


class BlockHashEntry(Entry):
    """`System.BlockHash`: hashes of past blocks."""

    def __init__(self, chain: Chain) -> None:
        self._hashes = chain.blocks.storage.hashes
        key = KeyPart(TWOX_64_CONCAT, U32)
        doc = "Hash of a past block."
        super().__init__("System", "BlockHash", (key,), HASH, bytes(32), doc)

    def read(self, state: StateAt, key: tuple[Any, ...]) -> bytes | None:
        found: bytes | None = state.view.get(self._hashes.store, self._hashes.encode_key(key[0]))
        return found

    def iterate(
        self, state: StateAt, first: tuple[Any, ...], start: tuple[Any, ...] | None
    ) -> Iterator[tuple[Any, ...]]:
        hashes = self._hashes
        scope = hashes.encode_key(first[0]) if first else hashes.prefix
        raw_start = None if start is None else hashes.encode_key(start[0])
        for raw_key, _ in state.view.iterate(hashes.store, scope, raw_start):
            yield (hashes.decode_key(raw_key),)


class ValueEntry(Entry):
    """One value that a function makes from state."""

    def __init__(
        self,
        pallet: str,
        name: str,
        value: Type,
        default: bytes,
        make: Callable[[StateAt], bytes | None],
        doc: str,
    ) -> None:
        super().__init__(pallet, name, (), value, default, doc)
        self._make = make

    def read(self, state: StateAt, key: tuple[Any, ...]) -> bytes | None:
        return self._make(state)


def list_facade_entries(chain: Chain, types: RuntimeTypes) -> list[Entry]:
    """List the entries that no single declaration gives."""
    time = chain.consensus.storage.last_time_ns
    supply = chain.bank.storage.supply

    def read_time(state: StateAt) -> bytes:
        raw = state.view.get(time.store, time.prefix) or b""
        return U64.encode(int.from_bytes(raw, "big") // NANOS_PER_MILLI)

    def read_supply(state: StateAt) -> bytes:
        raw = state.view.get(supply.store, supply.encode_key(BASE_DENOM)) or b"0"
        return U128.encode(int(raw))

    return [
        AccountEntry(chain),
        BlockHashEntry(chain),
        ValueEntry(
            *("System", "Number", U32, bytes(4)),
            lambda state: U32.encode(state.height),
            "Number of the block.",
        ),
        ValueEntry(
            *("System", "Events", Sequence(types.event_record), b"\x00"),
            lambda state: state.encode_events(state.height),
            "Events of the block.",
        ),
        ValueEntry("Timestamp", "Now", U64, bytes(8), read_time, "Time in milliseconds."),
        ValueEntry(
            "Balances", "TotalIssuance", U128, AMOUNT_DEFAULT, read_supply, "Coins there are."
        ),
    ]


def list_entries(chain: Chain, types: RuntimeTypes) -> list[Entry]:
    """List every storage entry: the facade's, then those of the pallets."""
    entries = list_facade_entries(chain, types)
    for pallet in chain.runtime.pallets.values():
        entries += [ElementEntry(element) for element in pallet.storage.elements.values()]
    return entries
