"""Schema, parameters and events of distribution, and the capability other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.distribution.v1beta1 import distribution_pb2

from node.pallets.distribution.rewards import DelegatorStart, OperatorRewards
from node.pallets.staking.shares import DECIMALS_18
from node.runtime.codecs import ADDRESS, AMOUNT, U64, CodecError, ProtoCodec, pair
from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, ParamsCodec, ParamsError, bounded
from node.runtime.storage import Item, Map, Schema
from proto.descent.distribution.v1 import distribution_pb2 as own_pb2

DISTRIBUTION_MODULE = "distribution"
FEE_COLLECTOR = "fee_collector"
ALLOCATION_BLOCKS = 10
"""Fees and consensus emission are shared out every so many blocks."""
DEFAULT_COMMUNITY_TAX = 2 * DECIMALS_18 // 100


@dataclass(frozen=True)
class DistributionParams(Params):
    """What goes to the community, and whether rewards may be paid to another account."""

    message_class: ClassVar[Any] = distribution_pb2.Params

    community_tax: int = bounded(DEFAULT_COMMUNITY_TAX, low=0, high=DECIMALS_18)
    withdraw_addr_enabled: bool = True

    def to_message(self) -> Any:
        return distribution_pb2.Params(
            community_tax=str(self.community_tax),
            base_proposer_reward="0",
            bonus_proposer_reward="0",
            withdraw_addr_enabled=self.withdraw_addr_enabled,
        )

    @classmethod
    def from_message(cls, message: Any) -> DistributionParams:
        tax = message.community_tax or "0"
        if not tax.isascii() or not tax.isdigit():
            raise ParamsError(f"community_tax = {tax!r} is not a scaled integer")
        for name in ("base_proposer_reward", "bonus_proposer_reward"):
            if getattr(message, name).strip("0"):
                raise ParamsError(f"{name} is not supported")
        return cls(int(tax), message.withdraw_addr_enabled)


class OperatorRewardsCodec:
    """`OperatorRewards` as protobuf with decimal text."""

    def __init__(self) -> None:
        self._proto: ProtoCodec[Any] = ProtoCodec(own_pb2.OperatorRewards)

    def encode(self, value: OperatorRewards) -> bytes:
        return self._proto.encode(self._to_message(value))

    def decode(self, data: bytes) -> OperatorRewards:
        return self._from_message(self._proto.decode(data))

    def to_json(self, value: OperatorRewards) -> Any:
        return self._proto.to_json(self._to_message(value))

    def from_json(self, obj: Any) -> OperatorRewards:
        return self._from_message(self._proto.from_json(obj))

    def _to_message(self, value: OperatorRewards) -> Any:
        return own_pb2.OperatorRewards(
            outstanding_udsc=value.outstanding_udsc,
            ratio=str(value.ratio),
            carry=str(value.carry),
            commission=str(value.commission),
        )

    def _from_message(self, message: Any) -> OperatorRewards:
        return OperatorRewards(
            outstanding_udsc=message.outstanding_udsc,
            ratio=parse_numerator(message.ratio),
            carry=parse_numerator(message.carry),
            commission=parse_numerator(message.commission),
        )


class DelegatorStartCodec:
    """`DelegatorStart` as protobuf with decimal text."""

    def __init__(self) -> None:
        self._proto: ProtoCodec[Any] = ProtoCodec(own_pb2.DelegatorStart)

    def encode(self, value: DelegatorStart) -> bytes:
        return self._proto.encode(self._to_message(value))

    def decode(self, data: bytes) -> DelegatorStart:
        return self._from_message(self._proto.decode(data))

    def to_json(self, value: DelegatorStart) -> Any:
        return self._proto.to_json(self._to_message(value))

    def from_json(self, obj: Any) -> DelegatorStart:
        return self._from_message(self._proto.from_json(obj))

    def _to_message(self, value: DelegatorStart) -> Any:
        return own_pb2.DelegatorStart(ratio=str(value.ratio), owed=str(value.owed))

    def _from_message(self, message: Any) -> DelegatorStart:
        return DelegatorStart(parse_numerator(message.ratio), parse_numerator(message.owed))


def parse_numerator(text: str) -> int:
    """Parse the decimal text of a numerator.

    Raises: CodecError.
    """
    if not text.isascii() or not text.isdigit():
        raise CodecError(f"{text!r} is not a decimal integer")
    return int(text)


class DistributionSchema(Schema):
    """Storage of distribution. Addresses are account addresses."""

    community_pool_udsc: Item[int] = Item(0x00, "community_pool_udsc", AMOUNT)
    last_allocation_height: Item[int] = Item(0x01, "last_allocation_height", U64)
    rewards: Map[bytes, OperatorRewards] = Map(0x02, "rewards", ADDRESS, OperatorRewardsCodec())
    withdraw_addrs = Map(0x03, "withdraw_addrs", ADDRESS, ADDRESS)
    starts: Map[tuple[bytes, bytes], DelegatorStart] = Map(
        0x04, "starts", pair(ADDRESS, ADDRESS), DelegatorStartCodec()
    )
    params = Item(0x09, "params", ParamsCodec(DistributionParams))


@dataclass(frozen=True)
class WithdrawAddressSet(Event):
    """Rewards of an account go to another one from now on."""

    abci_type: ClassVar[str] = "set_withdraw_address"
    withdraw_address: Address


@dataclass(frozen=True)
class RewardsAllocated(Event):
    """An operator and its delegators earned coins."""

    abci_type: ClassVar[str] = "rewards"
    amount: str
    validator: Address


@dataclass(frozen=True)
class RewardsWithdrawn(Event):
    """A delegator was paid."""

    abci_type: ClassVar[str] = "withdraw_rewards"
    amount: str
    validator: Address
    delegator: Address


@dataclass(frozen=True)
class CommissionWithdrawn(Event):
    """An operator was paid its commission."""

    abci_type: ClassVar[str] = "withdraw_commission"
    amount: str
    validator: Address


DISTRIBUTION_EVENTS: tuple[type[Event], ...] = (
    WithdrawAddressSet,
    RewardsAllocated,
    RewardsWithdrawn,
    CommissionWithdrawn,
)


class OperatorPay(Protocol):
    """Pay what the scoring validator of an account earned: to it and to its delegators."""

    def pay_operator(
        self, ctx: Context, payer: bytes, operator_addr: bytes, amount_udsc: int
    ) -> None: ...


class CommunityPool(Protocol):
    """Coins nobody owns yet."""

    def fund_community_pool(self, ctx: Context, payer: bytes, amount_udsc: int) -> None: ...
