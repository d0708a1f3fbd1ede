"""Schema and events of upgrade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cosmos.upgrade.v1beta1 import upgrade_pb2

from node.runtime.codecs import TEXT, U64, ProtoCodec
from node.runtime.context import Context
from node.runtime.events import Event
from node.runtime.storage import Item, Map, Schema

Migration = Callable[[Context], None]
"""Brings state into the form this version of the program expects."""
MAX_NAME_CHARS = 64
MAX_INFO_CHARS = 1_000


class UpgradeSchema(Schema):
    """Storage of upgrade."""

    plan: Item[Any] = Item(0x00, "plan", ProtoCodec(upgrade_pb2.Plan))
    applied = Map(0x01, "applied", TEXT, U64)


@dataclass(frozen=True)
class UpgradePlanned(Event):
    """The chain will go on with another program from a height on."""

    upgrade: str
    upgrade_height: int


@dataclass(frozen=True)
class UpgradeCancelled(Event):
    """A planned upgrade was taken back."""

    upgrade: str


@dataclass(frozen=True)
class UpgradeApplied(Event):
    """State was migrated for a new version of the program."""

    upgrade: str
