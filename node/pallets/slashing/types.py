"""Schema, parameters and events of slashing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.evidence.v1beta1 import evidence_pb2
from cosmos.slashing.v1beta1 import slashing_pb2

from node.pallets.staking.shares import DECIMALS_18
from node.runtime.codecs import ADDRESS, HASH, U32, ProtoCodec, pair
from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, ParamsCodec, ParamsError, bounded
from node.runtime.storage import Item, KeySet, Map, Schema

FOREVER_SECONDS = 253_402_300_799
"""The end of the year 9999: a tombstoned key is jailed until then."""
UPDATE_DELAY_BLOCKS = 1
"""Blocks between a change of the set and the first vote of the new one, less one."""


@dataclass(frozen=True)
class SlashingParams(Params):
    """How much downtime is borne, and what downtime and double signing cost.

    Fractions are scaled by 10**18.
    """

    message_class: ClassVar[Any] = slashing_pb2.Params

    signed_blocks_window: int = bounded(100, low=10, high=100_000)
    min_signed_per_window: int = bounded(DECIMALS_18 // 2, low=0, high=DECIMALS_18)
    downtime_jail_seconds: int = bounded(600, low=1, high=365 * 24 * 3600)
    slash_fraction_double_sign: int = bounded(DECIMALS_18 // 20, low=0, high=DECIMALS_18)
    slash_fraction_downtime: int = bounded(DECIMALS_18 // 100, low=0, high=DECIMALS_18)

    @property
    def max_missed_blocks(self) -> int:
        """Blocks of a window that may be missed."""
        window = self.signed_blocks_window
        return window - window * self.min_signed_per_window // DECIMALS_18

    def to_message(self) -> Any:
        message = slashing_pb2.Params(
            signed_blocks_window=self.signed_blocks_window,
            min_signed_per_window=str(self.min_signed_per_window).encode(),
            slash_fraction_double_sign=str(self.slash_fraction_double_sign).encode(),
            slash_fraction_downtime=str(self.slash_fraction_downtime).encode(),
        )
        message.downtime_jail_duration.seconds = self.downtime_jail_seconds
        return message

    @classmethod
    def from_message(cls, message: Any) -> SlashingParams:
        return cls(
            message.signed_blocks_window,
            parse_fraction_bytes(message.min_signed_per_window),
            message.downtime_jail_duration.seconds,
            parse_fraction_bytes(message.slash_fraction_double_sign),
            parse_fraction_bytes(message.slash_fraction_downtime),
        )


def parse_fraction_bytes(data: bytes) -> int:
    """Parse a fraction in the form slashing messages have: scaled integer as ASCII digits.

    Raises: ParamsError.
    """
    if not data.isdigit():
        raise ParamsError(f"{data!r} is not a scaled integer")
    return int(data)


class SlashingSchema(Schema):
    """Storage of slashing, by consensus address. A missed block is kept at height % window."""

    params = Item(0x00, "params", ParamsCodec(SlashingParams))
    signing_infos: Map[bytes, Any] = Map(
        0x01, "signing_infos", ADDRESS, ProtoCodec(slashing_pb2.ValidatorSigningInfo)
    )
    missed_blocks = KeySet(0x02, "missed_blocks", pair(ADDRESS, U32))
    evidence: Map[bytes, Any] = Map(0x03, "evidence", HASH, ProtoCodec(evidence_pb2.Equivocation))


@dataclass(frozen=True)
class OperatorSlashed(Event):
    """Stake of an operator was burned for what its node did or did not do."""

    abci_type: ClassVar[str] = "slash"
    address: str
    power: int
    reason: str
    jailed: str
    burned_coins: str


@dataclass(frozen=True)
class BlockMissed(Event):
    """A node did not vote for the block before, or voted without its reveal."""

    abci_type: ClassVar[str] = "liveness"
    address: str
    missed_blocks: int
    height: int


@dataclass(frozen=True)
class OperatorUnjailed(Event):
    """A jailed operator is back."""

    abci_type: ClassVar[str] = "unjail"
    validator: Address


class EvidenceAge(Protocol):
    """Consensus parameters, which say how old evidence may be."""

    def get_params(self, ctx: Context) -> Any: ...


class RevealsRead(Protocol):
    """Who withholds from the beacon."""

    def has_withheld(self, ctx: Context, consensus_addr: bytes) -> bool: ...
