"""Blocks, their results and what is needed to go on from them, in an LMDB environment of its own.

One process writes, any number read. A block's life: `save_block` before it is executed,
`save_results` once it was, in one transaction with the engine's state; the application commits
after that. So after a crash the newest block is in one of three conditions, which the handshake of
`embedded.py` tells apart.

| table      | key              | value                                                           |
|------------|------------------|-----------------------------------------------------------------|
| blocks     | height           | tendermint.types.Block                                          |
| ids        | height           | tendermint.types.BlockID                                        |
| commits    | height           | tendermint.types.ExtendedCommit for that block                  |
| results    | height           | tendermint.abci.ResponseFinalizeBlock                           |
| hashes     | block hash       | height                                                          |
| txs        | tx hash          | height, index                                                   |
| tags       | kind, height     | crc32 of each `type.key=value` of the block's (b) or txs' (t)   |
|            |                  | events, sorted: which blocks a search has to read               |
| validators | first height     | tendermint.types.ValidatorSet in force from there on            |
| params     | first height     | tendermint.types.ConsensusParams in force from there on         |
| meta       | `state`          | JSON of `EngineState` without sets and params                   |
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tendermint.abci import types_pb2 as abci
from tendermint.types import block_pb2, params_pb2, types_pb2, validator_pb2

from node.engine.hashing import get_time_ns
from node.engine.validators import ValidatorSet
from node.store.environment import (
    MAP_SIZE_BYTES,
    Database,
    Layout,
    close_folder,
    open_folder,
)
from node.store.errors import StoreCorrupt, StoreMisuse

BLOCKS_LAYOUT = Layout(
    (
        b"blocks",
        b"ids",
        b"commits",
        b"results",
        b"hashes",
        b"txs",
        b"tags",
        b"validators",
        b"params",
        b"meta",
    ),
    b"descent-blocks-1",
)
TAG_SIZE = 4
BLOCK_TAGS, TX_TAGS = b"b", b"t"


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the next block is built on, after block `height`.

    height: newest executed block; initial_height - 1 before the first one.
    app_hash, results_hash: of block `height`, for the next header.
    validators, next_validators: in force at height + 1 and height + 2.
    params: in force at height + 1.
    """

    chain_id: str
    genesis_digest: bytes
    initial_height: int
    height: int
    block_id: Any
    block_time_ns: int
    app_hash: bytes
    results_hash: bytes
    app_version: int
    validators: ValidatorSet
    next_validators: ValidatorSet
    params: Any


