"""Parameters, constants and events of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from node.runtime.events import Address, Event
from node.runtime.params import Params, ParamsError, bounded
from proto.descent.weights.v1 import weights_pb2

WEIGHTS_MODULE = "weights"
"""Name of the module account that holds rewards until they vest."""

HASH_BYTES = 32
SALT_BYTES = 32
PPM = 10**6
U16_MAX = 65_535
DETAIL_ROUNDS = 256
"""Commitments, judgements and epochs are kept for so many rounds; lineage for ever."""


@dataclass(frozen=True)
class WeightsParams(Params):
    """How a run's emission and bounty are split, and how long the detail of a verdict may be.

    Raises: ParamsError if the shares do not sum to one million.
    """

    message_class: ClassVar[Any] = weights_pb2.Params

    owner_share_ppm: int = bounded(180_000, low=0, high=PPM)  # 18 %
    miner_share_ppm: int = bounded(410_000, low=0, high=PPM)  # 41 %
    validator_share_ppm: int = bounded(410_000, low=0, high=PPM)  # 41 %
    max_detail_bytes: int = bounded(200, low=0, high=4_096)

    def __post_init__(self) -> None:
        super().__post_init__()
        total = self.owner_share_ppm + self.miner_share_ppm + self.validator_share_ppm
        if total != PPM:
            raise ParamsError(f"shares sum to {total} ppm, not {PPM}")


@dataclass(frozen=True)
class WeightsCommitted(Event):
    """A validator bound itself to its weights."""

    run_id: int
    round: int
    uid: int


@dataclass(frozen=True)
class WeightsRevealed(Event):
    """A validator published its weights and verdicts."""

    run_id: int
    round: int
    uid: int
    num_verdicts: int


@dataclass(frozen=True)
class EpochRan(Event):
    """The rewards of a round are decided. Amounts are what is paid or set to vest."""

    run_id: int
    round: int
    emission_udsc: int
    owner_udsc: int
    miners_udsc: int
    validators_udsc: int
    num_judgements: int


@dataclass(frozen=True)
class RewardPaid(Event):
    """A participant's coldkey got coins: at once, or because they vested."""

    run_id: int
    round: int
    uid: int
    coldkey: Address
    amount_udsc: int


@dataclass(frozen=True)
class RewardVesting(Event):
    """A miner earned coins that are paid at the epoch of `release_round`."""

    run_id: int
    round: int
    uid: int
    coldkey: Address
    amount_udsc: int
    release_round: int


@dataclass(frozen=True)
class OwnerPaid(Event):
    """The owner of a run got the owner's share."""

    run_id: int
    round: int
    owner: Address
    amount_udsc: int


@dataclass(frozen=True)
class AuditFailed(Event):
    """Most stake says that a miner's work does not replay; what had yet to vest is burned."""

    run_id: int
    round: int
    uid: int
    burned_udsc: int
    evidence_hash: bytes
