"""Gov: who bonded stake decides about parameters, upgrades and common coins.

A proposal is a list of messages that only this pallet's account may sign, such as the
`MsgUpdateParams` of any pallet. Its deposit keeps nonsense out and is given back, unless a third of
the votes is against the proposal's being made at all. Votes count with the stake bonded when the
vote ends; a delegator that does not vote is represented by its operator. What passes is run at
once, whole or not at all; a message that is refused then makes the proposal fail.

Life cycle: deposit period -> voting period -> passed, rejected or failed; dropped without enough of
a deposit; cancelled by its proposer. An expedited one that does not pass becomes an ordinary one.
Invariants: the module account holds the deposits; proposals are queued as their status says.
Source: Cosmos SDK x/gov (v1); `reference/chain.md` section 4.3.
"""

from __future__ import annotations

from typing import Any, Protocol

from cosmos.gov.v1 import gov_pb2, query_pb2, tx_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from node.pallets.bank.types import BalancesBurn, BalancesTransfer
from node.pallets.gov.errors import (
    GOV_ERRORS,
    DepositDenomInvalid,
    DepositTooSmall,
    MessageInvalid,
    MessageUnroutable,
    MetadataTooLong,
    ProposalInactive,
    ProposalUnknown,
    ProposerInvalid,
    TextTooLong,
    VoteInvalid,
    VotingPeriodEnded,
)
from node.pallets.gov.legacy import SERVICE as LEGACY_SERVICE
from node.pallets.gov.legacy import LegacyGov
from node.pallets.gov.packed import check_packed
from node.pallets.gov.queries import VOTING
from node.pallets.gov.tally import OPTIONS, Outcome, build_result, decide
from node.pallets.gov.types import (
    GOV_EVENTS,
    GOV_MODULE,
    MAX_DECISIONS_PER_BLOCK,
    MAX_MESSAGES,
    MAX_METADATA_CHARS,
    MAX_SUMMARY_CHARS,
    MAX_TITLE_CHARS,
    Dispatcher,
    Electorate,
    GovParams,
    GovSchema,
    ProposalCancelled,
    ProposalDecided,
    ProposalDeposited,
    ProposalDropped,
    ProposalSubmitted,
    ProposalVoted,
    VotingStarted,
    format_decimal,
    parse_decimal,
)
from node.pallets.staking.shares import DECIMALS_18
from node.pallets.staking.types import build_timestamp
from node.runtime.addresses import compute_module_address, decode_account, encode_account
from node.runtime.coins import BASE_DENOM, build_coin, parse_coins
from node.runtime.context import NANOS_PER_SECOND, Context
from node.runtime.errors import (
    ChainError,
    InvalidAuthority,
    InvariantBroken,
    UnknownRequest,
    ensure,
    refuse,
)
from node.runtime.pallet import call, invariant
from node.runtime.times import get_nanoseconds, list_due

GOV_ADDR = compute_module_address(GOV_MODULE)
DEPOSIT = gov_pb2.PROPOSAL_STATUS_DEPOSIT_PERIOD


class GovBank(BalancesTransfer, BalancesBurn, Protocol):
    """What gov needs of the bank."""


