"""Schema, parameters and events of staking, and the capability other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.staking.v1beta1 import staking_pb2
from google.protobuf import timestamp_pb2

from node.pallets.staking.shares import DECIMALS_18
from node.runtime.codecs import ADDRESS, HASH, U8, U64, ProtoCodec, pair, triple
from node.runtime.coins import BASE_DENOM
from node.runtime.context import NANOS_PER_SECOND, Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, ParamsCodec, ParamsError, bounded
from node.runtime.storage import Index, IndexedMap, Item, KeySet, Map, Schema

BONDED_POOL = "bonded_tokens_pool"
NOT_BONDED_POOL = "not_bonded_tokens_pool"
DAY_SECONDS = 24 * 3600
DEFAULT_UNBONDING_SECONDS = 21 * DAY_SECONDS
MAX_MATURE_PER_BLOCK = 1_000
"""Unbondings paid out in one block; the rest follow in the next."""
MAX_OPERATORS = 1_000
UDSC_PER_POWER = 10**6
"""Bonded udsc that are one unit of consensus power."""

COMMISSION_CHANGE_SECONDS = DAY_SECONDS
DO_NOT_MODIFY = "[do-not-modify]"
DESCRIPTION_LIMITS = {
    "moniker": 70,
    "identity": 3_000,
    "website": 140,
    "security_contact": 140,
    "details": 280,
}
"""Characters."""


@dataclass(frozen=True)
class StakingParams(Params):
    """How stake is unbonded and how many operators the consensus set has."""

    message_class: ClassVar[Any] = staking_pb2.Params

    unbonding_seconds: int = bounded(DEFAULT_UNBONDING_SECONDS, low=1, high=365 * DAY_SECONDS)
    max_validators: int = bounded(100, low=1, high=MAX_OPERATORS)
    max_entries: int = bounded(7, low=1, high=100)
    min_commission_rate: int = bounded(0, low=0, high=DECIMALS_18)

    def to_message(self) -> Any:
        message = staking_pb2.Params(
            max_validators=self.max_validators,
            max_entries=self.max_entries,
            bond_denom=BASE_DENOM,
            min_commission_rate=str(self.min_commission_rate),
        )
        message.unbonding_time.seconds = self.unbonding_seconds
        return message

    @classmethod
    def from_message(cls, message: Any) -> StakingParams:
        rate = message.min_commission_rate or "0"
        if not rate.isascii() or not rate.isdigit():
            raise ParamsError(f"min_commission_rate = {rate!r} is not a scaled integer")
        return cls(
            message.unbonding_time.seconds,
            message.max_validators,
            message.max_entries,
            int(rate),
        )


def compute_power(operator: Any) -> int:
    """Compute the consensus power of an operator's bonded stake."""
    return int(operator.tokens) // UDSC_PER_POWER


def get_rank(_: bytes, operator: Any) -> int | None:
    """Get what operators are ranked by: consensus power, None for one that can have none."""
    power = compute_power(operator)
    return None if operator.jailed or power == 0 else power


class StakingSchema(Schema):
    """Storage of staking; prefixes as in the Cosmos SDK. Addresses are account addresses."""

    consensus_powers = Map(0x11, "consensus_powers", HASH, U64)
    has_set_changed: Item[int] = Item(0x12, "has_set_changed", U8)
    operators: IndexedMap[bytes, Any] = IndexedMap(
        0x21,
        "operators",
        ADDRESS,
        ProtoCodec(staking_pb2.Validator),
        (Index(0x23, "power", U64, get_rank),),
    )
    operators_by_key = Map(0x22, "operators_by_consensus_addr", ADDRESS, ADDRESS)
    delegations: Map[tuple[bytes, bytes], Any] = Map(
        0x31, "delegations", pair(ADDRESS, ADDRESS), ProtoCodec(staking_pb2.Delegation)
    )
    unbondings: Map[tuple[bytes, bytes], Any] = Map(
        0x32, "unbondings", pair(ADDRESS, ADDRESS), ProtoCodec(staking_pb2.UnbondingDelegation)
    )
    unbondings_by_operator = KeySet(0x33, "unbondings_by_operator", pair(ADDRESS, ADDRESS))
    redelegations: Map[tuple[bytes, bytes, bytes], Any] = Map(
        0x34,
        "redelegations",
        triple(ADDRESS, ADDRESS, ADDRESS),
        ProtoCodec(staking_pb2.Redelegation),
    )
    redelegations_by_source = KeySet(
        0x35, "redelegations_by_source", triple(ADDRESS, ADDRESS, ADDRESS)
    )
    redelegations_by_target = KeySet(
        0x36, "redelegations_by_target", triple(ADDRESS, ADDRESS, ADDRESS)
    )
    next_unbonding_id: Item[int] = Item(0x37, "next_unbonding_id", U64)
    unbonding_queue = KeySet(0x41, "unbonding_queue", triple(U64, ADDRESS, ADDRESS))
    redelegation_queue = KeySet(
        0x42, "redelegation_queue", pair(U64, triple(ADDRESS, ADDRESS, ADDRESS))
    )
    params = Item(0x51, "params", ParamsCodec(StakingParams))
    delegations_by_operator = KeySet(0x71, "delegations_by_operator", pair(ADDRESS, ADDRESS))


