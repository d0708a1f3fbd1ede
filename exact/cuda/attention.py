"""Attention, forward and backward, without a tensor of T by T.

A row's probabilities come from its largest score and its sum of numerators, which are rounded with
the final largest score: no rescaling on the way. So scores are made again for the maximum, the sum
and the product with the values; blocks that are wholly masked add +0 and are skipped.

Tiles are as wide as the quantisation block along keys; in the second backward kernel also along
queries.
"""

import numpy as np
import torch
import triton

from exact.cuda.attention_kernels import forward_kernel, keys_kernel, queries_kernel
from exact.cuda.formats import choose_format
from exact.cuda.heads import cut_heads, join_heads
from exact.cuda.launch import Tensor, launch, next_power
from exact.cuda.pack import Packed, pack
from exact.elementary import LOG2_E, ROTARY_BASE, compute_rotary_table
from exact.program import Attributes

MAX_BLOCK = 128
MAX_HEAD_DIM = 256
MIN_TILE = 32
QUERY_TILE = 64

__all__ = ["MAX_BLOCK", "MAX_HEAD_DIM", "Attention"]


class _Shape:
    """Sizes and constants of one attention."""

    def __init__(self, attributes: Attributes, q_source: Tensor, has_int8: bool):
        self.batch, self.length, width = q_source.shape
        self.heads = int(attributes["num_heads"])
        self.groups = int(attributes["num_kv_heads"])
        self.is_packed = bool(attributes["packed"])
        self.head_dim = width // (self.heads * (3 if self.is_packed else 1))
        self.block = int(attributes["block_size"])
        self.scale = float(attributes["scale"])
        self.factor = float(np.float32(self.scale) * np.float32(LOG2_E))
        self.theta = int(attributes.get("theta", ROTARY_BASE))
        self.tile = next_power(self.block, MIN_TILE)
        self.largest = {
            "activation": int(attributes["activation_max"]),
            "softmax": int(attributes["softmax_max"]),
            "gradient": int(attributes.get("gradient_max", attributes["activation_max"])),
        }
        self.has_int8 = has_int8

    def choose(self, a: str, b: str) -> dict[str, int | bool]:
        """Choose the format of a product of two roles, as constants of a kernel."""
        left, right = self.largest[a], self.largest[b]
        chosen = choose_format(left, right, self.block, self.block, self.has_int8)
        return {"mode": chosen.mode, "a": chosen.a_wide, "b": chosen.b_wide}

    def get_bits(self, role: str) -> int:
        """b of |q| <= 2^b - 1."""
        return self.largest[role].bit_length()

    def get_constants(self) -> dict[str, int]:
        """Constants that every kernel takes."""
        dim_block = min(self.block, self.head_dim)
        return {
            "HEADS": self.heads,
            "REPEATS": self.heads // self.groups,
            "DIM": self.head_dim,
            "DIM_TILE": next_power(self.head_dim, MIN_TILE),
            "DIM_BLOCK": self.block,
            "DIM_BLOCK_TILE": next_power(dim_block, MIN_TILE),
            "NUM_DIM_BLOCKS": -(-self.head_dim // self.block),
            "BLOCK": self.block,
            "TILE": self.tile,
        }


class Attention:
    """Attention on one device; keeps rotary tables.

    Attributes:
        has_int8: whether int8 tensor cores are used.
    """

    def __init__(self) -> None:
        """Start without tables."""
        self.has_int8 = True
        self._tables: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def forward(self, attributes: Attributes, *sources: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the merged result [B, T, H D] and stats [B, H, T, 2].

        Args:
            attributes: of a fused attention.
            sources: q, k and v as [B, T, heads D], or one packed [B, T, 3 H D] three times.
        """
        q_source = sources[0]
        shape = _Shape(attributes, q_source, self.has_int8)
        q, k, v = self._cut(shape, sources)
        scores, mix = (
            shape.choose("activation", "activation"),
            shape.choose("softmax", "activation"),
        )
        bits, block = shape.get_bits("activation"), shape.block
        packed_q = pack(_flat(q), False, bits, block, bool(scores["a"]))
        packed_k = pack(_flat(k), False, bits, block, bool(scores["b"]))
        packed_v = pack(_flat(v), True, bits, block, bool(mix["b"]))
        size = (shape.batch, shape.heads, shape.length)
        out = torch.empty((*size, shape.head_dim), dtype=q.dtype, device=q.device)
        stats = torch.empty((*size, 2), dtype=q.dtype, device=q.device)
        query_tile = min(QUERY_TILE, next_power(shape.length, MIN_TILE))
        launch(
            forward_kernel,
            (triton.cdiv(shape.length, query_tile), shape.batch * shape.heads),
            *_list(packed_q, packed_k, packed_v),
            out,
            stats,
            shape.length,
            shape.factor,
            QUERIES=query_tile,
            P_BITS=shape.get_bits("softmax"),
            **_name("S", scores),
            **_name("O", mix),
            **shape.get_constants(),
        )
        merged = torch.empty(
            (shape.batch, shape.length, shape.heads * shape.head_dim),
            dtype=q.dtype,
            device=q.device,
        )
        join_heads(out, merged, 0, 1, None)
        return merged, stats

    def backward(self, attributes: Attributes, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients of the sources, in their layout.

        Args:
            attributes: of a fused attention.
            inputs: the sources, stats [B, H, T, 2], gradient of the merged result [B, T, H D].
        """
        *sources, stats, dmerged = inputs
        shape = _Shape(attributes, sources[0], self.has_int8)
        q, k, v = self._cut(shape, sources)
        do = cut_heads(dmerged.contiguous(), 0, shape.heads, shape.head_dim, None)
        delta = torch.empty(stats.shape[:-1], dtype=q.dtype, device=q.device)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(q), torch.empty_like(q)
        scores = shape.choose("activation", "activation")
        dp = shape.choose("gradient", "activation")
        dv_format = shape.choose("softmax", "gradient")
        bits, g_bits, block = shape.get_bits("activation"), shape.get_bits("gradient"), shape.block
        # Along the head for scores and dp, along the tokens for the other products.
        heads = _list(
            pack(_flat(q), False, bits, block, bool(scores["a"])),
            pack(_flat(k), False, bits, block, bool(scores["b"])),
            pack(_flat(do), False, g_bits, block, bool(dp["a"])),
            pack(_flat(v), False, bits, block, bool(dp["b"])),
        )
        long_k = pack(_flat(k), True, bits, block, bool(dp["b"]))
        long_q = pack(_flat(q), True, bits, block, bool(dp["b"]))
        long_do = pack(_flat(do), True, g_bits, block, bool(dv_format["b"]))
        common = {
            "G_BITS": g_bits,
            **_name("S", scores),
            **_name("G", dp),
            **shape.get_constants(),
        }
        numbers = (shape.length, shape.factor, shape.scale)
        query_tile = min(QUERY_TILE, next_power(shape.length, MIN_TILE))
        programs = shape.batch * shape.heads
        grid = (triton.cdiv(shape.length, query_tile), programs)
        args = (*heads, *_list(long_k), stats, delta, dq, *numbers)
        launch(queries_kernel, grid, *args, QUERIES=query_tile, **common)
        launch(
            keys_kernel,
            (triton.cdiv(shape.length, block), programs),
            *heads,
            *_list(long_q, long_do),
            stats,
            delta,
            dk,
            dv,
            *numbers,
            P_BITS=shape.get_bits("softmax"),
            **_name("V", dv_format),
            **common,
        )
        return self._join(shape, sources, dq, dk, dv)

    def _cut(self, shape: _Shape, sources: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
        table = self._get_table(shape, sources[0])
        step = shape.heads * shape.head_dim if shape.is_packed else 0
        heads = (shape.heads, shape.groups, shape.groups)
        return [
            cut_heads(x.contiguous(), i * step, n, shape.head_dim, None if i == 2 else table)
            for i, (x, n) in enumerate(zip(sources, heads, strict=True))
        ]

    def _join(
        self, shape: _Shape, sources: list[Tensor], dq: Tensor, dk: Tensor, dv: Tensor
    ) -> tuple[Tensor, ...]:
        table = self._get_table(shape, dq)
        if shape.is_packed:
            results = [torch.empty(sources[0].shape, dtype=dq.dtype, device=dq.device)] * 3
        else:
            results = [torch.empty(x.shape, dtype=dq.dtype, device=dq.device) for x in sources]
        step = shape.heads * shape.head_dim if shape.is_packed else 0
        repeats = shape.heads // shape.groups
        join_heads(dq, results[0], 0, 1, table)
        join_heads(dk, results[1], step, repeats, table)
        join_heads(dv, results[2], 2 * step, repeats, None)
        return tuple(results)

    def _get_table(self, shape: _Shape, like: Tensor) -> tuple[Tensor, Tensor]:
        key = (shape.length, shape.head_dim, shape.theta)
        if key not in self._tables:
            cos, sin = compute_rotary_table(*key)
            self._tables[key] = tuple(torch.tensor(x, device=like.device) for x in (cos, sin))  # type: ignore[assignment]
        return self._tables[key]


def _flat(x: Tensor) -> Tensor:
    return x.view(-1, *x.shape[-2:])


def _list(*packed: Packed) -> list[Tensor]:
    return [tensor for one in packed for tensor in (one.q, one.scales)]


def _name(prefix: str, chosen: dict[str, int | bool]) -> dict[str, int | bool]:
    """Constants of a kernel for one product: its mode, and which operands are wide."""
    return {
        f"{prefix}_MODE": chosen["mode"],
        f"{prefix}_A_WIDE": chosen["a"],
        f"{prefix}_B_WIDE": chosen["b"],
    }
