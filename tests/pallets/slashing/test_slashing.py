"""Downtime, double signing, MsgUnjail."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cosmos.evidence.v1beta1 import evidence_pb2
from cosmos.evidence.v1beta1 import query_pb2 as evidence_query_pb2
from cosmos.slashing.v1beta1 import query_pb2, tx_pb2

from node.pallets.consensus.pallet import ConsensusPallet
from node.pallets.slashing.errors import (
    JailedOperatorUnknown,
    NotJailed,
    SelfDelegationTooLow,
    StillJailed,
)
from node.pallets.slashing.pallet import SlashingPallet
from node.pallets.slashing.types import OperatorSlashed
from node.runtime.addresses import compute_consensus_address, encode_consensus
from node.runtime.context import CommitVote, Misbehaviour
from node.runtime.pallet import Pallet
from tests.pallets.harness import Harness, make_addr
from tests.pallets.staking.staking_chain import (
    build_create,
    build_delegate,
    build_undelegate,
    get_stake,
    make_operator_addr,
    skip_time,
)
from tests.pallets.staking.staking_chain import build_pallets as build_staking

DSC = 10**6
WINDOW = 20
SERVICE = "/cosmos.slashing.v1beta1.Query"


class Reveals:
    """The nodes that withhold their reveals, by consensus address."""

    def __init__(self) -> None:
        self.withheld: set[bytes] = set()

    def has_withheld(self, ctx: Any, consensus_addr: bytes) -> bool:
        return consensus_addr in self.withheld


REVEALS = Reveals()


def make_consensus_addr(name: str) -> bytes:
    return compute_consensus_address(hashlib.sha256(name.encode()).digest())


def build_pallets() -> list[Pallet[Any]]:
    accounts, bank, staking = build_staking()
    consensus = ConsensusPallet()
    slashing = SlashingPallet(staking, consensus, REVEALS)
    staking.add_listener(slashing)
    return [consensus, accounts, bank, staking, slashing]


@pytest.fixture
def chain() -> Harness:
    """Two operators of 100 and 200 DSC; alice delegates 100 to the first. Half may be missed."""
    params = {
        "signed_blocks_window": str(WINDOW),
        "min_signed_per_window": "NTAwMDAwMDAwMDAwMDAwMDAw",
        "downtime_jail_duration": "600s",
        "slash_fraction_double_sign": "NTAwMDAwMDAwMDAwMDAwMDA=",
        "slash_fraction_downtime": "MTAwMDAwMDAwMDAwMDAwMDA=",
    }
    harness = Harness(*build_pallets(), genesis={"slashing": {"params": params}})
    for name, amount in (("val", 100), ("other", 200)):
        harness.make_account(name, 1_000 * DSC)
        harness.run(build_create(name, amount * DSC))
    harness.make_account("alice", 1_000 * DSC)
    harness.run(build_delegate("alice", "val", 100 * DSC))
    vote(harness, 1)
    return harness


def vote(chain: Harness, count: int, *absent: str) -> list[Any]:
    """Make blocks whose last commit lacks somebody."""
    votes = tuple(
        CommitVote(make_consensus_addr(name), power, name not in absent)
        for name, power in (("val", 200), ("other", 200))
    )
    chain.block_fields = {"votes": votes}
    return chain.next_block(count)


def accuse(chain: Harness, name: str, height: int, time_ns: int, power: int = 200) -> list[Any]:
    """Make a block with evidence against somebody."""
    found = Misbehaviour(make_consensus_addr(name), power, height, time_ns)
    chain.block_fields = {"misbehaviours": (found,)}
    events = chain.next_block()
    chain.block_fields = {}
    return events


def build_unjail(name: str) -> Any:
    return tx_pb2.MsgUnjail(validator_addr=make_operator_addr(name))


def get_info(chain: Harness, name: str) -> Any:
    text = encode_consensus(make_consensus_addr(name))
    request = query_pb2.QuerySigningInfoRequest(cons_address=text)
    return chain.query(f"{SERVICE}/SigningInfo", request).val_signing_info


def test_missed_blocks_are_counted_over_a_window(chain: Harness) -> None:
    vote(chain, 5, "val")
    assert get_info(chain, "val").missed_blocks_counter == 5
    assert get_info(chain, "other").missed_blocks_counter == 0
    vote(chain, WINDOW)
    assert get_info(chain, "val").missed_blocks_counter == 0
    vote(chain, WINDOW // 2, "val")
    vote(chain, WINDOW // 2)
    assert not chain.get_pallet("staking").get_operator(chain.ctx(), make_addr("val")).jailed
    chain.assert_genesis_round_trips(*build_pallets())


def test_downtime(chain: Harness) -> None:
    vote(chain, WINDOW)
    events = vote(chain, WINDOW // 2, "val")
    assert not any(isinstance(event, OperatorSlashed) for event in events)
    events = vote(chain, 1, "val")
    slashed = [event for event in events if isinstance(event, OperatorSlashed)]
    assert [(e.reason, e.burned_coins) for e in slashed] == [("missing_signature", "2000000udsc")]
    assert get_stake(chain, "val") == 0
    vote(chain, 1)
    assert chain.runtime.list_consensus_set(chain.ctx()) == {hashlib.sha256(b"other").digest(): 200}
    assert get_info(chain, "val").missed_blocks_counter == 0
    chain.assert_noop(build_unjail("val"), StillJailed)
    chain.block_fields = {}
    skip_time(chain, 600)
    chain.run(build_unjail("val"))
    assert get_stake(chain, "val") == 198 * DSC
    chain.assert_noop(build_unjail("val"), NotJailed)
    chain.next_block()
    assert len(chain.runtime.list_consensus_set(chain.ctx())) == 2
    chain.assert_genesis_round_trips(*build_pallets())


def test_withheld_reveals_are_downtime(chain: Harness) -> None:
    """A node that votes and never reveals is slashed and jailed as one that is away."""
    vote(chain, WINDOW)
    REVEALS.withheld = {make_consensus_addr("val")}
    try:
        events = vote(chain, WINDOW // 2)
        assert get_info(chain, "val").missed_blocks_counter == WINDOW // 2
        assert not any(isinstance(event, OperatorSlashed) for event in events)
        events = vote(chain, 1)
    finally:
        REVEALS.withheld = set()
    slashed = [event for event in events if isinstance(event, OperatorSlashed)]
    assert [(e.reason, e.burned_coins) for e in slashed] == [("missing_signature", "2000000udsc")]
    assert get_stake(chain, "val") == 0
    assert get_info(chain, "other").missed_blocks_counter == 0


def test_downtime__not_before_a_whole_window(chain: Harness) -> None:
    vote(chain, WINDOW - 2, "val")
    assert not chain.get_pallet("staking").get_operator(chain.ctx(), make_addr("val")).jailed
    vote(chain, 3, "val")
    assert chain.get_pallet("staking").get_operator(chain.ctx(), make_addr("val")).jailed


def test_double_sign(chain: Harness) -> None:
    height, time_ns = chain.height, chain.block.time_ns
    chain.next_block(3)
    chain.run(build_undelegate("alice", "val", 40 * DSC))
    events = accuse(chain, "val", height, time_ns)
    slashed = [event for event in events if isinstance(event, OperatorSlashed)]
    assert [(e.reason, e.burned_coins) for e in slashed] == [("double_sign", "10000000udsc")]
    staking = chain.get_pallet("staking")
    assert int(staking.get_operator(chain.ctx(), make_addr("val")).tokens) == 152 * DSC
    assert get_info(chain, "val").tombstoned
    skip_time(chain, 10**9)
    chain.assert_noop(build_unjail("val"), StillJailed, "tombstoned")
    # Once is enough, and it is on record.
    assert not [e for e in accuse(chain, "val", height, time_ns) if isinstance(e, OperatorSlashed)]
    request = evidence_query_pb2.QueryAllEvidenceRequest()
    found = chain.query("/cosmos.evidence.v1beta1.Query/AllEvidence", request).evidence
    entry = evidence_pb2.Equivocation.FromString(found[0].value)
    assert (len(found), entry.height, entry.power) == (1, height, 200)
    chain.assert_genesis_round_trips(*build_pallets())


def test_double_sign__tombstoned_key_cannot_come_back(chain: Harness) -> None:
    accuse(chain, "other", chain.height, chain.block.time_ns)
    chain.run(build_undelegate("other", "other", 190 * DSC))
    chain.run(build_create("other", 100 * DSC))
    assert get_stake(chain, "other") == 0
    chain.assert_noop(build_unjail("other"), StillJailed)


def test_double_sign__old_evidence_is_ignored(chain: Harness) -> None:
    height, time_ns = chain.height, chain.block.time_ns
    params = chain.get_pallet("consensus").get_params(chain.ctx())
    params.evidence.max_age_num_blocks = 2
    params.evidence.max_age_duration.seconds = 5
    chain.get_pallet("consensus").set_params(chain.ctx(), params)
    chain.next_block(10)
    assert not [e for e in accuse(chain, "val", height, time_ns) if isinstance(e, OperatorSlashed)]
    assert get_stake(chain, "val") == 200 * DSC


def test_invalid_unjail(chain: Harness) -> None:
    chain.assert_noop(build_unjail("alice"), JailedOperatorUnknown)
    chain.assert_noop(build_unjail("val"), NotJailed)
    accuse(chain, "other", chain.height, chain.block.time_ns)
    staking = chain.get_pallet("staking")
    operator = staking.get_operator(chain.ctx(), make_addr("other"))
    operator.min_self_delegation = str(199 * DSC)
    staking.set_operator(chain.ctx(), make_addr("other"), operator)
    chain.assert_noop(build_unjail("other"), SelfDelegationTooLow)
