"""Builders for Yuma epochs, and the two spellings every test runs under."""

from collections.abc import Sequence

from scoring.yuma import compute_epoch_clear
from scoring.yuma_fast import compute_epoch
from scoring.yuma_types import EMPTY_ROW, EpochFunction, SparseRow, YumaInput

EPOCH_FUNCTIONS: dict[str, EpochFunction] = {"clear": compute_epoch_clear, "fast": compute_epoch}


def make_row(weights: dict[int, int]) -> SparseRow:
    uids = sorted(weights)
    return SparseRow.from_ints(uids, [weights[uid] for uid in uids])


def make_input(
    stakes: Sequence[int],
    weights: dict[int, dict[int, int]],
    *,
    epoch_index: int = 1,
    num_permits: int | None = None,
    bonds: tuple[SparseRow, ...] | None = None,
    emission_units: int = 10**9,
) -> YumaInput:
    """State in which everybody registered at block 0 and voted just before the epoch.

    Epoch i runs at block 10 * i; permits go to the first `num_permits` uids.
    """
    n = len(stakes)
    num_permits = n if num_permits is None else num_permits
    return YumaInput(
        now_block=10 * epoch_index,
        last_epoch_block=10 * (epoch_index - 1),
        stakes_units=tuple(stakes),
        permits=tuple(uid < num_permits for uid in range(n)),
        last_update_blocks=(10 * epoch_index - 1,) * n,
        registered_at_blocks=(0,) * n,
        weights=tuple(make_row(weights.get(uid, {})) for uid in range(n)),
        bonds=bonds if bonds is not None else (EMPTY_ROW,) * n,
        emission_units=emission_units,
    )
