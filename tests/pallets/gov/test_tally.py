"""The arithmetic of a tally: nothing is counted twice, nothing comes from nowhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.pallets.gov.tally import OPTIONS, Ballot, OperatorStakes, Outcome, count_votes, decide

ONE = 10**18
NAMES = (b"a", b"b", b"c")
SHARES = st.integers(0, 10**12)


@given(
    holdings=st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=1, max_size=6),
    slashed=st.integers(0, 100),
    votes=st.lists(st.sampled_from((*OPTIONS, 0)), min_size=6, max_size=6),
)
def test_count_is_the_voters_stake(
    holdings: list[tuple[int, int, int]], slashed: int, votes: list[int]
) -> None:
    """Holder i is operator i for i < 3; whoever votes 0 does not vote."""
    totals = {name: sum(held[i] for held in holdings) for i, name in enumerate(NAMES)}
    operators = {
        name: OperatorStakes(total * (100 - slashed) // 100, total)
        for name, total in totals.items()
        if total
    }
    ballots = [
        Ballot(
            NAMES[index] if index < 3 else bytes((index,)),
            [(votes[index], ONE)],
            {name: shares for name, shares in zip(NAMES, held, strict=True) if shares},
        )
        for index, held in enumerate(holdings)
        if votes[index]
    ]
    counts = count_votes(operators, ballots)
    bonded = sum(stakes.tokens for stakes in operators.values()) * ONE
    assert 0 <= sum(counts.values()) <= bonded
    if len(ballots) == len(holdings):
        assert bonded - sum(counts.values()) <= 18 + sum(totals.values()) * 0
    everybody = {ballot.voter for ballot in ballots}
    if set(operators) <= everybody:
        assert bonded - sum(counts.values()) <= len(holdings) * 6


def test_decide() -> None:
    yes, abstain, no, veto = OPTIONS
    empty = dict.fromkeys(OPTIONS, 0)
    limits = (334 * 10**15, ONE // 2, 334 * 10**15)
    assert decide(empty, 0, *limits) is Outcome.NO_QUORUM
    assert decide({**empty, yes: 33}, 100, *limits) is Outcome.NO_QUORUM
    assert decide({**empty, yes: 34}, 100, *limits) is Outcome.PASSED
    assert decide({**empty, yes: 50, no: 50}, 100, *limits) is Outcome.REJECTED
    assert decide({**empty, yes: 51, no: 49, abstain: 10}, 110, *limits) is Outcome.PASSED
    assert decide({**empty, yes: 60, veto: 40}, 100, *limits) is Outcome.VETOED
    assert decide({**empty, abstain: 100}, 100, *limits) is Outcome.REJECTED
