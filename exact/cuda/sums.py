"""Sums over many rows: the largest magnitude and the integers by atomics, whose order is free."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from exact.cuda.launch import Tensor, launch
from exact.cuda.scalars import get_grid, get_magnitude, to_grid

BLOCK = 1024
ROWS, COLUMNS = 32, 64


@triton.jit
def _largest_kernel(x, largest, size, SQUARED: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + i, i < size, other=0.0)
    if SQUARED:
        values = values * values
    tl.atomic_max(largest, tl.max(get_magnitude(values), 0))


@triton.jit
def _sum_squares_kernel(x, largest, total, size, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + i, i < size, other=0.0)
    terms = to_grid(values * values, tl.load(largest))
    tl.atomic_add(total, tl.sum(terms.to(tl.int64), 0))


@triton.jit
def _clip_kernel(largest, total, out, clip):
    squares = tl.load(total).to(tl.float32) * get_grid(tl.load(largest))
    ratio = tl.math.div_rn(clip, tl.math.sqrt_rn(squares))
    tl.store(out, tl.where(ratio >= 1.0, 1.0, ratio))


@triton.jit
def _embed_kernel(tokens, table, out, num_rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    token = tl.load(tokens + rows, rows < num_rows, other=0)
    values = tl.load(table + token[:, None] * width + i[None, :], there)
    tl.store(out + rows[:, None] * width + i[None, :], values, there)


@triton.jit
def _embed_grad_kernel(
    tokens, dx, largest, sums, num_rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = (rows < num_rows)[:, None] & (i < width)[None, :]
    token = tl.load(tokens + rows, rows < num_rows, other=0)
    values = tl.load(dx + rows[:, None] * width + i[None, :], there, other=0.0)
    terms = to_grid(values, tl.load(largest)).to(tl.int64)
    tl.atomic_add(sums + token[:, None] * width + i[None, :], terms, there)


@triton.jit
def _finish_kernel(sums, largest, out, size, num_grids, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    grid = get_grid(tl.load(largest + i % num_grids, i < size, other=0))
    tl.store(out + i, tl.load(sums + i, i < size, other=0).to(tl.float32) * grid, i < size)


@triton.jit
def _column_kernel(
    dz,
    y,
    largest,
    sums,
    num_rows,
    width,
    IS_SUM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = (rows < num_rows)[:, None] & (columns < width)[None, :]
    where = rows.to(tl.int64)[:, None] * width + columns[None, :]
    products = tl.load(dz + where, there, other=0.0) * tl.load(y + where, there, other=0.0)
    if IS_SUM:
        bits = tl.load(largest + columns, columns < width, other=0)
        terms = to_grid(products, bits[None, :]).to(tl.int64)
        tl.atomic_add(sums + columns, tl.sum(terms, 0), columns < width)
    else:
        tl.atomic_max(largest + columns, tl.max(get_magnitude(products), 0), columns < width)


def _zeros(like: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device=like.device)


def clip_scale(gradients: Sequence[Tensor], clip: float) -> Tensor:
    """min(1, clip / norm of all gradients), float32 [1]."""
    first = gradients[0]
    largest, total = _zeros(first, torch.int32, 1), _zeros(first, torch.int64, 1)
    out = _zeros(first, torch.float32, 1)
    for g in gradients:
        grid = (-(-g.numel() // BLOCK),)
        launch(_largest_kernel, grid, g, largest, g.numel(), SQUARED=True, BLOCK=BLOCK)
    for g in gradients:
        grid = (-(-g.numel() // BLOCK),)
        launch(_sum_squares_kernel, grid, g, largest, total, g.numel(), BLOCK=BLOCK)
    launch(_clip_kernel, (1,), largest, total, out, clip, num_warps=1)
    return out


def embed(tokens: Tensor, table: Tensor) -> Tensor:
    """Rows of the table, [.., C]."""
    width = table.shape[-1]
    out = torch.empty((*tokens.shape, width), dtype=table.dtype, device=table.device)
    num_rows = tokens.numel()
    grid = (-(-num_rows // ROWS), -(-width // COLUMNS))
    tile = {"ROWS": ROWS, "COLUMNS": COLUMNS}
    launch(_embed_kernel, grid, tokens, table, out, num_rows, width, **tile)
    return out


def embed_grad(tokens: Tensor, dx: Tensor, vocab_size: int) -> Tensor:
    """Gradient of the table, [vocab_size, C]."""
    width = dx.shape[-1]
    largest = _zeros(dx, torch.int32, 1)
    sums = _zeros(dx, torch.int64, vocab_size, width)
    out = torch.empty((vocab_size, width), dtype=dx.dtype, device=dx.device)
    grid = (-(-dx.numel() // BLOCK),)
    launch(_largest_kernel, grid, dx, largest, dx.numel(), SQUARED=False, BLOCK=BLOCK)
    num_rows = tokens.numel()
    grid = (-(-num_rows // ROWS), -(-width // COLUMNS))
    tile = {"ROWS": ROWS, "COLUMNS": COLUMNS}
    launch(_embed_grad_kernel, grid, tokens, dx, largest, sums, num_rows, width, **tile)
    grid = (-(-out.numel() // BLOCK),)
    launch(_finish_kernel, grid, sums, largest, out, out.numel(), 1, BLOCK=BLOCK)
    return out


def gain_grad(dz: Tensor, y: Tensor) -> Tensor:
    """Fixed-point sum of dz * y over the rows, [C]."""
    width = y.shape[-1]
    num_rows = y.numel() // width
    largest, sums = _zeros(y, torch.int32, width), _zeros(y, torch.int64, width)
    out = torch.empty(width, dtype=y.dtype, device=y.device)
    grid = (-(-num_rows // ROWS), -(-width // COLUMNS))
    for is_sum in (False, True):
        args = (dz, y, largest, sums, num_rows, width)
        launch(_column_kernel, grid, *args, IS_SUM=is_sum, ROWS=ROWS, COLUMNS=COLUMNS)
    grid = (-(-width // BLOCK),)
    launch(_finish_kernel, grid, sums, largest, out, width, width, BLOCK=BLOCK)
    return out
