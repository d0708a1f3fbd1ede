"""Gov as clients of `cosmos.gov.v1beta1` know it, CosmJS among them.

Every message is turned into today's and run as that. A proposal is shown as text with its title and
summary; one is made from text, an upgrade or a payment from the community pool.
"""

from __future__ import annotations

from typing import Any

from cosmos.distribution.v1beta1 import distribution_pb2
from cosmos.distribution.v1beta1 import tx_pb2 as distribution_tx_pb2
from cosmos.gov.v1 import tx_pb2
from cosmos.gov.v1beta1 import gov_pb2 as old_pb2
from cosmos.gov.v1beta1 import query_pb2 as old_query_pb2
from cosmos.gov.v1beta1 import tx_pb2 as old_tx_pb2
from cosmos.upgrade.v1beta1 import tx_pb2 as upgrade_tx_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2
from google.protobuf.message import DecodeError

from node.pallets.gov.errors import MessageInvalid, VoteInvalid
from node.pallets.gov.queries import GovQueries
from node.pallets.gov.types import format_decimal, parse_decimal
from node.runtime.addresses import encode_account
from node.runtime.context import Context
from node.runtime.pallet import AUTHORITY_ADDR, call, query
from proto.packing import pack_any

SERVICE = old_query_pb2.DESCRIPTOR.services_by_name["Query"]