class BlockStore:
    """The blocks in one folder. Open with `BlockStore.open`, close with `close` or `with`."""

    def __init__(self, database: Database, lock: int | None) -> None:
        self._database = database
        self._lock = lock

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, readonly: bool = False, map_size: int = MAP_SIZE_BYTES
    ) -> "BlockStore":
        """Open the blocks in folder `path`; a writer makes the folder if it is not there.

        Raises:
            StoreMissing: read-only, and nothing was ever written there.
            StoreBusy: another process writes there.
            StoreCorrupt: the files are damaged or cut short.
            StoreFull: no room on the disk.
        """
        return BlockStore(
            *open_folder(Path(path), BLOCKS_LAYOUT, readonly=readonly, map_size=map_size)
        )

    def __enter__(self) -> "BlockStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        close_folder(self._database, self._lock)
        self._lock = None

    # Reading

    @property
    def height(self) -> int:
        """Newest block whose results are kept; 0 before the first one."""
        return self._find_edge(b"results", is_last=True)

    @property
    def block_height(self) -> int:
        """Newest block that is kept, executed or not; 0 before the first one."""
        return self._find_edge(b"blocks", is_last=True)

    @property
    def base(self) -> int:
        """Oldest block that is kept; 0 before the first one."""
        return self._find_edge(b"blocks", is_last=False)

    def load_block(self, height: int) -> Any | None:
        """Return a tendermint.types.Block, None where it is not kept."""
        return self._load(b"blocks", _pack(height), block_pb2.Block)

    def load_block_id(self, height: int) -> Any | None:
        """Return a tendermint.types.BlockID, None where it is not kept."""
        return self._load(b"ids", _pack(height), types_pb2.BlockID)

    def load_extended_commit(self, height: int) -> Any | None:
        """Return the tendermint.types.ExtendedCommit that decided a block, None if not kept."""
        return self._load(b"commits", _pack(height), types_pb2.ExtendedCommit)

    def load_commit(self, height: int) -> Any | None:
        """Return the tendermint.types.Commit that decided a block, None where it is not kept."""
        extended = self.load_extended_commit(height)
        return None if extended is None else strip_extensions(extended)

    def load_results(self, height: int) -> Any | None:
        """Return the ResponseFinalizeBlock of a block, None where it is not kept."""
        return self._load(b"results", _pack(height), abci.ResponseFinalizeBlock)

    def load_validators(self, height: int) -> Any | None:
        """Return the tendermint.types.ValidatorSet in force at a height."""
        return self._load_since(b"validators", height, validator_pb2.ValidatorSet)

    def load_params(self, height: int) -> Any | None:
        """Return the tendermint.types.ConsensusParams in force at a height."""
        return self._load_since(b"params", height, params_pb2.ConsensusParams)

    def find_block_height(self, block_hash: bytes) -> int | None:
        """Return the height of the block with a hash, None where it is not kept."""
        found = self._get(b"hashes", block_hash) if block_hash else None
        return None if found is None else int.from_bytes(found, "big")

    def find_tx(self, tx_hash: bytes) -> tuple[int, int] | None:
        """Return (height, index in the block) of a transaction, None where it is in no block."""
        found = self._get(b"txs", tx_hash) if tx_hash else None
        if found is None:
            return None
        return int.from_bytes(found[:8], "big"), int.from_bytes(found[8:], "big")

    def iterate_tagged(
        self, tags: Iterable[tuple[str, str]], low: int, high: int, *, is_block: bool = False
    ) -> Iterator[int]:
        """Yield the heights low..high whose events may have all of `tags`, lowest first.

        A height that is not yielded has none; one that is yielded has to be looked at, because
        tags are kept as 32-bit sums and of different transactions.

        Args:
            tags: (`type.key`, value) pairs, e.g. ("transfer.recipient", "descent1...").
            is_block: look at the events of blocks, not of transactions.
        """
        kind = BLOCK_TAGS if is_block else TX_TAGS
        sums = [_sum_tag(key, value) for key, value in tags]
        with self._database.begin() as txn:
            cursor = txn.cursor(db=self._database.tables[b"tags"])
            is_found = cursor.set_range(kind + _pack(low))
            while is_found:
                key = cursor.key()
                height = int.from_bytes(key[1:], "big")
                if key[:1] != kind or height > high:
                    return
                kept = cursor.value()
                if all(_has_tag(kept, tag) for tag in sums):
                    yield height
                is_found = cursor.next()

    def load_state(self) -> EngineState | None:
        """Return the state to build the next block on, None before genesis.

        Raises:
            StoreCorrupt: it does not fit the tables.
        """
        raw = self._get(b"meta", b"state")
        if raw is None:
            return None
        fields = json.loads(raw)
        height = fields["height"]
        sets = [self.load_validators(height + ahead) for ahead in (1, 2)]
        params = self.load_params(height + 1)
        if sets[0] is None or sets[1] is None or params is None:
            raise StoreCorrupt(
                f"{self._database.path}: validators or parameters of height {height + 1} are "
                "missing: restore the data folder from a backup or start again from genesis"
            )
        return EngineState(
            chain_id=fields["chain_id"],
            genesis_digest=bytes.fromhex(fields["genesis_digest"]),
            initial_height=fields["initial_height"],
            height=height,
            block_id=types_pb2.BlockID.FromString(bytes.fromhex(fields["block_id"])),
            block_time_ns=fields["block_time_ns"],
            app_hash=bytes.fromhex(fields["app_hash"]),
            results_hash=bytes.fromhex(fields["results_hash"]),
            app_version=fields["app_version"],
            validators=ValidatorSet.from_message(sets[0]),
            next_validators=ValidatorSet.from_message(sets[1]),
            params=params,
        )

    # Writing

    def save_genesis(self, state: EngineState) -> None:
        """Persist the state before the first block, once the application took the genesis."""
        self._ensure_writable()
        self._database.write(lambda txn: self._put_state(txn, state))

    def save_block(self, block: Any, block_id: Any, commit: Any) -> None:
        """Persist a decided block and the ExtendedCommit that decided it, before it is executed."""
        self._ensure_writable()
        height = _pack(block.header.height)
        tables = self._database.tables

        def write(txn: Any) -> None:
            txn.put(height, block.SerializeToString(), db=tables[b"blocks"])
            txn.put(height, block_id.SerializeToString(), db=tables[b"ids"])
            txn.put(height, commit.SerializeToString(), db=tables[b"commits"])
            txn.put(block_id.hash, height, db=tables[b"hashes"])

        self._database.write(write)

    def save_results(self, response: Any, txs: Iterable[bytes], state: EngineState) -> None:
        """Persist what a block did, its transactions' places and the state after it, as one."""
        self._ensure_writable()
        height = _pack(state.height)
        tables = self._database.tables
        places = sorted(
            (sha256(tx).digest(), height + index.to_bytes(4, "big")) for index, tx in enumerate(txs)
        )
        block_tags = _collect_tags(response.events)
        tx_tags = _collect_tags(e for result in response.tx_results for e in result.events)

        def write(txn: Any) -> None:
            txn.put(height, response.SerializeToString(), db=tables[b"results"])
            # A transaction that was in an earlier block keeps the place of its success there.
            txn.cursor(db=tables[b"txs"]).putmulti(places, overwrite=False)
            for kind, tags in ((BLOCK_TAGS, block_tags), (TX_TAGS, tx_tags)):
                if tags:
                    txn.put(kind + height, tags, db=tables[b"tags"])
            self._put_state(txn, state)

        self._database.write(write)

    def prune(self, retain_height: int, limit: int = 100) -> int:
        """Forget blocks below `retain_height`, at most `limit` of them now; return how many."""
        self._ensure_writable()
        base = self.base
        heights = range(base, min(retain_height, base + limit, self.height))
        if not base or not heights:
            return 0
        tables = self._database.tables
        blocks = [self.load_block(height) for height in heights]
        ids = [self.load_block_id(height) for height in heights]

        def write(txn: Any) -> None:
            for height, block, block_id in zip(heights, blocks, ids, strict=True):
                key = _pack(height)
                for name in (b"blocks", b"ids", b"commits", b"results"):
                    txn.delete(key, db=tables[name])
                for kind in (BLOCK_TAGS, TX_TAGS):
                    txn.delete(kind + key, db=tables[b"tags"])
                if block_id is not None:
                    txn.delete(block_id.hash, db=tables[b"hashes"])
                for tx in block.data.txs if block is not None else ():
                    place = txn.get(sha256(tx).digest(), db=tables[b"txs"])
                    if place is not None and place[:8] == key:
                        txn.delete(sha256(tx).digest(), db=tables[b"txs"])

        self._database.write(write)
        return len(heights)

    def rollback(self, state: EngineState, *, remove_blocks: bool) -> None:
        """Go back to an earlier state: forget what later blocks did, and the blocks if wanted.

        Blocks that stay are executed again when the node starts.
        """
        self._ensure_writable()
        tables, later = self._database.tables, _pack(state.height + 1)
        names = [b"results", *((b"blocks", b"ids", b"commits") if remove_blocks else ())]

        def write(txn: Any) -> None:
            for name in names:
                _delete_from(txn, tables[name], later)
            for kind in (BLOCK_TAGS, TX_TAGS):
                _delete_from(txn, tables[b"tags"], kind + later, kind)
            _delete_from(txn, tables[b"validators"], _pack(state.height + 3))
            _delete_from(txn, tables[b"params"], _pack(state.height + 2))
            is_gone = [b"txs", *((b"hashes",) if remove_blocks else ())]
            for name in is_gone:
                entries = txn.cursor(db=tables[name]).iternext()
                for key in [key for key, place in entries if place[:8] >= later]:
                    txn.delete(key, db=tables[name])
            self._put_state(txn, state)

        self._database.write(write)

    def load_state_before(self, height: int) -> EngineState | None:
        """Make the state that block `height` was built on; None where that is not kept."""
        newest, header = self.load_state(), self._load_header(height)
        before = self._load_header(height - 1)
        sets = [self.load_validators(height + ahead) for ahead in (0, 1)]
        params, block_id = self.load_params(height), self.load_block_id(height - 1)
        if newest is None or header is None or before is None or block_id is None:
            return None
        if sets[0] is None or sets[1] is None or params is None:
            return None
        return replace(
            newest,
            height=height - 1,
            block_id=block_id,
            block_time_ns=get_time_ns(before.time),
            app_hash=header.app_hash,
            results_hash=header.last_results_hash,
            app_version=header.version.app,
            validators=ValidatorSet.from_message(sets[0]),
            next_validators=ValidatorSet.from_message(sets[1]),
            params=params,
        )

    def _load_header(self, height: int) -> Any | None:
        block = self.load_block(height)
        return None if block is None else block.header

    def _put_state(self, txn: Any, state: EngineState) -> None:
        tables = self._database.tables
        fields = {
            "chain_id": state.chain_id,
            "genesis_digest": state.genesis_digest.hex(),
            "initial_height": state.initial_height,
            "height": state.height,
            "block_id": state.block_id.SerializeToString().hex(),
            "block_time_ns": state.block_time_ns,
            "app_hash": state.app_hash.hex(),
            "results_hash": state.results_hash.hex(),
            "app_version": state.app_version,
        }
        txn.put(b"state", json.dumps(fields).encode(), db=tables[b"meta"])
        since = state.height + 1
        _put_if_changed(txn, tables[b"validators"], since, state.validators.make_message())
        _put_if_changed(txn, tables[b"validators"], since + 1, state.next_validators.make_message())
        _put_if_changed(txn, tables[b"params"], since, state.params)

    def _ensure_writable(self) -> None:
        if self._lock is None:
            raise StoreMisuse("the block store is open for reading only, or closed")

    def _get(self, table: bytes, key: bytes) -> bytes | None:
        with self._database.begin() as txn:
            found: bytes | None = txn.get(key, db=self._database.tables[table])
            return found

    def _load(self, table: bytes, key: bytes, kind: Any) -> Any | None:
        raw = self._get(table, key)
        return None if raw is None else kind.FromString(raw)

    def _load_since(self, table: bytes, height: int, kind: Any) -> Any | None:
        with self._database.begin() as txn:
            raw = _get_since(txn, self._database.tables[table], height)
        return None if raw is None else kind.FromString(raw)

    def _find_edge(self, table: bytes, *, is_last: bool) -> int:
        with self._database.begin() as txn:
            cursor = txn.cursor(db=self._database.tables[table])
            is_found = cursor.last() if is_last else cursor.first()
            return int.from_bytes(cursor.key(), "big") if is_found else 0


