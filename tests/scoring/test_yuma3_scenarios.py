"""Published Yuma3 scenarios: bonds and dividends of three validators over epochs.

Validators are uids 0..2, servers follow; each row of weights is the share a validator gives to
each server. Setting: penalty 0, moving average 975 000, slope 10, liquid alpha between 0.1 and 0.3
unless said; one empty epoch first. `bonds[epoch]` has one row per validator over the servers,
`dividends` one number per validator.

Source: the scenario tests of the reference implementation, `reference/chain.md` section 1.11. There
the comparison of bonds skips all targets; here both are compared. Published tolerance is 1e-3;
the numbers have four digits, and agree to 1.1e-4 (dividends 1e-4).
"""

from dataclasses import dataclass, field

import pytest

from scoring.yuma_types import EMPTY_ROW, SparseRow, YumaOutput, YumaParams
from tests.scoring.yuma_helpers import EPOCH_FUNCTIONS, make_input

Matrix = list[list[float]]

S1, S2 = [1.0, 0.0], [0.0, 1.0]
ALL_S1, ALL_S2 = [S1] * 3, [S2] * 3
HALF_13, HALF_23 = [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]


@dataclass(frozen=True)
class Scenario:
    stakes: list[int]
    weights: list[Matrix]  # per epoch; the last one is repeated
    bonds: dict[int, Matrix]
    dividends: dict[int, list[float]]
    liquid_alpha: bool = True
    resets: dict[int, int] = field(default_factory=dict)  # epoch -> server whose bonds are wiped


def by_epoch(rows: list) -> dict:
    return dict(enumerate(rows))


