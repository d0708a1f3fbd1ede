"""Who trains on which sequences, and which sequences judge them.

A stream of n bytes holds (n - 1) // L sequences of L + 1 bytes: sequence i starts at byte i * L, so
neighbours share one byte, the last target of one being the first input of the next. All draws
are keyed permutations of sequence numbers: any index can be computed alone, no draw repeats, and
whoever has the key computes the same.

The permutation is a balanced Feistel network with 8 rounds over the smallest even number of bits
that holds the range; results outside the range are permuted again until they fall inside (cycle
walking, under 4 walks on average). Round keys are SHA-256 of the key and the round.

Source: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from exact.data.errors import InvalidDraw

Indices = npt.NDArray[np.int64]

_NUM_FEISTEL_ROUNDS = 8
_MAX_SIZE = 1 << 62
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)  # multipliers of splitmix64
_MIX_B = np.uint64(0x94D049BB133111EB)


class KeyedPermutation:
    """A permutation of 0 ... size - 1 that a key names.

    Args:
        key: 32 bytes.
        size: 1 ... 2^62.

    Raises:
        InvalidDraw: size out of range.
    """

    def __init__(self, key: bytes, size: int) -> None:
        if not 1 <= size <= _MAX_SIZE:
            raise InvalidDraw(f"a permutation of {size} elements")
        self.size = size
        self._half_bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half_bits)) - 1)
        self._round_keys = [_derive_round_key(key, i) for i in range(_NUM_FEISTEL_ROUNDS)]

    def __call__(self, positions: npt.ArrayLike) -> Indices:
        """Permute positions, int64 [n], each below `size`.

        Raises:
            InvalidDraw: a position is out of range.
        """
        values = np.array(positions, np.int64, ndmin=1)
        if values.size and not 0 <= values.min() <= values.max() < self.size:
            raise InvalidDraw(f"a position outside 0 ... {self.size - 1}")
        result = self._encrypt(values.astype(np.uint64))
        while (outside := np.flatnonzero(result >= np.uint64(self.size))).size:
            result[outside] = self._encrypt(result[outside])
        return result.astype(np.int64)

    def _encrypt(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> self._half_bits, values & self._mask
        for add, xor in self._round_keys:
            left, right = right, left ^ (_mix(right, add, xor) & self._mask)
        return (left << self._half_bits) | right


def _derive_round_key(key: bytes, index: int) -> tuple[np.uint64, np.uint64]:
    digest = hashlib.sha256(key + bytes([index])).digest()
    return (
        np.uint64(int.from_bytes(digest[:8], "little")),
        np.uint64(int.from_bytes(digest[8:16], "little")),
    )


def _mix(values: npt.NDArray[np.uint64], add: np.uint64, xor: np.uint64) -> npt.NDArray[np.uint64]:
    """Hash each value under two keys; arithmetic is modulo 2^64, the top 32 bits are folded in."""
    mixed = (values + np.full_like(values, add)) * _MIX_A
    mixed = (mixed ^ (mixed >> np.uint64(30)) ^ xor) * _MIX_B
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_A
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def compute_key(label: str, run_id: int, round_index: int, *parts: bytes) -> bytes:
    """Derive a key: SHA-256 of label, run (8 bytes), round (4 bytes) and parts, little-endian.

    Args:
        label: one for each use, "descent/...".
        run_id: below 2^64.
        round_index: below 2^32.
        parts: all but the last of fixed length.
    """
    body = label.encode() + run_id.to_bytes(8, "little") + round_index.to_bytes(4, "little")
    return hashlib.sha256(body + b"".join(parts)).digest()


def count_sequences(num_bytes: int, context_length: int) -> int:
    """Return how many sequences a stream holds."""
    return max(0, (num_bytes - 1) // context_length)


def assigned_sequences(
    num_sequences: int, run_id: int, round_index: int, beacon: bytes, uid: int, count: int
) -> Indices:
    """Return the sequences a uid trains on in a round, in training order.

    A uid takes places uid * count ... uid * count + count - 1 of a permutation of the stream, so no
    two uids share a sequence as long as there are enough; places past the end go on in a
    second permutation, and so on.

    Args:
        num_sequences: of the train stream.
        beacon: drawn at the start of the round.
        count: inner steps times batch size.

    Returns:
        int64 [count].

    Raises:
        InvalidDraw: the stream holds no sequence.
    """
    if num_sequences < 1:
        raise InvalidDraw("the train stream is shorter than one sequence")
    places = np.arange(uid * count, uid * count + count, dtype=np.int64)
    passes, positions = np.divmod(places, num_sequences)
    result = np.zeros(count, np.int64)
    for index in range(int(passes.min()), int(passes.max()) + 1) if count else ():
        suffix = index.to_bytes(8, "little") if index else b""
        key = compute_key("descent/assign", run_id, round_index, beacon, suffix)
        chosen = passes == index
        result[chosen] = KeyedPermutation(key, num_sequences)(positions[chosen])
    return result


def assigned_eval(
    assigned: Indices,
    run_id: int,
    round_index: int,
    judge_beacon: bytes,
    uid: int,
    num_assigned: int,
) -> Indices:
    """Return the sequences of a uid's own assignment on which it is judged.

    Args:
        assigned: from `assigned_sequences`, int64 [count].
        judge_beacon: drawn after the commit deadline.
        num_assigned: at most count.

    Returns:
        int64 [num_assigned].

    Raises:
        InvalidDraw: num_assigned is larger than the assignment.
    """
    if num_assigned > len(assigned):
        raise InvalidDraw(f"{num_assigned} sequences of an assignment of {len(assigned)}")
    key = compute_key(
        "descent/assigned-eval", run_id, round_index, judge_beacon, uid.to_bytes(4, "little")
    )
    return assigned[KeyedPermutation(key, len(assigned))(np.arange(num_assigned))]


def heldout_draw(
    num_sequences: int, run_id: int, round_index: int, judge_beacon: bytes, count: int
) -> Indices:
    """Return the held-out sequences on which every uid of a round is judged.

    Args:
        num_sequences: of the held-out stream.
        judge_beacon: drawn after the commit deadline.
        count: at most num_sequences.

    Returns:
        int64 [count].

    Raises:
        InvalidDraw: the stream holds fewer sequences.
    """
    if count > num_sequences:
        raise InvalidDraw(f"{count} sequences of a held-out stream of {num_sequences}")
    key = compute_key("descent/heldout", run_id, round_index, judge_beacon)
    return KeyedPermutation(key, num_sequences)(np.arange(count))


def gather(
    stream: npt.NDArray[np.uint8], indices: Indices, context_length: int
) -> npt.NDArray[np.uint8]:
    """Read sequences: inputs are [:, :-1], targets [:, 1:].

    Args:
        stream: uint8 [num_bytes].
        indices: int64 [n].

    Returns:
        uint8 [n, context_length + 1].

    Raises:
        InvalidDraw: an index is out of range.
    """
    num_sequences = count_sequences(len(stream), context_length)
    if indices.size and not 0 <= indices.min() <= indices.max() < num_sequences:
        raise InvalidDraw(f"a sequence outside 0 ... {num_sequences - 1}")
    offsets = np.asarray(indices, np.int64)[:, None] * context_length
    return np.asarray(stream[offsets + np.arange(context_length + 1)])
