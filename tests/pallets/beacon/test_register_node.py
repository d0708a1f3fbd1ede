"""Registering an operator's node."""

from __future__ import annotations

from typing import Any

import pytest

from node.pallets.beacon.errors import AnchorMalformed, NodeExists
from node.pallets.beacon.pallet import BeaconPallet
from node.pallets.beacon.types import NodeRegistered
from proto.descent.beacon.v1 import beacon_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr


class Listener:
    """Notes who was registered."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def note_node(self, ctx: Any, operator_addr: bytes) -> None:
        self.seen.append(operator_addr)


@pytest.fixture
def chain() -> Harness:
    return Harness(BeaconPallet(), *build_base_pallets())


def build(anchor: bytes) -> Any:
    return beacon_pb2.MsgRegisterNode(operator_addr=make_text_addr("val"), anchor=anchor)


def test_register_node(chain: Harness) -> None:
    beacon: BeaconPallet = chain.get_pallet("beacon")
    listener = Listener()
    beacon.add_listener(listener)
    assert not beacon.has_node(chain.ctx(), make_addr("val"))
    result = chain.run(build(b"\x07" * 32))
    assert result.get_events(NodeRegistered) == [NodeRegistered(make_text_addr("val"))]
    assert beacon.has_node(chain.ctx(), make_addr("val"))
    assert listener.seen == [make_addr("val")]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_invalid_size(chain: Harness, size: int) -> None:
    chain.assert_noop(build(bytes(size)), AnchorMalformed)


def test_invalid_second(chain: Harness) -> None:
    chain.run(build(b"\x07" * 32))
    chain.assert_noop(build(b"\x08" * 32), NodeExists)
