"""Pure arithmetic of quorums, bitmaps and the accepted set. Stakes are integers in udsc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from node.pallets.rounds.types import QUORUM_DENOMINATOR, QUORUM_NUMERATOR


def is_quorum(stake_udsc: int, total_udsc: int) -> bool:
    """Tell whether a stake is at least 2/3 of a positive total."""
    return total_udsc > 0 and QUORUM_DENOMINATOR * stake_udsc >= QUORUM_NUMERATOR * total_udsc


def is_bit_set(bitmap: bytes, uid: int) -> bool:
    """Tell whether a bitmap names a uid: bit `uid % 8` of byte `uid // 8`, lowest bit first."""
    index = uid // 8
    return index < len(bitmap) and bool(bitmap[index] >> (uid % 8) & 1)


def compute_available(
    uids: Iterable[int], bitmaps: Mapping[int, bytes], stakes_udsc: Mapping[int, int]
) -> list[int]:
    """Compute which uids enough stake attests.

    Args:
        uids: candidates.
        bitmaps: by validator uid.
        stakes_udsc: stake of every validator of the run that has any, by uid.
    """
    total = sum(stakes_udsc.values())
    available = []
    for uid in uids:
        stake = sum(
            stake
            for validator, stake in stakes_udsc.items()
            if validator in bitmaps and is_bit_set(bitmaps[validator], uid)
        )
        if is_quorum(stake, total):
            available.append(uid)
    return available


def compute_accepted(
    available: Iterable[int], incentives_u16: Mapping[int, int], max_accepted: int
) -> list[int]:
    """Compute the accepted uids, ascending: the best by incentive, lower uid first on a tie."""
    ranked = sorted(available, key=lambda uid: (-incentives_u16[uid], uid))
    return sorted(ranked[:max_accepted])


def compute_settled_root(
    roots: Mapping[int, bytes], stakes_udsc: Mapping[int, int]
) -> tuple[bytes, int] | None:
    """Compute the root that 2/3 of the stake attests, and that stake; None without a quorum.

    Args:
        roots: attested root by validator uid.
        stakes_udsc: stake of every validator of the run that has any, by uid.
    """
    total = sum(stakes_udsc.values())
    stake_by_root: dict[bytes, int] = {}
    for uid, root in sorted(roots.items()):
        stake_by_root[root] = stake_by_root.get(root, 0) + stakes_udsc.get(uid, 0)
    for root, stake in sorted(stake_by_root.items()):
        if is_quorum(stake, total):
            return root, stake
    return None
