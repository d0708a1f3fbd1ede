"""Operations element by element, each a few single IEEE operations in the order written."""

from collections.abc import Mapping

import torch
import triton
import triton.language as tl

from exact.backends.base import ADAMW_CONSTANTS
from exact.cuda.launch import Tensor, launch
from exact.cuda.scalars import sigmoid

BLOCK = 1024


@triton.jit
def _add_kernel(a, b, out, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(a + i, i < size) + tl.load(b + i, i < size), i < size)


@triton.jit
def _scale_kernel(a, scalar, out, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(a + i, i < size) * tl.load(scalar), i < size)


@triton.jit
def _gain_kernel(y, weight, out, size, width, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    w = tl.load(weight + i % width, i < size)
    tl.store(out + i, tl.load(y + i, i < size) * w, i < size)


@triton.jit
def _relu_square_kernel(x, out, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, i < size)
    positive = tl.where(value <= 0.0, 0.0, value)
    tl.store(out + i, positive * positive, i < size)


@triton.jit
def _relu_square_grad_kernel(dy, x, out, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, i < size)
    positive = tl.where(value <= 0.0, 0.0, value)
    tl.store(out + i, (positive * 2.0) * tl.load(dy + i, i < size), i < size)


@triton.jit
def _silu_gate_kernel(gate, up, out, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(gate + i, i < size, other=0.0)
    tl.store(out + i, (x * sigmoid(x)) * tl.load(up + i, i < size), i < size)


@triton.jit
def _silu_gate_grad_kernel(da, gate, up, dgate, dup, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    d, x = tl.load(da + i, i < size), tl.load(gate + i, i < size, other=0.0)
    s = sigmoid(x)
    slope = s * (x * (1.0 - s) + 1.0)
    tl.store(dgate + i, (d * tl.load(up + i, i < size)) * slope, i < size)
    tl.store(dup + i, d * (x * s), i < size)


@triton.jit
def _adamw_kernel(
    param,
    gradient,
    m,
    v,
    scalar,
    param_out,
    m_out,
    v_out,
    size,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    epsilon,
    root_scale,
    rate,
    keep,
    HAS_SCALE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = i < size
    g = tl.load(gradient + i, there, other=0.0)
    if HAS_SCALE:
        g = g * tl.load(scalar)
    m_new = tl.load(m + i, there, other=0.0) * beta1 + g * one_minus_beta1
    v_new = tl.load(v + i, there, other=0.0) * beta2 + (g * g) * one_minus_beta2
    root = tl.math.sqrt_rn(v_new) * root_scale + epsilon
    update = tl.math.div_rn(m_new * rate, root)
    tl.store(param_out + i, tl.load(param + i, there, other=0.0) * keep - update, there)
    tl.store(m_out + i, m_new, there)
    tl.store(v_out + i, v_new, there)


def _run(kernel: object, size: int, *args: object) -> None:
    launch(kernel, (-(-size // BLOCK),), *args, BLOCK=BLOCK)


def add(a: Tensor, b: Tensor) -> Tensor:
    """Add tensors of one shape."""
    out = torch.empty_like(a)
    _run(_add_kernel, out.numel(), a, b, out, out.numel())
    return out


def scale(a: Tensor, scalar: Tensor) -> Tensor:
    """Multiply by a tensor of one element."""
    out = torch.empty_like(a)
    _run(_scale_kernel, out.numel(), a, scalar, out, out.numel())
    return out


def gain(y: Tensor, weight: Tensor) -> Tensor:
    """Multiply rows by weights of the last axis."""
    out = torch.empty_like(y)
    _run(_gain_kernel, out.numel(), y, weight, out, out.numel(), y.shape[-1])
    return out


def relu_square(x: Tensor) -> Tensor:
    """max(x, 0)^2."""
    out = torch.empty_like(x)
    _run(_relu_square_kernel, out.numel(), x, out, out.numel())
    return out


def relu_square_grad(dy: Tensor, x: Tensor) -> Tensor:
    """(max(x, 0) * 2) * dy."""
    out = torch.empty_like(x)
    _run(_relu_square_grad_kernel, out.numel(), dy, x, out, out.numel())
    return out


def silu_gate(gate: Tensor, up: Tensor) -> Tensor:
    """(gate * sigmoid(gate)) * up."""
    out = torch.empty_like(gate)
    _run(_silu_gate_kernel, out.numel(), gate, up, out, out.numel())
    return out


def silu_gate_grad(da: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up."""
    dgate, dup = torch.empty_like(gate), torch.empty_like(up)
    _run(_silu_gate_grad_kernel, da.numel(), da, gate, up, dgate, dup, da.numel())
    return dgate, dup


def adamw(
    param: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    constants: Mapping[str, float],
    scalar: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one step of AdamW.

    Args:
        param, gradient, m, v: float32 of one shape.
        constants: from `compute_adamw_constants`.
        scalar: multiplies the gradient first.
    """
    outs = tuple(torch.empty_like(param) for _ in range(3))
    launch(
        _adamw_kernel,
        (-(-param.numel() // BLOCK),),
        param,
        gradient,
        m,
        v,
        m if scalar is None else scalar,
        *outs,
        param.numel(),
        *(constants[name] for name in ADAMW_CONSTANTS),
        HAS_SCALE=scalar is not None,
        BLOCK=BLOCK,
    )
    return outs
