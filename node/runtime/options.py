"""What an operator may set on one node without changing what the chain computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.runtime.ante import GasPrice

DEFAULT_MAX_TX_BYTES = 2**20


@dataclass(frozen=True)
class NodeOptions:
    """Node-local options.

    Args:
        min_gas_price: lowest gas price taken on arrival.
        keep_recent_blocks: versions of state kept readable; None keeps all.
        max_tx_bytes: larger transactions are refused on arrival.
    """

    min_gas_price: GasPrice = field(default_factory=GasPrice)
    keep_recent_blocks: int | None = None
    max_tx_bytes: int = DEFAULT_MAX_TX_BYTES
