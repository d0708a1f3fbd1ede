"""Products of adversarial operands, on any paths of any library.

A case is one path, format, shape, transposition and pair of patterns, drawn at random; the result
must be that of the definition, and so must a refusal.
"""

from collections.abc import Sequence

import numpy as np

from exact.arithmetic import multiply
from exact.errors import InvalidStep
from exact.native.library import Context, Library
from exact.native.plan import Arena, Plan
from exact.native.selftest import build_bare_program
from exact.program import Op

PATTERNS = ("normal", "wide", "maximal", "signs", "zeros", "subnormal", "spikes", "bad")
FORMATS = [
    (511, 511, 64),
    (127, 127, 64),
    (127, 127, 128),
    (32_767, 127, 64),
    (4_095, 4_095, 128),
    (31, 2_047, 24),
]


def draw(pattern: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    normal = rng.standard_normal(shape)
    signs = rng.choice([-1.0, 1.0], shape)
    if pattern == "wide":
        normal *= np.exp2(rng.integers(-60, 58, shape))
    elif pattern == "maximal":
        normal = np.full(shape, 1.0 - 2.0**-24) * np.exp2(rng.integers(-50, 59))
    elif pattern == "signs":
        normal = signs * (1.0 - 2.0**-24)
    elif pattern == "zeros":
        normal *= rng.random(shape) < 0.05
    elif pattern == "subnormal":
        normal *= 1e-41
    elif pattern == "spikes":
        normal = np.where(rng.random(shape) < 0.02, signs * 2.0**50, normal * 2.0**-20)
    elif pattern == "bad":
        at = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        normal[at] = rng.choice([np.nan, np.inf, -np.inf, 2.0**59])
    return normal.astype(np.float32)


def compare_products(library: Library, paths: Sequence[str], num_operands: int, seed: int) -> int:
    """Compare paths with the definition on random products; returns how many were compared."""
    rng = np.random.default_rng(seed)
    contexts = [(name, Context(library, name, 1)) for name in paths]
    program, arena, num_cases = build_bare_program(), Arena(), 0
    for _ in range(num_operands):
        a_max, b_max, block_size = FORMATS[rng.integers(len(FORMATS))]
        rows, columns, length = (int(rng.integers(1, top)) for top in (40, 60, 200))
        a_first, b_first = bool(rng.integers(2)), bool(rng.integers(2))
        patterns = [str(rng.choice(PATTERNS, p=[0.14] * 7 + [0.02])) for _ in range(2)]
        a, b = draw(patterns[0], (rows, length), rng), draw(patterns[1], (columns, length), rng)
        try:
            wanted = multiply(a, b, a_max, b_max, block_size)
        except InvalidStep:
            wanted = None
        attributes = {
            "a_k_first": a_first,
            "b_k_first": b_first,
            "flatten": True,
            "a_max": a_max,
            "b_max": b_max,
            "block_size": block_size,
        }
        env = {
            "a": np.ascontiguousarray(a.T if a_first else a),
            "b": np.ascontiguousarray(b.T if b_first else b),
        }
        layout = {name: ("float32", array.shape) for name, array in env.items()}
        ops = [Op("matmul", ("a", "b"), ("c",), attributes)]
        plan = Plan(program, ops, layout, {"c"}, set())
        for name, context in contexts:
            try:
                result = plan.run(context, arena, env)["c"]
            except InvalidStep:
                result = None
            what = (name, a_max, b_max, block_size, env["a"].shape, env["b"].shape, patterns)
            assert (result is None) == (wanted is None), what
            assert wanted is None or np.array_equal(result, wanted), what
            num_cases += 1
    return num_cases
