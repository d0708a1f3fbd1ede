"""Published integers of the original bond rule: 8 epochs of bonds and emission, bit for bit.

Source: `reference/chain.md` section 1.11, table of `test_bonds`.
"""

import pytest

from scoring.yuma_types import EMPTY_ROW, YumaParams, YumaVariant
from tests.scoring.yuma_helpers import EPOCH_FUNCTIONS, make_input

VOTE = {4: 16383, 5: 32767, 6: 49149, 7: 65535}
SERVERS = [49998779, 100000610, 149996337, 200004272]
WINNER = [0, 0, 0, 500000000]

# change of a weight row, uid whose bonds are published, bonds of validators 0..3, emission
EPOCHS: list[tuple[dict[int, dict[int, int]], int, list[int], list[int]]] = [
    ({}, 4, [16383, 32767, 49151, 65535], [49999998, 99999999, 150000000, 200000001, *SERVERS]),
    (
        {0: {0: 65535}},
        4,
        [14582, 32767, 49151, 65535],
        [44998351, 101110561, 151667215, 202223870, *SERVERS],
    ),
    (
        {1: {1: 65535}},
        4,
        [12603, 28321, 49151, 65535],
        [40496805, 90999783, 157929636, 210573773, *SERVERS],
    ),
    (
        {2: {2: 65535}},
        7,
        [12602, 28320, 49150, 65535],
        [99999999, 199999999, 299999999, 399999999, 0, 0, 0, 0],
    ),
    (
        {2: {7: 65535}},
        7,
        [10951, 24609, 49150, 65535],
        [36443733, 81898628, 163565493, 218092144, *WINNER],
    ),
    (
        {},
        7,
        [9559, 21482, 49150, 65535],
        [32799427, 73706612, 168638129, 224855830, *WINNER],
    ),
    (
        {},
        7,
        [8376, 18824, 49150, 65535],
        [29518068, 66336137, 173203134, 230942659, *WINNER],
    ),
    (
        {},
        7,
        [7363, 16549, 49150, 65535],
        [26565175, 59701871, 177311856, 236421095, *WINNER],
    ),
]


@pytest.mark.parametrize("name", EPOCH_FUNCTIONS)
def test_bonds(name: str) -> None:
    params = YumaParams(variant=YumaVariant.ORIGINAL, max_validators=4)
    weights = dict.fromkeys(range(4), VOTE)
    bonds = (EMPTY_ROW,) * 8
    for index, (change, target, expected_bonds, expected_emission) in enumerate(EPOCHS, start=1):
        weights = {**weights, **change}
        state = make_input(
            (1, 2, 3, 4, 0, 0, 0, 0), weights, epoch_index=index, num_permits=4, bonds=bonds
        )
        output = EPOCH_FUNCTIONS[name](params, state)
        bonds = output.bonds
        assert [dict(row.to_pairs())[target] for row in bonds[:4]] == expected_bonds, index
        assert list(output.emission_units) == expected_emission, index
        assert output.permits == (True,) * 4 + (False,) * 4


def _make_graph(
    num_validators: int, num_servers: int
) -> tuple[list[int], dict[int, dict[int, int]]]:
    """Validators with equal stake, all giving the same weight to all servers."""
    servers = range(num_validators, num_validators + num_servers)
    vote = dict.fromkeys(servers, 65535)
    weights = dict.fromkeys(range(num_validators), vote)
    return [100] * num_validators + [0] * num_servers, weights


@pytest.mark.parametrize("variant", YumaVariant)
@pytest.mark.parametrize("name", EPOCH_FUNCTIONS)
def test_graph__self_weights_only(name: str, variant: YumaVariant) -> None:
    """Ten uids that name only themselves are paid by stake."""
    stakes = [100] * 10
    weights = {uid: {uid: 65535} for uid in range(10)}
    output = EPOCH_FUNCTIONS[name](
        YumaParams(variant=variant), make_input(stakes, weights, num_permits=10)
    )
    assert output.emission_units == (99999999,) * 10
    assert output.validator_emission_units == (99999999,) * 10
    assert output.server_emission_units == (0,) * 10
    assert output.incentive_u16 == output.dividends_u16 == output.consensus_u16 == (0,) * 10


@pytest.mark.parametrize(
    ("num_validators", "num_servers", "dividends", "incentive", "emissions", "names"),
    [
        (64, 448, 1023, 146, (7812500, 1116071), ("clear", "fast")),
        (256, 3840, 255, 17, (1953125, 130208), ("fast",)),
    ],
)
@pytest.mark.parametrize("variant", YumaVariant)
def test_graph__equal_servers(
    num_validators: int,
    num_servers: int,
    dividends: int,
    incentive: int,
    emissions: tuple[int, int],
    names: tuple[str, ...],
    variant: YumaVariant,
) -> None:
    stakes, weights = _make_graph(num_validators, num_servers)
    params = YumaParams(variant=variant, max_validators=num_validators)
    state = make_input(stakes, weights, num_permits=num_validators)
    v, s = num_validators, num_servers
    for name in names:
        output = EPOCH_FUNCTIONS[name](params, state)
        assert output.dividends_u16 == (dividends,) * v + (0,) * s
        assert output.incentive_u16 == (0,) * v + (incentive,) * s
        assert output.consensus_u16 == (0,) * v + (incentive,) * s
        assert output.emission_units == (emissions[0],) * v + (emissions[1],) * s
