"""`state_*`: storage at any kept block, metadata, versions, runtime calls."""

from __future__ import annotations

from itertools import islice
from typing import Any

from node.doors.substrate.blocks import Blocks
from node.doors.substrate.entries import PREFIX_BYTES, Entry, StateAt
from node.doors.substrate.facade import RUNTIME_VERSION, VERSION
from node.doors.substrate.metadata import V14, V15, Metadata
from node.doors.substrate.rpc import (
    ClientError,
    InvalidParams,
    Method,
    Subscribed,
    SubstrateError,
    format_hex,
    parse_hex,
)
from node.doors.substrate.subscriptions import Hub, Session
from node.runtime.substrate.headers import hash_blake2
from node.runtime.substrate.scale import BYTES, U32, Reader, ScaleError, encode_compact

MAX_PAGE_KEYS = 1000
MAX_QUERY_KEYS = 2000
MAX_SUBSCRIBED_KEYS = 1000
MAX_PROVED_KEYS = 100
MAX_TOLD_KEYS = 2**14  # values of one block that subscribers share
NO_METHOD = "Client error: Execution failed: Other: Exported method {} is not found"

Answers = dict[str, Any]
"""Runtime calls by name: each takes a reader of its arguments, the height, and gives SCALE."""


class StateMethods:
    """The methods over committed state."""

    def __init__(self, blocks: Blocks, hub: Hub, metadata: Metadata) -> None:
        self.blocks = blocks
        self.hub = hub
        self.metadata = metadata
        self._entries = {entry.prefix: entry for entry in metadata.entries}
        self._encoded: dict[int, bytes] = {}
        self._told: dict[bytes, str | None] = {}
        self._told_height = 0
        self.calls: Answers = {
            "Core_version": lambda reader, height: RUNTIME_VERSION.encode(VERSION),
            "Metadata_metadata": lambda reader, height: BYTES.encode(self.get_metadata(V14)),
            "Metadata_metadata_at_version": self._call_metadata_at_version,
            "Metadata_metadata_versions": lambda reader, height: (
                encode_compact(2) + U32.encode(V14) + U32.encode(V15)
            ),
        }

    def list_methods(self) -> dict[str, Method]:
        """List the methods by name."""
        return {
            "state_getMetadata": self.answer_metadata,
            "state_getRuntimeVersion": self.get_runtime_version,
            "chain_getRuntimeVersion": self.get_runtime_version,
            "state_getStorage": self.get_storage,
            "state_getStorageAt": self.get_storage,
            "state_getStorageHash": self.get_storage_hash,
            "state_getStorageSize": self.get_storage_size,
            "state_getKeysPaged": self.get_keys_paged,
            "state_getKeysPagedAt": self.get_keys_paged,
            "state_queryStorageAt": self.query_storage_at,
            "state_getReadProof": self.get_read_proof,
            "state_call": self.call,
            "state_callAt": self.call,
            "state_subscribeStorage": self.subscribe_storage,
            "state_unsubscribeStorage": self.unsubscribe,
            "state_subscribeRuntimeVersion": self.subscribe_runtime_version,
            "state_unsubscribeRuntimeVersion": self.unsubscribe,
            "chain_subscribeRuntimeVersion": self.subscribe_runtime_version,
            "chain_unsubscribeRuntimeVersion": self.unsubscribe,
        }

    # Metadata and versions

    def get_metadata(self, version: int) -> bytes:
        """Get encoded metadata; made once."""
        if version not in self._encoded:
            self._encoded[version] = self.metadata.encode(version)
        return self._encoded[version]

    async def answer_metadata(self, session: Session | None, at: Any = None) -> str:
        """Answer metadata V14."""
        self.blocks.resolve(at)
        return format_hex(self.get_metadata(V14))

    def _call_metadata_at_version(self, reader: Reader, height: int) -> bytes:
        version = U32.decode(reader)
        if version not in (V14, V15):
            return b"\x00"
        return b"\x01" + BYTES.encode(self.get_metadata(version))

    def build_runtime_version(self) -> dict[str, Any]:
        """Build the version of the runtime as JSON-RPC gives it."""
        return {
            "specName": VERSION["spec_name"],
            "implName": VERSION["impl_name"],
            "authoringVersion": VERSION["authoring_version"],
            "specVersion": VERSION["spec_version"],
            "implVersion": VERSION["impl_version"],
            "apis": [[format_hex(api_id), number] for api_id, number in VERSION["apis"]],
            "transactionVersion": VERSION["transaction_version"],
            "stateVersion": VERSION["state_version"],
        }

    async def get_runtime_version(self, session: Session | None, at: Any = None) -> Any:
        """Answer the version of the runtime."""
        self.blocks.resolve(at)
        return self.build_runtime_version()

    async def subscribe_runtime_version(self, session: Session | None) -> Subscribed:
        """Tell the version; it changes only with the program, which ends the connection."""
        first = [self.build_runtime_version()]
        return self.hub.subscribe(session, "state_runtimeVersion", lambda height: [], first)

    # Storage

    def find_entry(self, key: bytes) -> Entry | None:
        """Find the entry a storage key belongs to."""
        return self._entries.get(key[:PREFIX_BYTES])

    def read(self, state: StateAt, key: bytes) -> bytes | None:
        """Read the SCALE value of a storage key; None for what is not there, or no key of ours."""
        entry = self.find_entry(key)
        if entry is None:
            return None
        try:
            parts = entry.decode_key(key[PREFIX_BYTES:])
        except ScaleError:
            return None
        return entry.read(state, parts)

    async def get_storage(self, session: Session | None, key: Any, at: Any = None) -> str | None:
        """Answer a value, null if it is absent."""
        raw_key = parse_hex(key, "storage key")
        with self.blocks.open_state(self.blocks.resolve(at)) as state:
            found = self.read(state, raw_key)
        return None if found is None else format_hex(found)

    async def get_storage_hash(
        self, session: Session | None, key: Any, at: Any = None
    ) -> str | None:
        """Answer the BLAKE2b-256 of a value."""
        found = await self.get_storage(session, key, at)
        return None if found is None else format_hex(hash_blake2(bytes.fromhex(found[2:])))

    async def get_storage_size(
        self, session: Session | None, key: Any, at: Any = None
    ) -> int | None:
        """Answer the size of a value in bytes."""
        found = await self.get_storage(session, key, at)
        return None if found is None else len(found) // 2 - 1

    async def get_keys_paged(
        self,
        session: Session | None,
        prefix: Any,
        count: Any,
        start_key: Any = None,
        at: Any = None,
    ) -> list[str]:
        """Answer up to `count` keys under a prefix, after `start_key`."""
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_PAGE_KEYS:
            raise InvalidParams(f"count: expected 0 to {MAX_PAGE_KEYS}")
        scope = parse_hex(prefix or "0x", "prefix")
        start = parse_hex(start_key, "start key") if start_key is not None else b""
        with self.blocks.open_state(self.blocks.resolve(at)) as state:
            return [format_hex(key) for key in islice(self.iterate(state, scope, start), count)]

    def iterate(self, state: StateAt, prefix: bytes, start: bytes) -> Any:
        """Iterate storage keys under a prefix, after `start`; of several entries, by prefix."""
        head = prefix[:PREFIX_BYTES]
        after = start if len(start) > len(prefix) and len(start) >= PREFIX_BYTES else b""
        for entry_prefix in sorted(self._entries):
            is_passed = after and entry_prefix < after[:PREFIX_BYTES]
            if entry_prefix.startswith(head) and not is_passed:
                here = after if after.startswith(entry_prefix) else b""
                yield from self._iterate_entry(state, self._entries[entry_prefix], prefix, here)

    def _iterate_entry(self, state: StateAt, entry: Entry, prefix: bytes, after: bytes) -> Any:
        first = entry.decode_key(prefix[PREFIX_BYTES:], is_prefix=True)
        try:
            start = entry.decode_key(after[PREFIX_BYTES:]) if after else None
        except ScaleError as error:
            raise InvalidParams(f"start key: {error}") from None
        if not entry.keys:
            if not after and entry.read(state, ()) is not None:
                yield entry.prefix
            return
        for parts in entry.iterate(state, first, start):
            key = entry.encode_key(parts)
            if key != after and key.startswith(prefix):
                yield key

    async def query_storage_at(
        self, session: Session | None, keys: Any, at: Any = None
    ) -> list[dict[str, Any]]:
        """Answer several values of one block."""
        raw_keys = parse_keys(keys, MAX_QUERY_KEYS)
        height = self.blocks.resolve(at)
        with self.blocks.open_state(height) as state:
            changes = [[key, self._format(self.read(state, raw))] for key, raw in raw_keys]
        return [{"block": self._format(self.blocks.get_hash(height)), "changes": changes}]

    async def get_read_proof(
        self, session: Session | None, keys: Any, at: Any = None
    ) -> dict[str, Any]:
        """Answer proofs against the header's state root, one a key: `node.store.proofs.Proof`.

        Raises:
            InvalidParams: a key of no entry, or of one that is made of several values.
        """
        proofs = []
        height = self.blocks.resolve(at)
        with self.blocks.open_state(height) as state:
            for text, raw in parse_keys(keys, MAX_PROVED_KEYS):
                entry = self.find_entry(raw)
                try:
                    place = entry.locate(entry.decode_key(raw[PREFIX_BYTES:])) if entry else None
                except ScaleError as error:
                    raise InvalidParams(f"{text[:80]}: {error}") from None
                if place is None:
                    raise InvalidParams(f"{text[:80]}: no value of the store")
                proofs.append(format_hex(state.view.prove(*place).encode()))
        return {"at": self._format(self.blocks.get_hash(height)), "proof": proofs}

    def _format(self, value: bytes | None) -> str | None:
        return None if value is None else format_hex(value)

    # Subscriptions

    async def subscribe_storage(self, session: Session | None, keys: Any = None) -> Subscribed:
        """Tell values now and whenever a block changes one of them."""
        raw_keys = parse_keys(keys, MAX_SUBSCRIBED_KEYS)
        known: dict[bytes, str | None] = {}

        def update(height: int) -> list[Any]:
            changes = []
            for key, raw in raw_keys:
                try:
                    value = self._read_told(height, raw)
                except ClientError:  # pruned while this door was behind: the next block tells
                    return []
                if raw not in known or known[raw] != value:
                    known[raw] = value
                    changes.append([key, value])
            block = self._format(self.blocks.get_hash(height))
            return [{"block": block, "changes": changes}] if changes else []

        return self.hub.subscribe(session, "state_storage", update, weight=len(raw_keys))

    def _read_told(self, height: int, key: bytes) -> str | None:
        if height != self._told_height or len(self._told) >= MAX_TOLD_KEYS:
            self._told, self._told_height = {}, height
        if key not in self._told:
            with self.blocks.open_state(height) as state:
                self._told[key] = self._format(self.read(state, key))
        return self._told[key]

    async def unsubscribe(self, session: Session | None, subscription_id: Any) -> bool:
        """End a subscription."""
        return self.hub.unsubscribe(session, subscription_id)

    # Runtime calls

    async def call(self, session: Session | None, name: Any, data: Any, at: Any = None) -> str:
        """Answer a runtime call."""
        answer = self.calls.get(name) if isinstance(name, str) else None
        if answer is None:
            raise ClientError("", NO_METHOD.format(str(name)[:80]))
        reader = Reader(parse_hex(data, "arguments"))
        height = self.blocks.resolve(at)
        try:
            return format_hex(answer(reader, height))
        except ScaleError as error:
            raise SubstrateError("", f"Client error: Execution failed: {error}") from None


def parse_keys(keys: Any, limit: int) -> list[tuple[str, bytes]]:
    """Parse a list of storage keys.

    Raises: InvalidParams.
    """
    if not isinstance(keys, list) or len(keys) > limit:
        raise InvalidParams(f"keys: expected an array of at most {limit}")
    return [(key, parse_hex(key, "storage key")) for key in keys]