class LegacyGov(GovQueries):
    """Calls and queries of `v1beta1`."""

    def submit_proposal(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Propose, in today's form."""

    def deposit(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Deposit, in today's form."""

    def vote(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote, in today's form."""

    def vote_weighted(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote with weights, in today's form."""

    # Calls

    @call(10, old_tx_pb2.MsgSubmitProposal, old_tx_pb2.MsgSubmitProposalResponse, signer="proposer")
    def submit_legacy(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Propose, in the form of older clients.

        Raises: MessageInvalid, TextTooLong, MessageUnroutable, InvalidAuthority, InvalidCoins,
            DepositDenomInvalid, DepositTooSmall, InsufficientFunds.
        Emits: ProposalSubmitted, ProposalDeposited, VotingStarted, CoinSpent, CoinReceived,
            Transferred.
        """
        content = open_content(msg.content)
        response = self.submit_proposal(
            ctx,
            origin,
            tx_pb2.MsgSubmitProposal(
                messages=[pack_any(message) for message in list_messages(content)],
                initial_deposit=msg.initial_deposit,
                proposer=msg.proposer,
                title=content.title,
                summary=content.description,
            ),
        )
        return old_tx_pb2.MsgSubmitProposalResponse(proposal_id=response.proposal_id)

    @call(11, old_tx_pb2.MsgDeposit, old_tx_pb2.MsgDepositResponse, signer="depositor")
    def deposit_legacy(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Add to a deposit, in the form of older clients.

        Raises: InvalidCoins, DepositDenomInvalid, DepositTooSmall, ProposalUnknown,
            ProposalInactive, InsufficientFunds.
        Emits: ProposalDeposited, VotingStarted, CoinSpent, CoinReceived, Transferred.
        """
        message = tx_pb2.MsgDeposit(
            proposal_id=msg.proposal_id, depositor=msg.depositor, amount=msg.amount
        )
        self.deposit(ctx, origin, message)

    @call(12, old_tx_pb2.MsgVote, old_tx_pb2.MsgVoteResponse, signer="voter")
    def vote_legacy(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote, in the form of older clients.

        Raises: VoteInvalid, ProposalUnknown, ProposalInactive.
        Emits: ProposalVoted.
        """
        message = tx_pb2.MsgVote(proposal_id=msg.proposal_id, voter=msg.voter, option=msg.option)
        self.vote(ctx, origin, message)

    @call(13, old_tx_pb2.MsgVoteWeighted, old_tx_pb2.MsgVoteWeightedResponse, signer="voter")
    def vote_weighted_legacy(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Vote with the stake split, in the form of older clients: weights scaled by 10**18.

        Raises: VoteInvalid, ProposalUnknown, ProposalInactive.
        Emits: ProposalVoted.
        """
        message = tx_pb2.MsgVoteWeighted(proposal_id=msg.proposal_id, voter=msg.voter)
        for entry in msg.options:
            if not entry.weight.isascii() or not entry.weight.isdigit():
                raise VoteInvalid(f"weight {entry.weight!r}")
            message.options.add(option=entry.option, weight=format_decimal(int(entry.weight)))
        self.vote_weighted(ctx, origin, message)

    # Queries

    @query("Proposal", SERVICE.full_name)
    def query_legacy_proposal(self, ctx: Context, request: Any) -> Any:
        """Answer one proposal as text."""
        proposal = build_legacy(self.query_proposal(ctx, request).proposal)
        return old_query_pb2.QueryProposalResponse(proposal=proposal)

    @query("Proposals", SERVICE.full_name)
    def query_legacy_proposals(self, ctx: Context, request: Any) -> Any:
        """Answer proposals as text."""
        found = self.query_proposals(ctx, request)
        proposals = [build_legacy(proposal) for proposal in found.proposals]
        return old_query_pb2.QueryProposalsResponse(
            proposals=proposals, pagination=found.pagination
        )

    @query("Vote", SERVICE.full_name)
    def query_legacy_vote(self, ctx: Context, request: Any) -> Any:
        """Answer one vote."""
        vote = build_legacy_vote(self.query_vote(ctx, request).vote)
        return old_query_pb2.QueryVoteResponse(vote=vote)

    @query("Votes", SERVICE.full_name)
    def query_legacy_votes(self, ctx: Context, request: Any) -> Any:
        """Answer the votes on a proposal."""
        found = self.query_votes(ctx, request)
        votes = [build_legacy_vote(vote) for vote in found.votes]
        return old_query_pb2.QueryVotesResponse(votes=votes, pagination=found.pagination)

    @query("Deposit", SERVICE.full_name)
    def query_legacy_deposit(self, ctx: Context, request: Any) -> Any:
        """Answer what one account deposited."""
        deposit = build_legacy_deposit(self.query_deposit(ctx, request).deposit)
        return old_query_pb2.QueryDepositResponse(deposit=deposit)

    @query("Deposits", SERVICE.full_name)
    def query_legacy_deposits(self, ctx: Context, request: Any) -> Any:
        """Answer the deposits of a proposal."""
        found = self.query_deposits(ctx, request)
        deposits = [build_legacy_deposit(deposit) for deposit in found.deposits]
        return old_query_pb2.QueryDepositsResponse(deposits=deposits, pagination=found.pagination)

    @query("TallyResult", SERVICE.full_name)
    def query_legacy_tally(self, ctx: Context, request: Any) -> Any:
        """Answer how the vote stands, or how it ended."""
        tally = build_legacy_tally(self.query_tally(ctx, request).tally)
        return old_query_pb2.QueryTallyResultResponse(tally=tally)

    @query("Params", SERVICE.full_name)
    def query_legacy_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters; fractions as digits of the scaled integer."""
        params = self.storage.params.expect(ctx)
        message = params.to_message()
        return old_query_pb2.QueryParamsResponse(
            deposit_params=old_pb2.DepositParams(
                min_deposit=message.min_deposit, max_deposit_period=message.max_deposit_period
            ),
            voting_params=old_pb2.VotingParams(voting_period=message.voting_period),
            tally_params=old_pb2.TallyParams(
                quorum=str(params.quorum).encode(),
                threshold=str(params.threshold).encode(),
                veto_threshold=str(params.veto_threshold).encode(),
            ),
        )


CONTENTS: dict[str, Any] = {
    "/" + content_class.DESCRIPTOR.full_name: content_class
    for content_class in (
        old_pb2.TextProposal,
        upgrade_pb2.SoftwareUpgradeProposal,
        upgrade_pb2.CancelSoftwareUpgradeProposal,
        distribution_pb2.CommunityPoolSpendProposal,
    )
}


def open_content(packed: Any) -> Any:
    """Decode the content of an older proposal.

    Raises: MessageInvalid.
    """
    content_class = CONTENTS.get(packed.type_url)
    if content_class is None:
        raise MessageInvalid(f"content {packed.type_url!r} is not supported: use cosmos.gov.v1")
    try:
        return content_class.FromString(packed.value)
    except DecodeError as error:
        raise MessageInvalid(f"{packed.type_url} does not parse") from error


def list_messages(content: Any) -> list[Any]:
    """List the messages that do what the content of an older proposal says."""
    authority = encode_account(AUTHORITY_ADDR)
    if isinstance(content, upgrade_pb2.SoftwareUpgradeProposal):
        return [upgrade_tx_pb2.MsgSoftwareUpgrade(authority=authority, plan=content.plan)]
    if isinstance(content, upgrade_pb2.CancelSoftwareUpgradeProposal):
        return [upgrade_tx_pb2.MsgCancelUpgrade(authority=authority)]
    if isinstance(content, distribution_pb2.CommunityPoolSpendProposal):
        return [
            distribution_tx_pb2.MsgCommunityPoolSpend(
                authority=authority, recipient=content.recipient, amount=content.amount
            )
        ]
    return []


def build_legacy(proposal: Any) -> Any:
    """Build the older form of a proposal."""
    text = old_pb2.TextProposal(title=proposal.title, description=proposal.summary)
    message = old_pb2.Proposal(
        proposal_id=proposal.id,
        content=pack_any(text),
        status=proposal.status,
        total_deposit=proposal.total_deposit,
        final_tally_result=build_legacy_tally(proposal.final_tally_result),
    )
    for name in ("submit_time", "deposit_end_time", "voting_start_time", "voting_end_time"):
        if proposal.HasField(name):
            getattr(message, name).CopyFrom(getattr(proposal, name))
    return message


def build_legacy_tally(tally: Any) -> Any:
    """Build the older form of a tally."""
    return old_pb2.TallyResult(
        yes=tally.yes_count or "0",
        abstain=tally.abstain_count or "0",
        no=tally.no_count or "0",
        no_with_veto=tally.no_with_veto_count or "0",
    )


def build_legacy_vote(vote: Any) -> Any:
    """Build the older form of a vote."""
    message = old_pb2.Vote(proposal_id=vote.proposal_id, voter=vote.voter)
    for entry in vote.options:
        message.options.add(option=entry.option, weight=str(parse_decimal(entry.weight)))
    if len(vote.options) == 1:
        message.option = vote.options[0].option
    return message


def build_legacy_deposit(deposit: Any) -> Any:
    """Build the older form of a deposit."""
    return old_pb2.Deposit(
        proposal_id=deposit.proposal_id, depositor=deposit.depositor, amount=deposit.amount
    )
