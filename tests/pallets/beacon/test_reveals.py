"""Reveals, mixing, vote extensions, and the change from one onion to the next."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

import node.onion
from node.engine.keys import ValidatorKey
from node.onion import OnionError, OnionKeeper, load_seed, save_seed
from node.pallets.beacon.errors import (
    AnchorUnknown,
    BeaconAlreadyDrawn,
    ExtensionForged,
    ExtensionsMiscounted,
    ExtensionsMissing,
    PreimageWrong,
    RevealMalformed,
    RevealNotOwn,
    TooMuchLeftOut,
)
from node.pallets.beacon.pallet import BeaconPallet, compute_beacon
from node.pallets.beacon.types import BEACON_TAG, EXTENSION_BYTES_MAX, RevealWithheld
from node.runtime.context import CommitVote, Context
from node.runtime.errors import ChainError
from node.runtime.extensions import make_extension_sign_bytes
from node.runtime.state import Overlay
from proto.descent.beacon.v1 import beacon_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr

SEED = b"\x03" * 32
NUM_LAYERS = 16


@pytest.fixture(autouse=True)
def small_onions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.onion, "NUM_LAYERS", NUM_LAYERS)
    monkeypatch.setattr(node.onion, "SEGMENT", 4)


NAMES = ("ann", "ben", "cid", "dot")
ROUND = 3


class Nodes:
    """The operators with their consensus keys."""

    def __init__(self) -> None:
        self.keys = {
            name: ValidatorKey(hashlib.sha256(name.encode()).digest()) for name in (*NAMES, "eve")
        }

    def get_operator(self, ctx: Context, operator_addr: bytes) -> str | None:
        return next((name for name in NAMES if make_addr(name) == operator_addr), None)

    def get_node_key(self, ctx: Context, consensus_addr: bytes) -> tuple[bytes, bytes] | None:
        for name in NAMES:
            if self.keys[name].address == consensus_addr:
                return make_addr(name), self.keys[name].public_key
        return None


NODES = Nodes()


@pytest.fixture
def chain() -> Harness:
    beacon = BeaconPallet()
    beacon.set_keys(NODES)
    return Harness(beacon, *build_base_pallets())


def register(chain: Harness, name: str) -> OnionKeeper:
    keeper = OnionKeeper(hashlib.sha256(SEED + name.encode()).digest(), make_addr(name))
    beacon = chain.get_pallet("beacon")
    beacon.register_anchor(chain.ctx(), make_addr(name), keeper.first_anchor)
    return keeper


def make_vote(chain: Harness, name: str, extension: bytes, power: int = 10) -> CommitVote:
    """Make a vote for the newest block, with its extension."""
    key = NODES.keys[name]
    message = make_extension_sign_bytes(chain.block.chain_id, chain.height, ROUND, extension)
    return CommitVote(key.address, power, True, True, extension, key.sign(message))


def draw(chain: Harness, **extensions: bytes) -> bytes:
    """Make the next block, which votes with these extensions decided; returns its value."""
    votes = [make_vote(chain, name, extension) for name, extension in extensions.items()]
    ctx = advance(chain, *votes)
    beacon: BeaconPallet = chain.get_pallet("beacon")
    data = beacon.build_inherent(ctx)
    if data:
        beacon.process_inherent(ctx, data)
    else:
        beacon.check_no_inherent(ctx)
    beacon.begin_block(ctx)
    chain.check_invariants()
    return beacon.get_value(chain.ctx(), chain.height)


def advance(chain: Harness, *votes: CommitVote) -> Context:
    chain.block = replace(
        chain.block, height=chain.height + 1, votes=tuple(votes), votes_round=ROUND
    )
    return chain.ctx()


def test_value_mixes_every_reveal_in_order(chain: Harness) -> None:
    keepers = {name: register(chain, name) for name in ("ann", "ben")}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    before = beacon.get_value(chain.ctx(), chain.height)
    reveals = {
        name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()
    }
    value = draw(chain, **reveals)
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
        values.append(draw(chain, ann=extend(chain.ctx(), [])))
        entry = beacon.storage.values.expect(chain.ctx(), chain.height)
        assert entry.num_reveals == 1
    assert len({*values}) == len(values)


def test_a_restarted_keeper_finds_its_place(
    chain: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    for _ in range(2 * NUM_LAYERS + 3):
        draw(chain, ann=keeper.make_extender(beacon)(chain.ctx(), []))
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
    before = chain.block
    ctx = fork(advance(chain, make_vote(chain, "ann", first)))
    block = bytes((BEACON_TAG,)) + beacon.build_inherent(ctx)
    second = extend(ctx, [block])
    chain.block = before
    assert second != first
    beacon.check_extension(chain.ctx(), NODES.keys["ann"].address, second)
    draw(chain, ann=first)
    draw(chain, ann=second)
    assert count_reveals(chain) == 1


def fork(ctx: Context) -> Context:
    """The same block on a copy of its state."""
    return Context(Overlay(ctx.state), ctx.block)


def count_reveals(chain: Harness) -> int:
    """Count the reveals in the newest block."""
    beacon: BeaconPallet = chain.get_pallet("beacon")
    return int(beacon.storage.values.expect(chain.ctx(), chain.height).num_reveals)


def build_reveal(name: str, preimage: bytes) -> bytes:
    reveal = beacon_pb2.Reveal(operator_addr=make_text_addr(name), preimage=preimage)
    data: bytes = reveal.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("node", "extension", "error"),
    [
        ("ben", build_reveal("ben", b"\x01" * 32), AnchorUnknown),
        ("ann", build_reveal("ann", b"\x01" * 32), PreimageWrong),
        ("ann", build_reveal("ann", b"\x01" * 31), RevealMalformed),
        ("ann", build_reveal("ben", b"\x01" * 32), RevealNotOwn),
        ("eve", build_reveal("ann", b"\x01" * 32), RevealNotOwn),
        ("ann", b"\xff", RevealMalformed),
        ("ann", b"\x0a" + bytes(EXTENSION_BYTES_MAX), RevealMalformed),
    ],
)
def test_invalid_extension(
    chain: Harness, node: str, extension: bytes, error: type[ChainError]
) -> None:
    """Refused where the vote arrives; in a block, as a late vote may bring it, it is withheld."""
    register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    with pytest.raises(error):
        beacon.check_extension(chain.ctx(), NODES.keys[node].address, extension)


def test_nobody_reveals_for_another(chain: Harness) -> None:
    """Whoever knows another's next value cannot bring it in."""
    keepers = {name: register(chain, name) for name in NAMES}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    own = {name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()}
    with pytest.raises(RevealNotOwn):
        beacon.check_extension(chain.ctx(), NODES.keys["dot"].address, own["ann"])
    draw(chain, **{**own, "dot": own["ann"]})
    assert count_reveals(chain) == 3
    assert list_withheld(chain) == ["dot"]


