"""The 22 simulator cases: same numbers as recorded, by both versions, and what they show."""

import json
from dataclasses import replace

import pytest

from tests.scoring.yuma_cases import CASES, NUM_VALIDATORS, PARAMS, VECTORS, describe_case, run_case
from tests.scoring.yuma_helpers import EPOCH_FUNCTIONS

RECORDED = json.loads(VECTORS.read_text())


def test_every_case_is_recorded() -> None:
    assert list(RECORDED) == list(CASES)
    assert len(CASES) == 22


@pytest.mark.parametrize("function_name", EPOCH_FUNCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_case__equals_record(name: str, function_name: str) -> None:
    assert describe_case(CASES[name], EPOCH_FUNCTIONS[function_name]) == RECORDED[name]


def sum_dividends(name: str, rule: str) -> list[int]:
    return [sum(column) for column in zip(*RECORDED[name][rule]["dividends"], strict=True)]


@pytest.mark.parametrize("rule", PARAMS)
def test_case__the_validator_that_moves_early_earns_more(rule: str) -> None:
    _, eager, lazy = sum_dividends("02 kappa moves second", rule)
    assert eager > lazy


@pytest.mark.parametrize("liquid_alpha", [False, True])
def test_case__a_weight_copier_loses_without_bonds_penalty(liquid_alpha: bool) -> None:
    """Case 8: the big validator (80 % of stake) follows one epoch late, twice.

    With bonds bought by raw weights the early movers take more than their stake. With the full
    penalty, which is the default, bonds follow clipped weights, nobody can be early, and the copier
    loses nothing: a run that fears copying has to lower `bonds_penalty_u16`.
    """
    shares = {}
    for penalty_u16 in (0, 65535):
        params = replace(
            PARAMS["yuma3"],
            bonds_penalty_u16=penalty_u16,
            liquid_alpha=liquid_alpha,
            alpha_low_u16=6554,  # 0.1
            alpha_high_u16=19661,  # 0.3
        )
        outputs = run_case(CASES["08 big late, then late again"], params, EPOCH_FUNCTIONS["fast"])
        total = sum(sum(output.dividends_u16) for output in outputs)
        shares[penalty_u16] = sum(output.dividends_u16[0] for output in outputs) / total
    assert shares[0] < 0.79
    assert shares[65535] > 0.80


@pytest.mark.parametrize("rule", PARAMS)
def test_case__emission_is_shared_half_and_half(rule: str) -> None:
    outputs = run_case(CASES["16 stable miner 0.5"], PARAMS[rule], EPOCH_FUNCTIONS["fast"])
    for output in outputs:
        assert sum(output.server_emission_units[:NUM_VALIDATORS]) == 0
        assert sum(output.validator_emission_units) == pytest.approx(5 * 10**8, abs=3)
        assert sum(output.server_emission_units) == pytest.approx(5 * 10**8, abs=3)
