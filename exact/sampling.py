"""Draw a token from logits with integers only, so that a sample is the same on every device."""

import numpy as np

from exact.counter import compute_words, derive_key

_WEIGHT_BITS = 32
_LOG2_STEPS = 64


def sample_token(logits: np.ndarray, seed: int, index: int, top_k: int) -> int:
    """Draw one token among the top_k largest logits (ties: lowest id first).

    Args:
        logits: float32 [V].
        seed: 0 <= seed < 2^64.
        index: position of the draw in the stream.
        top_k: at least 1.

    Returns:
        A token id.
    """
    order = np.argsort(-logits, kind="stable")[: max(1, top_k)]
    weights = [_compute_weight(float(logits[order[0]]) - float(logits[i])) for i in order]
    word = int(compute_words(derive_key(seed, "sample"), index, 1)[0])
    threshold = word * sum(weights) >> 64
    for token, weight in zip(order, weights, strict=True):
        if threshold < weight:
            return int(token)
        threshold -= weight
    return int(order[0])


def _compute_weight(gap_nats: float) -> int:
    """Compute e^-gap in units of 2^-32 from integers: a shift and a small table in 1/64 octaves."""
    steps = int(gap_nats * (1.4426950408889634 * _LOG2_STEPS))
    whole, part = divmod(steps, _LOG2_STEPS)
    if whole >= _WEIGHT_BITS:
        return 0
    return _OCTAVE[part] >> whole


def _build_octave() -> list[int]:
    """Compute floor(2^(32 - i/64)) exactly: the largest n with n^64 <= 2^(32 * 64 - i)."""
    table = []
    for i in range(_LOG2_STEPS):
        target, low, high = 1 << (_WEIGHT_BITS * _LOG2_STEPS - i), 0, 1 << (_WEIGHT_BITS + 1)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**_LOG2_STEPS <= target else (low, middle)
        table.append(low)
    return table


_OCTAVE = _build_octave()
