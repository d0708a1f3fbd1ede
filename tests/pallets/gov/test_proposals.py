"""Proposals from deposit to decision."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx_pb2
from cosmos.distribution.v1beta1 import tx_pb2 as distribution_tx_pb2
from cosmos.gov.v1 import gov_pb2, query_pb2, tx_pb2
from cosmos.staking.v1beta1 import tx_pb2 as staking_tx_pb2
from google.protobuf import any_pb2

from node.pallets.gov.errors import (
    DepositDenomInvalid,
    DepositTooSmall,
    MessageInvalid,
    MessageUnroutable,
    ProposalInactive,
    ProposalUnknown,
    ProposerInvalid,
    VoteInvalid,
)
from node.pallets.gov.types import ProposalDecided, ProposalDropped
from node.runtime.coins import build_coin
from node.runtime.errors import ChainError, InvalidAuthority
from node.runtime.pallet import ParamsUpdated
from proto.descent.mint.v1 import mint_pb2
from tests.pallets.gov.gov_chain import (
    ABSTAIN,
    AUTHORITY,
    DAY,
    DSC,
    NO,
    SERVICE,
    VETO,
    YES,
    GovChain,
    build_deposit,
    build_pallets,
    build_proposal,
    build_vote,
)
from tests.pallets.harness import make_text_addr
from tests.pallets.staking.staking_chain import build_delegate, skip_time


@pytest.fixture
def chain() -> GovChain:
    return GovChain()


def build_update(max_validators: int = 7, **fields: Any) -> Any:
    message = staking_tx_pb2.MsgUpdateParams(authority=AUTHORITY)
    message.params.unbonding_time.seconds = 100
    message.params.max_validators = max_validators
    message.params.max_entries = 7
    for name, value in fields.items():
        setattr(message.params, name, value)
    return message


def decide(chain: GovChain) -> list[Any]:
    skip_time(chain, 2 * DAY)
    return chain.next_block()


def test_parameter_change(chain: GovChain) -> None:
    number = chain.propose(build_update(), build_mint(5))
    assert chain.get_status(number) == "VOTING_PERIOD"
    chain.vote(number, big=YES)
    chain.assert_genesis_round_trips(*build_pallets())
    before = chain.get_balance("bob")
    events = decide(chain)
    assert chain.get_status(number) == "PASSED"
    assert [event.pallet for event in events if isinstance(event, ParamsUpdated)] == [
        "staking",
        "mint",
    ]
    params = chain.get_pallet("staking").get_params(chain.ctx())
    assert (params.max_validators, params.unbonding_seconds) == (7, 100)
    assert chain.get_pallet("mint").get_params(chain.ctx()).initial_emission_udsc == 5
    assert chain.get_balance("bob") == before + 10 * DSC
    tally = chain.get_proposal(number).final_tally_result
    assert (tally.yes_count, tally.no_count) == (str(700 * DSC), "0")
    chain.assert_genesis_round_trips(*build_pallets())


def build_mint(emission: int, authority: str = AUTHORITY) -> Any:
    params = mint_pb2.Params(initial_emission_udsc=emission, supply_cap_udsc=21 * 10**12)
    return mint_pb2.MsgUpdateParams(authority=authority, params=params)


def test_parameter_change__out_of_bounds_fails_whole(chain: GovChain) -> None:
    number = chain.propose(build_mint(5), build_update(max_validators=0))
    chain.vote(number, big=YES)
    decide(chain)
    assert chain.get_status(number) == "FAILED"
    assert "max_validators = 0 is outside 1..1000" in chain.get_proposal(number).failed_reason
    assert chain.get_pallet("mint").get_params(chain.ctx()).initial_emission_udsc == 0


@pytest.mark.parametrize(
    ("votes", "status", "is_burned"),
    [
        ({}, "REJECTED", False),
        ({"small": NO}, "REJECTED", False),
        ({"big": YES, "small": NO}, "PASSED", False),
        ({"big": YES, "alice": NO, "small": NO}, "REJECTED", False),
        ({"big": YES, "alice": ABSTAIN, "small": NO}, "PASSED", False),
        ({"big": ABSTAIN, "small": ABSTAIN}, "REJECTED", False),
        ({"big": YES, "small": VETO, "alice": VETO}, "REJECTED", True),
    ],
)
def test_outcomes(chain: GovChain, votes: dict[str, int], status: str, is_burned: bool) -> None:
    """big has 500 of its own and speaks for alice's 200 unless she votes; small has 300."""
    number = chain.propose(build_update())
    chain.vote(number, **votes)
    before = chain.get_balance("bob")
    events = decide(chain)
    assert chain.get_status(number) == status
    assert chain.get_balance("bob") == before + (0 if is_burned else 10 * DSC)
    assert sum(isinstance(event, ProposalDecided) for event in events) == 1


