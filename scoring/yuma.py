"""The Yuma epoch in Python integers: the definition.

One pass of fixed-point linear algebra turns what validators say about miners (weights) and how
much they have at stake into what miners earn (incentive) and what validators earn (dividends). A
weight counts only as far as kappa of the stake supports it (consensus); a validator earns through
bonds, which grow for miners it named early and which the others came to name too.

All values are fixed-point (see `fixed_point`), every operation rounds down once, and the order of
additions does not matter because they are integer additions. Rows are dictionaries uid -> value,
zeros left out. `yuma_fast` computes the same numbers with numpy and is what blocks use.

Where this departs from the reference implementation, on purpose:

- a bond on a miner that the validator no longer names decays (with liquid alpha, too); it does not
  vanish at once;
- rows are sorted by uid and free of duplicates by type (`SparseRow`);
- there is one path, so the owner is exempt from the stake threshold and may weigh itself always;
- the sigmoid of liquid alpha is an integer table, and the interpolation between raw and clipped
  weights is W - beta * (W - clipped), so no intermediate value is negative;
- a vote counts for a newcomer's uid only if it was *committed* after the registration, which makes
  a second mask for hidden votes needless.

Source: `reference/chain.md` sections 1.2 and 1.3.
"""

from collections.abc import Sequence

from scoring.fixed_point import FRACTION_BITS, ONE, PPM, div, from_u16, mul, normalise, to_u16
from scoring.sigmoid_table import MAX_Z, SIGMOID_Q32, STEP_BITS
from scoring.yuma_types import (
    EMPTY_ROW,
    SparseRow,
    YumaInput,
    YumaOutput,
    YumaParams,
    YumaVariant,
)

Row = dict[int, int]  # uid -> fixed value, zeros left out
Rows = list[Row]  # one row per uid

_PERCENT = 100


def compute_epoch_clear(params: YumaParams, state: YumaInput) -> YumaOutput:
    """Run one Yuma epoch.

    Args:
        params: parameters of the run.
        state: checked input; nothing in it is changed.

    Returns:
        Incentive, dividends, emission, new bonds and new permits for every uid.

    Source: `reference/chain.md` section 1.3.
    """
    stake = compute_stake_shares(params, state)
    active = compute_active(params, state)
    active_stake = compute_active_stake(stake, active, compute_permits_in_force(state))
    permits = compute_new_permits(params, state, stake)

    weights = _compute_weights(state)
    consensus = _compute_consensus(active_stake, weights, compute_kappa(params))
    clipped = _clip_weights(weights, consensus)
    validator_trust = [sum(row.values()) for row in clipped]
    incentive = normalise(_compute_ranks(active_stake, clipped))

    bond_weights = _interpolate(weights, clipped, from_u16(params.bonds_penalty_u16))
    old_bonds = _get_bonds(params, state)
    if params.variant is YumaVariant.YUMA3:
        bonds = _compute_bonds_by_pair(params, bond_weights, old_bonds, consensus)
        shares = _compute_bond_dividends(_normalise_columns(bonds), incentive)
        dividends = normalise([mul(s, d) for s, d in zip(active_stake, shares, strict=True)])
    else:
        bonds = _compute_bonds_by_stake(params, bond_weights, old_bonds, active_stake)
        dividends = normalise(_compute_bond_dividends(bonds, incentive))
        bonds = _upscale_columns(bonds)

    server, validator, both = compute_emission(
        state.emission_units, incentive, dividends, active_stake, stake
    )
    return YumaOutput(
        incentive_u16=tuple(map(to_u16, incentive)),
        dividends_u16=tuple(map(to_u16, dividends)),
        consensus_u16=tuple(map(to_u16, consensus)),
        validator_trust_u16=tuple(map(to_u16, validator_trust)),
        emission_units=both,
        server_emission_units=server,
        validator_emission_units=validator,
        permits=permits,
        active=active,
        bonds=_to_bond_rows(bonds, permits),
    )


# --- per-uid steps, shared with the fast twin -------------------------------------------------


def compute_stake_shares(params: YumaParams, state: YumaInput) -> list[int]:
    """Return each uid's share of all stake; stake under the threshold counts as none."""
    kept = [
        stake if stake >= params.stake_threshold_units or uid == state.owner_uid else 0
        for uid, stake in enumerate(state.stakes_units)
    ]
    return normalise(kept)


def compute_active(params: YumaParams, state: YumaInput) -> tuple[bool, ...]:
    """Return which uids sent weights within the activity cutoff."""
    cutoff_blocks = params.activity_cutoff_blocks
    return tuple(last + cutoff_blocks >= state.now_block for last in state.last_update_blocks)


def compute_permits_in_force(state: YumaInput) -> tuple[bool, ...]:
    """Return whose rows count now: the stored permits, and the owner."""
    return tuple(permit or uid == state.owner_uid for uid, permit in enumerate(state.permits))


