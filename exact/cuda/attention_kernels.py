"""The three kernels of attention: forward, gradients of queries, gradients of keys and values.

Names: `x_along_d` are integers quantised along the head, `x_along_t` along the tokens; both are
laid out as x, [heads, T, D]; scales are [heads, blocks, the other axis]. Constants X_MODE,
X_A_WIDE, X_B_WIDE are formats of products (`formats.py`): S scores, O probabilities with values,
G gradients with activations, V probabilities with gradients.
"""

import triton
import triton.language as tl

from exact.cuda.scalars import (
    UNIT,
    dot,
    get_block_scale,
    get_grid,
    get_magnitude,
    hold,
    quantise,
    to_grid,
    to_units,
)


@triton.jit
def _multiply_along_d(
    a,
    a_scales,
    b,
    b_scales,
    rows,
    columns,
    length,
    DIM: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    DIM_BLOCK_TILE: tl.constexpr,
    NUM_DIM_BLOCKS: tl.constexpr,
    NUM_ROWS: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    MODE: tl.constexpr,
    A_WIDE: tl.constexpr,
    B_WIDE: tl.constexpr,
):
    """Product of rows of a and rows of b, both [T, D] of one head."""
    rows_there, columns_there = rows < length, columns < length
    inner = tl.arange(0, DIM_BLOCK_TILE)
    total = tl.zeros((NUM_ROWS, NUM_COLUMNS), tl.float32)
    for block in range(NUM_DIM_BLOCKS):
        d = block * DIM_BLOCK + inner
        d_there = (inner < DIM_BLOCK) & (d < DIM)
        left = tl.load(
            a + rows[:, None] * DIM + d[None, :], rows_there[:, None] & d_there[None, :], other=0
        )
        right = tl.load(
            b + columns[None, :] * DIM + d[:, None],
            columns_there[None, :] & d_there[:, None],
            other=0,
        )
        sums = dot(left, right, MODE, A_WIDE, B_WIDE).to(tl.float32)
        a_scale = tl.load(a_scales + block * length + rows, rows_there, other=0.0)
        b_scale = tl.load(b_scales + block * length + columns, columns_there, other=0.0)
        total += (sums * a_scale[:, None]) * b_scale[None, :]
    return total


@triton.jit
def _multiply_along_t(
    q,
    scale,
    b,
    b_scales,
    block,
    length,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    MODE: tl.constexpr,
    A_WIDE: tl.constexpr,
    B_WIDE: tl.constexpr,
):
    """Product of held integers [rows, block of tokens] with this block of b, [T, D] of a head."""
    inner = tl.arange(0, TILE)
    tokens = block * BLOCK + inner
    there = (inner < BLOCK) & (tokens < length)
    d = tl.arange(0, DIM_TILE)
    right = tl.load(
        b + tokens[:, None] * DIM + d[None, :], there[:, None] & (d < DIM)[None, :], other=0
    )
    b_scale = tl.load(b_scales + block * DIM + d, d < DIM, other=0.0)
    sums = dot(q, right, MODE, A_WIDE, B_WIDE).to(tl.float32)
    return (sums * scale[:, None]) * b_scale[None, :]


@triton.jit
def _get_group(head, HEADS: tl.constexpr, REPEATS: tl.constexpr):
    """Head of keys and values that this head of queries reads, both counted over the batch."""
    return head // HEADS * (HEADS // REPEATS) + head % HEADS // REPEATS


@triton.jit
def _get_scores(
    q_along_d,
    q_scales,
    k_along_d,
    k_scales,
    rows,
    columns,
    rows_there,
    columns_there,
    length,
    DIM: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    DIM_BLOCK_TILE: tl.constexpr,
    NUM_DIM_BLOCKS: tl.constexpr,
    NUM_ROWS: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    MODE: tl.constexpr,
    A_WIDE: tl.constexpr,
    B_WIDE: tl.constexpr,
):
    """Products of queries and keys of a tile, and which of them the causal mask leaves open."""
    scores = _multiply_along_d(
        q_along_d, q_scales, k_along_d, k_scales, rows, columns, length,
        DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, NUM_ROWS, NUM_COLUMNS,
        MODE, A_WIDE, B_WIDE,
    )  # fmt: skip
    is_open = rows_there[:, None] & columns_there[None, :] & (columns[None, :] <= rows[:, None])
    return scores, is_open