def strip_extensions(extended: Any) -> Any:
    """Return the Commit of an ExtendedCommit."""
    return types_pb2.Commit(
        height=extended.height,
        round=extended.round,
        block_id=extended.block_id,
        signatures=[
            types_pb2.CommitSig(
                block_id_flag=item.block_id_flag,
                validator_address=item.validator_address,
                timestamp=item.timestamp,
                signature=item.signature,
            )
            for item in extended.extended_signatures
        ],
    )


def _pack(height: int) -> bytes:
    return max(height, 0).to_bytes(8, "big")


def _get_since(txn: Any, table: Any, height: int) -> bytes | None:
    """Return the newest entry at or below a height."""
    cursor = txn.cursor(db=table)
    is_found = cursor.prev() if cursor.set_range(_pack(height + 1)) else cursor.last()
    return cursor.value() if is_found else None


def _put_if_changed(txn: Any, table: Any, height: int, message: Any) -> None:
    raw = message.SerializeToString(deterministic=True)
    if _get_since(txn, table, height) != raw:
        txn.put(_pack(height), raw, db=table)


def _delete_from(txn: Any, table: Any, first: bytes, prefix: bytes = b"") -> None:
    """Delete a key and all after it that begin with `prefix`."""
    cursor = txn.cursor(db=table)
    is_found = cursor.set_range(first)
    while is_found and cursor.key().startswith(prefix):
        is_found = cursor.delete()


def _sum_tag(key: str, value: str) -> bytes:
    return zlib.crc32(f"{key}={value}".encode()).to_bytes(TAG_SIZE, "big")


def _collect_tags(events: Iterable[Any]) -> bytes:
    """Collect `_sum_tag` of every indexed attribute; the sum of a key is made once."""
    heads: dict[tuple[str, str], int] = {}
    sums = set()
    for event in events:
        kind = event.type
        for attribute in event.attributes:
            if attribute.index:
                name = kind, attribute.key
                head = heads.get(name)
                if head is None:
                    head = heads[name] = zlib.crc32(f"{kind}.{name[1]}=".encode())
                sums.add(zlib.crc32(attribute.value.encode(), head))
    return struct.pack(f">{len(sums)}I", *sorted(sums))


def _has_tag(tags: bytes, tag: bytes) -> bool:
    at = tags.find(tag)
    while at % TAG_SIZE and at >= 0:
        at = tags.find(tag, at + 1)
    return at >= 0
