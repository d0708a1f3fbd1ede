"""Events of the beacon and the capability other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from node.runtime.context import Context
from node.runtime.events import Address, Event

BEACON_TAG = 0x01
"""First byte of the pseudo transaction that carries the reveals of a block."""

KEPT_VALUES_BLOCKS = 2**14
"""16 384 values stay readable; whoever needs one longer copies it."""

EXTENSION_BYTES_MAX = 512
"""A reveal has 116 bytes; a longer extension never gets into a block."""

MAX_PENDING_DEPTH = 2
"""A vote extension may be ahead of committed state by the reveal in the block voted on."""


@dataclass(frozen=True)
class BeaconDrawn(Event):
    """The value of a block was drawn from `num_reveals` reveals."""

    value: bytes
    num_reveals: int


@dataclass(frozen=True)
class NodeRegistered(Event):
    """An operator's node was registered; `operator` is an account address."""

    operator: Address


@dataclass(frozen=True)
class RevealWithheld(Event):
    """A node voted for the block before and did not reveal; its operator's account address."""

    operator: Address


class ConsensusKeys(Protocol):
    """Who signs votes with which key."""

    def get_operator(self, ctx: Context, operator_addr: bytes) -> Any: ...

    def get_node_key(self, ctx: Context, consensus_addr: bytes) -> tuple[bytes, bytes] | None:
        """Get operator (account) and ed25519 key of a consensus address, while there is one."""


class NodeListener(Protocol):
    """Is told when an operator's node was registered."""

    def note_node(self, ctx: Context, operator_addr: bytes) -> None: ...


class BeaconRead(Protocol):
    """Read beacon values. Those of this block and before are known, later ones are not."""

    def get_value(self, ctx: Context, height: int) -> bytes: ...
