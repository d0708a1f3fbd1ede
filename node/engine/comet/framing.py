"""Frames of the ABCI socket: an unsigned varint length, then that many bytes. Without I/O.

Source: CometBFT v0.39 abci/types/messages.go; `reference/chain.md` section 3.4.
"""

from node.store.proofs import encode_varint

FRAME_BYTES_MAX = 128 << 20
"""More than any request: a block has 100 MiB at most."""

LENGTH_BYTES_MAX = 5  # of a varint up to FRAME_BYTES_MAX
KIND_SHIFT = 3
LENGTH_DELIMITED = 2


class FramingError(Exception):
    """The other side sent what is no frame; the connection cannot go on."""


def encode_wrapped(field: int, message: bytes) -> bytes:
    """Encode a frame whose message holds one field: an encoded message itself.

    Saves the copy of a large response into the oneof of its `Response`.
    """
    head = encode_varint(field << KIND_SHIFT | LENGTH_DELIMITED) + encode_varint(len(message))
    return encode_varint(len(head) + len(message)) + head + message


class FrameBuffer:
    """Cut a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the frames they complete.

        Raises:
            FramingError: a length that no frame has.
        """
        self._buffer += data
        frames = []
        at = 0
        while True:
            start, length = self._read_length(at)
            if length < 0 or len(self._buffer) < start + length:
                break
            frames.append(bytes(self._buffer[start : start + length]))
            at = start + length
        if at:
            del self._buffer[:at]
        return frames

    def _read_length(self, at: int) -> tuple[int, int]:
        """Return where the frame at `at` starts and its length, -1 while that is not there."""
        value = 0
        for index in range(LENGTH_BYTES_MAX):
            if at + index >= len(self._buffer):
                return at, -1
            byte = self._buffer[at + index]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if value > FRAME_BYTES_MAX:
                    raise FramingError(f"a frame of {value} bytes")
                return at + index + 1, value
        raise FramingError("a length that does not end")
