"""Turn a round's parameter change into a payload, and a payload into a sparse update.

A payload is the header (`PayloadHeader`, HEADER_BYTES) and one record a chunk. The layout, tensor
names and shapes, comes from the program and is never sent. Tensors go by sorted name, each is
flattened in C order and cut into chunks of `chunk_size`; a shorter last chunk of n elements keeps
ceil(top_k * n / chunk_size) of them. Every value is one of four: plus or minus one of two levels.

A record, most significant bit first, padded with zero bits to a byte:

| bits            | what                                                                         |
|-----------------|------------------------------------------------------------------------------|
| 12              | upper level: exponent (8) and mantissa (4) of a float32, exponent 5 ... 254  |
| 4               | lower level = upper * (this + 1) / 16; 15 says there is one level            |
| rank bits       | which elements, as one number (`exact.subset_code`)                          |
| one an element  | sign, 1 = negative, elements ascending                                       |
| one an element  | 1 = upper level                                                              |

A chunk with fewer elements than it may keep starts with 16 zero bits and the count, in as many bits
as top-k - 1 of that chunk takes; then the same fields, or nothing if the count is 0. With the
defaults a full record is 616 bits: 77 bytes for 4096 float32, 212.8 times smaller.

An update has one payload: levels are read off the values, two levels mean that both are used, and
`decode` refuses everything `encode` would not have written.

Errors:
    CodecError
      InvalidCodec        chunk_size, top_k or feedback_ppb outside its bounds
      InvalidUpdate       something asked to be sent that has no payload (NaN, wrong shape ...)
      PayloadError        bytes from outside that are not a payload for this layout
        PayloadTooLarge, PayloadTruncated, PayloadTrailingBytes, PayloadBadMagic,
        PayloadWrongVersion, PayloadWrongRun, PayloadWrongRound, PayloadWrongUid,
        PayloadBadIndex, PayloadBadLevel, PayloadNotCanonical

Source: top-k with error feedback as in SparseLoCo, arXiv 2508.15706.
"""

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from exact import subset_code
from exact.errors import ExactError
from exact.sparsify import (
    LEVEL_SHIFT,
    MAX_LEVEL,
    MIN_LEVEL,
    RATIO_STEPS,
    Float32Array,
    Int64Array,
    SparseTensor,
    compute_top_k,
    level_to_float,
    quantise,
)

MAGIC = b"DPL"
VERSION = 1
_HEADER = struct.Struct("<3sBQII")
HEADER_BYTES = _HEADER.size  # 20
MAX_TENSORS = 1 << 16
MAX_ELEMENTS = 1 << 34

_CODEBOOK_BITS = 16
_SHORT_MARK = 0  # a codebook no chunk can have

Layout: TypeAlias = Mapping[str, tuple[int, ...]]


class CodecError(ExactError):
    """Base of every refusal of the payload codec."""


class InvalidCodec(CodecError):
    """A codec constant is outside its bounds; the message names it."""


class InvalidUpdate(CodecError):
    """A change that has no payload: not finite, not float32, or not of the layout."""


class PayloadError(CodecError):
    """Bytes that are not a payload for this layout; the message names what and where."""


class PayloadTooLarge(PayloadError):
    """More bytes than the largest payload of this layout."""


class PayloadTruncated(PayloadError):
    """The bytes end inside the header or a record."""


class PayloadTrailingBytes(PayloadError):
    """Bytes follow the last record."""


class PayloadBadMagic(PayloadError):
    """The bytes do not begin as a payload."""


class PayloadWrongVersion(PayloadError):
    """A payload of a version this program does not read."""


class PayloadWrongRun(PayloadError):
    """The header names another run."""


class PayloadWrongRound(PayloadError):
    """The header names another round."""


class PayloadWrongUid(PayloadError):
    """The header names another uid: the payload was made by, or copied from, someone else."""


class PayloadBadIndex(PayloadError):
    """A rank or a count that stands for no set of elements of the chunk."""


class PayloadBadLevel(PayloadError):
    """An upper level that is zero, subnormal, too small to halve, infinite or not a number."""


class PayloadNotCanonical(PayloadError):
    """The update these bytes stand for is written in another way."""


class CodecSpec(Protocol):
    """The fields of `descent.runs.v1.CodecSpec`."""

    chunk_size: int
    top_k: int
    feedback_ppb: int