@triton.jit
def _get_probabilities(scores, factor, m, divisor, is_open):
    """Probabilities of a tile from its scores and its rows' largest one and sum."""
    units = to_units(scores * factor - m[:, None])
    return tl.where(is_open, tl.math.div_rn(units * UNIT, divisor[:, None]), 0.0)


@triton.jit
def forward_kernel(
    q_along_d,
    q_scales,
    k_along_d,
    k_scales,
    v_along_t,
    v_scales,
    out,
    stats,
    length,
    factor,
    HEADS: tl.constexpr,
    REPEATS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    DIM_BLOCK_TILE: tl.constexpr,
    NUM_DIM_BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    QUERIES: tl.constexpr,
    P_BITS: tl.constexpr,
    S_MODE: tl.constexpr,
    S_A_WIDE: tl.constexpr,
    S_B_WIDE: tl.constexpr,
    O_MODE: tl.constexpr,
    O_A_WIDE: tl.constexpr,
    O_B_WIDE: tl.constexpr,
):
    """Result [heads, T, D], and each row's largest score and sum of numerators."""
    head = tl.program_id(1).to(tl.int64)
    group = _get_group(head, HEADS, REPEATS)
    num_blocks = tl.cdiv(length, BLOCK)
    q_along_d += head * length * DIM
    q_scales += head * NUM_DIM_BLOCKS * length
    k_along_d += group * length * DIM
    k_scales += group * NUM_DIM_BLOCKS * length
    v_along_t += group * length * DIM
    v_scales += group * num_blocks * DIM
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    inner = tl.arange(0, TILE)
    last = tl.minimum((tl.program_id(0) + 1) * QUERIES, length)
    m = tl.full((QUERIES,), float("-inf"), tl.float32)
    bad = tl.zeros((QUERIES,), tl.int32)
    for block in range(0, tl.cdiv(last, BLOCK)):
        columns = block * BLOCK + inner
        scores, is_open = _get_scores(
            q_along_d, q_scales, k_along_d, k_scales, rows, columns, rows < length,
            (inner < BLOCK) & (columns < length), length,
            DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, QUERIES, TILE,
            S_MODE, S_A_WIDE, S_B_WIDE,
        )  # fmt: skip
        y = tl.where(is_open, scores * factor, float("-inf"))
        bad = bad | tl.max((y != y).to(tl.int32), 1)
        largest = tl.max(tl.where(y != y, float("-inf"), y), 1)
        m = tl.where(largest > m, largest, m)
    m = tl.where((bad > 0) | (tl.abs(m) == float("inf")), float("nan"), m)
    units = tl.zeros((QUERIES,), tl.int64)
    for block in range(0, tl.cdiv(last, BLOCK)):
        columns = block * BLOCK + inner
        scores, is_open = _get_scores(
            q_along_d, q_scales, k_along_d, k_scales, rows, columns, rows < length,
            (inner < BLOCK) & (columns < length), length,
            DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, QUERIES, TILE,
            S_MODE, S_A_WIDE, S_B_WIDE,
        )  # fmt: skip
        numerators = to_units(scores * factor - m[:, None])
        is_open = is_open & (numerators == numerators)
        units += tl.sum(tl.where(is_open, numerators, 0.0).to(tl.int32), 1).to(tl.int64)
    divisor = units.to(tl.float32) * UNIT
    total = tl.zeros((QUERIES, DIM_TILE), tl.float32)
    for block in range(0, tl.cdiv(last, BLOCK)):
        columns = block * BLOCK + inner
        scores, is_open = _get_scores(
            q_along_d, q_scales, k_along_d, k_scales, rows, columns, rows < length,
            (inner < BLOCK) & (columns < length), length,
            DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, QUERIES, TILE,
            S_MODE, S_A_WIDE, S_B_WIDE,
        )  # fmt: skip
        p = _get_probabilities(scores, factor, m, divisor, is_open)
        bits = tl.max(get_magnitude(p), 1)
        held = hold(quantise(p, bits[:, None], P_BITS), O_MODE, O_A_WIDE)
        total += _multiply_along_t(
            held, get_block_scale(bits, P_BITS), v_along_t, v_scales, block, length,
            DIM, DIM_TILE, BLOCK, TILE, O_MODE, O_A_WIDE, O_B_WIDE,
        )  # fmt: skip
    d = tl.arange(0, DIM_TILE)
    there = (rows < length)[:, None] & (d < DIM)[None, :]
    tl.store(out + (head * length + rows)[:, None] * DIM + d[None, :], total, there)
    tl.store(stats + (head * length + rows) * 2, m, rows < length)
    tl.store(stats + (head * length + rows) * 2 + 1, divisor, rows < length)