def compute_active_stake(
    stake: Sequence[int], active: Sequence[bool], permits: Sequence[bool]
) -> list[int]:
    """Return the stake shares among active uids with a permit."""
    kept = [s if a and p else 0 for s, a, p in zip(stake, active, permits, strict=True)]
    return normalise(kept)


def compute_new_permits(
    params: YumaParams, state: YumaInput, stake: Sequence[int]
) -> tuple[bool, ...]:
    """Give permits for the next epoch to the largest stakes above zero, and to the owner.

    On a tie the higher uid wins, as in the reference.
    """
    order = sorted(range(len(stake)), key=lambda uid: (stake[uid], uid), reverse=True)
    chosen = frozenset(uid for uid in order[: params.max_validators] if stake[uid] > 0)
    return tuple(uid in chosen or uid == state.owner_uid for uid in range(len(stake)))


def compute_kappa(params: YumaParams) -> int:
    """Return the stake share that has to support a weight."""
    return from_u16(params.kappa_u16)


def compute_alpha(params: YumaParams) -> int:
    """Return the bond rate without liquid alpha: 1 minus the moving average."""
    return ONE - (params.bonds_moving_average_ppm << FRACTION_BITS) // PPM


def compute_bond_reset_block(params: YumaParams, state: YumaInput) -> int:
    """Return the height from which on a registration makes bonds on a uid void."""
    if state.last_epoch_block is None:
        return max(state.now_block - params.tempo_blocks, 0)
    return state.last_epoch_block + 1


def is_liquid(params: YumaParams, consensus: Sequence[int]) -> bool:
    """Tell whether this epoch uses liquid alpha: switched on, and some consensus exists."""
    return params.liquid_alpha and any(consensus)


