"""Whom to audit, where and by whom, from a beacon; and what makes cheating a loss.

Every miner has a stream of its own, keyed by chain-given values only: nobody can steer it after
the commit deadline, and one miner's draw does not depend on who else is there. Numbers are drawn
without bias by rejection.

Deterrence is exact rational arithmetic; `describe_deterrence` is the only place with floats and is
for documents, not for consensus.

Source: `reference/verification.md` section 4.3; DESIGN 4.5.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from scoring.fixed_point import PPM

_DOMAIN = b"descent/audit"
_WORD_BYTES = 8
_WORD_LIMIT = 1 << (8 * _WORD_BYTES)


class AuditInputError(ValueError):
    """A number is outside its bound; the message names it."""


@dataclass(frozen=True)
class AuditTarget:
    """One audit.

    Attributes:
        uid: the miner.
        interval: index of the interval to execute again, from 0.
        step_inside: number of steps of the interval after which the auditor takes a state root that
            nobody published: 1..interval_steps - 1 (1 if an interval has one step only).
        auditors: validator uids, ascending.
    """

    uid: int
    interval: int
    step_inside: int
    auditors: tuple[int, ...]


def compute_audit_targets(
    beacon: bytes,
    run_id: int,
    round_index: int,
    miners: Sequence[tuple[int, bool]],
    validators: Sequence[int],
    num_intervals: int,
    interval_steps: int,
    audit_rate_ppm: int,
    num_auditors: int,
) -> list[AuditTarget]:
    """Choose the audits of a round.

    Args:
        beacon: value drawn after the commit deadline.
        run_id: below 2**64.
        round_index: below 2**32.
        miners: (uid, whether on probation) of those who committed; probation is always audited.
        validators: uids that can audit.
        num_intervals: intervals of a round's work, at least 1.
        interval_steps: steps of an interval, at least 1.
        audit_rate_ppm: chance of an audit, parts per million.
        num_auditors: auditors per audit; all validators if there are fewer.

    Returns:
        Targets by ascending uid, at most one a miner; none without validators.

    Raises:
        AuditInputError: a number outside its bound, or a uid twice.

    Source: DESIGN 4.5.
    """
    if num_intervals < 1 or interval_steps < 1 or num_auditors < 1:
        raise AuditInputError("num_intervals, interval_steps and num_auditors must be positive")
    if not 0 <= audit_rate_ppm <= PPM:
        raise AuditInputError(f"audit_rate_ppm must be in 0..{PPM}, not {audit_rate_ppm}")
    if len({uid for uid, _ in miners}) != len(miners) or len(set(validators)) != len(validators):
        raise AuditInputError("a uid is listed twice")
    targets = []
    for uid, on_probation in sorted(miners):
        stream = _Stream(beacon, run_id, round_index, uid)
        is_drawn = stream.draw_below(PPM) < audit_rate_ppm
        interval = stream.draw_below(num_intervals)
        step_inside = 1 + stream.draw_below(max(interval_steps - 1, 1))
        auditors = stream.draw_subset(sorted(validators), num_auditors)
        if (is_drawn or on_probation) and auditors:
            targets.append(AuditTarget(uid, interval, step_inside, tuple(auditors)))
    return targets


class _Stream:
    """Unbiased numbers from SHA-256 in counter mode."""

    def __init__(self, beacon: bytes, run_id: int, round_index: int, uid: int) -> None:
        place = run_id.to_bytes(8, "little") + round_index.to_bytes(4, "little")
        place += uid.to_bytes(4, "little")
        self._key = hashlib.sha256(_DOMAIN + place + beacon).digest()
        self._counter = 0

    def _draw_word(self) -> int:
        block = self._key + self._counter.to_bytes(8, "little")
        self._counter += 1
        return int.from_bytes(hashlib.sha256(block).digest()[:_WORD_BYTES], "little")

    def draw_below(self, limit: int) -> int:
        """Draw from 0..limit - 1; words in the incomplete last stretch are thrown away."""
        bound = _WORD_LIMIT - _WORD_LIMIT % limit
        word = self._draw_word()
        while word >= bound:
            word = self._draw_word()
        return word % limit

    def draw_subset(self, items: list[int], size: int) -> list[int]:
        """Draw `size` of the items (all, if fewer), ascending; every subset is equally likely."""
        pool = list(items)
        size = min(size, len(pool))
        for index in range(size):
            other = index + self.draw_below(len(pool) - index)
            pool[index], pool[other] = pool[other], pool[index]
        return sorted(pool[:size])


# --- deterrence -------------------------------------------------------------------------------


def compute_audit_strength(
    audit_rate_ppm: int, num_auditors: int, colluding_ppm: int, failure_ppm: int
) -> Fraction:
    """Return a' = a * (1 - f**n) * (1 - eta): the chance that a cheated round is convicted.

    Args:
        audit_rate_ppm: chance a that a miner's round is audited.
        num_auditors: independent auditors n of an audit.
        colluding_ppm: share f of auditors that collude.
        failure_ppm: chance eta that an honest audit fails to convict.
    """
    rate = Fraction(audit_rate_ppm, PPM)
    collusion = Fraction(colluding_ppm, PPM) ** num_auditors
    return rate * (1 - collusion) * (1 - Fraction(failure_ppm, PPM))


def compute_sample_detection(num_intervals: int, num_sampled: int, num_cheated: int) -> Fraction:
    """Return the chance that sampling without replacement meets a cheated interval.

    Args:
        num_intervals: T, intervals of a round.
        num_sampled: s, intervals executed again.
        num_cheated: m, intervals that are wrong.
    """
    clean = math.comb(num_intervals - num_cheated, num_sampled)
    return 1 - Fraction(clean, math.comb(num_intervals, num_sampled))


def compute_required_forfeit(strength: Fraction, cost_units: int) -> int:
    """Return the least forfeit that makes cheating on all of a round's cost a loss: C / a'.

    Cheating everything is the worst case, because saving over detection grows with what is cheated.

    Args:
        strength: a' from `compute_audit_strength`, above zero.
        cost_units: honest cost C of a round.
    """
    return math.ceil(cost_units / strength)


def compute_required_vesting_rounds(strength: Fraction) -> int:
    """Return the rounds of withheld reward that deter without any bond: H >= 1 / a' - 1."""
    return max(math.ceil(1 / strength - 1), 0)


