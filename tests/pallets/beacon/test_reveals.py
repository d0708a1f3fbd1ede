"""Reveals, mixing, vote extensions, and the change from one onion to the next."""

from __future__ import annotations

import hashlib

import pytest

import node.onion
from node.onion import OnionError, OnionKeeper, load_seed, save_seed
from node.pallets.beacon.errors import (
    AnchorUnknown,
    BeaconAlreadyDrawn,
    PreimageWrong,
    RevealMalformed,
    RevealsUnsorted,
)
from node.pallets.beacon.pallet import BeaconPallet, compute_beacon
from node.pallets.beacon.types import BEACON_TAG
from node.runtime.context import Context
from node.runtime.errors import ChainError
from proto.descent.beacon.v1 import beacon_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr

SEED = b"\x03" * 32
NUM_LAYERS = 16


@pytest.fixture(autouse=True)
def small_onions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.onion, "NUM_LAYERS", NUM_LAYERS)
    monkeypatch.setattr(node.onion, "SEGMENT", 4)


@pytest.fixture
def chain() -> Harness:
    return Harness(BeaconPallet(), *build_base_pallets())


def register(chain: Harness, name: str) -> OnionKeeper:
    keeper = OnionKeeper(hashlib.sha256(SEED + name.encode()).digest(), make_addr(name))
    beacon = chain.get_pallet("beacon")
    beacon.register_anchor(chain.ctx(), make_addr(name), keeper.first_anchor)
    return keeper


def draw(chain: Harness, *reveals: bytes) -> bytes:
    """Run the pseudo transaction of the next block, then its begin_block."""
    beacon: BeaconPallet = chain.get_pallet("beacon")
    data = beacon.build_inherent(chain.ctx(), list(reveals))
    next_ctx = advance(chain)
    if data:
        beacon.process_inherent(next_ctx, data)
    beacon.begin_block(next_ctx)
    chain.check_invariants()
    return beacon.get_value(chain.ctx(), chain.height)


def advance(chain: Harness) -> Context:
    from dataclasses import replace

    chain.block = replace(chain.block, height=chain.height + 1)
    return chain.ctx()


def test_value_mixes_every_reveal_in_order(chain: Harness) -> None:
    keepers = {name: register(chain, name) for name in ("ann", "ben")}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    before = beacon.get_value(chain.ctx(), chain.height)
    reveals = {
        name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()
    }
    value = draw(chain, reveals["ben"], reveals["ann"])
    order = sorted(keepers, key=make_text_addr)
    opened = [
        (make_addr(name), beacon_pb2.Reveal.FromString(reveals[name]).preimage) for name in order
    ]
    assert value == compute_beacon(before, chain.height, opened)


def test_a_block_without_reveals_has_a_value(chain: Harness) -> None:
    first = draw(chain)
    assert draw(chain) != first


def test_onions_follow_each_other(chain: Harness) -> None:
    keeper = register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    extend = keeper.make_extender(beacon)
    values = []
    for _ in range(5 * NUM_LAYERS):
        values.append(draw(chain, extend(chain.ctx(), [])))
        entry = beacon.storage.values.expect(chain.ctx(), chain.height)
        assert entry.num_reveals == 1
    assert len({*values}) == len(values)


def test_a_restarted_keeper_finds_its_place(
    chain: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    for _ in range(2 * NUM_LAYERS + 3):
        draw(chain, keeper.make_extender(beacon)(chain.ctx(), []))
    fresh = OnionKeeper(hashlib.sha256(SEED + b"ann").digest(), make_addr("ann"))
    extend = keeper.make_extender(beacon)(chain.ctx(), [])
    assert fresh.make_extender(beacon)(chain.ctx(), []) == extend
    stranger = OnionKeeper(b"\x09" * 32, make_addr("ann"))
    extend_wrongly = stranger.make_extender(beacon)
    monkeypatch.setattr(node.onion, "MAX_GENERATIONS", 8)
    with pytest.raises(OnionError, match="does not belong to this node's onion seed"):
        extend_wrongly(chain.ctx(), [])


def test_extension_looks_past_the_reveal_in_its_own_block(chain: Harness) -> None:
    keeper = register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    extend = keeper.make_extender(beacon)
    first = extend(chain.ctx(), [])
    block = bytes((BEACON_TAG,)) + beacon.build_inherent(chain.ctx(), [first])
    second = extend(chain.ctx(), [block])
    assert second != first
    beacon.check_extension(chain.ctx(), second)
    draw(chain, first)
    draw(chain, second)
    entry = beacon.storage.values.expect(chain.ctx(), chain.height)
    assert entry.num_reveals == 1


def build_reveal(name: str, preimage: bytes) -> beacon_pb2.Reveal:
    return beacon_pb2.Reveal(operator_addr=make_text_addr(name), preimage=preimage)


@pytest.mark.parametrize(
    ("reveals", "error"),
    [
        ([build_reveal("nobody", b"\x01" * 32)], AnchorUnknown),
        ([build_reveal("ann", b"\x01" * 32)], PreimageWrong),
        ([build_reveal("ann", b"\x01" * 31)], RevealMalformed),
        ([beacon_pb2.Reveal(operator_addr="x", preimage=b"\x01" * 32)], RevealMalformed),
        ([build_reveal("ann", b"\x01" * 32)] * 2, RevealsUnsorted),
    ],
)
def test_invalid_reveals(
    chain: Harness, reveals: list[beacon_pb2.Reveal], error: type[ChainError]
) -> None:
    register(chain, "ann")
    data = beacon_pb2.BlockReveals(reveals=reveals).SerializeToString()
    with pytest.raises(error):
        chain.get_pallet("beacon").process_inherent(advance(chain), data)


def test_invalid_second_draw_of_a_block(chain: Harness) -> None:
    with pytest.raises(BeaconAlreadyDrawn):
        chain.get_pallet("beacon").process_inherent(chain.ctx(), b"")


def test_wrong_extensions_do_not_reach_a_block(chain: Harness) -> None:
    register(chain, "ann")
    wrong = build_reveal("ann", b"\x01" * 32).SerializeToString()
    assert chain.get_pallet("beacon").build_inherent(chain.ctx(), [wrong, b"\xff", b""]) == b""


def test_seed_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "onion_seed"
    save_seed(path, SEED)
    assert load_seed(path) == SEED
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("zz")
    with pytest.raises(OnionError, match="cannot read the onion seed"):
        load_seed(path)
