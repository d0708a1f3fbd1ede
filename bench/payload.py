"""Payload size and codec speed on transformer layouts: JSON on stdout.

The changes are heavy-tailed (Student t, 3 degrees) with a scale of its own for every row, and error
feedback has run for a few rounds, as in training. `python -m bench.payload`
"""

import json
import math
import platform
import time

import numpy as np

from exact.codec import CodecConfig, PayloadHeader, compress, decode, max_payload_size

SIZES = ((64, 2), (128, 1), (128, 4), (256, 4))  # d_model, layers
NUM_ROUNDS = 4


def make_layout(d_model: int, num_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a byte transformer with tied head."""
    layout: dict[str, tuple[int, ...]] = {"embed": (256, d_model), "norm": (d_model,)}
    for i in range(num_layers):
        for name, shape in (
            ("query", (d_model, d_model)),
            ("key", (d_model, d_model)),
            ("value", (d_model, d_model)),
            ("out", (d_model, d_model)),
            ("up", (4 * d_model, d_model)),
            ("down", (d_model, 4 * d_model)),
            ("attention_norm", (d_model,)),
            ("mlp_norm", (d_model,)),
        ):
            layout[f"layer{i}.{name}"] = shape
    return layout


def make_delta(
    layout: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return one round's change: float32, heavy-tailed, every row with its own scale."""
    delta = {}
    for name, shape in layout.items():
        scale = 1e-3 * rng.lognormal(size=(shape[0],) + (1,) * (len(shape) - 1))
        delta[name] = (rng.standard_t(3, shape) * scale).astype(np.float32)
    return delta


def measure(d_model: int, num_layers: int) -> dict[str, float | int]:
    """Measure one layout after NUM_ROUNDS rounds of feedback."""
    layout, codec, rng = make_layout(d_model, num_layers), CodecConfig(), np.random.default_rng(0)
    header = PayloadHeader(1, 0, 0)
    feedback = {name: np.zeros(shape, np.float32) for name, shape in layout.items()}
    for _ in range(NUM_ROUNDS):
        delta = make_delta(layout, rng)
        started = time.perf_counter()
        payload, feedback = compress(delta, feedback, codec, header)
        compressed = time.perf_counter()
        decode(payload, layout, codec, expect=header)
        decoded = time.perf_counter()
    num_parameters = sum(math.prod(shape) for shape in layout.values())
    return {
        "num_parameters": num_parameters,
        "payload_bytes": len(payload),
        "max_payload_bytes": max_payload_size(layout, codec),
        "times_smaller_than_fp32": round(4 * num_parameters / len(payload), 1),
        "compress_ms": round(1e3 * (compressed - started), 1),
        "decode_ms": round(1e3 * (decoded - compressed), 1),
    }


def run() -> dict[str, object]:
    """Measure every layout of SIZES."""
    return {
        "payload": [measure(*size) for size in SIZES],
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
