"""Rows, parameters, input and output of a Yuma epoch.

Errors: every refusal is `YumaInputError(ValueError)`; `RowError` is the one for a single row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scoring.fixed_point import PPM, U16_MAX

MAX_UIDS = 4096  # 2**12; uids fit 12 bits, which the packed sort of the fast twin relies on
MAX_STAKE_UNITS = (1 << 63) - 1
MAX_EMISSION_UNITS = (1 << 63) - 1
MAX_STEEPNESS_PERCENT = 10_000

U16Array = npt.NDArray[np.uint16]


class YumaInputError(ValueError):
    """The epoch input contradicts itself or a bound; the message names the field."""


class RowError(YumaInputError):
    """A sparse row is not strictly ascending by uid, or a number does not fit 16 bits."""


@dataclass(frozen=True, eq=False)
class SparseRow:
    """One row of a sparse matrix: strictly ascending uids and one u16 value for each.

    Zero values are allowed and mean the same as an absent uid. Build rows with `from_ints`, which
    checks; the plain constructor checks order and lengths only.

    Raises:
        RowError: different lengths, wrong dtype, uids not strictly ascending.
    """

    uids: U16Array
    values: U16Array

    def __post_init__(self) -> None:
        if self.uids.dtype != np.uint16 or self.values.dtype != np.uint16:
            raise RowError("a row holds uint16 arrays")
        if self.uids.ndim != 1 or self.uids.shape != self.values.shape:
            raise RowError("a row needs as many values as uids")
        if self.uids.size > 1 and not bool(np.all(self.uids[1:] > self.uids[:-1])):
            raise RowError("uids of a row must be sorted, without duplicates")

    @classmethod
    def from_ints(cls, uids: Sequence[int], values: Sequence[int]) -> "SparseRow":
        """Build a row from integers.

        Raises:
            RowError: different lengths, a number outside 0..65535, uids not strictly ascending.
        """
        for number in (*uids, *values):
            if not 0 <= number <= U16_MAX:
                raise RowError(f"{number} does not fit 16 bits")
        return cls(np.array(uids, dtype=np.uint16), np.array(values, dtype=np.uint16))

    def to_pairs(self) -> list[tuple[int, int]]:
        """Return [(uid, value), ...] in ascending uid order."""
        return list(zip(self.uids.tolist(), self.values.tolist(), strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseRow):
            return NotImplemented
        return np.array_equal(self.uids, other.uids) and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]


EMPTY_ROW = SparseRow.from_ints((), ())


class YumaVariant(IntEnum):
    """Which bond rule an epoch uses."""

    YUMA3 = 1
    """Bonds per pair without stake, in absolute units; dividends weigh them by stake."""
    ORIGINAL = 2
    """Bonds carry stake and are normalised per column."""


@dataclass(frozen=True)
class YumaParams:
    """Parameters of a run that an epoch reads; defaults are those of a new net.

    Raises:
        YumaInputError: a value outside its bound.
    """

    variant: YumaVariant = YumaVariant.YUMA3
    kappa_u16: int = 32_767  # 0.49999: stake share that must support a weight
    bonds_penalty_u16: int = 65_535  # 1.0: bonds are bought with clipped weights only
    bonds_moving_average_ppm: int = 900_000  # 0.9: share of the old bond kept per epoch
    liquid_alpha: bool = False
    alpha_low_u16: int = 45_875  # 0.7
    alpha_high_u16: int = 58_982  # 0.9
    alpha_sigmoid_steepness_percent: int = 1_000  # slope 10
    tempo_blocks: int = 360
    activity_cutoff_blocks: int = 5_000
    max_validators: int = 64
    stake_threshold_units: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "kappa_u16": U16_MAX,
            "bonds_penalty_u16": U16_MAX,
            "bonds_moving_average_ppm": PPM,
            "alpha_low_u16": self.alpha_high_u16,
            "alpha_high_u16": U16_MAX,
            "alpha_sigmoid_steepness_percent": MAX_STEEPNESS_PERCENT,
            "tempo_blocks": U16_MAX,
            "activity_cutoff_blocks": MAX_STAKE_UNITS,
            "max_validators": MAX_UIDS,
            "stake_threshold_units": MAX_STAKE_UNITS,
        }
        for name, limit in bounds.items():
            if not 0 <= getattr(self, name) <= limit:
                raise YumaInputError(f"{name} must be in 0..{limit}, not {getattr(self, name)}")


@dataclass(frozen=True)
class YumaInput:
    """State an epoch reads. Every per-uid tuple has length n; uid is the position.

    Args:
        now_block: height at which the epoch runs.
        last_epoch_block: height of the epoch before, None if this is the first.
        stakes_units: integer stake per uid, in any unit (only the ratios count).
        permits: stored validator permits; rows of others are ignored.
        last_update_blocks: height at which the row in force was *committed* (not revealed), so that
            a vote hidden before a newcomer took over a uid does not count for the newcomer.
        registered_at_blocks: height at which the uid was last registered.
        weights: row of each uid, u16 in any scale.
        bonds: row of each uid as the last epoch returned it.
        emission_units: amount to share out in this epoch.
        owner_uid: uid exempt from the stake threshold and allowed to weigh itself, if any.

    Raises:
        YumaInputError: a length, bound or uid that does not fit n.
    """

    now_block: int
    stakes_units: tuple[int, ...]
    permits: tuple[bool, ...]
    last_update_blocks: tuple[int, ...]
    registered_at_blocks: tuple[int, ...]
    weights: tuple[SparseRow, ...]
    bonds: tuple[SparseRow, ...]
    emission_units: int
    last_epoch_block: int | None = None
    owner_uid: int | None = None

    @property
    def num_uids(self) -> int:
        return len(self.stakes_units)

    def __post_init__(self) -> None:
        n = self.num_uids
        if n > MAX_UIDS:
            raise YumaInputError(f"{n} uids, the limit is {MAX_UIDS}")
        names = ("permits", "last_update_blocks", "registered_at_blocks", "weights", "bonds")
        for name in names:
            if len(getattr(self, name)) != n:
                raise YumaInputError(f"{name} has {len(getattr(self, name))} entries, not {n}")
        if any(not 0 <= stake <= MAX_STAKE_UNITS for stake in self.stakes_units):
            raise YumaInputError("stakes must be in 0..2**63-1")
        if not 0 <= self.emission_units <= MAX_EMISSION_UNITS:
            raise YumaInputError("emission must be in 0..2**63-1")
        if self.owner_uid is not None and not 0 <= self.owner_uid < n:
            raise YumaInputError(f"owner uid {self.owner_uid} is not registered")
        for row in (*self.weights, *self.bonds):
            if row.uids.size and int(row.uids[-1]) >= n:
                raise YumaInputError(f"a row names uid {int(row.uids[-1])} of {n}")


@dataclass(frozen=True)
class YumaOutput:
    """What an epoch decides. Every per-uid tuple has length n.

    `emission_units` is the share of server and validator part together, floored once; the two parts
    are floored on their own, so they may sum to slightly less. None of them sums to the
    whole: the remainder is for the caller to place (`emission.compute_pro_rata` has no remainder).
    """

    incentive_u16: tuple[int, ...]
    dividends_u16: tuple[int, ...]
    consensus_u16: tuple[int, ...]
    validator_trust_u16: tuple[int, ...]
    emission_units: tuple[int, ...]
    server_emission_units: tuple[int, ...]
    validator_emission_units: tuple[int, ...]
    permits: tuple[bool, ...]
    active: tuple[bool, ...]
    bonds: tuple[SparseRow, ...] = field(repr=False)


class EpochFunction(Protocol):
    """Signature shared by the clear epoch and its fast twin."""

    def __call__(self, params: YumaParams, state: YumaInput) -> YumaOutput: ...