class GovPallet(LegacyGov):
    """The gov pallet.

    Args:
        bank: holds, gives back and burns deposits.
        staking: whose stake votes.
    """

    name = "gov"
    index = 23
    schema = GovSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"], LEGACY_SERVICE)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)
    errors = GOV_ERRORS
    events = GOV_EVENTS

    def __init__(self, bank: GovBank, staking: Electorate) -> None:
        super().__init__(staking)
        self._bank = bank
        self._dispatcher: Dispatcher | None = None

    def set_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Take what runs the messages of proposals."""
        self._dispatcher = dispatcher

    def get_params(self, ctx: Context) -> GovParams:
        """Get the parameters."""
        params: GovParams = self.storage.params.expect(ctx)
        return params

    # Calls

    @call(0, tx_pb2.MsgSubmitProposal, tx_pb2.MsgSubmitProposalResponse, signer="proposer")
    def submit_proposal(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Propose messages to be run in the name of all.

        Raises: TextTooLong, MetadataTooLong, MessageInvalid, MessageUnroutable, InvalidAuthority,
            InvalidCoins, DepositDenomInvalid, DepositTooSmall, InsufficientFunds.
        Emits: ProposalSubmitted, ProposalDeposited, VotingStarted, CoinSpent, CoinReceived,
            Transferred.
        """
        ensure_texts(msg)
        for packed in msg.messages:
            self._open_message(packed)
        params = self.get_params(ctx)
        amount = parse_deposit(msg.initial_deposit)
        needed = self._get_min_deposit(params, msg.expedited)
        least = needed * params.min_initial_deposit_ratio // DECIMALS_18
        text = f"was ({amount}{BASE_DENOM}), need ({least}{BASE_DENOM})"
        ensure(amount >= least, DepositTooSmall, text)
        proposal_id = self.storage.next_id.next(ctx)
        end_ns = ctx.block.time_ns + params.max_deposit_seconds * NANOS_PER_SECOND
        proposal = gov_pb2.Proposal(
            id=proposal_id,
            messages=msg.messages,
            status=DEPOSIT,
            submit_time=build_timestamp(ctx.block.time_ns),
            deposit_end_time=build_timestamp(end_ns),
            metadata=msg.metadata,
            title=msg.title,
            summary=msg.summary,
            proposer=msg.proposer,
            expedited=msg.expedited,
        )
        self.storage.deposit_queue.add(ctx, (end_ns, proposal_id))
        urls = tuple(packed.type_url for packed in msg.messages)
        ctx.emit(ProposalSubmitted(proposal_id, msg.proposer, urls))
        self._add_deposit(ctx, proposal, origin, amount)
        return tx_pb2.MsgSubmitProposalResponse(proposal_id=proposal_id)

    @call(1, tx_pb2.MsgDeposit, tx_pb2.MsgDepositResponse, signer="depositor")
    def deposit(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Add to the deposit of a proposal.

        Raises: InvalidCoins, DepositDenomInvalid, DepositTooSmall, ProposalUnknown,
            ProposalInactive, InsufficientFunds.
        Emits: ProposalDeposited, VotingStarted, CoinSpent, CoinReceived, Transferred.
        """
        amount = parse_deposit(msg.amount)
        ensure(amount > 0, DepositTooSmall)
        proposal = self._get_or_refuse(ctx, msg.proposal_id)
        is_open = proposal.status in (DEPOSIT, VOTING)
        ensure(is_open, ProposalInactive, str(msg.proposal_id))
        self._add_deposit(ctx, proposal, origin, amount)

    @call(2, tx_pb2.MsgVote, tx_pb2.MsgVoteResponse, signer="voter")
    def vote(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote on a proposal, or vote again.

        Raises: VoteInvalid, MetadataTooLong, ProposalUnknown, ProposalInactive.
        Emits: ProposalVoted.
        """
        ensure(msg.option in OPTIONS, VoteInvalid, str(msg.option))
        options = [gov_pb2.WeightedVoteOption(option=msg.option, weight=format_decimal(10**18))]
        self._set_vote(ctx, origin, msg.proposal_id, options, msg.metadata)

    @call(3, tx_pb2.MsgVoteWeighted, tx_pb2.MsgVoteWeightedResponse, signer="voter")
    def vote_weighted(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote on a proposal with the stake split over options.

        Raises: VoteInvalid, MetadataTooLong, ProposalUnknown, ProposalInactive.
        Emits: ProposalVoted.
        """
        options = parse_options(msg.options)
        self._set_vote(ctx, origin, msg.proposal_id, options, msg.metadata)

    @call(4, tx_pb2.MsgCancelProposal, tx_pb2.MsgCancelProposalResponse, signer="proposer")
    def cancel_proposal(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Take a proposal back; part of the deposit is burned.

        Raises: ProposalUnknown, ProposerInvalid, ProposalInactive, VotingPeriodEnded.
        Emits: ProposalCancelled, CoinSpent, CoinReceived, Transferred, CoinsBurned.
        """
        proposal = self._get_or_refuse(ctx, msg.proposal_id)
        ensure(proposal.proposer == encode_account(origin), ProposerInvalid, msg.proposer)
        is_open = proposal.status in (DEPOSIT, VOTING)
        ensure(is_open, ProposalInactive, str(msg.proposal_id))
        if proposal.status == VOTING:
            is_over = get_nanoseconds(proposal.voting_end_time) < ctx.block.time_ns
            ensure(not is_over, VotingPeriodEnded)
        self._settle_deposits(ctx, proposal.id, self.get_params(ctx).cancel_burn_ratio)
        self._forget(ctx, proposal)
        ctx.emit(ProposalCancelled(msg.proposer, proposal.id))
        return tx_pb2.MsgCancelProposalResponse(
            proposal_id=proposal.id,
            canceled_time=build_timestamp(ctx.block.time_ns),
            canceled_height=ctx.height,
        )

    # Steps of the calls

    def _get_or_refuse(self, ctx: Context, proposal_id: int) -> Any:
        proposal = self.storage.proposals.get(ctx, proposal_id)
        if proposal is None:
            refuse(ProposalUnknown, str(proposal_id))
        return proposal

    def _get_min_deposit(self, params: GovParams, is_expedited: bool) -> int:
        return params.expedited_min_deposit_udsc if is_expedited else params.min_deposit_udsc

    def _open_message(self, packed: Any) -> Any:
        """Decode a message of a proposal that this pallet may run."""
        if self._dispatcher is None:
            refuse(MessageUnroutable, packed.type_url)
        try:
            spec = self._dispatcher.get_call(packed.type_url)
        except UnknownRequest as error:
            raise MessageUnroutable(packed.type_url) from error
        try:
            message = spec.message_class.FromString(packed.value)
        except DecodeError as error:
            raise MessageInvalid(f"{packed.type_url} does not parse") from error
        check_packed(message, self._dispatcher)
        try:
            json_format.MessageToDict(message)  # what cannot be shown cannot be exported either
        except (ValueError, TypeError, json_format.Error) as error:
            raise MessageInvalid(f"{packed.type_url} holds an invalid value") from error
        signers = self._dispatcher.get_signers(packed.type_url, message)
        ensure(signers == [GOV_ADDR], InvalidAuthority, packed.type_url)
        return message

    def _add_deposit(self, ctx: Context, proposal: Any, depositor: bytes, amount: int) -> None:
        self._bank.transfer(ctx, depositor, GOV_ADDR, amount)
        total = sum(int(coin.amount) for coin in proposal.total_deposit) + amount
        del proposal.total_deposit[:]
        if total:
            proposal.total_deposit.append(build_coin(BASE_DENOM, total))
        key = (proposal.id, depositor)
        if amount:
            before = self.storage.deposits.get(ctx, key)
            held = 0 if before is None else int(before.amount[0].amount)
            entry = gov_pb2.Deposit(proposal_id=proposal.id, depositor=encode_account(depositor))
            entry.amount.append(build_coin(BASE_DENOM, held + amount))
            self.storage.deposits.set(ctx, key, entry)
            text = f"{amount}{BASE_DENOM}"
            ctx.emit(ProposalDeposited(entry.depositor, text, proposal.id))
        params = self.get_params(ctx)
        needed = self._get_min_deposit(params, proposal.expedited)
        if proposal.status == DEPOSIT and total >= needed:
            self._start_voting(ctx, params, proposal)
            ctx.emit(VotingStarted(proposal.id))
        self.storage.proposals.set(ctx, proposal.id, proposal)

    def _start_voting(self, ctx: Context, params: GovParams, proposal: Any) -> None:
        deposit_end_ns = get_nanoseconds(proposal.deposit_end_time)
        self.storage.deposit_queue.remove(ctx, (deposit_end_ns, proposal.id))
        seconds = params.expedited_voting_seconds if proposal.expedited else params.voting_seconds
        end_ns = ctx.block.time_ns + seconds * NANOS_PER_SECOND
        proposal.status = VOTING
        proposal.voting_start_time.CopyFrom(build_timestamp(ctx.block.time_ns))
        proposal.voting_end_time.CopyFrom(build_timestamp(end_ns))
        self.storage.voting_queue.add(ctx, (end_ns, proposal.id))

    def _set_vote(
        self, ctx: Context, voter: bytes, proposal_id: int, options: list[Any], metadata: str
    ) -> None:
        ensure(len(metadata) <= MAX_METADATA_CHARS, MetadataTooLong, str(len(metadata)))
        proposal = self._get_or_refuse(ctx, proposal_id)
        ensure(proposal.status == VOTING, ProposalInactive, str(proposal_id))
        entry = gov_pb2.Vote(
            proposal_id=proposal_id,
            voter=encode_account(voter),
            options=options,
            metadata=metadata,
        )
        self.storage.votes.set(ctx, (proposal_id, voter), entry)
        names = [f"{gov_pb2.VoteOption.Name(o.option)}={o.weight}" for o in options]
        ctx.emit(ProposalVoted(entry.voter, ",".join(names), proposal_id))

    def _settle_deposits(self, ctx: Context, proposal_id: int, burn_ratio: int) -> None:
        """Give deposits back, less a burned fraction (scaled by 10**18)."""
        for key, entry in list(self.storage.deposits.iterate(ctx, (proposal_id,))):
            amount = int(entry.amount[0].amount)
            burned = amount * burn_ratio // DECIMALS_18
            self._bank.burn(ctx, GOV_ADDR, burned)
            self._bank.transfer(ctx, GOV_ADDR, decode_account(entry.depositor), amount - burned)
            self.storage.deposits.delete(ctx, key)

    def _unqueue(self, ctx: Context, proposal: Any) -> None:
        deposit_end_ns = get_nanoseconds(proposal.deposit_end_time)
        self.storage.deposit_queue.remove(ctx, (deposit_end_ns, proposal.id))
        if proposal.HasField("voting_end_time"):
            end_ns = get_nanoseconds(proposal.voting_end_time)
            self.storage.voting_queue.remove(ctx, (end_ns, proposal.id))

    def _forget(self, ctx: Context, proposal: Any) -> None:
        self._unqueue(ctx, proposal)
        self.storage.votes.clear(ctx, (proposal.id,))
        self.storage.proposals.delete(ctx, proposal.id)

    # Hooks

    def end_block(self, ctx: Context) -> None:
        self.process_deposit_periods(ctx)
        self.process_voting_periods(ctx)

    def process_deposit_periods(self, ctx: Context) -> None:
        """Drop proposals whose deposit was not complete in time.

        Emits: ProposalDropped, CoinSpent, CoinReceived, Transferred, CoinsBurned.
        """
        for proposal_id in self._list_due(ctx, self.storage.deposit_queue):
            proposal = self.storage.proposals.expect(ctx, proposal_id)
            is_burned = self.get_params(ctx).burn_proposal_deposit_prevote
            self._settle_deposits(ctx, proposal_id, DECIMALS_18 if is_burned else 0)
            self._forget(ctx, proposal)
            ctx.emit(ProposalDropped(proposal_id, "proposal_dropped"))

    def process_voting_periods(self, ctx: Context) -> None:
        """Decide proposals whose vote is over, and run what passed.

        Emits: ProposalDecided and what the messages emit.
        """
        for proposal_id in self._list_due(ctx, self.storage.voting_queue):
            self._decide(ctx, self.storage.proposals.expect(ctx, proposal_id))

    def _list_due(self, ctx: Context, queue: Any) -> list[int]:
        return list_due(queue.iterate(ctx), ctx.block.time_ns, MAX_DECISIONS_PER_BLOCK)

    def _decide(self, ctx: Context, proposal: Any) -> None:
        params = self.get_params(ctx)
        counts, bonded = self.count(ctx, proposal.id)
        threshold = params.expedited_threshold if proposal.expedited else params.threshold
        outcome = decide(counts, bonded, params.quorum, threshold, params.veto_threshold)
        self._unqueue(ctx, proposal)
        if proposal.expedited and outcome is not Outcome.PASSED:
            self._go_on_ordinarily(ctx, params, proposal)
            return
        is_burned = (outcome is Outcome.VETOED and params.burn_vote_veto) or (
            outcome is Outcome.NO_QUORUM and params.burn_vote_quorum
        )
        self._settle_deposits(ctx, proposal.id, DECIMALS_18 if is_burned else 0)
        self.storage.votes.clear(ctx, (proposal.id,))
        proposal.final_tally_result.CopyFrom(build_result(counts))
        log = outcome.value
        if outcome is Outcome.PASSED:
            proposal.status = gov_pb2.PROPOSAL_STATUS_PASSED
            log = self._run_messages(ctx, proposal)
        else:
            proposal.status = gov_pb2.PROPOSAL_STATUS_REJECTED
        self.storage.proposals.set(ctx, proposal.id, proposal)
        result = gov_pb2.ProposalStatus.Name(proposal.status).removeprefix("PROPOSAL_STATUS_")
        ctx.emit(ProposalDecided(proposal.id, f"proposal_{result.lower()}", log))

    def _go_on_ordinarily(self, ctx: Context, params: GovParams, proposal: Any) -> None:
        """Give an expedited proposal that did not pass the time of an ordinary one."""
        proposal.expedited = False
        start_ns = get_nanoseconds(proposal.voting_start_time)
        end_ns = start_ns + params.voting_seconds * NANOS_PER_SECOND
        proposal.voting_end_time.CopyFrom(build_timestamp(max(end_ns, ctx.block.time_ns)))
        queued = (get_nanoseconds(proposal.voting_end_time), proposal.id)
        self.storage.voting_queue.add(ctx, queued)
        self.storage.proposals.set(ctx, proposal.id, proposal)
        ctx.emit(ProposalDecided(proposal.id, "expedited_proposal_rejected", "goes on"))

    def _run_messages(self, ctx: Context, proposal: Any) -> str:
        """Run the messages of a proposal, all or none; returns what to log."""
        try:
            with ctx.snapshot():
                for packed in proposal.messages:
                    message = self._open_message(packed)
                    if self._dispatcher is not None:
                        self._dispatcher.dispatch(ctx, packed.type_url, message)
                is_whole = self._bank.get_balance(ctx, GOV_ADDR) >= self._sum_deposits(ctx)
                ensure(is_whole, MessageInvalid, "deposits of other proposals cannot be spent")
        except ChainError as error:
            proposal.status = gov_pb2.PROPOSAL_STATUS_FAILED
            proposal.failed_reason = str(error)
            return f"passed, but failed: {error}"
        return "passed"

    def _sum_deposits(self, ctx: Context) -> int:
        deposits = self.storage.deposits.iterate(ctx)
        return sum(int(entry.amount[0].amount) for _, entry in deposits)

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, GovParams())

    @invariant
    def check_deposits(self, ctx: Context) -> None:
        """The module account holds the deposits at least."""
        owed = self._sum_deposits(ctx)
        held = self._bank.get_balance(ctx, GOV_ADDR)
        if owed > held:
            raise InvariantBroken(f"gov: deposits are {owed} udsc, {held} udsc are held")

    @invariant
    def check_queues(self, ctx: Context) -> None:
        """Proposals are queued as their status says."""
        for status, queue in (
            (DEPOSIT, self.storage.deposit_queue),
            (VOTING, self.storage.voting_queue),
        ):
            queued = sorted(proposal_id for _, proposal_id in queue.iterate(ctx))
            proposals = self.storage.proposals.iterate(ctx)
            if queued != [number for number, found in proposals if found.status == status]:
                raise InvariantBroken(f"gov: queue of status {status} does not agree")


def ensure_texts(msg: Any) -> None:
    """Check the sizes of a proposal.

    Raises: TextTooLong, MetadataTooLong, MessageInvalid.
    """
    ensure(bool(msg.title), MessageInvalid, "proposal title cannot be empty")
    ensure(bool(msg.summary), MessageInvalid, "proposal summary cannot be empty")
    ensure(len(msg.title) <= MAX_TITLE_CHARS, TextTooLong, f"title has {len(msg.title)}")
    ensure(len(msg.summary) <= MAX_SUMMARY_CHARS, TextTooLong, str(len(msg.summary)))
    ensure(len(msg.metadata) <= MAX_METADATA_CHARS, MetadataTooLong, str(len(msg.metadata)))
    ensure(len(msg.messages) <= MAX_MESSAGES, MessageInvalid, f"over {MAX_MESSAGES} messages")


def parse_deposit(coins: Any) -> int:
    """Parse a deposit, which may be nothing.

    Raises: InvalidCoins, DepositDenomInvalid.
    """
    parsed = parse_coins(coins, allow_empty=True)
    for denom, _ in parsed:
        ensure(denom == BASE_DENOM, DepositDenomInvalid, denom)
    return sum(amount for _, amount in parsed)


def parse_options(options: Any) -> list[Any]:
    """Parse the options of a weighted vote into canonical form.

    Raises: VoteInvalid.
    """
    parsed, total, seen = [], 0, []
    for entry in options:
        try:
            weight = parse_decimal(entry.weight)
        except ValueError as error:
            raise VoteInvalid(str(error)) from error
        ensure(entry.option in OPTIONS and weight > 0, VoteInvalid, str(entry.option))
        ensure(entry.option not in seen, VoteInvalid, "duplicated vote option")
        seen.append(entry.option)
        total += weight
        option = gov_pb2.WeightedVoteOption(option=entry.option, weight=format_decimal(weight))
        parsed.append(option)
    ensure(total == DECIMALS_18, VoteInvalid, "total weight must be one")
    return parsed