@dataclass(frozen=True)
class OperatorCreated(Event):
    """An operator registered with a first bond."""

    abci_type: ClassVar[str] = "create_validator"
    validator: Address
    amount: str


@dataclass(frozen=True)
class OperatorEdited(Event):
    """An operator changed its description, commission or minimum."""

    abci_type: ClassVar[str] = "edit_validator"
    commission_rate: str
    min_self_delegation: str


@dataclass(frozen=True)
class Delegated(Event):
    """Coins were bonded to an operator."""

    abci_type: ClassVar[str] = "delegate"
    validator: Address
    delegator: Address
    amount: str
    new_shares: str


@dataclass(frozen=True)
class UnbondingStarted(Event):
    """Coins began to unbond; `completion_time` is RFC 3339."""

    abci_type: ClassVar[str] = "unbond"
    validator: Address
    delegator: Address
    amount: str
    completion_time: str


@dataclass(frozen=True)
class UnbondingCancelled(Event):
    """Coins that were unbonding are bonded again."""

    abci_type: ClassVar[str] = "cancel_unbonding_delegation"
    validator: Address
    delegator: Address
    amount: str
    creation_height: int


@dataclass(frozen=True)
class UnbondingCompleted(Event):
    """Unbonded coins were paid out."""

    abci_type: ClassVar[str] = "complete_unbonding"
    validator: Address
    delegator: Address
    amount: str


@dataclass(frozen=True)
class RedelegationStarted(Event):
    """Bonded coins went from one operator to another; `completion_time` is RFC 3339."""

    abci_type: ClassVar[str] = "redelegate"
    source_validator: Address
    destination_validator: Address
    delegator: Address
    amount: str
    completion_time: str


@dataclass(frozen=True)
class RedelegationCompleted(Event):
    """Redelegated coins no longer answer for the operator they came from."""

    abci_type: ClassVar[str] = "complete_redelegation"
    source_validator: Address
    destination_validator: Address
    delegator: Address


@dataclass(frozen=True)
class ConsensusPowerChanged(Event):
    """The power of a consensus key changed; 0: it left the set."""

    consensus_address: str
    power: int


STAKING_EVENTS: tuple[type[Event], ...] = (
    OperatorCreated,
    OperatorEdited,
    Delegated,
    UnbondingStarted,
    UnbondingCancelled,
    UnbondingCompleted,
    RedelegationStarted,
    RedelegationCompleted,
    ConsensusPowerChanged,
)


class OperatorStake(Protocol):
    """Bonded stake, own and delegated, of the operator an account owns; 0 if it has none."""

    def get_bonded_stake(self, ctx: Context, operator_addr: bytes) -> int: ...


class ConsensusNodes(Protocol):
    """Tells which operators run a consensus node: those whose node draws the beacon."""

    def has_node(self, ctx: Context, operator_addr: bytes) -> bool: ...


class StakingListener(Protocol):
    """What another pallet does when stake moves."""

    def on_shares_change(
        self, ctx: Context, delegator: bytes, operator_addr: bytes, before: int, after: int
    ) -> None:
        """Called before shares of a delegation change, with what they are and will be."""

    def on_operator_created(
        self, ctx: Context, operator_addr: bytes, consensus_addr: bytes
    ) -> None:
        """Called when an operator has registered and bonded."""

    def on_operator_removed(self, ctx: Context, operator_addr: bytes) -> None:
        """Called when the last share of an operator is gone."""


class OperatorsRead(OperatorStake, Protocol):
    """Operators and delegations, as other pallets see them."""

    def get_operator(self, ctx: Context, operator_addr: bytes) -> Any | None: ...

    def get_shares(self, ctx: Context, delegator: bytes, operator_addr: bytes) -> int: ...

    def list_delegated_operators(self, ctx: Context, delegator: bytes) -> list[bytes]: ...

    def list_operator_shares(
        self, ctx: Context, operator_addr: bytes
    ) -> list[tuple[bytes, int]]: ...

    def list_consensus_powers(self, ctx: Context) -> list[tuple[bytes, int]]: ...


class OperatorsSlash(OperatorsRead, Protocol):
    """Punish operators."""

    def get_operator_by_key(self, ctx: Context, consensus_addr: bytes) -> bytes | None: ...

    def get_consensus_addr(self, operator: Any) -> bytes: ...

    def get_own_tokens(self, ctx: Context, operator_addr: bytes) -> int: ...

    def set_jailed(self, ctx: Context, operator_addr: bytes, is_jailed: bool) -> None: ...

    def slash(
        self,
        ctx: Context,
        operator_addr: bytes,
        infraction_height: int,
        power: int,
        fraction: int,
    ) -> int: ...


def build_timestamp(time_ns: int) -> Any:
    """Build a protobuf timestamp."""
    seconds, nanos = divmod(time_ns, NANOS_PER_SECOND)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


def get_entry_time_ns(entry: Any) -> int:
    """Get the completion time of an unbonding entry in nanoseconds."""
    time = entry.completion_time
    return int(time.seconds) * NANOS_PER_SECOND + int(time.nanos)
