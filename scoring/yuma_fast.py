"""The Yuma epoch in numpy, equal bit for bit to `yuma.compute_epoch_clear`.

Matrices are dense arrays of uint64 with one row per uid that has weights or bonds (at most twice
the number of validators) and one column per uid. Letters: V rows, N columns.

Why 64 bits are enough: every factor is a fraction of at most ONE = 2**32, and a product of two such
values overflows only when both are ONE; `_mul` handles that case on its own. A quotient shifts the
numerator by 32 bits, which overflows only when it is ONE or more; `_div` shifts in two steps.
Column sums stay under 4096 * 2**32 = 2**44. The numpy twin exists because a block has to end: the
clear version takes tens of milliseconds for 256 uids and seconds for 4096.
"""

import numpy as np
import numpy.typing as npt

from scoring import yuma
from scoring.fixed_point import FRACTION_BITS, ONE, U16_MAX, from_u16, normalise, to_u16
from scoring.sigmoid_table import MAX_Z, SIGMOID_Q32, STEP_BITS
from scoring.yuma_types import (
    EMPTY_ROW,
    SparseRow,
    YumaInput,
    YumaOutput,
    YumaParams,
    YumaVariant,
)

U64Array = npt.NDArray[np.uint64]

_BITS = np.uint64(FRACTION_BITS)
_ONE = np.uint64(ONE)
_U16 = np.uint64(U16_MAX)
_ROW_BITS = np.uint64(12)  # at most 4096 rows; a packed vote is 33 + 12 = 45 bits
_SIGMOID: U64Array = np.array(SIGMOID_Q32, dtype=np.uint64)


def compute_epoch(params: YumaParams, state: YumaInput) -> YumaOutput:
    """Run one Yuma epoch; same contract and same bits as `yuma.compute_epoch_clear`."""
    stake = yuma.compute_stake_shares(params, state)
    active = yuma.compute_active(params, state)
    permits_now = yuma.compute_permits_in_force(state)
    active_stake = yuma.compute_active_stake(stake, active, permits_now)
    permits = yuma.compute_new_permits(params, state, stake)

    row_uids = [
        uid
        for uid in range(state.num_uids)
        if (permits_now[uid] and state.weights[uid].uids.size) or state.bonds[uid].uids.size
    ]
    stake_V = np.array([active_stake[uid] for uid in row_uids], dtype=np.uint64)
    weights_VN = _compute_weights(state, row_uids, permits_now)
    minority = sum(active_stake) - yuma.compute_kappa(params)
    silent_stake = sum(active_stake) - int(stake_V.sum())
    consensus_N = _compute_consensus(stake_V, weights_VN, minority, silent_stake)
    consensus: list[int] = consensus_N.tolist()
    clipped_VN = np.minimum(weights_VN, consensus_N)
    trust_V = clipped_VN.sum(axis=1, dtype=np.uint64)
    ranks_N = _mul(stake_V[:, None], clipped_VN).sum(axis=0, dtype=np.uint64)
    incentive = normalise(ranks_N.tolist())

    penalty = np.uint64(from_u16(params.bonds_penalty_u16))
    bought_VN = weights_VN - _mul(penalty, weights_VN - clipped_VN)
    old_bonds_VN = _get_bonds(params, state, row_uids)
    incentive_N = np.array(incentive, dtype=np.uint64)
    if params.variant is YumaVariant.YUMA3:
        bonds_VN = _compute_bonds_by_pair(params, bought_VN, old_bonds_VN, consensus_N)
        shares_V = _mul(_normalise_columns(bonds_VN), incentive_N).sum(axis=1, dtype=np.uint64)
        shares_V = _mul(stake_V, shares_V)
    else:
        bonds_VN = _compute_bonds_by_stake(params, bought_VN, old_bonds_VN, stake_V)
        shares_V = _mul(bonds_VN, incentive_N).sum(axis=1, dtype=np.uint64)
        bonds_VN = _div(bonds_VN, bonds_VN.max(axis=0, initial=np.uint64(0)))
    dividends = normalise(_spread(shares_V, row_uids, state.num_uids))

    server, validator, both = yuma.compute_emission(
        state.emission_units, incentive, dividends, active_stake, stake
    )
    return YumaOutput(
        incentive_u16=tuple(map(to_u16, incentive)),
        dividends_u16=tuple(map(to_u16, dividends)),
        consensus_u16=tuple(map(to_u16, consensus)),
        validator_trust_u16=tuple(map(to_u16, _spread(trust_V, row_uids, state.num_uids))),
        emission_units=both,
        server_emission_units=server,
        validator_emission_units=validator,
        permits=permits,
        active=active,
        bonds=_to_bond_rows(bonds_VN, row_uids, permits),
    )


