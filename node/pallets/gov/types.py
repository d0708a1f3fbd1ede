"""Schema, parameters and events of gov, and the capabilities it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.gov.v1 import gov_pb2
from google.protobuf import duration_pb2

from node.pallets.staking.shares import DECIMALS_18
from node.pallets.staking.types import OperatorsRead
from node.runtime.codecs import ADDRESS, U64, ProtoCodec, pair
from node.runtime.coins import BASE_DENOM, UDSC_PER_DSC, build_coin
from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params, ParamsCodec, ParamsError, bounded
from node.runtime.storage import Item, KeySet, Map, Schema, Sequence

GOV_MODULE = "gov"
DAY_SECONDS = 24 * 3600
MAX_MESSAGES = 16
MAX_METADATA_CHARS = 255
MAX_TITLE_CHARS = 255
MAX_SUMMARY_CHARS = 10_200
MAX_DECISIONS_PER_BLOCK = 20
"""Proposals decided in one block; the rest follow in the next."""
DECIMAL_PATTERN = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?")


def parse_decimal(text: str) -> int:
    """Parse a decimal number such as `0.334` to an integer scaled by 10**18.

    Raises: ValueError.
    """
    match = DECIMAL_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal number")
    return int(match.group(1)) * DECIMALS_18 + int((match.group(2) or "").ljust(18, "0"))


def format_decimal(scaled: int) -> str:
    """Format an integer scaled by 10**18 with 18 decimals."""
    whole, fraction = divmod(scaled, DECIMALS_18)
    return f"{whole}.{fraction:018d}"


@dataclass(frozen=True)
class GovParams(Params):
    """What a proposal costs, how long it takes, what it takes to pass. Fractions times 10**18."""

    message_class: ClassVar[Any] = gov_pb2.Params

    min_deposit_udsc: int = bounded(10 * UDSC_PER_DSC, low=1, high=10**15)
    max_deposit_seconds: int = bounded(2 * DAY_SECONDS, low=1, high=60 * DAY_SECONDS)
    voting_seconds: int = bounded(2 * DAY_SECONDS, low=1, high=60 * DAY_SECONDS)
    quorum: int = bounded(334 * 10**15, low=0, high=DECIMALS_18)
    threshold: int = bounded(500 * 10**15, low=10**17, high=DECIMALS_18)
    veto_threshold: int = bounded(334 * 10**15, low=10**16, high=DECIMALS_18)
    min_initial_deposit_ratio: int = bounded(0, low=0, high=DECIMALS_18)
    cancel_burn_ratio: int = bounded(500 * 10**15, low=0, high=DECIMALS_18)
    expedited_voting_seconds: int = bounded(DAY_SECONDS, low=1, high=60 * DAY_SECONDS)
    expedited_threshold: int = bounded(667 * 10**15, low=10**17, high=DECIMALS_18)
    expedited_min_deposit_udsc: int = bounded(50 * UDSC_PER_DSC, low=1, high=10**15)
    burn_vote_quorum: bool = False
    burn_proposal_deposit_prevote: bool = False
    burn_vote_veto: bool = True

    def to_message(self) -> Any:
        return gov_pb2.Params(
            min_deposit=[build_coin(BASE_DENOM, self.min_deposit_udsc)],
            max_deposit_period=duration_pb2.Duration(seconds=self.max_deposit_seconds),
            voting_period=duration_pb2.Duration(seconds=self.voting_seconds),
            quorum=format_decimal(self.quorum),
            threshold=format_decimal(self.threshold),
            veto_threshold=format_decimal(self.veto_threshold),
            min_initial_deposit_ratio=format_decimal(self.min_initial_deposit_ratio),
            proposal_cancel_ratio=format_decimal(self.cancel_burn_ratio),
            expedited_voting_period=duration_pb2.Duration(seconds=self.expedited_voting_seconds),
            expedited_threshold=format_decimal(self.expedited_threshold),
            expedited_min_deposit=[build_coin(BASE_DENOM, self.expedited_min_deposit_udsc)],
            burn_vote_quorum=self.burn_vote_quorum,
            burn_proposal_deposit_prevote=self.burn_proposal_deposit_prevote,
            burn_vote_veto=self.burn_vote_veto,
            min_deposit_ratio=format_decimal(0),
        )

    @classmethod
    def from_message(cls, message: Any) -> GovParams:
        try:
            return cls(
                parse_deposit(message.min_deposit),
                message.max_deposit_period.seconds,
                message.voting_period.seconds,
                parse_decimal(message.quorum),
                parse_decimal(message.threshold),
                parse_decimal(message.veto_threshold),
                parse_decimal(message.min_initial_deposit_ratio),
                parse_decimal(message.proposal_cancel_ratio),
                message.expedited_voting_period.seconds,
                parse_decimal(message.expedited_threshold),
                parse_deposit(message.expedited_min_deposit),
                message.burn_vote_quorum,
                message.burn_proposal_deposit_prevote,
                message.burn_vote_veto,
            )
        except ValueError as error:
            raise ParamsError(str(error)) from error


def parse_deposit(coins: Any) -> int:
    """Parse a deposit of exactly one coin of the base denomination.

    Raises: ValueError.
    """
    if len(coins) != 1 or coins[0].denom != BASE_DENOM or not coins[0].amount.isdigit():
        raise ValueError(f"a minimum deposit is one amount of {BASE_DENOM}")
    return int(coins[0].amount)


class GovSchema(Schema):
    """Storage of gov."""

    proposals: Map[int, Any] = Map(0x00, "proposals", U64, ProtoCodec(gov_pb2.Proposal))
    voting_queue = KeySet(0x01, "voting_queue", pair(U64, U64))
    deposit_queue = KeySet(0x02, "deposit_queue", pair(U64, U64))
    next_id = Sequence(0x03, "next_proposal_id", first=1)
    deposits: Map[tuple[int, bytes], Any] = Map(
        0x10, "deposits", pair(U64, ADDRESS), ProtoCodec(gov_pb2.Deposit)
    )
    votes: Map[tuple[int, bytes], Any] = Map(
        0x20, "votes", pair(U64, ADDRESS), ProtoCodec(gov_pb2.Vote)
    )
    params = Item(0x30, "params", ParamsCodec(GovParams))


@dataclass(frozen=True)
class ProposalSubmitted(Event):
    """A proposal was made; the type URLs of its messages."""

    abci_type: ClassVar[str] = "submit_proposal"
    proposal_id: int
    proposal_proposer: str
    proposal_messages: tuple[str, ...]


@dataclass(frozen=True)
class VotingStarted(Event):
    """The deposit of a proposal is complete."""

    abci_type: ClassVar[str] = "submit_proposal"
    voting_period_start: int


@dataclass(frozen=True)
class ProposalDeposited(Event):
    """Somebody added to the deposit of a proposal."""

    abci_type: ClassVar[str] = "proposal_deposit"
    depositor: Address
    amount: str
    proposal_id: int


@dataclass(frozen=True)
class ProposalVoted(Event):
    """Somebody voted, or voted again."""

    abci_type: ClassVar[str] = "proposal_vote"
    voter: Address
    option: str
    proposal_id: int


@dataclass(frozen=True)
class ProposalDropped(Event):
    """The deposit of a proposal was not complete in time."""

    abci_type: ClassVar[str] = "inactive_proposal"
    proposal_id: int
    proposal_result: str


@dataclass(frozen=True)
class ProposalDecided(Event):
    """The vote on a proposal is over."""

    abci_type: ClassVar[str] = "active_proposal"
    proposal_id: int
    proposal_result: str
    proposal_log: str


@dataclass(frozen=True)
class ProposalCancelled(Event):
    """A proposal was taken back."""

    abci_type: ClassVar[str] = "cancel_proposal"
    sender: Address
    proposal_id: int


GOV_EVENTS: tuple[type[Event], ...] = (
    ProposalSubmitted,
    VotingStarted,
    ProposalDeposited,
    ProposalVoted,
    ProposalDropped,
    ProposalDecided,
    ProposalCancelled,
)


class Electorate(OperatorsRead, Protocol):
    """Whose stake votes."""

    def iterate_operators(self, ctx: Context) -> Iterator[tuple[bytes, Any]]: ...


class Dispatcher(Protocol):
    """Runs messages by type URL."""

    def get_call(self, type_url: str) -> Any: ...

    def get_signers(self, type_url: str, message: Any) -> list[bytes]: ...

    def dispatch(self, ctx: Context, type_url: str, message: Any) -> Any: ...