def compute_required_bond(strength: Fraction, reward_units: int, recoverable_ppm: int) -> int:
    """Return the bond that deters without any vesting: R / (1 - rho) * (1 / a' - 1).

    Args:
        strength: a' from `compute_audit_strength`, above zero.
        reward_units: reward R of a round.
        recoverable_ppm: share rho of a slash that a coalition can win back, below one.
    """
    lost_share = 1 - Fraction(recoverable_ppm, PPM)
    return max(math.ceil(reward_units / lost_share * (1 / strength - 1)), 0)


def is_value_attack_deterred(
    strength: Fraction,
    num_intervals: int,
    num_sampled: int,
    forfeit_units: int,
    attack_value_units: int,
    num_cheated: int = 1,
) -> bool:
    """Tell whether an attack worth v that needs `num_cheated` intervals loses on average."""
    detection = strength * compute_sample_detection(num_intervals, num_sampled, num_cheated)
    return detection * forfeit_units >= attack_value_units


def describe_deterrence(strengths_ppm: Sequence[int]) -> list[dict[str, float]]:
    """Tabulate forfeit and vesting per audit strength, for documents only."""
    rows = []
    for strength_ppm in strengths_ppm:
        strength = Fraction(strength_ppm, PPM)
        rows.append(
            {
                "strength": float(strength),
                "forfeit_per_cost": float(1 / strength),
                "vesting_rounds": float(compute_required_vesting_rounds(strength)),
                "vesting_rounds_safety_2": float(2 / strength),
            }
        )
    return rows