@triton.jit
def queries_kernel(
    q_along_d,
    q_scales,
    k_along_d,
    k_scales,
    do_along_d,
    do_scales,
    v_along_d,
    v_scales,
    k_along_t,
    k_long_scales,
    stats,
    delta,
    dq,
    length,
    factor,
    scale,
    HEADS: tl.constexpr,
    REPEATS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    DIM_BLOCK_TILE: tl.constexpr,
    NUM_DIM_BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    QUERIES: tl.constexpr,
    G_BITS: tl.constexpr,
    S_MODE: tl.constexpr,
    S_A_WIDE: tl.constexpr,
    S_B_WIDE: tl.constexpr,
    G_MODE: tl.constexpr,
    G_A_WIDE: tl.constexpr,
    G_B_WIDE: tl.constexpr,
):
    """Gradient of the queries, and each row's sum of dp * p."""
    head = tl.program_id(1).to(tl.int64)
    group = _get_group(head, HEADS, REPEATS)
    num_blocks = tl.cdiv(length, BLOCK)
    q_along_d += head * length * DIM
    do_along_d += head * length * DIM
    q_scales += head * NUM_DIM_BLOCKS * length
    do_scales += head * NUM_DIM_BLOCKS * length
    k_along_d += group * length * DIM
    v_along_d += group * length * DIM
    k_along_t += group * length * DIM
    k_scales += group * NUM_DIM_BLOCKS * length
    v_scales += group * NUM_DIM_BLOCKS * length
    k_long_scales += group * num_blocks * DIM
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    inner = tl.arange(0, TILE)
    last = tl.minimum((tl.program_id(0) + 1) * QUERIES, length)
    m = tl.load(stats + (head * length + rows) * 2, rows < length, other=0.0)
    divisor = tl.load(stats + (head * length + rows) * 2 + 1, rows < length, other=1.0)
    largest = tl.zeros((QUERIES,), tl.int32)
    units = tl.zeros((QUERIES,), tl.int64)
    row_sum = tl.zeros((QUERIES,), tl.float32)
    total = tl.zeros((QUERIES, DIM_TILE), tl.float32)
    # The largest term, then the sum of terms, then the gradient.
    for step in tl.static_range(3):
        for block in range(0, tl.cdiv(last, BLOCK)):
            columns = block * BLOCK + inner
            scores, is_open = _get_scores(
                q_along_d, q_scales, k_along_d, k_scales, rows, columns, rows < length,
                (inner < BLOCK) & (columns < length), length,
                DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, QUERIES, TILE,
                S_MODE, S_A_WIDE, S_B_WIDE,
            )  # fmt: skip
            p = _get_probabilities(scores, factor, m, divisor, is_open)
            dp = _multiply_along_d(
                do_along_d, do_scales, v_along_d, v_scales, rows, columns, length,
                DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, QUERIES, TILE,
                G_MODE, G_A_WIDE, G_B_WIDE,
            )  # fmt: skip
            if step == 0:
                terms = tl.where(is_open, dp * p, 0.0)
                largest = tl.maximum(largest, tl.max(get_magnitude(terms), 1))
            elif step == 1:
                terms = tl.where(is_open, dp * p, 0.0)
                units += tl.sum(to_grid(terms, largest[:, None]), 1).to(tl.int64)
            else:
                ds = tl.where(is_open, ((dp - row_sum[:, None]) * p) * scale, 0.0)
                bits = tl.max(get_magnitude(ds), 1)
                held = hold(quantise(ds, bits[:, None], G_BITS), G_MODE, G_A_WIDE)
                total += _multiply_along_t(
                    held, get_block_scale(bits, G_BITS), k_along_t, k_long_scales, block, length,
                    DIM, DIM_TILE, BLOCK, TILE, G_MODE, G_A_WIDE, G_B_WIDE,
                )  # fmt: skip
        if step == 1:
            row_sum = units.to(tl.float32) * get_grid(largest)
    d = tl.arange(0, DIM_TILE)
    there = (rows < length)[:, None] & (d < DIM)[None, :]
    tl.store(dq + (head * length + rows)[:, None] * DIM + d[None, :], total, there)
    tl.store(delta + head * length + rows, row_sum, rows < length)


