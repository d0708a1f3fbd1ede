"""Minting what was set aside."""

from __future__ import annotations

import pytest

from node.pallets.mint.errors import EmissionExhausted
from node.pallets.mint.pallet import MintPallet
from node.pallets.mint.types import EmissionIssued
from node.runtime.addresses import encode_account
from node.runtime.errors import InvalidRequest
from node.runtime.pallet import AUTHORITY_ADDR
from node.runtime.storage import GenesisDataError
from proto.descent.mint.v1 import mint_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr

EMISSION = "/descent.mint.v1.Query/Emission"


def build_pallets():  # type: ignore[no-untyped-def]
    accounts, bank = build_base_pallets()
    return accounts, bank, MintPallet(bank)


def make_chain(emission: int = 1_000, cap: int = 10_000, issued: int = 0) -> Harness:
    section = {
        "params": {"initial_emission_udsc": str(emission), "supply_cap_udsc": str(cap)},
        "issued_udsc": str(issued),
    }
    return Harness(*build_pallets(), genesis={"mint": section})


def issue(chain: Harness, amount: int) -> None:
    chain.get_pallet("mint").issue(chain.ctx(), make_addr("run"), amount)
    chain.check_invariants()


def test_issue() -> None:
    chain = make_chain()
    ctx = chain.ctx()
    chain.get_pallet("mint").issue(ctx, make_addr("run"), 700)
    assert chain.get_balance("run") == 700
    assert EmissionIssued(make_text_addr("run"), 700) in ctx.events
    assert chain.get_pallet("mint").get_unissued(chain.ctx()) == 9_300


def test_issue__nothing() -> None:
    chain = make_chain(issued=10_000)
    issue(chain, 0)
    assert chain.get_balance("run") == 0


def test_issue__emission_halves_with_issuance() -> None:
    chain = make_chain(emission=3_000, cap=10_000)
    emissions = []
    for _ in range(6):
        amount = chain.get_pallet("mint").get_block_emission(chain.ctx())
        issue(chain, amount)
        emissions.append(amount)
        chain.next_block()
    assert emissions == [3_000, 3_000, 1_500, 750, 750, 375]


def test_invalid_above_the_cap() -> None:
    chain = make_chain()
    issue(chain, 10_000)
    with pytest.raises(EmissionExhausted):
        issue(chain, 1)


def test_nothing_is_minted_unless_issued() -> None:
    chain = make_chain()
    chain.next_block(10)
    answer = chain.query(EMISSION, mint_pb2.QueryEmissionRequest())
    assert (answer.issued_udsc, answer.block_emission_udsc) == (0, 1_000)


def test_burning_does_not_undo_issuance() -> None:
    chain = make_chain()
    issue(chain, 1_000)
    chain.get_pallet("bank").burn(chain.ctx(), make_addr("run"), 1_000)
    chain.check_invariants()
    answer = chain.query(EMISSION, mint_pb2.QueryEmissionRequest())
    assert answer.issued_udsc == 1_000


def test_invalid_genesis_above_the_cap() -> None:
    with pytest.raises(GenesisDataError, match="above the cap"):
        make_chain(issued=10_001)


def test_invalid_cap_below_issuance() -> None:
    chain = make_chain()
    issue(chain, 500)
    message = mint_pb2.MsgUpdateParams(authority=encode_account(AUTHORITY_ADDR))
    message.params.supply_cap_udsc = 499
    chain.assert_noop(message, InvalidRequest, "500 udsc are issued")
    message.params.supply_cap_udsc = 500
    chain.run(message)


def test_genesis_round_trips() -> None:
    chain = make_chain()
    issue(chain, 500)
    chain.assert_genesis_round_trips(*build_pallets())
