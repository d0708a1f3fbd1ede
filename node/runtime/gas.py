"""Gas: what a transaction pays for reading, writing and verifying.

Source: the Cosmos SDK key-value gas table, so fees look familiar to its users.
"""

from __future__ import annotations

from node.runtime.errors import OutOfGas

READ_FLAT_GAS = 1_000
READ_BYTE_GAS = 3
WRITE_FLAT_GAS = 2_000
WRITE_BYTE_GAS = 30
DELETE_GAS = 1_000
ITERATE_FLAT_GAS = 30


class GasMeter:
    """Count gas against a limit; with `limit` None it only counts (hooks, simulation)."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0

    def consume(self, amount: int, location: str) -> None:
        """Add gas.

        Raises: OutOfGas.
        """
        self.used += amount
        if self.limit is not None and self.used > self.limit:
            raise OutOfGas(
                f"out of gas in location: {location}; gasWanted: {self.limit}, gasUsed: {self.used}"
            )
