"""Seats of a run that commit to a payload and then serve it badly, or serve a bad one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from chain_client.keys import Key
from exact import codec
from exact.config import ModelConfig
from exact.families import init_params
from exact.state import PARAM_PREFIX, strip_prefix
from proto.descent.blob.v1 import blob_pb2, blob_pb2_grpc
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2

Serve = Callable[[bytes, Any], Iterator[Any]]
Distort = Callable[[bytes], bytes]
PIECE_BYTES = 64 * 1024
TEN_GIGABYTES = 10 << 30
TRICKLE_SECONDS = 0.2


def make_chunk(data: bytes, total_size: int) -> Any:
    """Make one message of a Get."""
    return blob_pb2.GetChunk(total_size=total_size, data=data)


# What an endpoint does with a call; `payload` is what was committed to.
def serve_whole(payload: bytes, context: Any) -> Iterator[Any]:
    """Serve what was asked for, as an honest endpoint does."""
    yield make_chunk(payload, len(payload))


def hang(payload: bytes, context: Any) -> Iterator[Any]:
    """Accept the call and say nothing."""
    while context.is_active():
        time.sleep(TRICKLE_SECONDS)
    yield from ()


def trickle(payload: bytes, context: Any) -> Iterator[Any]:
    """Send the right bytes, one at a time."""
    for index in range(len(payload)):
        if not context.is_active():
            return
        yield make_chunk(payload[index : index + 1], len(payload) if index == 0 else 0)
        time.sleep(TRICKLE_SECONDS)


def announce_too_much(payload: bytes, context: Any) -> Iterator[Any]:
    """Announce ten gigabytes and send them."""
    yield make_chunk(bytes(PIECE_BYTES), TEN_GIGABYTES)
    while context.is_active():
        yield make_chunk(bytes(PIECE_BYTES), 0)


def never_end(payload: bytes, context: Any) -> Iterator[Any]:
    """Announce the right size and send ten gigabytes."""
    yield make_chunk(payload, len(payload))
    while context.is_active():
        yield make_chunk(bytes(PIECE_BYTES), 0)


def serve_other_bytes(payload: bytes, context: Any) -> Iterator[Any]:
    """Send as many bytes as committed, but others."""
    yield make_chunk(bytes(len(payload)), len(payload))


def end_early(payload: bytes, context: Any) -> Iterator[Any]:
    """Send half of the bytes."""
    yield make_chunk(payload[: len(payload) // 2], len(payload))


@dataclass
class HostileSeat:
    """One seat.

    Args:
        key: owns the seat and signs.
        serve: what its endpoint does; None for an endpoint nobody listens at.
        distort: payload -> what is committed to and served.
        header: changes (round, uid) in the payload's header.
        claimed_size: the size in the commitment, None for the right one.
    """

    key: Key
    serve: Serve | None = serve_whole
    distort: Distort = lambda payload: payload
    header: Callable[[int, int], tuple[int, int]] = lambda round_index, uid: (round_index, uid)
    claimed_size: int | None = None
    uid: int = -1
    payload: bytes = b""
    num_calls: int = field(default=0, compare=False)
    _server: Any = None

    def start(self) -> str:
        """Listen on a free port; return the endpoint."""
        if self.serve is None:
            return "127.0.0.1:9"
        seat, serve = self, self.serve

        class Servicer(blob_pb2_grpc.BlobServiceServicer):
            def Get(self, request: Any, context: Any) -> Iterator[Any]:
                if request.address != hashlib.sha256(seat.payload).digest():
                    context.abort(grpc.StatusCode.NOT_FOUND, "not here")
                seat.num_calls += 1
                yield from serve(seat.payload, context)

        self._server = grpc.server(ThreadPoolExecutor(32))
        blob_pb2_grpc.add_BlobServiceServicer_to_server(Servicer(), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return f"127.0.0.1:{port}"

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop(None).wait(10)

    def make_commitment(
        self, spec: runs_pb2.RunSpec, round_index: int
    ) -> rounds_pb2.MsgCommitPayload:
        """Make a payload of a round and the message that commits to it."""
        index, uid = self.header(round_index, self.uid)
        self.payload = self.distort(make_payload(spec, codec.PayloadHeader(1, index, uid)))
        return rounds_pb2.MsgCommitPayload(
            hotkey=self.key.address,
            run_id=1,
            round=round_index,
            payload_hash=hashlib.sha256(self.payload).digest(),
            payload_size=self.claimed_size or len(self.payload),
            trace_root=bytes(range(32)),
            optimiser_root_out=bytes(range(32)),
        )


def make_params(spec: runs_pb2.RunSpec) -> dict[str, np.ndarray]:
    """Make the first weights of a run, without prefixes."""
    return strip_prefix(init_params(ModelConfig.from_spec(spec), spec.init_seed), PARAM_PREFIX)


def make_payload(spec: runs_pb2.RunSpec, header: codec.PayloadHeader) -> bytes:
    """Make a well-formed payload of noise that nobody else has."""
    params = make_params(spec)
    rng = np.random.default_rng([header.round, header.uid])
    noise = {n: rng.standard_normal(p.shape).astype(np.float32) for n, p in params.items()}
    zeros = {name: np.zeros_like(values) for name, values in noise.items()}
    return codec.compress(noise, zeros, codec.CodecConfig.from_spec(spec.codec), header)[0]
