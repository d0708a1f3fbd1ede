"""Arithmetic of a tally: bonded stake by vote, and what it decides. Integers, scaled by 10**18.

Every vote counts with the voter's delegations. An operator's vote counts with what is delegated to
it, less those of its delegators that voted themselves. Source: Cosmos SDK x/gov/keeper/tally.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cosmos.gov.v1 import gov_pb2

from node.pallets.staking.shares import DECIMALS_18

YES, ABSTAIN = gov_pb2.VOTE_OPTION_YES, gov_pb2.VOTE_OPTION_ABSTAIN
NO, VETO = gov_pb2.VOTE_OPTION_NO, gov_pb2.VOTE_OPTION_NO_WITH_VETO
OPTIONS = (YES, ABSTAIN, NO, VETO)
Weights = Sequence[tuple[int, int]]
"""(option, weight scaled by 10**18), weights adding up to one."""


@dataclass(frozen=True)
class OperatorStakes:
    """Tokens and shares of an operator whose stake counts."""

    tokens: int
    shares: int


@dataclass(frozen=True)
class Ballot:
    """A vote with the voter's shares by operator."""

    voter: bytes
    weights: Weights
    shares: Mapping[bytes, int]


class Outcome(Enum):
    """What a tally decides."""

    PASSED = "passed"
    REJECTED = "rejected"
    NO_QUORUM = "no quorum"
    VETOED = "vetoed"


def count_votes(
    operators: Mapping[bytes, OperatorStakes], ballots: Sequence[Ballot]
) -> dict[int, int]:
    """Count stake by option, scaled by 10**18 and rounded down."""
    counts = dict.fromkeys(OPTIONS, 0)
    left = {addr: stakes.shares for addr, stakes in operators.items()}

    def add(weights: Weights, operator: OperatorStakes, shares: int) -> None:
        power = shares * operator.tokens * DECIMALS_18 // operator.shares
        for option, weight in weights:
            counts[option] += power * weight // DECIMALS_18

    for ballot in ballots:
        for addr, shares in ballot.shares.items():
            if addr in operators:
                left[addr] -= shares
                add(ballot.weights, operators[addr], shares)
    for ballot in ballots:
        if ballot.voter in operators:
            add(ballot.weights, operators[ballot.voter], left[ballot.voter])
    return counts


def decide(
    counts: Mapping[int, int], bonded: int, quorum: int, threshold: int, veto_threshold: int
) -> Outcome:
    """Decide from the counts; every fraction is scaled by 10**18.

    Args:
        bonded: stake that could have voted, scaled by 10**18.
    """
    total = sum(counts.values())
    if bonded == 0 or total * DECIMALS_18 < quorum * bonded:
        return Outcome.NO_QUORUM
    if total == counts[ABSTAIN]:
        return Outcome.REJECTED
    if counts[VETO] * DECIMALS_18 > veto_threshold * total:
        return Outcome.VETOED
    is_passed = counts[YES] * DECIMALS_18 > threshold * (total - counts[ABSTAIN])
    return Outcome.PASSED if is_passed else Outcome.REJECTED


def build_result(counts: Mapping[int, int]) -> Any:
    """Build the `TallyResult` in whole udsc."""
    return gov_pb2.TallyResult(
        yes_count=str(counts[YES] // DECIMALS_18),
        abstain_count=str(counts[ABSTAIN] // DECIMALS_18),
        no_count=str(counts[NO] // DECIMALS_18),
        no_with_veto_count=str(counts[VETO] // DECIMALS_18),
    )