@dataclass(frozen=True)
class CodecConfig:
    """The constants of the codec.

    Attributes:
        chunk_size: elements a chunk, 1 ... 4096.
        top_k: elements kept of a whole chunk, 1 ... 128 and at most chunk_size.
        feedback_ppb: error-feedback decay in parts per 10^9, at most 10^9.
    """

    chunk_size: int = 4096
    top_k: int = 64
    feedback_ppb: int = 950_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.chunk_size <= subset_code.MAX_RANGE:
            raise InvalidCodec(f"chunk_size {self.chunk_size} is not 1 ... {subset_code.MAX_RANGE}")
        if not 1 <= self.top_k <= min(subset_code.MAX_SUBSET, self.chunk_size):
            raise InvalidCodec(
                f"top_k {self.top_k} is not 1 ... {subset_code.MAX_SUBSET}, or over chunk_size"
            )
        if not 0 <= self.feedback_ppb <= 10**9:
            raise InvalidCodec(f"feedback_ppb {self.feedback_ppb} is not 0 ... 10^9")

    @classmethod
    def from_spec(cls, spec: CodecSpec) -> "CodecConfig":
        """Read the codec of a run spec.

        Raises:
            InvalidCodec: a constant is outside its bounds.
        """
        return cls(spec.chunk_size, spec.top_k, spec.feedback_ppb)

    def compute_top_k(self, num_elements: int) -> int:
        """Return how many elements a chunk of `num_elements` keeps at most."""
        return compute_top_k(num_elements, self.chunk_size, self.top_k)


@dataclass(frozen=True)
class PayloadHeader:
    """Whose payload it is. run_id below 2^64, round and uid below 2^32."""

    run_id: int
    round: int
    uid: int

    def to_bytes(self) -> bytes:
        """Encode as HEADER_BYTES: magic, version, run_id, round, uid, little-endian."""
        return _HEADER.pack(MAGIC, VERSION, self.run_id, self.round, self.uid)


@dataclass(frozen=True)
class SparseUpdate:
    """A decoded payload: its header and, for every tensor of the layout, the changed elements."""

    header: PayloadHeader
    tensors: dict[str, SparseTensor]

    def to_dense(self, layout: Layout) -> dict[str, Float32Array]:
        """Return the update as whole tensors, zero where nothing was sent."""
        dense = {}
        for name, tensor in self.tensors.items():
            flat = np.zeros(math.prod(layout[name]), np.float32)
            flat[tensor.indices] = tensor.values
            dense[name] = flat.reshape(layout[name])
        return dense


