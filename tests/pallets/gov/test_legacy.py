"""`cosmos.gov.v1beta1`, as CosmJS sends and asks it."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.distribution.v1beta1 import distribution_pb2
from cosmos.gov.v1beta1 import gov_pb2, query_pb2, tx_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2

from node.pallets.gov.errors import MessageInvalid, VoteInvalid
from node.runtime.coins import build_coin
from proto.packing import pack_any
from tests.pallets.gov.gov_chain import DAY, DSC, NO, YES, GovChain
from tests.pallets.harness import make_text_addr
from tests.pallets.staking.staking_chain import skip_time

SERVICE = "/cosmos.gov.v1beta1.Query"


@pytest.fixture
def chain() -> GovChain:
    return GovChain()


def propose(chain: GovChain, content: Any, deposit: int = 10 * DSC) -> int:
    message = tx_pb2.MsgSubmitProposal(
        content=pack_any(content),
        proposer=make_text_addr("bob"),
        initial_deposit=[build_coin("udsc", deposit)],
    )
    return int(chain.run(message).response.proposal_id)


def test_text_from_deposit_to_decision(chain: GovChain) -> None:
    content = gov_pb2.TextProposal(title="title", description="why")
    number = propose(chain, content, deposit=DSC)
    message = tx_pb2.MsgDeposit(
        proposal_id=number,
        depositor=make_text_addr("alice"),
        amount=[build_coin("udsc", 9 * DSC)],
    )
    chain.run(message)
    chain.run(tx_pb2.MsgVote(proposal_id=number, voter=make_text_addr("small"), option=NO))
    weighted = tx_pb2.MsgVoteWeighted(proposal_id=number, voter=make_text_addr("big"))
    weighted.options.add(option=YES, weight=str(10**18))
    chain.run(weighted)
    votes = chain.query(f"{SERVICE}/Votes", query_pb2.QueryVotesRequest(proposal_id=number)).votes
    assert sorted((vote.option, vote.options[0].weight) for vote in votes) == [
        (YES, str(10**18)),
        (NO, str(10**18)),
    ]
    deposits = chain.query(
        f"{SERVICE}/Deposits", query_pb2.QueryDepositsRequest(proposal_id=number)
    ).deposits
    assert sum(int(entry.amount[0].amount) for entry in deposits) == 10 * DSC
    tally = chain.query(
        f"{SERVICE}/TallyResult", query_pb2.QueryTallyResultRequest(proposal_id=number)
    ).tally
    assert (tally.yes, tally.no) == (str(700 * DSC), str(300 * DSC))
    skip_time(chain, 2 * DAY)
    chain.next_block()
    found = chain.query(f"{SERVICE}/Proposals", query_pb2.QueryProposalsRequest()).proposals
    assert [proposal.status for proposal in found] == [gov_pb2.PROPOSAL_STATUS_PASSED]
    assert gov_pb2.TextProposal.FromString(found[0].content.value) == content
    assert found[0].final_tally_result.yes == str(700 * DSC)


def test_upgrade_and_payment(chain: GovChain) -> None:
    plan = upgrade_pb2.Plan(name="v2", height=1_000)
    upgrade = upgrade_pb2.SoftwareUpgradeProposal(title="v2", description="v2", plan=plan)
    number = propose(chain, upgrade)
    packed = chain.get_proposal(number).messages
    assert [message.type_url for message in packed] == [
        "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade"
    ]
    pay = distribution_pb2.CommunityPoolSpendProposal(
        title="t", description="d", recipient=make_text_addr("bob"), amount=[build_coin("udsc", 5)]
    )
    packed = chain.get_proposal(propose(chain, pay)).messages
    assert packed[0].type_url == "/cosmos.distribution.v1beta1.MsgCommunityPoolSpend"


def test_params(chain: GovChain) -> None:
    answer = chain.query(f"{SERVICE}/Params", query_pb2.QueryParamsRequest(params_type="tallying"))
    assert answer.tally_params.quorum == b"334000000000000000"
    assert answer.voting_params.voting_period.seconds == 2 * DAY


def test_invalid(chain: GovChain) -> None:
    message = tx_pb2.MsgSubmitProposal(
        content=pack_any(gov_pb2.Vote()), proposer=make_text_addr("bob")
    )
    chain.assert_noop(message, MessageInvalid)
    number = propose(chain, gov_pb2.TextProposal(title="t", description="d"))
    weighted = tx_pb2.MsgVoteWeighted(proposal_id=number, voter=make_text_addr("big"))
    weighted.options.add(option=YES, weight="0.5")
    chain.assert_noop(weighted, VoteInvalid)