def compute_emission(
    emission_units: int,
    incentive: Sequence[int],
    dividends: Sequence[int],
    active_stake: Sequence[int],
    stake: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Share out the emission between miners and validators.

    Half goes to each side whenever both exist. Without any incentive the validators get all of it,
    by active stake, or by stake if nobody is active.

    Returns:
        Server part, validator part and both together for every uid, in units, each rounded down.
    """
    total = sum(incentive) + sum(dividends)
    if total:
        server = [div(i, total) for i in incentive]
        validator = [div(d, total) for d in dividends]
        both = [div(i + d, total) for i, d in zip(incentive, dividends, strict=True)]
    else:
        server = [0] * len(incentive)
        validator = list(active_stake if any(active_stake) else stake)
        both = validator

    def to_units(shares: Sequence[int]) -> tuple[int, ...]:
        return tuple(mul(share, emission_units) for share in shares)

    return to_units(server), to_units(validator), to_units(both)


# --- matrix steps -----------------------------------------------------------------------------


def _compute_weights(state: YumaInput) -> Rows:
    """Return the normalised weights that count: permitted, of others, newer than the target."""
    rows: Rows = []
    for uid, (row, permit) in enumerate(
        zip(state.weights, compute_permits_in_force(state), strict=True)
    ):
        kept = {}
        for target, value in row.to_pairs() if permit else []:
            is_self = target == uid and uid != state.owner_uid
            is_outdated = state.last_update_blocks[uid] <= state.registered_at_blocks[target]
            if value and not is_self and not is_outdated:
                kept[target] = value
        total = sum(kept.values())
        rows.append({target: div(value, total) for target, value in kept.items()})
    return rows


def _compute_consensus(active_stake: Sequence[int], weights: Rows, kappa: int) -> list[int]:
    """Return for each uid the largest weight that at least kappa of the active stake supports."""
    voters = [uid for uid, stake in enumerate(active_stake) if stake > 0]
    minority = sum(active_stake) - kappa
    consensus = []
    for target in range(len(active_stake)):
        votes = sorted((weights[uid].get(target, 0), active_stake[uid]) for uid in voters)
        supported, stake_up_to = 0, 0
        for weight, stake in votes:
            supported, stake_up_to = weight, stake_up_to + stake
            if stake_up_to > minority:
                break
        consensus.append(supported)
    return consensus


def _clip_weights(weights: Rows, consensus: Sequence[int]) -> Rows:
    """Cut every weight to the consensus on its target."""
    return [
        {target: min(w, consensus[target]) for target, w in row.items() if consensus[target] > 0}
        for row in weights
    ]


def _compute_ranks(active_stake: Sequence[int], clipped: Rows) -> list[int]:
    ranks = [0] * len(active_stake)
    for stake, row in zip(active_stake, clipped, strict=True):
        for target, weight in row.items():
            ranks[target] += mul(stake, weight)
    return ranks


def _interpolate(weights: Rows, clipped: Rows, penalty: int) -> Rows:
    """Return W - penalty * (W - clipped W)."""
    rows: Rows = []
    for row, clipped_row in zip(weights, clipped, strict=True):
        mixed = {t: w - mul(penalty, w - clipped_row.get(t, 0)) for t, w in row.items()}
        rows.append({target: value for target, value in mixed.items() if value})
    return rows


def _get_bonds(params: YumaParams, state: YumaInput) -> Rows:
    """Return stored bonds as fractions (Yuma3) or column-normalised (original).

    Bonds on a uid that changed hands since the last epoch are left out.
    """
    reset_block = compute_bond_reset_block(params, state)
    is_kept = [registered < reset_block for registered in state.registered_at_blocks]
    rows = [
        {target: value for target, value in row.to_pairs() if value and is_kept[target]}
        for row in state.bonds
    ]
    if params.variant is YumaVariant.YUMA3:
        return [{target: from_u16(value) for target, value in row.items()} for row in rows]
    return _normalise_columns(rows)


def _compute_bonds_by_pair(
    params: YumaParams, bond_weights: Rows, old_bonds: Rows, consensus: Sequence[int]
) -> Rows:
    """Move each bond towards the weight of the same pair (Yuma3)."""
    liquid = is_liquid(params, consensus)
    alpha = compute_alpha(params)
    rows: Rows = []
    for weight_row, bond_row in zip(bond_weights, old_bonds, strict=True):
        new_row: Row = {}
        for target in sorted(weight_row.keys() | bond_row.keys()):
            weight, bond = weight_row.get(target, 0), bond_row.get(target, 0)
            if liquid:
                alpha = compute_liquid_alpha(params, weight, bond, consensus[target])
            value = min(mul(ONE - alpha, bond) + mul(alpha, weight), ONE)
            if value:
                new_row[target] = value
        rows.append(new_row)
    return rows


def compute_liquid_alpha(params: YumaParams, weight: int, bond: int, consensus: int) -> int:
    """Return the bond rate of one pair.

    Buying (weight at least the bond) is fast where the weight is above consensus, selling is fast
    where the bond is far above the weight: alpha = low + (high - low) * sigmoid(k * (d - 1/2)).
    """
    low, high = from_u16(params.alpha_low_u16), from_u16(params.alpha_high_u16)
    distance = weight - consensus if weight >= bond else bond - weight
    distance = min(max(distance, 0), ONE)
    offset = 2 * distance - ONE  # twice the argument before the slope, so that 1/2 is exact
    z = params.alpha_sigmoid_steepness_percent * abs(offset) // (2 * _PERCENT)
    sigmoid = _compute_sigmoid(z)
    if offset < 0:
        sigmoid = ONE - sigmoid
    return min(max(low + mul(high - low, sigmoid), low), high)


def _compute_sigmoid(z: int) -> int:
    """Return the logistic curve at a fixed z >= 0, by table with linear interpolation."""
    shift = FRACTION_BITS - STEP_BITS
    index, rest = min(z, MAX_Z << FRACTION_BITS) >> shift, z & ((1 << shift) - 1)
    if index == len(SIGMOID_Q32) - 1:
        return SIGMOID_Q32[index]
    step = SIGMOID_Q32[index + 1] - SIGMOID_Q32[index]
    return SIGMOID_Q32[index] + ((step * rest) >> shift)


def _compute_bonds_by_stake(
    params: YumaParams, bond_weights: Rows, old_bonds: Rows, active_stake: Sequence[int]
) -> Rows:
    """Mix column-normalised purchases (stake times weight) into the bonds (original rule)."""
    alpha = compute_alpha(params)
    bought = _normalise_columns(
        [
            {target: mul(stake, weight) for target, weight in row.items()}
            for stake, row in zip(active_stake, bond_weights, strict=True)
        ]
    )
    mixed: Rows = []
    for bought_row, bond_row in zip(bought, old_bonds, strict=True):
        targets = sorted(bought_row.keys() | bond_row.keys())
        mixed.append(
            {
                t: mul(alpha, bought_row.get(t, 0)) + mul(ONE - alpha, bond_row.get(t, 0))
                for t in targets
            }
        )
    return _normalise_columns(mixed)


def _normalise_columns(rows: Rows) -> Rows:
    totals: Row = {}
    for row in rows:
        for target, value in row.items():
            totals[target] = totals.get(target, 0) + value
    return [{target: div(value, totals[target]) for target, value in row.items()} for row in rows]


def _upscale_columns(rows: Rows) -> Rows:
    """Scale every column so that its largest bond is 1."""
    tops: Row = {}
    for row in rows:
        for target, value in row.items():
            tops[target] = max(tops.get(target, 0), value)
    return [{target: div(value, tops[target]) for target, value in row.items()} for row in rows]


def _compute_bond_dividends(bonds: Rows, incentive: Sequence[int]) -> list[int]:
    return [sum(mul(bond, incentive[t]) for t, bond in row.items()) for row in bonds]


def _to_bond_rows(bonds: Rows, permits: Sequence[bool]) -> tuple[SparseRow, ...]:
    """Return the bonds to store: of uids with a new permit, without zeros."""
    rows = []
    for row, permit in zip(bonds, permits, strict=True):
        stored = {target: to_u16(row[target]) for target in sorted(row)} if permit else {}
        kept = {target: value for target, value in stored.items() if value}
        rows.append(SparseRow.from_ints(tuple(kept), tuple(kept.values())) if kept else EMPTY_ROW)
    return tuple(rows)