SCENARIOS = {
    "kappa_moves_first": Scenario(
        stakes=[8, 1, 1],
        weights=[ALL_S1, [S2, S1, S1], [S2, S2, S1], ALL_S2],
        bonds=by_epoch(
            [
                [[0.1013, 0.0], [0.1013, 0.0], [0.1013, 0.0]],
                [[0.0908, 0.1013], [0.3697, 0.0], [0.3697, 0.0]],
                [[0.0815, 0.1924], [0.3170, 0.1013], [0.5580, 0.0]],
                [[0.0731, 0.2742], [0.2765, 0.1924], [0.4306, 0.1013]],
                [[0.0656, 0.3478], [0.2435, 0.2742], [0.3589, 0.1924]],
                [[0.0588, 0.4139], [0.2157, 0.3478], [0.3089, 0.2742]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.8, 0.1, 0.1],
                [1.0, 0.0, 0.0],
                [0.9382, 0.0618, 0.0],
                [0.8819, 0.0773, 0.0407],
                [0.8564, 0.0844, 0.0592],
                [0.8418, 0.0884, 0.0697],
            ]
        ),
    ),
    "kappa_moves_second": Scenario(
        stakes=[8, 1, 1],
        weights=[ALL_S1, [S1, S2, S1], [S2, S2, S1], ALL_S2],
        bonds=by_epoch(
            [
                [[0.1013, 0.0], [0.1013, 0.0], [0.1013, 0.0]],
                [[0.1924, 0.0], [0.0908, 0.2987], [0.1924, 0.0]],
                [[0.1715, 0.1013], [0.0815, 0.3697], [0.4336, 0.0]],
                [[0.1531, 0.1924], [0.0731, 0.4336], [0.3608, 0.1013]],
                [[0.1369, 0.2742], [0.0656, 0.4910], [0.3103, 0.1924]],
                [[0.1225, 0.3478], [0.0588, 0.5426], [0.2712, 0.2742]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.8, 0.1, 0.1],
                [0.8446, 0.0498, 0.1056],
                [0.6868, 0.3132, 0.0],
                [0.7421, 0.2090, 0.0489],
                [0.7625, 0.1706, 0.0669],
                [0.7730, 0.1508, 0.0762],
            ]
        ),
    ),
    "kappa_moves_last": Scenario(
        stakes=[8, 1, 1],
        weights=[ALL_S1, [S1, S2, S1], [S1, S2, S2], ALL_S2],
        bonds=by_epoch(
            [
                [[0.1013, 0.0], [0.1013, 0.0], [0.1013, 0.0]],
                [[0.1924, 0.0], [0.0908, 0.2987], [0.1924, 0.0]],
                [[0.2742, 0.0], [0.0815, 0.5081], [0.1715, 0.2987]],
                [[0.2416, 0.1013], [0.0731, 0.5580], [0.1531, 0.3697]],
                [[0.2141, 0.1924], [0.0656, 0.6028], [0.1369, 0.4336]],
                [[0.1903, 0.2742], [0.0588, 0.6430], [0.1225, 0.4910]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.8, 0.1, 0.1],
                [0.8446, 0.0498, 0.1056],
                [0.8966, 0.0333, 0.0701],
                [0.4663, 0.3210, 0.2127],
                [0.5976, 0.2340, 0.1683],
                [0.6592, 0.1932, 0.1475],
            ]
        ),
    ),
    "one_epoch_switch": Scenario(
        stakes=[33, 33, 34],
        weights=[ALL_S1, ALL_S1, [S1, S1, S2], ALL_S1],
        bonds=by_epoch(
            [
                [[0.1013, 0.0], [0.1013, 0.0], [0.1013, 0.0]],
                [[0.1924, 0.0], [0.1924, 0.0], [0.1924, 0.0]],
                [[0.2742, 0.0], [0.2742, 0.0], [0.1715, 0.2987]],
                [[0.3478, 0.0], [0.3478, 0.0], [0.2554, 0.2618]],
                [[0.4139, 0.0], [0.4139, 0.0], [0.3309, 0.2312]],
                [[0.4733, 0.0], [0.4733, 0.0], [0.3987, 0.2051]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.33, 0.33, 0.34],
                [0.33, 0.33, 0.34],
                [0.3782, 0.3782, 0.2436],
                [0.3628, 0.3628, 0.2745],
                [0.3541, 0.3541, 0.2917],
                [0.3487, 0.3487, 0.3026],
            ]
        ),
    ),
    "liquid_alpha_off": Scenario(
        stakes=[33, 33, 34],
        liquid_alpha=False,
        weights=[ALL_S1, ALL_S1, [S1, S1, S2], ALL_S1],
        bonds=by_epoch(
            [
                [[0.0250, 0.0], [0.0250, 0.0], [0.0250, 0.0]],
                [[0.0494, 0.0], [0.0494, 0.0], [0.0494, 0.0]],
                [[0.0731, 0.0], [0.0731, 0.0], [0.0481, 0.0250]],
                [[0.0963, 0.0], [0.0963, 0.0], [0.0719, 0.0244]],
                [[0.1189, 0.0], [0.1189, 0.0], [0.0951, 0.0238]],
                [[0.1409, 0.0], [0.1409, 0.0], [0.1178, 0.0232]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.33, 0.33, 0.34],
                [0.33, 0.33, 0.34],
                [0.3734, 0.3734, 0.2532],
                [0.3611, 0.3611, 0.2779],
                [0.3541, 0.3541, 0.2919],
                [0.3495, 0.3495, 0.3009],
            ]
        ),
    ),
    "stable_miner": Scenario(
        stakes=[8, 1, 1],
        weights=[
            [HALF_13] * 3,
            [HALF_13, HALF_23, HALF_13],
            [HALF_23, HALF_23, HALF_13],
            [HALF_23] * 3,
        ],
        bonds=by_epoch(
            [
                [[0.0507, 0.0, 0.0507], [0.0507, 0.0, 0.0507], [0.0507, 0.0, 0.0507]],
                [[0.0962, 0.0, 0.0962], [0.0455, 0.1000, 0.0962], [0.0962, 0.0, 0.0962]],
                [[0.0863, 0.0507, 0.1371], [0.0408, 0.1405, 0.1371], [0.1770, 0.0, 0.1371]],
                [[0.0774, 0.0962, 0.1739], [0.0367, 0.1770, 0.1739], [0.1579, 0.0507, 0.1739]],
                [[0.0694, 0.1371, 0.2069], [0.0329, 0.2097, 0.2069], [0.1411, 0.0962, 0.2069]],
                [[0.0623, 0.1739, 0.2366], [0.0296, 0.2391, 0.2366], [0.1263, 0.1371, 0.2366]],
            ]
        ),
        dividends=by_epoch(
            [
                [0.8, 0.1, 0.1],
                [0.8226, 0.0745, 0.1028],
                [0.7750, 0.1685, 0.0565],
                [0.7864, 0.1372, 0.0764],
                [0.7912, 0.1241, 0.0847],
                [0.7937, 0.1173, 0.0890],
            ]
        ),
    ),
    "bonds_reset": Scenario(  # the weight copier: A follows one epoch late, twice
        stakes=[8, 1, 1],
        weights=[ALL_S1, [S1, S2, S2], *[ALL_S2] * 19, [S2, S1, S1], ALL_S1],
        resets={20: 0},
        bonds={
            0: [[0.1013, 0.0], [0.1013, 0.0], [0.1013, 0.0]],
            1: [[0.1924, 0.0], [0.0908, 0.2987], [0.0908, 0.2987]],
            2: [[0.1715, 0.1013], [0.0815, 0.3697], [0.0815, 0.3697]],
            19: [[0.0269, 0.8539], [0.0131, 0.8975], [0.0131, 0.8975]],
            20: [[0.0, 0.8687], [0.0, 0.9079], [0.0, 0.9079]],
            21: [[0.0, 0.8820], [0.2987, 0.6386], [0.2987, 0.6386]],
            40: [[0.8687, 0.0578], [0.9079, 0.0523], [0.9079, 0.0523]],
        },
        dividends={
            0: [0.8, 0.1, 0.1],
            1: [0.8944, 0.0528, 0.0528],
            2: [0.5230, 0.2385, 0.2385],
            19: [0.7919, 0.1040, 0.1040],
            20: [0.7928, 0.1036, 0.1036],
            21: [0.8467, 0.0766, 0.0766],
            40: [0.7928, 0.1036, 0.1036],
        },
    ),
}


