"""Norms and the loss: a program has whole rows."""

import numpy as np
import torch
import triton
import triton.language as tl

from exact.cuda.launch import Tensor, choose_warps, launch, next_power
from exact.cuda.scalars import LOG2_E, UNIT, log2, sum_rows, to_nanonats, to_units

# Columns of logits that a program holds at a time.
MAX_CHUNK = 4096
TILE_ELEMENTS = 4096


@triton.jit
def _rms_norm_kernel(
    x, y, inverses, num_rows, width, share, epsilon, ROWS: tl.constexpr, TILE: tl.constexpr
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.arange(0, TILE)
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    where = rows[:, None] * width + i[None, :]
    values = tl.load(x + where, there, other=0.0)
    mean = sum_rows(values * values) * share
    inverse = tl.math.div_rn(tl.full((ROWS,), 1.0, tl.float32), tl.math.sqrt_rn(mean + epsilon))
    tl.store(y + where, values * inverse[:, None], there)
    tl.store(inverses + rows, inverse, rows < num_rows)


@triton.jit
def _rms_norm_grad_kernel(
    dy,
    y,
    inverses,
    addend,
    dx,
    num_rows,
    width,
    share,
    HAS_ADDEND: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.arange(0, TILE)
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    where = rows[:, None] * width + i[None, :]
    d = tl.load(dy + where, there, other=0.0)
    values = tl.load(y + where, there, other=0.0)
    mean = sum_rows(d * values) * share
    inverse = tl.load(inverses + rows, rows < num_rows, other=0.0)
    result = (d - values * mean[:, None]) * inverse[:, None]
    if HAS_ADDEND:
        result = result + tl.load(addend + where, there, other=0.0)
    tl.store(dx + where, result, there)


@triton.jit
def _load_scores(logits, rows, i, num_rows, width):
    """Logits times log2 e; -infinity beyond the vocabulary."""
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    x = tl.load(logits + rows[:, None] * width + i[None, :], there, other=0.0)
    return tl.where((i < width)[None, :], x * LOG2_E, float("-inf"))


@triton.jit
def _cross_entropy_kernel(
    logits,
    targets,
    nanonats,
    out,
    num_rows,
    width,
    share,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
    IS_GRADIENT: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    rows_there = rows < num_rows
    inner = tl.arange(0, CHUNK)
    m = tl.full((ROWS,), float("-inf"), tl.float32)
    bad = tl.zeros((ROWS,), tl.int32)
    for start in range(0, width, CHUNK):
        y = _load_scores(logits, rows, start + inner, num_rows, width)
        bad = bad | tl.max((y != y).to(tl.int32), 1)
        largest = tl.max(tl.where(y != y, float("-inf"), y), 1)
        m = tl.where(largest > m, largest, m)
    is_bad = (bad > 0) | (tl.abs(m) == float("inf"))
    m = tl.where(is_bad, float("nan"), m)
    units = tl.zeros((ROWS,), tl.int64)
    for start in range(0, width, CHUNK):
        y = _load_scores(logits, rows, start + inner, num_rows, width)
        numerators = tl.where(is_bad[:, None], 0.0, to_units(y - m[:, None]))
        units += tl.sum(numerators.to(tl.int64), 1)
    target = tl.load(targets + rows, rows_there, other=0)
    target_y = tl.load(logits + rows * width + target, rows_there, other=0.0) * LOG2_E
    log_sum = log2(tl.where(is_bad, 1 << 23, units).to(tl.float64) * UNIT)
    gap = m.to(tl.float64) - target_y.to(tl.float64)
    tl.store(nanonats + rows, to_nanonats(log_sum, gap), rows_there)
    divisor = units.to(tl.float32) * UNIT
    for start in range(0, width, CHUNK):
        i = start + inner
        y = _load_scores(logits, rows, i, num_rows, width)
        p = tl.math.div_rn(to_units(y - m[:, None]) * UNIT, divisor[:, None])
        if IS_GRADIENT:
            p = tl.where(i[None, :] == target[:, None], p - 1.0, p) * share
        there = rows_there[:, None] & (i < width)[None, :]
        tl.store(out + rows[:, None] * width + i[None, :], p, there)


@triton.jit
def _cross_entropy_grad_kernel(
    p, targets, out, num_rows, width, share, ROWS: tl.constexpr, CHUNK: tl.constexpr
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    where = rows[:, None] * width + i[None, :]
    target = tl.load(targets + rows, rows < num_rows, other=0)
    value = tl.load(p + where, there, other=0.0)
    at_target = i[None, :] == target[:, None]
    tl.store(out + where, tl.where(at_target, value - 1.0, value) * share, there)


def _choose_tile(num_rows: int, width: int) -> tuple[int, int]:
    """Return rows and columns of a program's tile."""
    tile = next_power(width)
    return min(next_power(num_rows), max(1, TILE_ELEMENTS // tile)), tile


def _round(value: float) -> float:
    return float(np.float32(value))


def rms_norm(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return y and inverse [.., 1] of x [.., C]."""
    width = x.shape[-1]
    y = torch.empty_like(x)
    inverse = torch.empty((*x.shape[:-1], 1), dtype=x.dtype, device=x.device)
    num_rows = inverse.numel()
    rows, tile = _choose_tile(num_rows, width)
    launch(
        _rms_norm_kernel,
        (-(-num_rows // rows),),
        x,
        y,
        inverse,
        num_rows,
        width,
        _round(1.0 / width),
        epsilon,
        ROWS=rows,
        TILE=tile,
        num_warps=choose_warps(rows * tile),
    )
    return y, inverse


def rms_norm_grad(dy: Tensor, y: Tensor, inverse: Tensor, addend: Tensor | None) -> Tensor:
    """Return dx, with the addend added last."""
    width = y.shape[-1]
    dx = torch.empty_like(y)
    num_rows = inverse.numel()
    rows, tile = _choose_tile(num_rows, width)
    launch(
        _rms_norm_grad_kernel,
        (-(-num_rows // rows),),
        dy,
        y,
        inverse,
        dy if addend is None else addend,
        dx,
        num_rows,
        width,
        _round(1.0 / width),
        HAS_ADDEND=addend is not None,
        ROWS=rows,
        TILE=tile,
        num_warps=choose_warps(rows * tile),
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
    num_rows = targets.numel()
    rows, chunk = _choose_tile(num_rows, min(width, MAX_CHUNK))
    launch(
        _cross_entropy_kernel,
        (-(-num_rows // rows),),
        logits,
        targets,
        nanonats,
        out,
        num_rows,
        width,
        _round(1.0 / (targets.numel() * num_parts)),
        ROWS=rows,
        CHUNK=chunk,
        IS_GRADIENT=is_gradient,
        num_warps=choose_warps(rows * chunk),
    )
    return nanonats, out


def cross_entropy_grad(p: Tensor, targets: Tensor, num_parts: int) -> Tensor:
    """Return the gradient of the mean from the probabilities."""
    width = p.shape[-1]
    out = torch.empty_like(p)
    num_rows = targets.numel()
    rows, chunk = _choose_tile(num_rows, min(width, MAX_CHUNK))
    share = _round(1.0 / (num_rows * num_parts))
    launch(
        _cross_entropy_grad_kernel,
        (-(-num_rows // rows), -(-width // chunk)),
        p,
        targets,
        out,
        num_rows,
        width,
        share,
        ROWS=rows,
        CHUNK=chunk,
    )
    return out
