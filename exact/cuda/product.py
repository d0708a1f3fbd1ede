"""C = A * B^T in blocks of integers on tensor cores; an add or a gradient at the end."""

import torch
import triton
import triton.language as tl

from exact.cuda.formats import MAX_TILE, MIN_TILE, Format, choose_format
from exact.cuda.launch import Tensor, launch, next_power
from exact.cuda.pack import Packed, pack
from exact.cuda.scalars import dot

NO_END, END_ADD, END_RELU_GRAD = 0, 1, 2
MAX_TILE_ROWS = 128
# Tiles whose programs run one after the other, so that their operands stay in the cache.
GROUP = 8


@triton.jit
def _product_kernel(
    a,
    b,
    a_scales,
    b_scales,
    c,
    end,
    num_rows,
    num_columns,
    length,
    a_row_stride,
    a_k_stride,
    b_row_stride,
    b_k_stride,
    BLOCK: tl.constexpr,
    K_TILE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    MODE: tl.constexpr,
    A_WIDE: tl.constexpr,
    B_WIDE: tl.constexpr,
    END: tl.constexpr,
    GROUP: tl.constexpr,
):
    batch = tl.program_id(1).to(tl.int64)
    row_tiles, column_tiles = tl.cdiv(num_rows, ROWS), tl.cdiv(num_columns, COLUMNS)
    group = tl.program_id(0) // (GROUP * column_tiles)
    group_rows = tl.minimum(row_tiles - group * GROUP, GROUP)
    inside = tl.program_id(0) % (GROUP * column_tiles)
    rows = (group * GROUP + inside % group_rows) * ROWS + tl.arange(0, ROWS)
    columns = (inside // group_rows) * COLUMNS + tl.arange(0, COLUMNS)
    rows_there, columns_there = rows < num_rows, columns < num_columns
    num_blocks = tl.cdiv(length, BLOCK)
    a += batch * num_rows * length
    b += batch * num_columns * length
    a_scales += batch * num_blocks * num_rows
    b_scales += batch * num_blocks * num_columns
    a_rows = a + rows.to(tl.int64)[:, None] * a_row_stride
    b_columns = b + columns.to(tl.int64)[None, :] * b_row_stride
    inner = tl.arange(0, K_TILE)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for block in range(num_blocks):
        if MODE == 1:
            sums = tl.zeros((ROWS, COLUMNS), tl.float32)
        else:
            sums = tl.zeros((ROWS, COLUMNS), tl.int32)
        for start in range(0, BLOCK, K_TILE):
            k = block * BLOCK + start + inner
            k_there = (start + inner < BLOCK) & (k < length)
            k_wide = k.to(tl.int64)
            left = tl.load(
                a_rows + k_wide[None, :] * a_k_stride,
                mask=rows_there[:, None] & k_there[None, :],
                other=0,
            )
            right = tl.load(
                b_columns + k_wide[:, None] * b_k_stride,
                mask=columns_there[None, :] & k_there[:, None],
                other=0,
            )
            sums += dot(left, right, MODE, A_WIDE, B_WIDE)
        a_scale = tl.load(a_scales + block * num_rows + rows, mask=rows_there, other=0.0)
        b_scale = tl.load(b_scales + block * num_columns + columns, mask=columns_there, other=0.0)
        total += (sums.to(tl.float32) * a_scale[:, None]) * b_scale[None, :]
    where = (batch * num_rows + rows.to(tl.int64))[:, None] * num_columns + columns[None, :]
    is_there = rows_there[:, None] & columns_there[None, :]
    if END == 1:
        total += tl.load(end + where, mask=is_there, other=0.0)
    elif END == 2:
        x = tl.load(end + where, mask=is_there, other=0.0)
        total = (tl.where(x <= 0.0, 0.0, x) * 2.0) * total
    tl.store(c + where, total, mask=is_there)


def multiply(
    a: Tensor,
    b: Tensor,
    a_k_first: bool,
    b_k_first: bool,
    a_max: int,
    b_max: int,
    block: int,
    has_int8: bool,
    a_relu: bool = False,
    b_relu: bool = False,
    end: Tensor | None = None,
    end_kind: int = NO_END,
) -> Tensor:
    """Multiply a batch.

    Args:
        a, b: float32 [batch, rows, contraction], or the last two axes turned where k is first.
        a_k_first, b_k_first: which.
        a_max, b_max: largest |q|.
        block: elements of the contraction that share a scale.
        has_int8: whether int8 tensor cores are used.
        a_relu, b_relu: multiply max(x, 0)^2 of the operand.
        end: float32 like the result, for the end.
        end_kind: END_ADD adds it; END_RELU_GRAD multiplies by max(it, 0) * 2.

    Returns:
        float32 [batch, rows of a, rows of b].
    """
    k_tile = min(MAX_TILE, next_power(block, MIN_TILE))
    chosen = choose_format(a_max, b_max, block, k_tile, has_int8)
    left = pack(a, a_k_first, chosen.a_bits, block, chosen.a_wide, a_relu)
    right = pack(b, b_k_first, chosen.b_bits, block, chosen.b_wide, b_relu)
    return multiply_packed(left, right, chosen, block, k_tile, end, end_kind)


def multiply_packed(
    left: Packed,
    right: Packed,
    chosen: Format,
    block: int,
    k_tile: int,
    end: Tensor | None,
    end_kind: int,
) -> Tensor:
    """Multiply packed operands; see `multiply`."""
    batch, *a_shape = left.q.shape
    *_, b_rows, b_columns = right.q.shape
    num_rows, length = a_shape[::-1] if left.k_first else a_shape
    num_columns = b_columns if right.k_first else b_rows
    c = torch.empty((batch, num_rows, num_columns), dtype=torch.float32, device=left.q.device)
    rows = min(MAX_TILE_ROWS, next_power(num_rows, MIN_TILE))
    columns = min(MAX_TILE_ROWS, next_power(num_columns, MIN_TILE))
    launch(
        _product_kernel,
        (-(-num_rows // rows) * -(-num_columns // columns), batch),
        left.q,
        right.q,
        left.scales,
        right.scales,
        c,
        c if end is None else end,
        num_rows,
        num_columns,
        length,
        *((1, num_rows) if left.k_first else (length, 1)),
        *((1, num_columns) if right.k_first else (length, 1)),
        BLOCK=block,
        K_TILE=k_tile,
        ROWS=rows,
        COLUMNS=columns,
        MODE=chosen.mode,
        A_WIDE=chosen.a_wide,
        B_WIDE=chosen.b_wide,
        END=end_kind,
        GROUP=GROUP,
        num_warps=8 if rows * columns >= MAX_TILE_ROWS**2 else 4,
    )
    return c
