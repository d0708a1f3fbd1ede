"""Parameters and events of mint, and the capability other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, bounded
from proto.descent.mint.v1 import mint_pb2
from scoring.emission import SUPPLY_CAP_UDSC

DEFAULT_INITIAL_EMISSION_UDSC = 10**6
"""1 DSC a block: the first half of the supply takes 10.5 million blocks of work."""


DEFAULT_CONSENSUS_SHARE_PPM = 100_000
"""10 %."""


@dataclass(frozen=True)
class MintParams(Params):
    """The emission schedule."""

    message_class: ClassVar[Any] = mint_pb2.Params

    initial_emission_udsc: int = bounded(DEFAULT_INITIAL_EMISSION_UDSC, low=0, high=1_000 * 10**6)
    supply_cap_udsc: int = bounded(SUPPLY_CAP_UDSC, low=1, high=SUPPLY_CAP_UDSC)
    consensus_share_ppm: int = bounded(DEFAULT_CONSENSUS_SHARE_PPM, low=0, high=500_000)


@dataclass(frozen=True)
class EmissionIssued(Event):
    """Emission was minted for `recipient`: set aside for a run, or the consensus set's."""

    recipient: Address
    amount_udsc: int


class ConsensusEmission(Protocol):
    """Mint what blocks give to the consensus set."""

    def issue_consensus(self, ctx: Context, recipient: bytes, num_blocks: int) -> None: ...


class EmissionIssue(Protocol):
    """Set emission aside block by block, and mint what is earned of it later."""

    def get_runs_emission(self, ctx: Context) -> int: ...

    def get_unissued(self, ctx: Context) -> int: ...

    def issue(self, ctx: Context, recipient: bytes, amount_udsc: int) -> None: ...