def test_weighted_vote(chain: GovChain) -> None:
    number = chain.propose(build_update())
    message = tx_pb2.MsgVoteWeighted(proposal_id=number, voter=make_text_addr("big"))
    message.options.add(option=YES, weight="0.75")
    message.options.add(option=NO, weight="0.25")
    chain.run(message)
    request = query_pb2.QueryTallyResultRequest(proposal_id=number)
    tally = chain.query(f"{SERVICE}/TallyResult", request).tally
    assert (tally.yes_count, tally.no_count) == (str(525 * DSC), str(175 * DSC))
    message.options[1].weight = "0.3"
    chain.assert_noop(message, VoteInvalid)
    message.options[1].weight = "x"
    chain.assert_noop(message, VoteInvalid)


def test_stake_counts_at_the_end(chain: GovChain) -> None:
    number = chain.propose(build_update())
    chain.vote(number, small=YES, big=NO)
    chain.run(build_delegate("bob", "small", 1_000 * DSC))
    decide(chain)
    assert chain.get_status(number) == "PASSED"


def test_deposit(chain: GovChain) -> None:
    number = chain.propose(build_update(), deposit=4 * DSC)
    assert chain.get_status(number) == "DEPOSIT_PERIOD"
    chain.assert_noop(build_vote(number, "big", YES), ProposalInactive)
    chain.run(build_deposit(number, "alice", 5 * DSC))
    assert chain.get_status(number) == "DEPOSIT_PERIOD"
    chain.run(build_deposit(number, "alice", 1 * DSC))
    assert chain.get_status(number) == "VOTING_PERIOD"
    request = query_pb2.QueryDepositsRequest(proposal_id=number)
    deposits = chain.query(f"{SERVICE}/Deposits", request).deposits
    assert sorted(int(entry.amount[0].amount) for entry in deposits) == [4 * DSC, 6 * DSC]
    chain.assert_genesis_round_trips(*build_pallets())


def test_deposit__not_complete_in_time(chain: GovChain) -> None:
    number = chain.propose(build_update(), deposit=4 * DSC)
    before = chain.get_balance("bob")
    events = decide(chain)
    assert sum(isinstance(event, ProposalDropped) for event in events) == 1
    assert chain.get_balance("bob") == before + 4 * DSC
    chain.assert_noop(build_deposit(number, "bob", 1), ProposalUnknown)


def test_expedited(chain: GovChain) -> None:
    number = chain.propose(build_update(), deposit=50 * DSC, expedited=True)
    chain.vote(number, big=YES)
    skip_time(chain, DAY)
    chain.next_block()
    assert chain.get_status(number) == "PASSED"


def test_expedited__goes_on_as_an_ordinary_one(chain: GovChain) -> None:
    number = chain.propose(build_update(), deposit=50 * DSC, expedited=True)
    chain.vote(number, big=YES, small=NO, alice=ABSTAIN)
    skip_time(chain, DAY)
    chain.next_block()
    assert chain.get_status(number) == "VOTING_PERIOD"
    assert not chain.get_proposal(number).expedited
    skip_time(chain, DAY)
    chain.next_block()
    assert chain.get_status(number) == "PASSED"


def test_cancel(chain: GovChain) -> None:
    number = chain.propose(build_update())
    message = tx_pb2.MsgCancelProposal(proposal_id=number, proposer=make_text_addr("alice"))
    chain.assert_noop(message, ProposerInvalid)
    message.proposer = make_text_addr("bob")
    before = chain.get_balance("bob")
    chain.run(message)
    assert chain.get_balance("bob") == before + 5 * DSC
    chain.assert_noop(message, ProposalUnknown)
    chain.assert_genesis_round_trips(*build_pallets())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (build_proposal(build_mint(1, make_text_addr("bob"))), InvalidAuthority),
        (build_proposal(gov_pb2.Vote(proposal_id=1)), MessageUnroutable),
        (build_proposal(title=""), MessageInvalid),
        (build_proposal(initial_deposit=[build_coin("uother", 5)]), DepositDenomInvalid),
    ],
)
def test_invalid_proposals(chain: GovChain, message: Any, error: type[ChainError]) -> None:
    chain.assert_noop(message, error)


