"""Quantise an operand and lay it out in one pass over its float32 values."""

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from exact.cuda.formats import INT8_MAX
from exact.cuda.launch import Tensor, launch, next_power
from exact.cuda.scalars import get_block_scale, get_magnitude, hold, quantise

TILE_ELEMENTS = 4096


class Packed(NamedTuple):
    """A quantised operand.

    Attributes:
        q: integers like the source [batch, rows, columns]: int8, float16, or int16 if wide.
        scales: float32 [batch, blocks, other axis].
        k_first: whether the contraction is the axis of rows.
    """

    q: Tensor
    scales: Tensor
    k_first: bool


@triton.jit
def _pack_kernel(
    x,
    q,
    scales,
    num_others,
    length,
    other_stride,
    k_stride,
    BLOCK: tl.constexpr,
    BLOCK_TILE: tl.constexpr,
    OTHER_TILE: tl.constexpr,
    NUM_BITS: tl.constexpr,
    MODE: tl.constexpr,
    IS_WIDE: tl.constexpr,
    RELU_SQUARE: tl.constexpr,
):
    others = tl.program_id(0) * OTHER_TILE + tl.arange(0, OTHER_TILE)
    block = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    inner = tl.arange(0, BLOCK_TILE)
    k = block * BLOCK + inner
    is_there = (others < num_others)[:, None] & ((inner < BLOCK) & (k < length))[None, :]
    where = others.to(tl.int64)[:, None] * other_stride + k.to(tl.int64)[None, :] * k_stride
    where += batch * num_others * length
    values = tl.load(x + where, mask=is_there, other=0.0)
    if RELU_SQUARE:
        values = tl.where(values <= 0.0, 0.0, values)
        values = values * values
    bits = tl.max(get_magnitude(values), 1)
    tl.store(q + where, hold(quantise(values, bits[:, None], NUM_BITS), MODE, IS_WIDE), is_there)
    row = batch * tl.num_programs(1) + block
    tl.store(
        scales + row * num_others + others, get_block_scale(bits, NUM_BITS), others < num_others
    )


def pack(
    x: Tensor,
    k_first: bool,
    num_bits: int,
    block: int,
    is_wide: bool,
    relu_square: bool = False,
) -> Packed:
    """Quantise.

    Args:
        x: float32 [batch, rows, columns], contiguous.
        k_first: the contraction is the axis of rows, else that of columns.
        num_bits: b of |q| <= 2^b - 1.
        block: elements of the contraction that share a scale.
        is_wide: hold int16, for two planes.
        relu_square: quantise max(x, 0)^2.
    """
    batch, rows, columns = x.shape
    length, others = (rows, columns) if k_first else (columns, rows)
    num_blocks = -(-length // block)
    is_small = not is_wide and (1 << num_bits) - 1 <= INT8_MAX
    dtype = torch.int16 if is_wide else torch.int8 if is_small else torch.float16
    q = torch.empty(x.shape, dtype=dtype, device=x.device)
    scales = torch.empty((batch, num_blocks, others), dtype=torch.float32, device=x.device)
    block_tile = next_power(block)
    other_tile = min(next_power(others), max(1, TILE_ELEMENTS // block_tile))
    launch(
        _pack_kernel,
        (-(-others // other_tile), num_blocks, batch),
        x,
        q,
        scales,
        others,
        length,
        1 if k_first else columns,
        columns if k_first else 1,
        BLOCK=block,
        BLOCK_TILE=block_tile,
        OTHER_TILE=other_tile,
        NUM_BITS=num_bits,
        MODE=0 if is_small else 1,
        IS_WIDE=is_wide,
        RELU_SQUARE=relu_square,
    )
    return Packed(q, scales, k_first)
