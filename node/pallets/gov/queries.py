"""What can be asked of gov, in the shape Cosmos clients expect."""

from __future__ import annotations

from typing import Any

from cosmos.gov.v1 import gov_pb2, query_pb2

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.gov.tally import Ballot, OperatorStakes, build_result, count_votes
from node.pallets.gov.types import Electorate, GovSchema, parse_decimal
from node.runtime.context import Context
from node.runtime.errors import QueryNotFound
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, query

VOTING = gov_pb2.PROPOSAL_STATUS_VOTING_PERIOD


class GovQueries(Pallet[GovSchema]):
    """Read-only half of the gov pallet.

    Args:
        staking: whose stake votes.
    """

    def __init__(self, staking: Electorate) -> None:
        super().__init__()
        self._staking = staking

    def count(self, ctx: Context, proposal_id: int) -> tuple[dict[int, int], int]:
        """Count the votes on a proposal; returns them and the bonded stake, times 10**18."""
        operators = {
            addr: OperatorStakes(int(operator.tokens), int(operator.delegator_shares))
            for addr, operator in self._staking.iterate_operators(ctx)
            if not operator.jailed
        }
        ballots = []
        for (_, voter), vote in self.storage.votes.iterate(ctx, (proposal_id,)):
            weights = [(option.option, parse_decimal(option.weight)) for option in vote.options]
            shares = {
                addr: self._staking.get_shares(ctx, voter, addr)
                for addr in self._staking.list_delegated_operators(ctx, voter)
            }
            ballots.append(Ballot(voter, weights, shares))
        bonded = sum(stakes.tokens for stakes in operators.values())
        return count_votes(operators, ballots), bonded * 10**18

    def _get_proposal(self, ctx: Context, proposal_id: int) -> Any:
        proposal = self.storage.proposals.get(ctx, proposal_id)
        if proposal is None:
            raise QueryNotFound(f"proposal {proposal_id} doesn't exist")
        return proposal

    @query("Proposal")
    def query_proposal(self, ctx: Context, request: Any) -> Any:
        """Answer one proposal."""
        proposal = self._get_proposal(ctx, request.proposal_id)
        return query_pb2.QueryProposalResponse(proposal=proposal)

    @query("Proposals")
    def query_proposals(self, ctx: Context, request: Any) -> Any:
        """Answer proposals: all, by status, by voter, by depositor."""
        voter = parse_query_addr(request.voter) if request.voter else b""
        depositor = parse_query_addr(request.depositor) if request.depositor else b""

        def is_wanted(proposal_id: int, proposal: Any) -> bool:
            return (
                request.proposal_status in (0, proposal.status)
                and (not voter or self.storage.votes.has(ctx, (proposal_id, voter)))
                and (not depositor or self.storage.deposits.has(ctx, (proposal_id, depositor)))
            )

        entries, page = paginate(ctx, self.storage.proposals, request.pagination, keep=is_wanted)
        proposals = [proposal for _, proposal in entries]
        return query_pb2.QueryProposalsResponse(proposals=proposals, pagination=page)

    @query("Vote")
    def query_vote(self, ctx: Context, request: Any) -> Any:
        """Answer one vote; votes are forgotten when they have been counted."""
        key = (request.proposal_id, parse_query_addr(request.voter))
        vote = self.storage.votes.get(ctx, key)
        if vote is None:
            raise QueryNotFound(
                f"voter: {request.voter} not found for proposal: {request.proposal_id}"
            )
        return query_pb2.QueryVoteResponse(vote=vote)

    @query("Votes")
    def query_votes(self, ctx: Context, request: Any) -> Any:
        """Answer the votes on a proposal."""
        scope = (request.proposal_id,)
        entries, page = paginate(ctx, self.storage.votes, request.pagination, scope)
        return query_pb2.QueryVotesResponse(votes=[v for _, v in entries], pagination=page)

    @query("Deposit")
    def query_deposit(self, ctx: Context, request: Any) -> Any:
        """Answer what one account deposited."""
        key = (request.proposal_id, parse_query_addr(request.depositor))
        deposit = self.storage.deposits.get(ctx, key)
        if deposit is None:
            raise QueryNotFound(
                f"depositer: {request.depositor} not found for proposal: {request.proposal_id}"
            )
        return query_pb2.QueryDepositResponse(deposit=deposit)

    @query("Deposits")
    def query_deposits(self, ctx: Context, request: Any) -> Any:
        """Answer the deposits of a proposal."""
        scope = (request.proposal_id,)
        entries, page = paginate(ctx, self.storage.deposits, request.pagination, scope)
        return query_pb2.QueryDepositsResponse(deposits=[d for _, d in entries], pagination=page)

    @query("TallyResult")
    def query_tally(self, ctx: Context, request: Any) -> Any:
        """Answer how the vote stands, or how it ended."""
        proposal = self._get_proposal(ctx, request.proposal_id)
        tally = proposal.final_tally_result
        if proposal.status == VOTING:
            tally = build_result(self.count(ctx, request.proposal_id)[0])
        elif not proposal.HasField("final_tally_result"):
            tally = build_result(dict.fromkeys((1, 2, 3, 4), 0))
        return query_pb2.QueryTallyResultResponse(tally=tally)

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters, in today's form and in that of older clients."""
        params = self.storage.params.expect(ctx).to_message()
        return query_pb2.QueryParamsResponse(
            params=params,
            deposit_params=gov_pb2.DepositParams(
                min_deposit=params.min_deposit, max_deposit_period=params.max_deposit_period
            ),
            voting_params=gov_pb2.VotingParams(voting_period=params.voting_period),
            tally_params=gov_pb2.TallyParams(
                quorum=params.quorum,
                threshold=params.threshold,
                veto_threshold=params.veto_threshold,
            ),
        )

    @query("Constitution")
    def query_constitution(self, ctx: Context, request: Any) -> Any:
        """Answer that there is none."""
        return query_pb2.QueryConstitutionResponse()
