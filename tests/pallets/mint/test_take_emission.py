"""Taking block emission."""

from __future__ import annotations

import pytest

from node.pallets.mint.errors import EmissionExhausted
from node.pallets.mint.pallet import MintPallet
from node.runtime.storage import GenesisDataError
from proto.descent.mint.v1 import mint_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr


def build_pallets():  # type: ignore[no-untyped-def]
    accounts, bank = build_base_pallets()
    return accounts, bank, MintPallet(bank)


def make_chain(emission: int = 1_000, cap: int = 10_000, issued: int = 0) -> Harness:
    section = {
        "params": {"initial_emission_udsc": str(emission), "supply_cap_udsc": str(cap)},
        "issued_udsc": str(issued),
    }
    return Harness(*build_pallets(), genesis={"mint": section})


def take(chain: Harness, share_ppm: int = 10**6) -> int:
    amount: int = chain.get_pallet("mint").take_block_emission(
        chain.ctx(), make_addr("run"), share_ppm
    )
    chain.check_invariants()
    return amount


def test_take() -> None:
    chain = make_chain()
    assert take(chain) == 1_000
    assert chain.get_balance("run") == 1_000


def test_take__shares_of_one_block() -> None:
    chain = make_chain()
    assert take(chain, 300_000) == 300
    assert take(chain, 700_000) == 700
    with pytest.raises(EmissionExhausted):
        take(chain, 1)
    chain.next_block()
    assert take(chain, 500_000) == 500


def test_take__halves_by_issuance_and_never_passes_the_cap() -> None:
    chain = make_chain(emission=3_000, cap=10_000)
    taken = []
    for _ in range(60):
        taken.append(take(chain))
        chain.next_block()
    assert taken[:5] == [3_000, 3_000, 1_500, 750, 750]
    assert sum(taken) <= 10_000


def test_nothing_is_minted_unless_taken() -> None:
    chain = make_chain()
    chain.next_block(10)
    answer = chain.query("/descent.mint.v1.Query/Emission", mint_pb2.QueryEmissionRequest())
    assert (answer.issued_udsc, answer.block_emission_udsc) == (0, 1_000)


def test_burning_does_not_undo_issuance() -> None:
    chain = make_chain()
    take(chain)
    chain.get_pallet("bank").burn(chain.ctx(), make_addr("run"), 1_000)
    chain.check_invariants()
    answer = chain.query("/descent.mint.v1.Query/Emission", mint_pb2.QueryEmissionRequest())
    assert answer.issued_udsc == 1_000


def test_invalid_genesis_above_the_cap() -> None:
    with pytest.raises(GenesisDataError, match="above the cap"):
        make_chain(issued=10_001)


def test_genesis_round_trips() -> None:
    chain = make_chain()
    take(chain)
    chain.assert_genesis_round_trips(*build_pallets())
