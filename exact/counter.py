"""Counter-based integers: the only randomness of exact training.

Value i of a stream is a fixed mix of (key, i), so any element can be computed alone, in any
order, on any device. Library generators are not used: their normal deviates differ between
instruction sets.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
(the finaliser of SplitMix64).
"""

import hashlib

import numpy as np

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
# Standard deviation of a sum of four independent uniform integers in 0 .. 2^16 - 1.
_SUM_STD = float(np.sqrt(4 * (2.0**32 - 1) / 12))


def derive_key(seed: int, label: str) -> int:
    """Derive a 64-bit stream key from a seed and a label.

    Args:
        seed: 0 <= seed < 2^64.
        label: what the stream is for, for example a tensor's name.
    """
    digest = hashlib.sha256(b"descent/counter|" + seed.to_bytes(8, "big") + label.encode())
    return int.from_bytes(digest.digest()[:8], "big")


def compute_words(key: int, start: int, count: int) -> np.ndarray:
    """Compute words start .. start + count - 1 of a stream.

    Returns:
        uint64 [count], uniform.
    """
    index = np.arange(start + 1, start + 1 + count, dtype=np.uint64)
    z = index * _GOLDEN_GAMMA + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def compute_normal(key: int, shape: tuple[int, ...], std: float) -> np.ndarray:
    """Compute near-normal float32 values: the centred sum of four 16-bit integers, scaled once.

    Args:
        key: stream key.
        shape: of the result.
        std: standard deviation wanted.

    Returns:
        float32 array; |value| <= 3.47 std.
    """
    words = compute_words(key, 0, int(np.prod(shape, dtype=np.int64)))
    mask = np.uint64(0xFFFF)
    total = sum(((words >> np.uint64(16 * i)) & mask).astype(np.int64) for i in range(4))
    centred = (2 * np.asarray(total) - 4 * 0xFFFF).astype(np.float32)
    scale = np.float32(std / (2 * _SUM_STD))
    return np.asarray(centred * scale, dtype=np.float32).reshape(shape)
