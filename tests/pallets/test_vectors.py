"""The call vectors: an imported state does what they say, step by step."""

from __future__ import annotations

import json

import pytest

from tests.pallets.vectors import FOLDER, SCENARIOS, restore_chain, run_step

PREFIXES = ("/descent", "/cosmos.bank")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_vectors(scenario: str) -> None:
    document = json.loads((FOLDER / f"{scenario}.json").read_text())
    chain = restore_chain(scenario, document)
    for step in document["steps"]:
        assert run_step(chain, step) == step
        if "name" in step:
            assert ("error" in step) == step["name"].startswith("invalid"), step["name"]


def test_every_call_of_these_pallets_has_a_vector() -> None:
    wanted, found = set(), set()  # changing parameters is the business of governance's tests
    for scenario in SCENARIOS:
        document = json.loads((FOLDER / f"{scenario}.json").read_text())
        found |= {step["message"] for step in document["steps"] if "response" in step}
        chain = restore_chain(scenario, document)
        wanted |= {url for url in chain.runtime.calls if url.startswith(PREFIXES)}
    assert {url for url in wanted if not url.endswith("MsgUpdateParams")} <= found
