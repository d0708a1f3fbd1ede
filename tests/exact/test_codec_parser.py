"""The payload parser against bytes from strangers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact import codec as codec_module
from exact.codec import (
    HEADER_BYTES,
    CodecConfig,
    PayloadBadIndex,
    PayloadBadLevel,
    PayloadBadMagic,
    PayloadError,
    PayloadHeader,
    PayloadNotCanonical,
    PayloadTooLarge,
    PayloadTrailingBytes,
    PayloadTruncated,
    PayloadWrongRound,
    PayloadWrongRun,
    PayloadWrongUid,
    PayloadWrongVersion,
    SparseTensor,
    SparseUpdate,
    compress,
    decode,
    encode,
    max_payload_size,
)

HEADER = PayloadHeader(run_id=1, round=2, uid=3)
CODEC = CodecConfig()
LAYOUT = {"a": (4096,), "b": (128,), "c": (3, 2000)}
SMALL = CodecConfig(chunk_size=8, top_k=3)
SMALL_LAYOUT = {"a": (8,), "b": (5,)}


def make_payload(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    delta = {n: rng.standard_normal(s).astype(np.float32) for n, s in LAYOUT.items()}
    zeros = {n: np.zeros(s, np.float32) for n, s in LAYOUT.items()}
    return compress(delta, zeros, CODEC, HEADER)[0]


def make_record(*fields: tuple[int, int]) -> bytes:
    """Join (value, bits) fields into one padded record."""
    value = num_bits = 0
    for field, bits in fields:
        value, num_bits = value << bits | field, num_bits + bits
    return (value << (-num_bits % 8)).to_bytes((num_bits + 7) // 8, "big")


def decode_one(record: bytes) -> SparseUpdate:
    """Decode a payload of one 8-element chunk that keeps up to 3: ranks are below 56 (6 bits)."""
    return decode(HEADER.to_bytes() + record, {"a": (8,)}, SMALL)


ONE_LEVEL = (127 << 8 | 15, 16)  # 1.0
TWO_LEVELS = (127 << 8 | 7, 16)  # 1.0 and 0.5


def test_record_is_read_as_documented() -> None:
    update = decode_one(make_record(TWO_LEVELS, (55, 6), (0b100, 3), (0b011, 3)))
    assert update.tensors["a"].indices.tolist() == [5, 6, 7]
    assert update.tensors["a"].values.tolist() == [-0.5, 1.0, 1.0]


def test_short_record_is_read_as_documented() -> None:
    update = decode_one(make_record((0, 16), (1, 2), ONE_LEVEL, (6, 3), (1, 1), (0, 1)))
    assert update.tensors["a"].indices.tolist() == [6]
    assert update.tensors["a"].values.tolist() == [-1.0]
    assert decode_one(make_record((0, 16), (0, 2))).tensors["a"].indices.size == 0


@pytest.mark.parametrize("rank", [56, 63])
def test_invalid_rank(rank: int) -> None:
    with pytest.raises(PayloadBadIndex, match=f"a chunk 0: rank {rank} names no 3"):
        decode_one(make_record(ONE_LEVEL, (rank, 6), (0, 6)))


def test_invalid_count() -> None:
    with pytest.raises(PayloadBadIndex, match="short chunk of 3 elements"):
        decode_one(make_record((0, 16), (3, 2), ONE_LEVEL, (0, 6), (0, 6)))


@pytest.mark.parametrize("level", [1, 79, 255 << 4, (255 << 4) + 1, 4095])
def test_invalid_level(level: int) -> None:
    with pytest.raises(PayloadBadLevel, match=f"a chunk 0: level {level}"):
        decode_one(make_record((level, 12), (15, 4), (0, 6), (0, 6)))


def test_invalid_level__zero_in_a_short_record() -> None:
    with pytest.raises(PayloadBadLevel, match="level 0"):
        decode_one(make_record((0, 16), (1, 2), (0, 16), (6, 3), (0, 2)))


def test_invalid_padding() -> None:
    good = make_record(ONE_LEVEL, (0, 6), (0, 6))
    for bit in range(4):
        with pytest.raises(PayloadNotCanonical, match="padding"):
            decode_one(good[:-1] + bytes([good[-1] | 1 << bit]))


def test_invalid_codebook__second_way_to_write_one_level() -> None:
    with pytest.raises(PayloadNotCanonical, match="one level"):
        decode_one(make_record(ONE_LEVEL, (0, 6), (0, 3), (0b010, 3)))
    for is_upper in (0b000, 0b111):
        with pytest.raises(PayloadNotCanonical, match="not used"):
            decode_one(make_record(TWO_LEVELS, (0, 6), (0, 3), (is_upper, 3)))


def test_invalid_size() -> None:
    payload = make_payload()
    for cut in range(len(payload)):
        with pytest.raises(PayloadTruncated):
            decode(payload[:cut], LAYOUT, CODEC)
    with pytest.raises(PayloadTooLarge, match=f"at most {max_payload_size(LAYOUT, CODEC)}"):
        decode(payload + bytes(100), LAYOUT, CODEC)


def test_invalid_trailing_bytes() -> None:
    zeros = {n: np.zeros(s, np.float32) for n, s in LAYOUT.items()}
    payload, _ = compress(zeros, zeros, CODEC, HEADER)
    with pytest.raises(PayloadTrailingBytes, match="1 bytes follow"):
        decode(payload + b"\0", LAYOUT, CODEC)


def test_oversize_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(codec_module, "_decode_record", refuse)
    with pytest.raises(PayloadTooLarge):
        decode(bytes(10_000_000), LAYOUT, CODEC)


@pytest.mark.parametrize(
    ("expect", "error", "message"),
    [
        (PayloadHeader(7, 2, 3), PayloadWrongRun, "run 1, not 7"),
        (PayloadHeader(1, 7, 3), PayloadWrongRound, "round 2, not 7"),
        (PayloadHeader(1, 2, 7), PayloadWrongUid, "uid 3, not 7"),
    ],
)
def test_invalid_header(expect: PayloadHeader, error: type[PayloadError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(make_payload(), LAYOUT, CODEC, expect=expect)


def test_invalid_magic_and_version() -> None:
    payload = make_payload()
    with pytest.raises(PayloadBadMagic):
        decode(b"XPL" + payload[3:], LAYOUT, CODEC)
    with pytest.raises(PayloadWrongVersion, match="version 9, this program reads 1"):
        decode(payload[:3] + b"\x09" + payload[4:], LAYOUT, CODEC)


def check_bytes(payload: bytes, layout: dict[str, tuple[int, ...]], codec: CodecConfig) -> bool:
    """Either refused, or the one way to write what it says. Returns whether it was read."""
    try:
        update = decode(payload, layout, codec)
    except PayloadError:
        return False
    assert encode(update, layout, codec) == payload
    for name, tensor in update.tensors.items():
        assert (np.diff(tensor.indices) > 0).all()
        assert np.isfinite(tensor.values).all()
        assert (tensor.values != 0).all()
        assert not tensor.indices.size or tensor.indices[-1] < np.prod(layout[name])
    return True


@given(st.binary(max_size=20))
def test_any_bytes(body: bytes) -> None:
    check_bytes(body, SMALL_LAYOUT, SMALL)
    check_bytes(HEADER.to_bytes() + body, SMALL_LAYOUT, SMALL)


LEVELS = st.sampled_from([1.0, 0.5, 2.0**-100, 31 * 2.0**90])


@st.composite
def updates(draw: st.DrawFn) -> SparseUpdate:
    tensors = {}
    for name, (size,) in SMALL_LAYOUT.items():
        top_k = SMALL.compute_top_k(size)
        indices = sorted(draw(st.sets(st.integers(0, size - 1), max_size=top_k)))
        upper, steps = draw(LEVELS), draw(st.integers(1, 16))
        choices = st.sampled_from([upper, -upper, upper * steps / 16, -upper * steps / 16])
        values = [draw(choices) for _ in indices]
        if indices and upper not in np.abs(values):
            values[0] = upper
        tensors[name] = SparseTensor(np.array(indices, np.int64), np.array(values, np.float32))
    header = PayloadHeader(
        draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 9))
    )
    return SparseUpdate(header, tensors)


@given(updates())
def test_any_update_round_trips(update: SparseUpdate) -> None:
    payload = encode(update, SMALL_LAYOUT, SMALL)
    assert len(payload) <= max_payload_size(SMALL_LAYOUT, SMALL)
    found = decode(payload, SMALL_LAYOUT, SMALL, expect=update.header)
    for name, tensor in update.tensors.items():
        assert np.array_equal(found.tensors[name].indices, tensor.indices)
        assert found.tensors[name].values.tobytes() == tensor.values.tobytes()


@settings(max_examples=50)
@given(st.data())
def test_a_changed_payload_is_refused_or_another_update(data: st.DataObject) -> None:
    payload = bytearray(make_payload())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    check_bytes(bytes(payload), LAYOUT, CODEC)


def test_every_two_byte_record_of_a_tiny_chunk() -> None:
    """Exhaustive: one chunk of 3 elements, all of them kept; 16 + 0 + 6 bits."""
    tiny = CodecConfig(chunk_size=3, top_k=3)
    num_read = 0
    for level in (79, 80, 127 << 4, (255 << 4) - 1, 255 << 4):
        for rest in range(1 << 12):
            record = make_record((level, 12), (rest, 12))
            num_read += check_bytes(HEADER.to_bytes() + record, {"a": (3,)}, tiny)
    signs, splits = 8, 2**3 - 2
    assert num_read == 3 * signs * (15 * splits + 1)


@pytest.mark.soak
def test_soak_parser() -> None:
    rng = np.random.default_rng(0)
    num_read = 0
    for _ in range(200_000):
        size = int(rng.integers(0, max_payload_size(SMALL_LAYOUT, SMALL) - HEADER_BYTES + 2))
        raw = bytearray(rng.bytes(size))
        if size > 2 and rng.random() < 0.5:
            raw[:2] = b"\0\0"
        num_read += check_bytes(HEADER.to_bytes() + bytes(raw), SMALL_LAYOUT, SMALL)
    assert num_read > 0
    for seed in range(20_000):
        payload = bytearray(make_payload(seed))
        for position in rng.integers(0, len(payload), rng.integers(1, 4)):
            payload[position] ^= int(rng.integers(1, 256))
        check_bytes(bytes(payload), LAYOUT, CODEC)