# -------------------------------------------------------------------------------------- the calls
def get_layout(tensors: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of some tensors."""
    return {name: tuple(tensors[name].shape) for name in sorted(tensors)}


def compress(
    delta: Mapping[str, Float32Array],
    feedback: Mapping[str, Float32Array],
    codec: CodecConfig,
    header: PayloadHeader,
) -> tuple[bytes, dict[str, Float32Array]]:
    """Choose, quantise and encode what to send of `feedback_ppb * feedback + delta`.

    Args:
        delta: name -> float32, theta_r - theta_H of this round.
        feedback: name -> float32 of the same shapes, what earlier rounds did not send.
        codec: constants of the run.
        header: whose payload it is.

    Returns:
        The payload and the new feedback: the sum above less what the payload says.

    Raises:
        InvalidUpdate: names, shapes or dtypes differ, or a sum is not finite.
    """
    if delta.keys() != feedback.keys():
        name = min(delta.keys() ^ feedback.keys())
        raise InvalidUpdate(f"{name} is in only one of delta and feedback")
    decay = np.float32(codec.feedback_ppb / 10**9)
    tensors: dict[str, SparseTensor] = {}
    rest: dict[str, Float32Array] = {}
    for name in sorted(delta):
        total = _add_feedback(name, delta[name], feedback[name], decay)
        flat = total.reshape(-1)
        sent = quantise(flat, codec.chunk_size, codec.top_k)
        flat[sent.indices] -= sent.values
        tensors[name], rest[name] = sent, total
    payload = encode(SparseUpdate(header, tensors), get_layout(rest), codec)
    return payload, rest


def encode(update: SparseUpdate, layout: Layout, codec: CodecConfig) -> bytes:
    """Encode an update; the inverse of `decode`.

    Raises:
        InvalidUpdate: it has no payload: more elements, other values or other names than a
            chunk can hold.
    """
    _ensure_layout(layout)
    if update.tensors.keys() != layout.keys():
        name = min(update.tensors.keys() ^ layout.keys())
        raise InvalidUpdate(f"{name} is in only one of update and layout")
    records = [update.header.to_bytes()]
    for name in sorted(layout):
        tensor = update.tensors[name]
        _ensure_ascending(name, tensor, math.prod(layout[name]))
        for chunk in _iterate_chunks(name, layout[name], codec):
            low, high = np.searchsorted(tensor.indices, (chunk.start, chunk.start + chunk.size))
            records.append(
                _encode_record(
                    chunk, tensor.indices[low:high] - chunk.start, tensor.values[low:high]
                )
            )
    return b"".join(records)


def decode(
    payload: bytes,
    layout: Layout,
    codec: CodecConfig,
    *,
    expect: PayloadHeader | None = None,
) -> SparseUpdate:
    """Parse a payload; accepts exactly the bytes `encode` writes.

    Args:
        payload: bytes from anywhere. Memory taken is bounded by their number.
        layout: the tensors of the model.
        codec: constants of the run.
        expect: if given, the header must say this.

    Raises:
        PayloadTooLarge, PayloadTruncated, PayloadTrailingBytes: wrong size.
        PayloadBadMagic, PayloadWrongVersion, PayloadWrongRun, PayloadWrongRound,
            PayloadWrongUid: wrong header.
        PayloadBadIndex, PayloadBadLevel, PayloadNotCanonical: a wrong record.
        InvalidUpdate: the layout itself is unusable.
    """
    max_size = max_payload_size(layout, codec)
    if len(payload) > max_size:
        raise PayloadTooLarge(f"{len(payload)} bytes, at most {max_size} for this model")
    header = parse_header(payload)
    if expect is not None:
        _ensure_header(header, expect)
    offset = HEADER_BYTES
    tensors = {}
    for name in sorted(layout):
        indices: list[Int64Array] = []
        values: list[Float32Array] = []
        for chunk in _iterate_chunks(name, layout[name], codec):
            positions, chunk_values, offset = _decode_record(chunk, payload, offset)
            if positions:
                indices.append(np.array(positions, np.int64) + chunk.start)
                values.append(chunk_values)
        tensors[name] = SparseTensor(
            np.concatenate(indices) if indices else np.zeros(0, np.int64),
            np.concatenate(values) if values else np.zeros(0, np.float32),
        )
    if offset != len(payload):
        raise PayloadTrailingBytes(f"{len(payload) - offset} bytes follow the last record")
    return SparseUpdate(header, tensors)


def parse_header(payload: bytes) -> PayloadHeader:
    """Read only the header of a payload.

    Raises:
        PayloadTruncated: shorter than HEADER_BYTES.
        PayloadBadMagic, PayloadWrongVersion: not a payload, or of another version.
    """
    if len(payload) < HEADER_BYTES:
        raise PayloadTruncated(f"{len(payload)} bytes, the header alone has {HEADER_BYTES}")
    magic, version, run_id, round_index, uid = _HEADER.unpack_from(payload)
    if magic != MAGIC:
        raise PayloadBadMagic(f"begins with {magic.hex()}, not {MAGIC.hex()}")
    if version != VERSION:
        raise PayloadWrongVersion(f"version {version}, this program reads {VERSION}")
    return PayloadHeader(run_id, round_index, uid)


def max_payload_size(layout: Layout, codec: CodecConfig) -> int:
    """Return the bytes no payload of this layout can exceed.

    Raises:
        InvalidUpdate: the layout is unusable.
    """
    _ensure_layout(layout)
    size = HEADER_BYTES
    for name in sorted(layout):
        num_whole, rest = divmod(math.prod(layout[name]), codec.chunk_size)
        size += num_whole * _compute_max_record_bytes(codec.chunk_size, codec.top_k)
        if rest:
            size += _compute_max_record_bytes(rest, codec.compute_top_k(rest))
    return size


def body_hash(payload: bytes) -> bytes:
    """Return the SHA-256 of what follows the header: equal for a copy under another name."""
    return hashlib.sha256(payload[HEADER_BYTES:]).digest()


# --------------------------------------------------------------------------------------- feedback
def _add_feedback(
    name: str, delta: Float32Array, feedback: Float32Array, decay: np.float32
) -> Float32Array:
    if delta.dtype != np.float32 or feedback.dtype != np.float32:
        raise InvalidUpdate(f"{name} is {delta.dtype} and {feedback.dtype}, not float32")
    if delta.shape != feedback.shape:
        raise InvalidUpdate(f"{name}: delta {delta.shape}, feedback {feedback.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add(np.multiply(decay, feedback), delta)
    if not np.isfinite(total).all():
        index = int(np.flatnonzero(~np.isfinite(total.reshape(-1)))[0])
        raise InvalidUpdate(f"{name} element {index} is not finite")
    return np.ascontiguousarray(total + np.float32(0)).reshape(delta.shape)  # no -0


# ---------------------------------------------------------------------------------------- records
@dataclass(frozen=True)
class _Chunk:
    """One chunk of a tensor: where it starts, its size and the most elements it keeps."""

    name: str
    index: int
    start: int
    size: int
    top_k: int

    @property
    def place(self) -> str:
        return f"{self.name} chunk {self.index}"


def _iterate_chunks(name: str, shape: tuple[int, ...], codec: CodecConfig) -> Iterator[_Chunk]:
    num_elements = math.prod(shape)
    for index, start in enumerate(range(0, num_elements, codec.chunk_size)):
        size = min(codec.chunk_size, num_elements - start)
        yield _Chunk(name, index, start, size, codec.compute_top_k(size))


def _compute_record_bits(size: int, top_k: int, num_kept: int) -> int:
    bits = 0
    if num_kept < top_k:
        bits += _CODEBOOK_BITS + (top_k - 1).bit_length()
    if num_kept:
        bits += _CODEBOOK_BITS + subset_code.compute_rank_bits(size, num_kept) + 2 * num_kept
    return bits


def _compute_max_record_bytes(size: int, top_k: int) -> int:
    return max((_compute_record_bits(size, top_k, n) + 7) // 8 for n in range(top_k + 1))


def _encode_record(chunk: _Chunk, positions: Int64Array, values: Float32Array) -> bytes:
    num_kept = len(positions)
    if num_kept > chunk.top_k:
        raise InvalidUpdate(f"{chunk.place}: {num_kept} elements, at most {chunk.top_k}")
    record = 0
    if num_kept < chunk.top_k:
        record = num_kept
    if num_kept:
        is_upper, codebook = _make_codebook(chunk, np.abs(values))
        record = record << _CODEBOOK_BITS | codebook
        record <<= subset_code.compute_rank_bits(chunk.size, num_kept)
        record |= subset_code.compute_rank(positions.tolist())
        record = record << num_kept | _bits_to_int(values < 0)
        record = record << num_kept | _bits_to_int(is_upper)
    num_bits = _compute_record_bits(chunk.size, chunk.top_k, num_kept)
    return (record << (-num_bits % 8)).to_bytes((num_bits + 7) // 8, "big")


def _make_codebook(chunk: _Chunk, magnitudes: Float32Array) -> tuple[npt.NDArray[np.bool_], int]:
    """Read the levels off the values: which are upper, and the 16 bits that say so."""
    upper, lower = magnitudes.max(), magnitudes.min()
    level = int(upper.view(np.uint32)) >> LEVEL_SHIFT
    if not MIN_LEVEL <= level <= MAX_LEVEL or level_to_float(level) != upper:
        raise InvalidUpdate(f"{chunk.place}: {upper} is not a level")
    steps = float(lower) / float(upper) * RATIO_STEPS
    if not (steps.is_integer() and steps >= 1):
        raise InvalidUpdate(f"{chunk.place}: {lower} is not a level beside {upper}")
    is_upper = magnitudes != lower
    if (magnitudes[is_upper] != upper).any():
        raise InvalidUpdate(f"{chunk.place}: more than two magnitudes")
    return is_upper, level << 4 | (int(steps) - 1)


def _decode_record(
    chunk: _Chunk, payload: bytes, offset: int
) -> tuple[list[int], Float32Array, int]:
    """Return positions, values and the offset of the next record."""
    top_k = chunk.top_k
    codebook = int.from_bytes(_read(chunk, payload, offset, 2), "big")
    num_kept = top_k
    if codebook == _SHORT_MARK:
        count_bits = (top_k - 1).bit_length()
        head_bits = _CODEBOOK_BITS + count_bits
        head = int.from_bytes(_read(chunk, payload, offset, (head_bits + 7) // 8), "big")
        num_kept = head >> (-head_bits % 8) & ((1 << count_bits) - 1)
        if num_kept >= top_k:
            raise PayloadBadIndex(
                f"{chunk.place}: short chunk of {num_kept} elements, whole has {top_k}"
            )
    num_bits = _compute_record_bits(chunk.size, top_k, num_kept)
    num_bytes = (num_bits + 7) // 8
    record = int.from_bytes(_read(chunk, payload, offset, num_bytes), "big")
    if record & ((1 << (-num_bits % 8)) - 1):
        raise PayloadNotCanonical(f"{chunk.place}: padding bits are not zero")
    if not num_kept:
        return [], np.zeros(0, np.float32), offset + num_bytes
    record >>= -num_bits % 8
    mask = (1 << num_kept) - 1
    is_upper, sign, record = record & mask, record >> num_kept & mask, record >> 2 * num_kept
    rank_bits = subset_code.compute_rank_bits(chunk.size, num_kept)
    rank, codebook = record & ((1 << rank_bits) - 1), record >> rank_bits & 0xFFFF
    if rank >= math.comb(chunk.size, num_kept):
        raise PayloadBadIndex(f"{chunk.place}: rank {rank} names no {num_kept} elements")
    values = _decode_values(chunk, codebook, num_kept, sign, is_upper)
    return subset_code.compute_subset(rank, chunk.size, num_kept), values, offset + num_bytes


def _decode_values(
    chunk: _Chunk, codebook: int, num_kept: int, sign: int, is_upper: int
) -> Float32Array:
    level, steps = codebook >> 4, (codebook & 0xF) + 1
    if not MIN_LEVEL <= level <= MAX_LEVEL:
        raise PayloadBadLevel(f"{chunk.place}: level {level} is not {MIN_LEVEL} ... {MAX_LEVEL}")
    if steps == RATIO_STEPS and is_upper:
        raise PayloadNotCanonical(f"{chunk.place}: one level, yet elements are marked upper")
    if steps < RATIO_STEPS and is_upper in (0, (1 << num_kept) - 1):
        raise PayloadNotCanonical(f"{chunk.place}: two levels, of which one is not used")
    upper = level_to_float(level)
    lower = np.float32(float(upper) * steps / RATIO_STEPS)
    values = np.where(_int_to_bits(is_upper, num_kept), upper, lower)
    values = np.where(_int_to_bits(sign, num_kept), -values, values)
    return np.asarray(values, np.float32)


def _read(chunk: _Chunk, payload: bytes, offset: int, num_bytes: int) -> bytes:
    piece = payload[offset : offset + num_bytes]
    if len(piece) < num_bytes:
        raise PayloadTruncated(
            f"{chunk.place}: {num_bytes} bytes wanted at {offset}, {len(piece)} left"
        )
    return piece


def _bits_to_int(bits: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big") >> (-len(bits) % 8)


def _int_to_bits(value: int, num_bits: int) -> npt.NDArray[np.bool_]:
    num_bytes = (num_bits + 7) // 8
    raw = (value << (-num_bits % 8)).to_bytes(num_bytes, "big")
    return np.unpackbits(np.frombuffer(raw, np.uint8), count=num_bits).astype(np.bool_)


# ------------------------------------------------------------------------------------------ checks
def _ensure_header(header: PayloadHeader, expect: PayloadHeader) -> None:
    if header.run_id != expect.run_id:
        raise PayloadWrongRun(f"made for run {header.run_id}, not {expect.run_id}")
    if header.round != expect.round:
        raise PayloadWrongRound(f"made for round {header.round}, not {expect.round}")
    if header.uid != expect.uid:
        raise PayloadWrongUid(f"made by uid {header.uid}, not {expect.uid}")


def _ensure_layout(layout: Layout) -> None:
    if len(layout) > MAX_TENSORS:
        raise InvalidUpdate(f"{len(layout)} tensors, at most {MAX_TENSORS}")
    num_elements = sum(math.prod(shape) for shape in layout.values())
    if num_elements > MAX_ELEMENTS:
        raise InvalidUpdate(f"{num_elements} elements, at most {MAX_ELEMENTS}")


def _ensure_ascending(name: str, tensor: SparseTensor, num_elements: int) -> None:
    indices = tensor.indices
    if len(indices) != len(tensor.values):
        raise InvalidUpdate(f"{name}: {len(indices)} indices, {len(tensor.values)} values")
    if tensor.values.dtype != np.float32:
        raise InvalidUpdate(f"{name}: values are {tensor.values.dtype}, not float32")
    if len(indices) and (indices[0] < 0 or indices[-1] >= num_elements):
        raise InvalidUpdate(f"{name}: an index is outside 0 ... {num_elements - 1}")
    if (np.diff(indices) <= 0).any():
        raise InvalidUpdate(f"{name}: indices are not strictly ascending")