def nest(depth: int) -> Any:
    """A proposal of governance that proposes a proposal ..., so deep."""
    message = build_proposal(proposer=AUTHORITY)
    for _ in range(depth):
        message = build_proposal(message, proposer=AUTHORITY)
    return message


@pytest.mark.parametrize(
    "inner",
    [
        any_pb2.Any(type_url="/cosmos.gov.v1.MsgVote", value=b"\x01" * 32),
        any_pb2.Any(type_url="/cosmos.gov.v1.Vote", value=b""),
        any_pb2.Any(type_url="/unknown.Type", value=b""),
        any_pb2.Any(type_url="else.org/cosmos.gov.v1.MsgVote", value=b""),
        any_pb2.Any(),
    ],
)
def test_invalid_packed(chain: GovChain, inner: Any) -> None:
    """What a proposal's message holds has to be a call that parses, whatever is loaded."""
    held = tx_pb2.MsgSubmitProposal(proposer=AUTHORITY, title="t", summary="s", messages=[inner])
    chain.assert_noop(build_proposal(held), MessageInvalid)


def test_packed_depth(chain: GovChain) -> None:
    """Deep nesting is refused before anything recurses into it."""
    chain.run(build_proposal(nest(3)))
    for depth in (5, 100, 1_000):
        chain.assert_noop(build_proposal(nest(depth)), MessageInvalid)


def test_invalid_without_governance(chain: GovChain) -> None:
    chain.assert_noop(build_mint(1, make_text_addr("bob")), InvalidAuthority)
    number = chain.propose()
    chain.assert_noop(build_vote(number, "big", 9), VoteInvalid)
    message = build_deposit(number, "bob", 5)
    del message.amount[:]
    chain.assert_noop(message, DepositTooSmall)


def test_community_pool_is_spent(chain: GovChain) -> None:
    fund = distribution_tx_pb2.MsgFundCommunityPool(
        depositor=make_text_addr("alice"), amount=[build_coin("udsc", 500)]
    )
    chain.run(fund)
    spend = distribution_tx_pb2.MsgCommunityPoolSpend(
        authority=AUTHORITY, recipient=make_text_addr("bob"), amount=[build_coin("udsc", 400)]
    )
    send = bank_tx_pb2.MsgSend(from_address=make_text_addr("bob"), to_address=AUTHORITY)
    chain.assert_noop(build_proposal(send), InvalidAuthority)
    first, second = chain.propose(spend), chain.propose(spend)
    chain.vote(first, big=YES)
    chain.vote(second, big=YES)
    before = chain.get_balance("bob")
    decide(chain)
    assert (chain.get_status(first), chain.get_status(second)) == ("PASSED", "FAILED")
    assert chain.get_balance("bob") == before + 400 + 20 * DSC


def test_gov_changes_its_own_parameters(chain: GovChain) -> None:
    answer = chain.query(f"{SERVICE}/Params", query_pb2.QueryParamsRequest(params_type="voting"))
    params = answer.params
    params.voting_period.seconds = 60
    number = chain.propose(tx_pb2.MsgUpdateParams(authority=AUTHORITY, params=params))
    chain.vote(number, big=YES)
    decide(chain)
    assert chain.get_pallet("gov").get_params(chain.ctx()).voting_seconds == 60


def test_deposits_of_others_are_safe(chain: GovChain) -> None:
    """A proposal may spend what gov's account holds beyond the deposits of other proposals."""
    send = bank_tx_pb2.MsgSend(
        from_address=AUTHORITY, to_address=make_text_addr("bob"), amount=[build_coin("udsc", 5)]
    )
    first = chain.propose(send)
    second = chain.propose(send, deposit=4 * DSC)
    chain.vote(first, big=YES)
    decide(chain)
    assert chain.get_status(first) == "FAILED"
    chain.assert_noop(build_deposit(second, "bob", 1), ProposalUnknown)