def list_withheld(chain: Harness) -> list[str]:
    beacon: BeaconPallet = chain.get_pallet("beacon")
    ctx = chain.ctx()
    return [name for name in NAMES if beacon.has_withheld(ctx, NODES.keys[name].address)]


@pytest.mark.parametrize("extension", [b"", b"\xff", build_reveal("dot", b"\x01" * 32)])
def test_withheld_for_one_block(chain: Harness, extension: bytes) -> None:
    keepers = {name: register(chain, name) for name in NAMES}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    own = {name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()}
    votes = [make_vote(chain, name, own[name]) for name in NAMES[:3]]
    votes.append(make_vote(chain, "dot", extension))
    ctx = advance(chain, *votes)
    beacon.process_inherent(ctx, beacon.build_inherent(ctx))
    events = [event for event in ctx.events if isinstance(event, RevealWithheld)]
    assert events == [RevealWithheld(make_text_addr("dot"))]
    assert list_withheld(chain) == ["dot"]
    beacon.end_block(ctx)
    assert list_withheld(chain) == []


def build_block(
    chain: Harness, votes: list[CommitVote]
) -> tuple[Context, list[tuple[bytes, bytes]]]:
    """Make the context of the next block, and the (extension, signature) an honest one has."""
    ctx = advance(chain, *votes)
    data = chain.get_pallet("beacon").build_inherent(ctx)
    entries = beacon_pb2.BlockReveals.FromString(data).extensions
    return ctx, [(entry.extension, entry.signature) for entry in entries]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("honest", None),
        ("one left out", None),
        ("two left out", TooMuchLeftOut),
        ("all left out", TooMuchLeftOut),
        ("forged", ExtensionForged),
        ("unsigned", ExtensionForged),
        ("swapped", ExtensionForged),
        ("short signature", ExtensionForged),
        ("one too few", ExtensionsMiscounted),
        ("one too many", ExtensionsMiscounted),
        ("old format", ExtensionsMiscounted),
        ("garbage", RevealMalformed),
        ("nothing", ExtensionsMissing),
    ],
)
def test_proposals(chain: Harness, kind: str, error: type[ChainError] | None) -> None:
    """What a proposer may do with the votes of four nodes of equal power."""
    keepers = {name: register(chain, name) for name in NAMES}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    own = {name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()}
    ctx, entries = build_block(chain, [make_vote(chain, name, own[name]) for name in NAMES])
    empty = (b"", b"")
    data = {
        "honest": entries,
        "one left out": [empty, *entries[1:]],
        "two left out": [empty, empty, *entries[2:]],
        "all left out": [empty] * 4,
        "forged": [(b"", entries[0][1]), *entries[1:]],
        "unsigned": [(entries[0][0], b""), *entries[1:]],
        "swapped": [entries[1], entries[0], *entries[2:]],
        "short signature": [(entries[0][0], entries[0][1][:63]), *entries[1:]],
        "one too few": entries[1:],
        "one too many": [*entries, entries[0]],
    }.get(kind, [])
    message = beacon_pb2.BlockReveals(
        extensions=[
            beacon_pb2.SignedExtension(extension=extension, signature=signature)
            for extension, signature in data
        ]
    )
    raw = {"garbage": b"\xff", "old format": b"\x0a\x02\x0a\x00"}.get(
        kind, message.SerializeToString()
    )

    def judge() -> None:
        if kind == "nothing":
            beacon.check_no_inherent(ctx)
        else:
            beacon.process_inherent(ctx, raw)

    if error is None:
        judge()
        assert count_reveals(chain) == sum(entry != empty for entry in data)
        assert list_withheld(chain) == []
    else:
        with pytest.raises(error):
            judge()


