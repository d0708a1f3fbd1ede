"""Duplicate screen: is a payload a copy of another one, of this round or a recent one?

Two checks. Equal body hashes are a copy outright. Otherwise the share of changed elements that two
payloads have in common, position and sign, is compared with what is usual: honest miners of one
round overlap somewhat, because they start from the same checkpoint, so the threshold lies halfway
between the median overlap of all pairs and identity. A verdict by overlap needs three pairs to know
what is usual; with fewer only near-identity counts. Measured by `bench/honest_rounds.py` over 20
rounds of the default model with 4 miners: honest pairs of a round overlap by 6-17 % (9-24 % with an
untied head), of neighbouring rounds by at most 16 %.

With a miner's own payloads of rounds before only equal bodies count. Whoever goes on from the same
checkpoint and the same optimiser, as after a round that did not accept its payload, sends much the
same again: honest work that would be refused once more, and so for ever.

The screen makes a payload weightless for a round; it never slashes. An average of several honest
payloads passes it: that is what audits are for.

Source: `reference/training.md` sections 1.7 (overlap of honest top-k sets 7-12 %) and 5.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.aggregation import SparseTensor
from scoring.fixed_point import PPM
from scoring.score import compute_median

MIN_PAIRS = 3
FEW_PAIRS_THRESHOLD_PPM = 900_000
MIN_THRESHOLD_PPM = 500_000
_TENSOR_SHIFT = 44  # positions of one tensor fit 43 bits, and one bit is the sign


@dataclass(frozen=True)
class ScreenedPayload:
    """What the screen remembers of a payload.

    Attributes:
        uid: the sender.
        round_index: round it was committed in.
        body_hash: hash of the payload without its header.
        keys: ascending uint64, one per changed element: tensor, position and sign.
    """

    uid: int
    round_index: int
    body_hash: bytes
    keys: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Duplicate:
    """A payload that copies another, with the numbers that say so.

    Attributes:
        uid: the one to drop: the later commitment, or the one of the later round.
        other_uid: whose payload is copied.
        other_round: round of that payload.
        is_equal_body: whether the bodies are the same bytes.
        overlap_ppm: common share of changed elements.
        threshold_ppm: what the share had to reach.
    """

    uid: int
    other_uid: int
    other_round: int
    is_equal_body: bool
    overlap_ppm: int
    threshold_ppm: int

    @property
    def detail(self) -> str:
        """One line for people."""
        whose = f"uid {self.other_uid} of round {self.other_round}"
        if self.is_equal_body:
            return f"same body as {whose}"
        share, limit = self.overlap_ppm / 10_000, self.threshold_ppm / 10_000
        return f"{share:.1f} % of indices and signs as {whose} (limit {limit:.1f} %)"


def make_screened(
    uid: int, round_index: int, body_hash: bytes, tensors: Mapping[str, SparseTensor]
) -> ScreenedPayload:
    """Reduce a decoded payload to what the screen compares.

    Args:
        uid: the sender.
        round_index: round it was committed in.
        body_hash: hash of the payload without its header.
        tensors: changed elements of *every* tensor of the model, empty ones too.
    """
    parts = [np.zeros(0, dtype=np.uint64)]
    for ordinal, name in enumerate(sorted(tensors)):
        tensor = tensors[name]
        signs = np.signbit(tensor.values).astype(np.uint64)
        keys = (tensor.indices.astype(np.uint64) << np.uint64(1)) | signs
        parts.append(keys | np.uint64(ordinal << _TENSOR_SHIFT))
    return ScreenedPayload(uid, round_index, body_hash, np.concatenate(parts))


def compute_overlap_ppm(first: ScreenedPayload, second: ScreenedPayload) -> int:
    """Return the common share of changed elements, of the payload with fewer; 0 if it has none."""
    small, large = sorted((first.keys, second.keys), key=len)
    if not small.size:
        return 0
    places = np.minimum(np.searchsorted(large, small), large.size - 1)
    return int(np.count_nonzero(large[places] == small)) * PPM // small.size


def compute_threshold_ppm(overlaps_ppm: Sequence[int]) -> int:
    """Return the overlap from which on a pair counts as a copy, given those of all pairs."""
    if len(overlaps_ppm) < MIN_PAIRS:
        return FEW_PAIRS_THRESHOLD_PPM
    usual = compute_median(overlaps_ppm)
    return max((usual + PPM) // 2, MIN_THRESHOLD_PPM)


def find_duplicates(
    current: Sequence[ScreenedPayload],
    recent: Sequence[ScreenedPayload],
    order: Mapping[int, tuple[int, int]],
) -> list[Duplicate]:
    """Find the payloads of a round that copy another.

    Args:
        current: payloads of the round.
        recent: payloads of rounds before, of any uid.
        order: uid -> (height of its commitment, uid); of two equal payloads the later is the copy.

    Returns:
        At most one a uid, ascending: the strongest evidence against it.
    """
    ordered = sorted(current, key=lambda payload: order[payload.uid])
    within = [(ordered[j], ordered[i]) for j in range(len(ordered)) for i in range(j)]
    across = [
        (later, earlier)
        for later in ordered
        for earlier in recent
        if later.uid != earlier.uid or later.body_hash == earlier.body_hash
    ]
    found: dict[int, Duplicate] = {}
    for pairs in (within, across):
        overlaps_ppm = [compute_overlap_ppm(later, earlier) for later, earlier in pairs]
        threshold_ppm = compute_threshold_ppm(overlaps_ppm)
        for (later, earlier), overlap_ppm in zip(pairs, overlaps_ppm, strict=True):
            is_equal_body = later.body_hash == earlier.body_hash
            if not is_equal_body and overlap_ppm < threshold_ppm:
                continue
            duplicate = Duplicate(
                later.uid,
                earlier.uid,
                earlier.round_index,
                is_equal_body,
                overlap_ppm,
                threshold_ppm,
            )
            known = found.get(later.uid)
            if known is None or _get_strength(duplicate) > _get_strength(known):
                found[later.uid] = duplicate
    return [found[uid] for uid in sorted(found)]


def _get_strength(duplicate: Duplicate) -> tuple[bool, int]:
    return duplicate.is_equal_body, duplicate.overlap_ppm