@triton.jit
def keys_kernel(
    q_along_d,
    q_scales,
    k_along_d,
    k_scales,
    do_along_d,
    do_scales,
    v_along_d,
    v_scales,
    q_along_t,
    q_long_scales,
    do_along_t,
    do_long_scales,
    stats,
    delta,
    dk,
    dv,
    length,
    factor,
    scale,
    HEADS: tl.constexpr,
    REPEATS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    DIM_BLOCK_TILE: tl.constexpr,
    NUM_DIM_BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    P_BITS: tl.constexpr,
    G_BITS: tl.constexpr,
    S_MODE: tl.constexpr,
    S_A_WIDE: tl.constexpr,
    S_B_WIDE: tl.constexpr,
    G_MODE: tl.constexpr,
    G_A_WIDE: tl.constexpr,
    G_B_WIDE: tl.constexpr,
    V_MODE: tl.constexpr,
    V_A_WIDE: tl.constexpr,
    V_B_WIDE: tl.constexpr,
):
    """Gradients of a block of keys and values, for every query head."""
    head = tl.program_id(1).to(tl.int64)
    group = _get_group(head, HEADS, REPEATS)
    num_blocks = tl.cdiv(length, BLOCK)
    q_along_d += head * length * DIM
    do_along_d += head * length * DIM
    q_along_t += head * length * DIM
    do_along_t += head * length * DIM
    q_scales += head * NUM_DIM_BLOCKS * length
    do_scales += head * NUM_DIM_BLOCKS * length
    q_long_scales += head * num_blocks * DIM
    do_long_scales += head * num_blocks * DIM
    k_along_d += group * length * DIM
    v_along_d += group * length * DIM
    k_scales += group * NUM_DIM_BLOCKS * length
    v_scales += group * NUM_DIM_BLOCKS * length
    inner = tl.arange(0, TILE)
    columns = tl.program_id(0) * BLOCK + inner
    columns_there = (inner < BLOCK) & (columns < length)
    dk_total = tl.zeros((TILE, DIM_TILE), tl.float32)
    dv_total = tl.zeros((TILE, DIM_TILE), tl.float32)
    for block in range(tl.program_id(0), num_blocks):
        rows = block * BLOCK + inner
        rows_there = (inner < BLOCK) & (rows < length)
        m = tl.load(stats + (head * length + rows) * 2, rows_there, other=0.0)
        divisor = tl.load(stats + (head * length + rows) * 2 + 1, rows_there, other=1.0)
        row_sum = tl.load(delta + head * length + rows, rows_there, other=0.0)
        scores, is_open = _get_scores(
            q_along_d, q_scales, k_along_d, k_scales, rows, columns, rows_there,
            columns_there, length,
            DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, TILE, TILE,
            S_MODE, S_A_WIDE, S_B_WIDE,
        )  # fmt: skip
        p = _get_probabilities(scores, factor, m, divisor, is_open)
        dp = _multiply_along_d(
            do_along_d, do_scales, v_along_d, v_scales, rows, columns, length,
            DIM, DIM_BLOCK, DIM_BLOCK_TILE, NUM_DIM_BLOCKS, TILE, TILE,
            G_MODE, G_A_WIDE, G_B_WIDE,
        )  # fmt: skip
        ds = tl.where(is_open, ((dp - row_sum[:, None]) * p) * scale, 0.0)
        bits = tl.max(get_magnitude(p), 0)
        held = hold(quantise(p, bits[None, :], P_BITS), V_MODE, V_A_WIDE)
        dv_total += _multiply_along_t(
            tl.trans(held), get_block_scale(bits, P_BITS), do_along_t, do_long_scales, block,
            length, DIM, DIM_TILE, BLOCK, TILE, V_MODE, V_A_WIDE, V_B_WIDE,
        )  # fmt: skip
        bits = tl.max(get_magnitude(ds), 0)
        held = hold(quantise(ds, bits[None, :], G_BITS), G_MODE, G_A_WIDE)
        dk_total += _multiply_along_t(
            tl.trans(held), get_block_scale(bits, G_BITS), q_along_t, q_long_scales, block,
            length, DIM, DIM_TILE, BLOCK, TILE, G_MODE, G_A_WIDE, G_B_WIDE,
        )  # fmt: skip
    d = tl.arange(0, DIM_TILE)
    where = (head * length + columns)[:, None] * DIM + d[None, :]
    there = columns_there[:, None] & (d < DIM)[None, :]
    tl.store(dk + where, dk_total, there)
    tl.store(dv + where, dv_total, there)