def _mul(a: U64Array | np.uint64, b: U64Array | np.uint64) -> U64Array:
    """Multiply fixed values of at most ONE; shapes broadcast."""
    product: U64Array = np.asarray((a * b) >> _BITS)
    if np.max(a, initial=0) == _ONE and np.max(b, initial=0) == _ONE:
        product[np.broadcast_to((a == _ONE) & (b == _ONE), product.shape)] = _ONE
    return product


def _div(a: U64Array, b: U64Array) -> U64Array:
    """Divide a <= b with a below 2 * ONE and b below 2**63; 0 / 0 is 0."""
    divisor = np.maximum(b, np.uint64(1))
    if np.max(a, initial=0) < _ONE:
        quotient: U64Array = (a << _BITS) // divisor
        return quotient
    high, rest = np.divmod(a << np.uint64(FRACTION_BITS - 1), divisor)
    doubled: U64Array = high * np.uint64(2) + (rest * np.uint64(2) >= divisor)
    return doubled


def _spread(values_V: U64Array, row_uids: list[int], num_uids: int) -> list[int]:
    values = [0] * num_uids
    for uid, value in zip(row_uids, values_V.tolist(), strict=True):
        values[uid] = value
    return values


def _compute_weights(state: YumaInput, row_uids: list[int], permits: tuple[bool, ...]) -> U64Array:
    weights_VN: U64Array = np.zeros((len(row_uids), state.num_uids), dtype=np.uint64)
    for index, uid in enumerate(row_uids):
        if permits[uid]:
            row = state.weights[uid]
            weights_VN[index, row.uids] = row.values
            if uid != state.owner_uid:
                weights_VN[index, uid] = 0
    last_update_V = np.array([state.last_update_blocks[uid] for uid in row_uids], dtype=np.int64)
    registered_N = np.array(state.registered_at_blocks, dtype=np.int64)
    weights_VN[last_update_V[:, None] <= registered_N] = 0
    return _div(weights_VN, weights_VN.sum(axis=1, dtype=np.uint64)[:, None])


def _compute_consensus(
    stake_V: U64Array, weights_VN: U64Array, minority: int, silent_stake: int
) -> U64Array:
    """Return the weighted median per column; stake of voters without a row votes for zero."""
    voters = np.flatnonzero(stake_V)
    if not voters.size or silent_stake > max(minority, 0):
        return np.zeros(weights_VN.shape[1], dtype=np.uint64)
    packed_NV: U64Array = np.ascontiguousarray(weights_VN[voters].T) << _ROW_BITS
    packed_NV |= np.arange(voters.size, dtype=np.uint64)
    packed_NV.sort(axis=1)
    order_NV = (packed_NV & ((np.uint64(1) << _ROW_BITS) - np.uint64(1))).astype(np.intp)
    stake_below_NV = np.cumsum(stake_V[voters].astype(np.int64)[order_NV], axis=1)
    reached_NV = stake_below_NV > minority - silent_stake
    index_N = np.where(reached_NV[:, -1], np.argmax(reached_NV, axis=1), voters.size - 1)
    chosen: U64Array = packed_NV[np.arange(packed_NV.shape[0]), index_N] >> _ROW_BITS
    return chosen


