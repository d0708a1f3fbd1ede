"""The consensus set follows the stake of operators that run a node."""

from __future__ import annotations

import hashlib

from tests.pallets.harness import Harness
from tests.pallets.staking.staking_chain import (
    build_create,
    build_delegate,
    build_pallets,
    build_undelegate,
)

DSC = 10**6


def make_key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def make_chain() -> Harness:
    chain = Harness(*build_pallets())
    for name in ("val", "other", "scorer", "alice"):
        chain.make_account(name, 1_000 * DSC)
    chain.run(build_create("val", 100 * DSC))
    return chain


def update(chain: Harness) -> dict[bytes, int]:
    staking = chain.runtime.pallets["staking"]
    changed = staking.update_consensus_set(chain.ctx())
    staking.check_consensus_set(chain.ctx())
    return changed


def test_power_is_whole_coins() -> None:
    chain = make_chain()
    assert update(chain) == {make_key("val"): 100}
    chain.run(build_delegate("alice", "val", DSC - 1))
    assert update(chain) == {}
    chain.run(build_delegate("alice", "val", 1))
    assert update(chain) == {make_key("val"): 101}
    assert update(chain) == {}


def test_operator_without_a_node_only_scores() -> None:
    chain = make_chain()
    update(chain)
    chain.run(build_create("scorer", 500 * DSC))
    assert update(chain) == {}


def test_join_and_leave() -> None:
    chain = make_chain()
    update(chain)
    chain.run(build_create("other", 50 * DSC))
    assert update(chain) == {make_key("other"): 50}
    chain.run(build_undelegate("other", "other", 50 * DSC))
    assert update(chain) == {make_key("other"): 0}
    assert update(chain) == {}


def test_the_last_one_stays() -> None:
    chain = make_chain()
    update(chain)
    chain.run(build_undelegate("val", "val", 100 * DSC))
    assert update(chain) == {}
    assert chain.runtime.list_consensus_set(chain.ctx()) == {make_key("val"): 100}
    chain.run(build_create("other", 50 * DSC))
    assert update(chain) == {make_key("other"): 50, make_key("val"): 0}