def make_params(scenario: Scenario) -> YumaParams:
    return YumaParams(
        bonds_penalty_u16=0,
        bonds_moving_average_ppm=975_000,
        liquid_alpha=scenario.liquid_alpha,
        alpha_low_u16=6554,  # 0.1
        alpha_high_u16=19661,  # 0.3
        max_validators=3,
    )


def drop_column(row: SparseRow, uid: int) -> SparseRow:
    kept = [(target, value) for target, value in row.to_pairs() if target != uid]
    return SparseRow.from_ints([target for target, _ in kept], [value for _, value in kept])


def run_scenario(name: str, scenario: Scenario) -> list[YumaOutput]:
    num_servers = len(scenario.weights[0][0])
    stakes = scenario.stakes + [0] * num_servers
    params = make_params(scenario)
    bonds = (EMPTY_ROW,) * len(stakes)
    outputs = []
    for epoch in range(max(scenario.bonds) + 1):
        matrix = scenario.weights[min(epoch, len(scenario.weights) - 1)]
        weights = {
            uid: {3 + server: round(share * 65535) for server, share in enumerate(row)}
            for uid, row in enumerate(matrix)
        }
        if epoch in scenario.resets:
            bonds = tuple(drop_column(row, 3 + scenario.resets[epoch]) for row in bonds)
        state = make_input(stakes, weights, epoch_index=epoch + 2, num_permits=3, bonds=bonds)
        outputs.append(EPOCH_FUNCTIONS[name](params, state))
        bonds = outputs[-1].bonds
    return outputs


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
@pytest.mark.parametrize("name", EPOCH_FUNCTIONS)
def test_scenario(name: str, scenario: Scenario) -> None:
    outputs = run_scenario(name, scenario)
    for epoch, expected in scenario.dividends.items():
        dividends = [value / 65535 for value in outputs[epoch].dividends_u16]
        assert dividends[:3] == pytest.approx(expected, abs=1e-4), epoch
        assert not any(dividends[3:])
    for epoch, rows in scenario.bonds.items():
        for uid, expected in enumerate(rows):
            row = dict(outputs[epoch].bonds[uid].to_pairs())
            found = [row.get(3 + server, 0) / 65535 for server in range(len(expected))]
            assert found == pytest.approx(expected, abs=1.1e-4), (epoch, uid)
        assert all(row == EMPTY_ROW for row in outputs[epoch].bonds[3:])
