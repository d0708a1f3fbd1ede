"""Known answers: what every path of the library must compute before it is used.

Digests of results on saturating, wide, subnormal and ordinary operands, for every transposition
and every operation, made by the numpy definition: `python -m exact.native.selftest` prints them.
"""

import functools
import hashlib
from collections.abc import Mapping

import numpy as np

from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.counter import compute_words, derive_key
from exact.native.library import Context, Library
from exact.native.plan import Arena, Plan
from exact.program import Attributes, Op, Program

KNOWN_ANSWERS: dict[str, str] = {
    "matmul normal MK NK": "a287d600a0b0868d",
    "matmul normal MK KN": "a287d600a0b0868d",
    "matmul normal KM NK": "33a50eec7034f042",
    "matmul normal KM KN": "33a50eec7034f042",
    "matmul saturated MK NK": "9c862d08cc6b0c6e",
    "matmul saturated MK KN": "9c862d08cc6b0c6e",
    "matmul saturated KM NK": "d47365f587011770",
    "matmul saturated KM KN": "d47365f587011770",
    "matmul signs MK NK": "23f16b007a24104e",
    "matmul signs MK KN": "23f16b007a24104e",
    "matmul signs KM NK": "86469336d61162e3",
    "matmul signs KM KN": "86469336d61162e3",
    "matmul wide MK NK": "71c8492a646c6932",
    "matmul wide MK KN": "71c8492a646c6932",
    "matmul wide KM NK": "f88bcc69d782aeca",
    "matmul wide KM KN": "f88bcc69d782aeca",
    "matmul tiny MK NK": "e86ab8335a40615a",
    "matmul tiny MK KN": "e86ab8335a40615a",
    "matmul tiny KM NK": "e86ab8335a40615a",
    "matmul tiny KM KN": "e86ab8335a40615a",
    "attention": "47d671d0ce10c5fd",
    "block": "4fe69416136fffed",
    "optimiser": "8a4817b1631266d5",
}

# (operands, whether A has its contraction first) -> (a_max, b_max), where it is not (511, 511)
PRECISIONS = {
    ("signs", True): (32_767, 127),
    ("saturated", False): (127, 127),
    ("wide", True): (127, 127),
    ("normal", False): (127, 127),
}
BATCH, LENGTH, WIDTH, HEADS = 2, 72, 32, 2
Case = tuple[list[Op], dict[str, np.ndarray], tuple[str, ...]]