def test_a_block_takes_no_long_extension(chain: Harness) -> None:
    """A late vote may bring one that no other node has looked at; the proposer leaves it out."""
    keepers = {name: register(chain, name) for name in NAMES}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    own = {name: keeper.make_extender(beacon)(chain.ctx(), []) for name, keeper in keepers.items()}
    own["ben"] = bytes(2**20)
    draw(chain, **own)
    assert count_reveals(chain) == 3
    assert list_withheld(chain) == []


def test_votes_that_are_none(chain: Harness) -> None:
    """Absent nodes and those that voted for nothing have no extension; their power counts."""
    keepers = {name: register(chain, name) for name in NAMES}
    beacon: BeaconPallet = chain.get_pallet("beacon")
    votes = [
        make_vote(chain, name, keepers[name].make_extender(beacon)(chain.ctx(), []))
        for name in NAMES
    ]
    votes[0] = CommitVote(votes[0].consensus_addr, 10, False)
    ctx, entries = build_block(chain, votes)
    assert len(entries) == 3
    beacon.process_inherent(fork(ctx), beacon.build_inherent(ctx))
    votes[1] = CommitVote(votes[1].consensus_addr, 10, True)
    chain.block = replace(chain.block, height=chain.height - 1)
    ctx, entries = build_block(chain, votes)
    assert len(entries) == 2
    with pytest.raises(TooMuchLeftOut):
        beacon.process_inherent(ctx, beacon.build_inherent(ctx))


def test_signature_is_of_this_vote(chain: Harness) -> None:
    """An extension signed for another height, round or chain is forged."""
    keeper = register(chain, "ann")
    beacon: BeaconPallet = chain.get_pallet("beacon")
    extension = keeper.make_extender(beacon)(chain.ctx(), [])
    key, chain_id, height = NODES.keys["ann"], chain.block.chain_id, chain.height
    for other in ((chain_id, height + 1, ROUND), (chain_id, height, 0), ("else-1", height, ROUND)):
        signature = key.sign(make_extension_sign_bytes(*other, extension))
        ctx = advance(chain, CommitVote(key.address, 10, True, True, extension, signature))
        assert beacon.build_inherent(ctx) == b""
        chain.block = replace(chain.block, height=height)


def test_invalid_second_draw_of_a_block(chain: Harness) -> None:
    with pytest.raises(BeaconAlreadyDrawn):
        chain.get_pallet("beacon").process_inherent(chain.ctx(), b"")


def test_seed_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "onion_seed"
    save_seed(path, SEED)
    assert load_seed(path) == SEED
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("zz")
    with pytest.raises(OnionError, match="cannot read the onion seed"):
        load_seed(path)
