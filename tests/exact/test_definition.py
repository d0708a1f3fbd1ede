"""`docs/exact.md` once more, from its text alone: plain integers and single operations, no arrays.

Nothing here uses `exact.arithmetic`; section numbers are those of the document.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact.backends import load_backend
from exact.backends.base import Backend
from exact.families import build_program
from tests.exact.helpers import CASES

F = np.float32
D = np.float64
L2E = F(1.4426950408889634)
C = [float.fromhex(c) for c in ("0x1.62e42ap-1", "0x1.ebf9bcp-3", "0x1.c6b752p-5")]
C += [float.fromhex(c) for c in ("0x1.3cea88p-7", "0x1.5bba14p-10")]

floats = st.floats(-(2.0**20), 2.0**20, width=32)
rows = st.lists(floats, min_size=1, max_size=150)


@pytest.fixture(scope="module")
def backend() -> Backend:
    found = load_backend("numpy")
    found._begin(build_program(*CASES["tied"]))
    return found


def run(backend: Backend, kind: str, attributes: dict, *inputs: np.ndarray) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        return [np.asarray(x) for x in backend._get_kernel(kind)(attributes, *inputs)]


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert (np.asarray(a, F) + F(0)).tobytes() == (np.asarray(b, F) + F(0)).tobytes()


# ------------------------------------------------------------------------------- the document
def rint(x: Fraction) -> int:
    return round(x)  # half to even


def exponent(x: float) -> int:
    """1: floor(log2 x); zero and subnormals count as -127."""
    return -127 if x < 2.0**-126 else math.frexp(x)[1] - 1


def quantise(block: list[float], b: int) -> tuple[list[int], int]:
    """2.1."""
    s = max(exponent(max(map(abs, block))), -55) - (b - 1)
    largest = 2**b - 1
    units = [rint(Fraction(x) / Fraction(2) ** s) for x in block]
    return [min(max(q, -largest), largest) for q in units], s


def dot(a: list[float], b: list[float], bits: tuple[int, int], size: int) -> np.float32:
    """2.2."""
    total = None
    for start in range(0, len(a), size):
        qa, sa = quantise(a[start : start + size], bits[0])
        qb, sb = quantise(b[start : start + size], bits[1])
        d = F(sum(x * y for x, y in zip(qa, qb, strict=True)))
        c = F(math.ldexp(float(d), sa + sb))
        total = c if total is None else total + c
    return total


def fixed_sum(terms: list[np.float32]) -> np.float32:
    """2.3."""
    g = max(exponent(max(abs(float(x)) for x in terms)), -100) - 21
    units = sum(rint(Fraction(float(x)) / Fraction(2) ** g) for x in terms)
    return F(math.ldexp(float(F(units)), g))


def exp2(y: np.float32, lowest: float) -> np.float32:
    """3.1."""
    z = max(y, F(lowest))
    w = np.rint(z)
    f = z - w
    p = F(C[4])
    for c in (C[3], C[2], C[1], C[0], 1.0):
        p = p * f
        p = p + F(c)
    return p * F(2.0 ** int(w))


def weigh(y: np.float32) -> np.float32:
    """3.2."""
    return np.rint(exp2(y, -30.0) * F(2.0**23)) * F(2.0**-23)


def log2(x: float) -> np.float64:
    """3.3."""
    m, k = math.frexp(x)
    m, k = D(m * 2), k - 1
    if m > 1.4142135623730951:
        m, k = m * 0.5, k + 1
    t = (m - 1) / (m + 1)
    r = t * t
    a = D(2.8853900817779268 / 21)
    for i in range(9, -1, -1):
        a = a * r
        a = a + D(2.8853900817779268 / (2 * i + 1))
    return a * t + D(k)


def sigmoid(x: np.float32) -> np.float32:
    """3.4."""
    t = exp2(-(abs(x) * L2E), -100.0)
    return (F(1) if x >= 0 else t) / (t + F(1))


# -------------------------------------------------------------------------------- the backend
@settings(max_examples=60)
@given(
    a=rows,
    seed=st.integers(0, 1000),
    bits=st.sampled_from([(9, 9), (7, 7), (15, 7), (7, 15), (12, 12)]),
    size=st.sampled_from([8, 64]),
)
def test_products(a: list[float], seed: int, bits: tuple, size: int, backend: Backend) -> None:
    b = np.random.default_rng(seed).standard_normal(len(a)).astype(F)
    attributes = {"a_k_first": False, "b_k_first": False, "flatten": True, "block_size": size}
    attributes |= {"a_max": 2 ** bits[0] - 1, "b_max": 2 ** bits[1] - 1}
    (found,) = run(backend, "matmul", attributes, np.array([a], F), b[None])
    same(found[0, 0], dot(a, [float(x) for x in b], bits, size))


@settings(max_examples=60)
@given(x=rows)
def test_norm(x: list[float], backend: Backend) -> None:
    row = [F(v) for v in x]
    mean = fixed_sum([v * v for v in row]) * F(1.0 / len(row))
    inverse = F(1) / np.sqrt(mean + F(1e-6))
    y, found = run(backend, "rms_norm", {"epsilon": float(F(1e-6))}, np.array([x], F))
    same(found[0, 0], inverse)
    same(y[0], np.array([v * inverse for v in row]))


@settings(max_examples=60)
@given(x=st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=80), place=st.integers(0, 79))
def test_loss(x: list[float], place: int, backend: Backend) -> None:
    target = place % len(x)
    y = [F(v) * L2E for v in x]
    weights = [weigh(v - max(y)) for v in y]
    total = float(sum(Fraction(float(w)) for w in weights))
    gap = D(max(y)) - D(y[target])
    loss = int(np.rint(((log2(total) + gap) * 0.6931471805599453) * 1e9))
    losses, p = run(backend, "cross_entropy", {}, np.array([x], F), np.array([target]))
    assert int(losses[0]) == loss
    same(p[0], np.array([w / F(total) for w in weights]))
    true = math.log(sum(math.exp(v - max(x)) for v in x)) + max(x) - x[target]
    # Each of two logits was rounded once when it was brought to base 2.
    rounded = 2 * 2.0**-24 * max(abs(v) for v in x)
    assert loss == pytest.approx(true * 1e9, abs=2e3 + (rounded + 4e-7 * abs(true)) * 1e9)


@settings(max_examples=80)
@given(gate=st.floats(-120, 120, width=32), up=floats, da=floats)
def test_silu(gate: float, up: float, da: float, backend: Backend) -> None:
    g, u, d = F(gate), F(up), F(da)
    s = sigmoid(g)
    arrays = [np.array([[v]], F) for v in (da, gate, up)]
    same(run(backend, "silu_gate", {}, *arrays[1:])[0][0, 0], (g * s) * u)
    dgate, dup = run(backend, "silu_gate_grad", {}, *arrays)
    same(dgate[0, 0], (d * u) * (s * (g * (F(1) - s) + F(1))))
    same(dup[0, 0], d * (g * s))
    assert float(s) == pytest.approx(1 / (1 + math.exp(-gate)), rel=1e-6)


@settings(max_examples=40)
@given(scores=st.lists(st.floats(-40, 40, width=32), min_size=9, max_size=9))
def test_softmax(scores: list[float], backend: Backend) -> None:
    (p,) = run(backend, "causal_softmax", {"scale": 0.25}, np.array(scores, F).reshape(1, 1, 3, 3))
    for i in range(3):
        y = [F(v) * F(F(0.25) * L2E) for v in scores[3 * i : 3 * i + i + 1]]
        weights = [weigh(v - max(y)) for v in y]
        total = F(float(sum(Fraction(float(w)) for w in weights)))
        same(p[0, 0, i], np.array([w / total for w in weights] + [F(0)] * (2 - i)))


def test_rotary_table() -> None:
    """3.5, against the library in float64: the same but for the last bit of a few."""
    from exact.elementary import compute_rotary_table

    cos, sin = compute_rotary_table(200, 32, 500_000)
    angle = np.outer(np.arange(200), 500_000.0 ** (-np.arange(16) / 16))
    assert (cos == np.cos(angle).astype(F)).mean() > 0.999
    np.testing.assert_allclose(sin, np.sin(angle), rtol=0, atol=1e-7)


def test_adamw(backend: Backend) -> None:
    """4.1, step 3 of 10 with a warm-up of 4."""
    rng = np.random.default_rng(0)
    param, g, m = (rng.standard_normal(5).astype(F) for _ in range(3))
    v = np.abs(rng.standard_normal(5)).astype(F)
    b1, b2, lr, eps, decay = (float(F(x)) for x in (0.9, 0.95, 0.01, 1e-8, 0.1))
    names = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
    attributes = dict(zip(names, (lr, b1, b2, eps, decay), strict=True))
    attributes |= {"warmup_steps": 4, "decay_steps": 10}
    found = run(backend, "adamw", attributes, param, g, m, v, np.array(3))
    rate = lr * 3 / 4 * (10 + 1 - 3) / 10
    # power(x, 3): bits 1, 1 from the lowest: x, then times x * x.
    keep, scale = F(1 - rate * decay), F(1 / np.sqrt(1 - b2 * (b2 * b2)))
    rate = F(rate / (1 - b1 * (b1 * b1)))
    m = m * F(b1) + g * F(1 - b1)
    v = v * F(b2) + (g * g) * F(1 - b2)
    step = (m * rate) / (np.sqrt(v) * scale + F(eps))
    for a, b in zip(found, (param * keep - step, m, v), strict=True):
        same(a, b)