# ------------------------------------------------------------------------------------- operands
def draw(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw float32 operands from counter-based integers.

    Args:
        kind: "normal", "saturated", "signs", "wide" or "tiny".
        shape: of the array.
        seed: different operands for different seeds.
    """
    words = compute_words(derive_key(seed, kind), 0, int(np.prod(shape))).reshape(shape)
    sign = np.where(words & np.uint64(1), -1.0, 1.0)
    unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    exponent = (words >> np.uint64(1) & np.uint64(63)).astype(np.int64).astype(np.float64) - 40
    values = {
        "normal": sign * unit,
        "saturated": np.full(shape, 1.0 - 2.0**-24),
        "signs": sign * (1.0 - 2.0**-24),
        "wide": sign * unit * np.exp2(exponent),
        "tiny": sign * unit * 2.0**-127,
    }
    return values[kind].astype(np.float32)


def _build_product(
    a_k_first: bool, b_k_first: bool, flatten: bool, a_max: int = 511, b_max: int = 511
) -> Attributes:
    return {
        "a_k_first": a_k_first,
        "b_k_first": b_k_first,
        "flatten": flatten,
        "a_max": a_max,
        "b_max": b_max,
        "block_size": 64,
    }


def _list_cases() -> dict[str, Case]:
    """Name -> (operations, inputs, names to compare)."""
    cases: dict[str, Case] = {}
    for kind in ("normal", "saturated", "signs", "wide", "tiny"):
        for a_first in (False, True):
            for b_first in (False, True):
                a = draw(kind, (150, 37) if a_first else (37, 150), 1)
                b = draw("signs" if kind == "saturated" else kind, (70, 150), 2)
                b = np.ascontiguousarray(b.T) if b_first else b
                a_max, b_max = PRECISIONS.get((kind, a_first), (511, 511))
                attributes = _build_product(a_first, b_first, True, a_max, b_max)
                ops = [Op("matmul", ("a", "b"), ("c",), attributes)]
                name = f"matmul {kind} {'KM' if a_first else 'MK'} {'KN' if b_first else 'NK'}"
                cases[name] = (ops, {"a": a, "b": b}, ("c",))
    cases["attention"] = _build_attention()
    cases["block"] = _build_block()
    cases["optimiser"] = _build_optimiser()
    return cases


def _build_attention() -> Case:
    head, scale = {"num_heads": HEADS}, {"scale": 0.25}

    def product(a: str, b: str, c: str, a_first: bool, b_first: bool) -> Op:
        a_max = 32_767 if a == "p" else 127
        return Op("matmul", (a, b), (c,), _build_product(a_first, b_first, False, a_max, 127))

    ops = [
        Op("split_heads", ("qkv",), ("q0", "k0", "v"), head),
        Op("rotate", ("q0",), ("q",)),
        Op("rotate", ("k0",), ("k",)),
        product("q", "k", "scores", False, False),
        Op("causal_softmax", ("scores",), ("p",), scale),
        product("p", "v", "o", False, True),
        Op("merge_heads", ("o",), ("y",), head),
        Op("merge_heads_grad", ("dy",), ("do",), head),
        product("do", "v", "dp", False, False),
        product("p", "do", "dv", True, True),
        Op("causal_softmax_grad", ("dp", "p"), ("dscores",), scale),
        product("dscores", "k", "dq", False, True),
        product("dscores", "q", "dk", True, True),
        Op("rotate_grad", ("dk",), ("dk0",)),
        Op("rotate_grad", ("dq",), ("dq0",)),
        Op("split_heads_grad", ("dq0", "dk0", "dv"), ("dqkv",), head),
    ]
    inputs = {
        "qkv": draw("normal", (BATCH, LENGTH, 3 * WIDTH), 3) * np.float32(4),
        "dy": draw("wide", (BATCH, LENGTH, WIDTH), 4),
    }
    return ops, inputs, ("y", "dqkv")


def _build_block() -> Case:
    """An embedding, a norm, relu_square, an add, a loss, and their gradients."""
    flat = _build_product(False, False, True)
    weight_grad = _build_product(True, True, True)
    input_grad = _build_product(False, True, True)
    ops = [
        Op("embed", ("tokens", "table"), ("x",)),
        Op("rms_norm", ("x",), ("y", "inverse"), {"epsilon": to_float32(1000)}),
        Op("matmul", ("y", "w"), ("h",), flat),
        Op("relu_square", ("h",), ("a",)),
        Op("matmul", ("a", "u"), ("out",), flat),
        Op("add", ("x", "out"), ("logits",)),
        Op("cross_entropy", ("logits", "targets"), ("nanonats", "p")),
        Op("cross_entropy_grad", ("p", "targets"), ("dlogits",)),
        Op("matmul", ("dlogits", "u"), ("da",), input_grad),
        Op("matmul", ("dlogits", "a"), ("du",), weight_grad),
        Op("relu_square_grad", ("da", "h"), ("dh",)),
        Op("matmul", ("dh", "w"), ("dy",), input_grad),
        Op("matmul", ("dh", "y"), ("dw",), weight_grad),
        Op("rms_norm_grad", ("dy", "y", "inverse"), ("dx0",)),
        Op("add", ("dlogits", "dx0"), ("dx",)),
        Op("embed_grad", ("tokens", "dx"), ("dtable",), {"vocab_size": 19}),
        Op("relu_square", ("y",), ("z",)),
        Op("relu_square_grad", ("dy", "y"), ("dz",)),
        Op("gain", ("y", "gains"), ("gained",)),
        Op("gain_grad", ("dy", "y"), ("dgains",)),
        Op("silu_gate", ("y", "dy"), ("gated",)),
        Op("silu_gate_grad", ("dy", "y", "gained"), ("dgate", "dup")),
    ]
    words = compute_words(derive_key(5, "tokens"), 0, 2 * BATCH * LENGTH)
    tokens = (words % np.uint64(19)).astype(np.int64).reshape(2, BATCH, LENGTH)
    inputs = {
        "tokens": tokens[0],
        "targets": tokens[1],
        "table": draw("wide", (19, WIDTH), 6),
        "w": draw("normal", (90, WIDTH), 7),
        "u": draw("normal", (WIDTH, 90), 8),
        "gains": draw("normal", (WIDTH,), 21),
    }
    keep = ("logits", "nanonats", "du", "dw", "dtable", "z", "dz")
    return ops, inputs, (*keep, "gained", "dgains", "gated", "dgate", "dup")


def _build_optimiser() -> Case:
    attributes = {
        "learning_rate": to_float32(4_000_000),
        "beta1": to_float32(800_000_000),
        "beta2": to_float32(950_000_000),
        "epsilon": to_float32(10),
        "weight_decay": to_float32(100_000_000),
        "warmup_steps": 7,
        "decay_steps": 0,
    }
    ops = [
        Op("clip_scale", ("g", "h"), ("clip",), {"gradient_clip": 0.5}),
        Op("scale", ("g", "clip"), ("scaled",)),
        Op("adamw", ("p", "scaled", "m", "v", "t"), ("p1", "m1", "v1"), attributes),
        Op("add", ("p1", "h"), ("sum",)),
    ]
    inputs = {name: draw("wide", (333,), seed) for seed, name in enumerate("pghm", 9)}
    inputs["v"] = np.abs(draw("normal", (333,), 20))
    inputs["t"] = np.array(3, np.int64)
    return ops, inputs, ("clip", "p1", "m1", "v1", "sum")


# ------------------------------------------------------------------------------------- answers
def build_bare_program() -> Program:
    """A program without operations, for the plans of single ones."""
    return Program(ModelConfig(), OptimiserConfig(), 1, {}, (), ())


def compute_digest(results: Mapping[str, np.ndarray]) -> str:
    """Hash results; the sign of a zero does not count."""
    digest = hashlib.sha256()
    for name in sorted(results):
        array = results[name]
        array = array + array.dtype.type(0)
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


@functools.cache
def get_cases() -> dict[str, Case]:
    return _list_cases()


def find_wrong_answers(library: Library, path_name: str) -> list[str]:
    """Run every case on a path.

    Returns:
        Names of the cases whose answers are wrong; empty for a faithful path.
    """
    context, arena = Context(library, path_name, 1), Arena()
    wrong = []
    for name, (ops, inputs, keep) in get_cases().items():
        layout = {key: (str(array.dtype), array.shape) for key, array in inputs.items()}
        plan = Plan(build_bare_program(), ops, layout, set(keep), set())
        assert not plan.num_fallbacks, f"{name} is not computed by the library"
        if compute_digest(plan.run(context, arena, inputs)) != KNOWN_ANSWERS.get(name):
            wrong.append(name)
    return wrong


def compute_answers() -> dict[str, str]:
    """Compute the known answers by the definition."""
    from exact.backends.numpy_backend import NumpyBackend

    answers = {}
    for name, (ops, inputs, keep) in get_cases().items():
        backend, env = NumpyBackend(), dict(inputs)
        backend._execute(build_bare_program(), ops, env, set(keep))
        answers[name] = compute_digest({key: env[key] for key in keep})
    return answers


if __name__ == "__main__":
    for name, answer in compute_answers().items():
        print(f'    "{name}": "{answer}",')
