"""Parameters and events of mint, and the capability other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from node.runtime.context import Context
from node.runtime.events import Event
from node.runtime.params import Params, bounded
from proto.descent.mint.v1 import mint_pb2
from scoring.emission import SUPPLY_CAP_UDSC

DEFAULT_INITIAL_EMISSION_UDSC = 10**6
"""1 DSC a block: the first half of the supply takes 10.5 million blocks of work."""


@dataclass(frozen=True)
class MintParams(Params):
    """The emission schedule."""

    message_class: ClassVar[Any] = mint_pb2.Params

    initial_emission_udsc: int = bounded(DEFAULT_INITIAL_EMISSION_UDSC, low=0, high=1_000 * 10**6)
    supply_cap_udsc: int = bounded(SUPPLY_CAP_UDSC, low=1, high=SUPPLY_CAP_UDSC)


@dataclass(frozen=True)
class EmissionIssued(Event):
    """Emission that had been set aside for a run was minted for `recipient`."""

    recipient: str
    amount_udsc: int


class EmissionIssue(Protocol):
    """Set emission aside block by block, and mint what is earned of it later."""

    def get_block_emission(self, ctx: Context) -> int: ...

    def get_unissued(self, ctx: Context) -> int: ...

    def issue(self, ctx: Context, recipient: bytes, amount_udsc: int) -> None: ...
