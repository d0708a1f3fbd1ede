"""Norms and the loss: one program a row."""

import numpy as np
import torch
import triton
import triton.language as tl

from exact.cuda.launch import Tensor, choose_warps, launch, next_power
from exact.cuda.scalars import UNIT, log2, sum_row, to_nanonats, to_units

# Columns of logits that a program holds at a time.
MAX_CHUNK = 4096


@triton.jit
def _rms_norm_kernel(x, y, inverses, width, share, epsilon, TILE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, TILE)
    values = tl.load(x + row * width + i, i < width, other=0.0)
    mean = sum_row(values * values) * share
    inverse = tl.math.div_rn(1.0, tl.math.sqrt_rn(mean + epsilon))
    tl.store(y + row * width + i, values * inverse, i < width)
    tl.store(inverses + row, inverse)


@triton.jit
def _rms_norm_grad_kernel(
    dy, y, inverses, addend, dx, width, share, HAS_ADDEND: tl.constexpr, TILE: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, TILE)
    d = tl.load(dy + row * width + i, i < width, other=0.0)
    values = tl.load(y + row * width + i, i < width, other=0.0)
    mean = sum_row(d * values) * share
    result = (d - values * mean) * tl.load(inverses + row)
    if HAS_ADDEND:
        result = result + tl.load(addend + row * width + i, i < width, other=0.0)
    tl.store(dx + row * width + i, result, i < width)


@triton.jit
def _cross_entropy_kernel(
    logits,
    targets,
    nanonats,
    out,
    width,
    share,
    CHUNK: tl.constexpr,
    IS_GRADIENT: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * width
    out += row * width
    inner = tl.arange(0, CHUNK)
    largest = tl.full((CHUNK,), float("-inf"), tl.float32)
    bad = tl.zeros((CHUNK,), tl.int32)
    for start in range(0, width, CHUNK):
        i = start + inner
        y = tl.load(logits + i, i < width, other=float("-inf")) * 1.44269502162933349609375
        bad = bad | (y != y).to(tl.int32)
        largest = tl.where(y > largest, y, largest)
    m = tl.max(largest, 0)
    is_bad = (tl.max(bad, 0) > 0) | (tl.abs(m) == float("inf"))
    m = tl.where(is_bad, float("nan"), m)
    units = tl.zeros((CHUNK,), tl.int64)
    for start in range(0, width, CHUNK):
        i = start + inner
        y = tl.load(logits + i, i < width, other=float("-inf")) * 1.44269502162933349609375
        units += tl.where(is_bad, 0.0, to_units(y - m)).to(tl.int64)
    total = tl.sum(units, 0)
    target = tl.load(targets + row)
    target_y = tl.load(logits + target) * 1.44269502162933349609375
    log_sum = log2(tl.where(is_bad, 1, total).to(tl.float64) * 1.1920928955078125e-07)
    gap = m.to(tl.float64) - target_y.to(tl.float64)
    tl.store(nanonats + row, to_nanonats(log_sum, gap))
    divisor = total.to(tl.float32) * UNIT
    for start in range(0, width, CHUNK):
        i = start + inner
        y = tl.load(logits + i, i < width, other=float("-inf")) * 1.44269502162933349609375
        p = tl.math.div_rn(to_units(y - m) * UNIT, divisor)
        if IS_GRADIENT:
            p = tl.where(i == target, p - 1.0, p) * share
        tl.store(out + i, p, i < width)


@triton.jit
def _cross_entropy_grad_kernel(p, targets, out, width, share, CHUNK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + row)
    i = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    value = tl.load(p + row * width + i, i < width, other=0.0)
    tl.store(out + row * width + i, tl.where(i == target, value - 1.0, value) * share, i < width)


def _round(value: float) -> float:
    return float(np.float32(value))


def rms_norm(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return y and inverse [.., 1] of x [.., C]."""
    width = x.shape[-1]
    y = torch.empty_like(x)
    inverse = torch.empty((*x.shape[:-1], 1), dtype=x.dtype, device=x.device)
    tile = next_power(width)
    launch(
        _rms_norm_kernel,
        (inverse.numel(),),
        x,
        y,
        inverse,
        width,
        _round(1.0 / width),
        epsilon,
        TILE=tile,
        num_warps=choose_warps(tile),
    )
    return y, inverse


def rms_norm_grad(dy: Tensor, y: Tensor, inverse: Tensor, addend: Tensor | None) -> Tensor:
    """Return dx, with the addend added last."""
    width = y.shape[-1]
    dx = torch.empty_like(y)
    tile = next_power(width)
    launch(
        _rms_norm_grad_kernel,
        (y.numel() // width,),
        dy,
        y,
        inverse,
        dy if addend is None else addend,
        dx,
        width,
        _round(1.0 / width),
        HAS_ADDEND=addend is not None,
        TILE=tile,
        num_warps=choose_warps(tile),
    )
    return dx


def cross_entropy(
    logits: Tensor, targets: Tensor, num_parts: int, is_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Return losses in nano-nats, and the probabilities or the gradient of the mean.

    Args:
        logits: float32 [B, T, V].
        targets: int64 [B, T].
        num_parts: parts of the step's batch, for the gradient.
        is_gradient: which of the two.
    """
    width = logits.shape[-1]
    nanonats = torch.empty(targets.shape, dtype=torch.int64, device=logits.device)
    out = torch.empty_like(logits)
    chunk = min(next_power(width), MAX_CHUNK)
    launch(
        _cross_entropy_kernel,
        (targets.numel(),),
        logits,
        targets,
        nanonats,
        out,
        width,
        _round(1.0 / (targets.numel() * num_parts)),
        CHUNK=chunk,
        IS_GRADIENT=is_gradient,
        num_warps=choose_warps(chunk),
    )
    return nanonats, out


def cross_entropy_grad(p: Tensor, targets: Tensor, num_parts: int) -> Tensor:
    """Return the gradient of the mean from the probabilities."""
    width = p.shape[-1]
    out = torch.empty_like(p)
    chunk = min(next_power(width), MAX_CHUNK)
    share = _round(1.0 / (targets.numel() * num_parts))
    grid = (targets.numel(), -(-width // chunk))
    launch(_cross_entropy_grad_kernel, grid, p, targets, out, width, share, CHUNK=chunk)
    return out
