"""Transactions that passed CheckTx and wait for a block.

Rules are those of CometBFT's list mempool: first come, first served; a cache of hashes keeps a
transaction from being checked twice; after each block what is left is checked again. Source:
CometBFT mempool/clist_mempool.go, mempool/cache.go.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tendermint.abci import types_pb2 as abci

from node.engine.errors import TxRefused

IN_CACHE_CODE, FULL_CODE, TOO_LARGE_CODE = 19, 20, 21
TX_OVERHEAD_BYTES = 11  # field tag and length of a transaction in a block's data, at most


@dataclass(frozen=True, slots=True)
class MempoolLimits:
    """Bounds of the mempool; the defaults are CometBFT's except for the bytes in all."""

    num_txs: int = 5000
    num_cached: int = 10_000
    total_bytes: int = 64 << 20
    tx_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class _Waiting:
    tx: bytes
    gas_wanted: int


CheckTx = Callable[[Any], Any]  # RequestCheckTx -> ResponseCheckTx


class Mempool:
    """Checked transactions, in order of arrival."""

    def __init__(self, check_tx: CheckTx, limits: MempoolLimits) -> None:
        self._check_tx = check_tx
        self._limits = limits
        self._waiting: dict[bytes, _Waiting] = {}
        self._cache: OrderedDict[bytes, None] = OrderedDict()
        self._total_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def total_bytes(self) -> int:
        """Bytes of all waiting transactions together."""
        return self._total_bytes

    def list_txs(self, limit: int | None = None) -> list[bytes]:
        """Return the first `limit` waiting transactions."""
        txs = [waiting.tx for waiting in self._waiting.values()]
        return txs if limit is None else txs[:limit]

    def add(self, tx: bytes) -> Any:
        """Check a transaction and keep it if the check passes; return the ResponseCheckTx.

        Raises:
            TxRefused: known already, too large, or no room for it; it was not checked.
        """
        limits = self._limits
        if len(tx) > limits.tx_bytes:
            raise TxRefused(
                TOO_LARGE_CODE, f"Tx too large. Max size is {limits.tx_bytes}, but got {len(tx)}"
            )
        is_full = len(self._waiting) >= limits.num_txs
        if is_full or self._total_bytes + len(tx) > limits.total_bytes:
            raise TxRefused(
                FULL_CODE,
                f"mempool is full: number of txs {len(self._waiting)} (max: {limits.num_txs}), "
                f"total txs bytes {self._total_bytes} (max: {limits.total_bytes})",
            )
        tx_hash = sha256(tx).digest()
        if not self._remember(tx_hash):
            raise TxRefused(IN_CACHE_CODE, "tx already exists in cache")
        response = self._check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW))
        if response.code:
            self._cache.pop(tx_hash, None)
        else:
            self._waiting[tx_hash] = _Waiting(tx, response.gas_wanted)
            self._total_bytes += len(tx)
        return response

    def check(self, tx: bytes) -> Any:
        """Check a transaction without keeping it; return the ResponseCheckTx."""
        return self._check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW))

    def reap(self, max_bytes: int, max_gas: int) -> list[bytes]:
        """Return transactions for a block, oldest first, within bytes and gas; -1: no bound."""
        txs = []
        num_bytes = gas = 0
        for waiting in self._waiting.values():
            num_bytes += len(waiting.tx) + TX_OVERHEAD_BYTES
            gas += waiting.gas_wanted
            if (max_bytes >= 0 and num_bytes > max_bytes) or (max_gas >= 0 and gas > max_gas):
                break
            txs.append(waiting.tx)
        return txs

    def update(self, txs: Iterable[bytes], results: Iterable[Any]) -> None:
        """Drop what a committed block contains and check again what is left."""
        for tx, result in zip(txs, results, strict=True):
            tx_hash = sha256(tx).digest()
            self._drop(tx_hash)
            if result.code:
                self._cache.pop(tx_hash, None)
            else:
                self._remember(tx_hash)
        for tx_hash, waiting in list(self._waiting.items()):
            request = abci.RequestCheckTx(tx=waiting.tx, type=abci.RECHECK)
            if self._check_tx(request).code:
                self._drop(tx_hash)
                self._cache.pop(tx_hash, None)

    def _drop(self, tx_hash: bytes) -> None:
        waiting = self._waiting.pop(tx_hash, None)
        if waiting is not None:
            self._total_bytes -= len(waiting.tx)

    def _remember(self, tx_hash: bytes) -> bool:
        """Put a hash at the young end of the cache; return whether it was not there."""
        is_new = tx_hash not in self._cache
        self._cache[tx_hash] = None
        self._cache.move_to_end(tx_hash)
        while len(self._cache) > self._limits.num_cached:
            self._cache.popitem(last=False)
        return is_new
