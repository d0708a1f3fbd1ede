"""`descent query gov|params|upgrade`: what is proposed, decided and in force."""

from typing import Annotated, Any

import typer

from chain_client.errors import InvalidInput
from cli.context import QUERY, Context, command, new_group
from cli.messages import enum_word
from cli.params import PACKAGES, fetch_params, find_message_class, read_params

app = new_group("Proposals, votes, deposits.")
SERVICE = "/cosmos.gov.v1.Query"
STATUSES = ("deposit-period", "voting-period", "passed", "rejected", "failed")
ProposalArgument = Annotated[int, typer.Argument(metavar="PROPOSAL", min=1, help="Number of it.")]


@command(app, "proposals", needs=QUERY)
async def proposals(
    context: Context,
    status: Annotated[str, typer.Option("--status", help=f"One of {', '.join(STATUSES)}.")] = "",
) -> Any:
    """List proposals."""
    from cosmos.gov.v1 import gov_pb2, query_pb2

    if status and status not in STATUSES:
        raise InvalidInput(f"{status!r} is no status: one of {', '.join(STATUSES)}")
    request = query_pb2.QueryProposalsRequest()
    request.pagination.limit = 1_000
    if status:
        name = "PROPOSAL_STATUS_" + status.upper().replace("-", "_")
        request.proposal_status = gov_pb2.ProposalStatus.Value(name)
    async with context.client() as client:
        found = await client.query(
            f"{SERVICE}/Proposals", request, query_pb2.QueryProposalsResponse
        )
    return [_summary(item) for item in found.proposals]


@command(app, "proposal", needs=QUERY)
async def proposal(context: Context, number: ProposalArgument) -> Any:
    """Show one proposal, its messages and how the vote stands."""
    from cosmos.gov.v1 import query_pb2

    async with context.client() as client:
        found = await client.query(
            f"{SERVICE}/Proposal",
            query_pb2.QueryProposalRequest(proposal_id=number),
            query_pb2.QueryProposalResponse,
        )
        tally = await client.query(
            f"{SERVICE}/TallyResult",
            query_pb2.QueryTallyResultRequest(proposal_id=number),
            query_pb2.QueryTallyResultResponse,
        )
    item = found.proposal
    return {
        **_summary(item),
        "summary": item.summary,
        "proposer": item.proposer,
        "deposit_end_time": item.deposit_end_time.ToJsonString(),
        "deposit_udsc": sum(int(coin.amount) for coin in item.total_deposit),
        "yes_udsc": int(tally.tally.yes_count),
        "no_udsc": int(tally.tally.no_count),
        "abstain_udsc": int(tally.tally.abstain_count),
        "no_with_veto_udsc": int(tally.tally.no_with_veto_count),
        "failed_reason": item.failed_reason,
        "messages": [_message(packed) for packed in item.messages],
    }


@command(app, "votes", needs=QUERY)
async def votes(context: Context, number: ProposalArgument) -> Any:
    """List the votes on a proposal that is being voted on."""
    from cosmos.gov.v1 import gov_pb2, query_pb2

    request = query_pb2.QueryVotesRequest(proposal_id=number)
    request.pagination.limit = 1_000
    async with context.client() as client:
        found = await client.query(f"{SERVICE}/Votes", request, query_pb2.QueryVotesResponse)
    options = gov_pb2.VoteOption.DESCRIPTOR
    return [
        {"voter": vote.voter, "option": enum_word(options, part.option), "weight": part.weight}
        for vote in found.votes
        for part in vote.options
    ]


@command(app, "deposits", needs=QUERY)
async def deposits(context: Context, number: ProposalArgument) -> Any:
    """List the deposits of a proposal."""
    from cosmos.gov.v1 import query_pb2

    request = query_pb2.QueryDepositsRequest(proposal_id=number)
    request.pagination.limit = 1_000
    async with context.client() as client:
        found = await client.query(f"{SERVICE}/Deposits", request, query_pb2.QueryDepositsResponse)
    return [
        {"depositor": item.depositor, "amount_udsc": sum(int(c.amount) for c in item.amount)}
        for item in found.deposits
    ]


async def show_params(context: Context, pallet: str) -> dict[str, Any]:
    """Return the parameters of one pallet, or of all by name."""
    async with context.client() as client:
        if pallet:
            return read_params(pallet, await fetch_params(client, pallet))
        return {
            name: read_params(name, await fetch_params(client, name)) for name in sorted(PACKAGES)
        }


def _summary(item: Any) -> dict[str, Any]:
    from cosmos.gov.v1.gov_pb2 import ProposalStatus

    is_voting = item.HasField("voting_end_time")
    return {
        "proposal": item.id,
        "title": item.title,
        "status": enum_word(ProposalStatus.DESCRIPTOR, item.status),
        "is_expedited": item.expedited,
        "voting_end_time": item.voting_end_time.ToJsonString() if is_voting else "",
    }


def _message(packed: Any) -> dict[str, Any]:
    """Return a packed message as a document; only its type where this program does not know it."""
    from google.protobuf import json_format

    message_class = find_message_class(packed.type_url)
    if message_class is None:
        return {"type": packed.type_url}
    message = message_class.FromString(packed.value)
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {"type": packed.type_url, **fields}