def _get_bonds(params: YumaParams, state: YumaInput, row_uids: list[int]) -> U64Array:
    bonds_VN: U64Array = np.zeros((len(row_uids), state.num_uids), dtype=np.uint64)
    for index, uid in enumerate(row_uids):
        bonds_VN[index, state.bonds[uid].uids] = state.bonds[uid].values
    registered_N = np.array(state.registered_at_blocks, dtype=np.int64)
    bonds_VN[:, registered_N >= yuma.compute_bond_reset_block(params, state)] = 0
    if params.variant is YumaVariant.YUMA3:
        fractions_VN: U64Array = (bonds_VN << _BITS) // _U16
        return fractions_VN
    return _normalise_columns(bonds_VN)


def _compute_bonds_by_pair(
    params: YumaParams, bought_VN: U64Array, bonds_VN: U64Array, consensus_N: U64Array
) -> U64Array:
    alpha: U64Array | np.uint64 = np.uint64(yuma.compute_alpha(params))
    if yuma.is_liquid(params, consensus_N.tolist()):
        alpha = _compute_liquid_alpha(params, bought_VN, bonds_VN, consensus_N)
    moved_VN: U64Array = _mul(_ONE - alpha, bonds_VN) + _mul(alpha, bought_VN)
    return np.minimum(moved_VN, _ONE)


def _compute_liquid_alpha(
    params: YumaParams, bought_VN: U64Array, bonds_VN: U64Array, consensus_N: U64Array
) -> U64Array:
    low = np.uint64(from_u16(params.alpha_low_u16))
    high = np.uint64(from_u16(params.alpha_high_u16))
    buying_VN = bought_VN - np.minimum(bought_VN, consensus_N)
    selling_VN = bonds_VN - np.minimum(bonds_VN, bought_VN)
    distance_VN = np.where(bought_VN >= bonds_VN, buying_VN, selling_VN)
    offset_VN = distance_VN.astype(np.int64) * 2 - ONE
    steepness = np.uint64(params.alpha_sigmoid_steepness_percent)
    z_VN = np.abs(offset_VN).astype(np.uint64) * steepness // np.uint64(200)
    sigmoid_VN = _compute_sigmoid(z_VN)
    sigmoid_VN = np.where(offset_VN < 0, _ONE - sigmoid_VN, sigmoid_VN)
    alpha_VN: U64Array = low + _mul(high - low, sigmoid_VN)
    return np.clip(alpha_VN, low, high)


def _compute_sigmoid(z_VN: U64Array) -> U64Array:
    shift = np.uint64(FRACTION_BITS - STEP_BITS)
    clamped_VN = np.minimum(z_VN, np.uint64(MAX_Z << FRACTION_BITS))
    index_VN = (clamped_VN >> shift).astype(np.intp)
    rest_VN = clamped_VN & ((np.uint64(1) << shift) - np.uint64(1))
    start_VN = _SIGMOID[index_VN]
    step_VN = _SIGMOID[np.minimum(index_VN + 1, _SIGMOID.size - 1)] - start_VN
    return start_VN + ((step_VN * rest_VN) >> shift)


def _compute_bonds_by_stake(
    params: YumaParams, bought_VN: U64Array, bonds_VN: U64Array, stake_V: U64Array
) -> U64Array:
    alpha = np.uint64(yuma.compute_alpha(params))
    delta_VN = _normalise_columns(_mul(stake_V[:, None], bought_VN))
    return _normalise_columns(_mul(alpha, delta_VN) + _mul(_ONE - alpha, bonds_VN))


def _normalise_columns(values_VN: U64Array) -> U64Array:
    return _div(values_VN, values_VN.sum(axis=0, dtype=np.uint64))


def _to_bond_rows(
    bonds_VN: U64Array, row_uids: list[int], permits: tuple[bool, ...]
) -> tuple[SparseRow, ...]:
    rows = [EMPTY_ROW] * len(permits)
    stored_VN = np.minimum((bonds_VN * _U16) >> _BITS, _U16).astype(np.uint16)
    for index, uid in enumerate(row_uids):
        targets = np.flatnonzero(stored_VN[index])
        if permits[uid] and targets.size:
            rows[uid] = SparseRow(targets.astype(np.uint16), stored_VN[index, targets])
    return tuple(rows)
