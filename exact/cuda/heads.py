"""Cut heads out of rows, turning them on the way, and put their gradients back."""

import torch
import triton
import triton.language as tl

from exact.cuda.launch import Tensor, launch, next_power

TILE_ELEMENTS = 2048


@triton.jit
def _locate(length, HALF: tl.constexpr, HALF_TILE: tl.constexpr, ROWS: tl.constexpr):
    """Rows of this tile, columns of a half of the head, and which of their pairs there are."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    i = tl.arange(0, HALF_TILE)
    return rows, i, (rows < length)[:, None] & (i < HALF)[None, :]


@triton.jit
def _turn(first, second, cos, sin, rows, i, there, HALF: tl.constexpr, SIGN: tl.constexpr):
    """The two halves of a head, turned by the table's angles: back where SIGN is -1."""
    table = rows[:, None] * HALF + i[None, :]
    c = tl.load(cos + table, there, other=0.0)
    s = SIGN * tl.load(sin + table, there, other=0.0)
    return first * c - second * s, second * c + first * s


@triton.jit
def _cut_kernel(
    x,
    cos,
    sin,
    out,
    length,
    row_stride,
    offset,
    HALF: tl.constexpr,
    HALF_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    ROTATE: tl.constexpr,
):
    rows, i, there = _locate(length, HALF, HALF_TILE, ROWS)
    head = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    source = (batch * length + rows)[:, None] * row_stride + offset + head * 2 * HALF + i[None, :]
    first = tl.load(x + source, there, other=0.0)
    second = tl.load(x + source + HALF, there, other=0.0)
    if ROTATE:
        first, second = _turn(first, second, cos, sin, rows, i, there, HALF, 1.0)
    target = (((batch * tl.num_programs(1) + head) * length) + rows)[:, None] * 2 * HALF
    target += i[None, :]
    tl.store(out + target, first, there)
    tl.store(out + target + HALF, second, there)


@triton.jit
def _join_kernel(
    dy,
    cos,
    sin,
    out,
    length,
    row_stride,
    offset,
    HALF: tl.constexpr,
    HALF_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    ROTATE: tl.constexpr,
    REPEATS: tl.constexpr,
):
    rows, i, there = _locate(length, HALF, HALF_TILE, ROWS)
    group = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    head = (batch * tl.num_programs(1) + group) * REPEATS
    source = (head * length + rows)[:, None] * 2 * HALF + i[None, :]
    first = tl.load(dy + source, there, other=0.0)
    second = tl.load(dy + source + HALF, there, other=0.0)
    for repeat in range(1, REPEATS):
        other = source + repeat * length * 2 * HALF
        first += tl.load(dy + other, there, other=0.0)
        second += tl.load(dy + other + HALF, there, other=0.0)
    if ROTATE:
        first, second = _turn(first, second, cos, sin, rows, i, there, HALF, -1.0)
    target = (batch * length + rows)[:, None] * row_stride + offset + group * 2 * HALF + i[None, :]
    tl.store(out + target, first, there)
    tl.store(out + target + HALF, second, there)


def _get_tiles(length: int, half: int) -> tuple[int, int, int]:
    half_tile = next_power(half)
    rows = min(next_power(length), max(1, TILE_ELEMENTS // half_tile))
    return half_tile, rows, -(-length // rows)


def cut_heads(
    x: Tensor, offset: int, num_heads: int, head_dim: int, table: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Cut [B, T, W] from a column on into [B, heads, T, D], rotated where a table is given.

    Args:
        x: float32, contiguous.
        offset: first column.
        num_heads, head_dim: of the result.
        table: cos and sin, [T, D / 2].
    """
    batch, length, width = x.shape
    shape = (batch, num_heads, length, head_dim)
    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    half_tile, rows, tiles = _get_tiles(length, head_dim // 2)
    cos, sin = table or (x, x)
    launch(
        _cut_kernel,
        (tiles, num_heads, batch),
        x,
        cos,
        sin,
        out,
        length,
        width,
        offset,
        HALF=head_dim // 2,
        HALF_TILE=half_tile,
        ROWS=rows,
        ROTATE=table is not None,
    )
    return out


def join_heads(
    dy: Tensor, out: Tensor, offset: int, repeats: int, table: tuple[Tensor, Tensor] | None
) -> None:
    """Add groups of heads [B, H, T, D], turn back, and write to columns of [B, T, W].

    Args:
        dy: float32, contiguous.
        out: written.
        offset: first column.
        repeats: heads of a group, added in ascending order.
        table: cos and sin, [T, D / 2].
    """
    batch, heads, length, head_dim = dy.shape
    half_tile, rows, tiles = _get_tiles(length, head_dim // 2)
    cos, sin = table or (dy, dy)
    launch(
        _join_kernel,
        (tiles, heads // repeats, batch),
        dy,
        cos,
        sin,
        out,
        length,
        out.shape[-1],
        offset,
        HALF=head_dim // 2,
        HALF_TILE=half_tile,
        ROWS=rows,
        ROTATE=table is not None,
        REPEATS=repeats,
    )
