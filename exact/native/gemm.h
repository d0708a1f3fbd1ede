/* C = A * B^T from packed operands: exact integer dot products per block, scaled and added in
 * ascending block order.
 *
 * A block's dot product fits an int32 (config.py refuses more). It is rounded to float32 once; its
 * scale is a power of two of at least 2^-138, so `dot * scale` is exact even where it is subnormal,
 * and one fused multiply-add gives the same bits as the definition's product and sum. (Operands are
 * below 2^59, so a block of up to 512 cannot overflow between the two; longer ones are not fused.)
 */
#ifndef DESCENT_GEMM_H
#define DESCENT_GEMM_H

#include "pack.h"

#define TILE_ROWS 8
#define TILE_PANELS 3
#define TILE_COLUMNS (TILE_PANELS * PANEL)
#define ROWS_AT_ONCE 128
#define MAX_FUSED_LENGTH 512

/* One block of both operands of a tile. */
struct operands {
    const int32_t *a, *b, *corrections;
    const float *scale_a, *scale_b;
    int64_t panel_words, panel_scales; /* from one panel of b to the next */
};

#if defined(PATH_AVX512)

#if defined(PATH_VNNI)
/* As instructions, because compilers put register copies around the intrinsics. */
#define DOT(c, a, b) __asm__("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b))
#define DOT8(c, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b))
#else
#define DOT(c, a, b) ((c) = _mm512_add_epi32((c), _mm512_madd_epi16((a), (b))))
#define DOT8 DOT
#endif

INLINE void add_block(const struct operands *o, int num_words, const int np, const int is_int8,
                      float *sums) {
    __m512i c[TILE_ROWS][TILE_PANELS];
#pragma GCC unroll 3
    for (int j = 0; j < np; j++) {
        __m512i start = _mm512_setzero_si512();
        if (is_int8) start = _mm512_loadu_si512(o->corrections + j * o->panel_scales);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; i++) c[i][j] = start;
    }
#pragma GCC unroll 1
    for (int p = 0; p < num_words; p++) {
        __m512i vb[TILE_PANELS];
#pragma GCC unroll 3
        for (int j = 0; j < np; j++)
            vb[j] = _mm512_load_si512(o->b + j * o->panel_words + p * PANEL);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; i++) {
            __m512i va = _mm512_set1_epi32(o->a[p * PANEL + i]);
#pragma GCC unroll 3
            for (int j = 0; j < np; j++) {
                if (is_int8) DOT8(c[i][j], va, vb[j]);
                else DOT(c[i][j], va, vb[j]);
            }
        }
    }
#pragma GCC unroll 3
    for (int j = 0; j < np; j++) {
        __m512 sb = _mm512_loadu_ps(o->scale_b + j * o->panel_scales);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; i++) {
            float *sum = sums + i * TILE_COLUMNS + j * PANEL;
            __m512 scale = _mm512_mul_ps(sb, _mm512_set1_ps(o->scale_a[i]));
            __m512 dot = _mm512_cvtepi32_ps(c[i][j]), before = _mm512_load_ps(sum);
            __m512 after = num_words <= (is_int8 ? MAX_FUSED_LENGTH / 4 : MAX_FUSED_LENGTH / 2)
                               ? _mm512_fmadd_ps(dot, scale, before)
                               : _mm512_add_ps(before, _mm512_mul_ps(dot, scale));
            _mm512_store_ps(sum, after);
        }
    }
}

#elif defined(PATH_AVX2)

#if defined(PATH_VNNI)
#define DOT(c, a, b) __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b))
#else
#define DOT(c, a, b) ((c) = _mm256_add_epi32((c), _mm256_madd_epi16((a), (b))))
#endif
#define HALF_ROWS 4

INLINE void add_half(const int32_t *a, const float *scale_a, const int32_t *b,
                     const float *scale_b, int pairs, float *sums) {
    __m256i c[HALF_ROWS][2];
#pragma GCC unroll 4
    for (int i = 0; i < HALF_ROWS; i++) c[i][0] = c[i][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int p = 0; p < pairs; p++) {
        __m256i b0 = _mm256_load_si256((const __m256i *)(b + p * PANEL));
        __m256i b1 = _mm256_load_si256((const __m256i *)(b + p * PANEL + 8));
#pragma GCC unroll 4
        for (int i = 0; i < HALF_ROWS; i++) {
            __m256i va = _mm256_set1_epi32(a[p * PANEL + i]);
            DOT(c[i][0], va, b0);
            DOT(c[i][1], va, b1);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < HALF_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            float *sum = sums + i * TILE_COLUMNS + j * 8;
            __m256 sb = _mm256_loadu_ps(scale_b + j * 8);
            __m256 scale = _mm256_mul_ps(sb, _mm256_set1_ps(scale_a[i]));
            __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(c[i][j]), scale);
            _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), term));
        }
}

INLINE void add_block(const struct operands *o, int num_words, const int np, const int is_int8,
                      float *sums) {
    (void)is_int8;
    for (int j = 0; j < np; j++)
        for (int i = 0; i < TILE_ROWS; i += HALF_ROWS)
            add_half(o->a + i, o->scale_a + i, o->b + j * o->panel_words,
                     o->scale_b + j * o->panel_scales, num_words,
                     sums + i * TILE_COLUMNS + j * PANEL);
}

#elif defined(PATH_NEON)

#include "neon.h"

INLINE void add_block(const struct operands *o, int num_words, const int np, const int is_int8,
                      float *sums) {
    int is_fused = num_words <= (is_int8 ? MAX_FUSED_LENGTH / 4 : MAX_FUSED_LENGTH / 2);
    for (int j = 0; j < np; j++) {
        const int32_t *b = o->b + j * o->panel_words;
        const float *scale_b = o->scale_b + j * o->panel_scales;
        float *to = sums + j * PANEL;
#if defined(PATH_I8MM)
        if (is_int8) {
            add_pairs(o->a, o->scale_a, b, scale_b, num_words, is_fused, to);
            continue;
        }
#endif
        for (int i = 0; i < TILE_ROWS; i += HALF_ROWS)
            add_half(o->a + i, o->scale_a + i, b, scale_b, num_words, is_int8, is_fused,
                     to + i * TILE_COLUMNS);
    }
}

#else

INLINE void add_block(const struct operands *o, int num_words, const int np, const int is_int8,
                      float *sums) {
    (void)is_int8;
    for (int j = 0; j < np; j++)
        for (int i = 0; i < TILE_ROWS; i++) {
            int32_t c[PANEL] = {0};
            for (int p = 0; p < num_words; p++) {
                int32_t word = o->a[p * PANEL + i];
                int32_t low = (int16_t)word, high = word >> 16;
                const int32_t *bp = o->b + j * o->panel_words + p * PANEL;
                for (int n = 0; n < PANEL; n++)
                    c[n] += low * (int16_t)bp[n] + high * (bp[n] >> 16);
            }
            float *sum = sums + i * TILE_COLUMNS + j * PANEL;
            const float *scale_b = o->scale_b + j * o->panel_scales;
            for (int n = 0; n < PANEL; n++) {
                float term = (float)c[n] * (o->scale_a[i] * scale_b[n]);
                sum[n] = sum[n] + term;
            }
        }
}

#endif

/* What a product does with its result before it is written. */
enum finish { WRITE, ADD_EXTRA, RELU_GRAD_EXTRA };

struct target {
    float *data; /* row first_row, column 0 of the result */
    int64_t stride;
    int64_t first_row;
    enum finish finish;
    const float *extra; /* laid out like data */
};

INLINE void finish_row(const float *sums, int num_columns, float *out, const float *extra,
                       enum finish finish) {
    for (int n = 0; n < num_columns; n += VW) {
        int left = num_columns - n;
        vf value = vload(sums + n);
        if (finish != WRITE) {
            vf other = left >= VW ? vload(extra + n) : vload_n(extra + n, left);
            if (finish == ADD_EXTRA) value = other + value;
            else value = (vrelu(other) * vset(2.0f)) * value;
        }
        if (left >= VW) vstore(out + n, value);
        else vstore_n(out + n, value, left);
    }
}

INLINE void multiply_tile(const struct packed *a, const struct packed *b, int64_t row,
                          int64_t panel, const int np, int64_t first_block, int64_t end_block,
                          const struct target *target) {
    float sums[TILE_ROWS * TILE_COLUMNS] __attribute__((aligned(64)));
    int64_t at_a = (row / PANEL) * a->num_blocks, at_b = panel * b->num_blocks;
    int64_t panel_words = b->num_blocks * b->stride * PANEL, panel_scales = b->num_blocks * PANEL;
    memset(sums, 0, sizeof sums);
    for (int64_t block = first_block; block < end_block; block++) {
        int num_words = block == a->num_blocks - 1 ? a->last_words : a->num_words;
        struct operands o = {a->words + (at_a + block) * a->stride * PANEL + row % PANEL,
                             b->words + (at_b + block) * b->stride * PANEL,
                             b->corrections + (at_b + block) * PANEL,
                             a->scales + (at_a + block) * PANEL + row % PANEL,
                             b->scales + (at_b + block) * PANEL,
                             panel_words,
                             panel_scales};
        if (HAS_INT8 && a->kind != INT16) add_block(&o, num_words, np, 1, sums);
        else add_block(&o, num_words, np, 0, sums);
    }
    int64_t column = panel * PANEL;
    int num_columns = (int)(b->rows - column < np * PANEL ? b->rows - column : np * PANEL);
    int num_rows = (int)(a->rows - row < TILE_ROWS ? a->rows - row : TILE_ROWS);
    for (int i = 0; i < num_rows; i++) {
        int64_t at = (row + i - target->first_row) * target->stride + column;
        const float *extra = target->extra ? target->extra + at : 0;
        finish_row(sums + i * TILE_COLUMNS, num_columns, target->data + at, extra, target->finish);
    }
}

/* Rows begin .. end - 1 (begin a multiple of 8) of the columns of np panels. */
static void multiply_panels(const struct packed *a, const struct packed *b, int64_t begin,
                            int64_t end, int64_t panel, int np, int64_t first_block,
                            int64_t end_block, const struct target *target) {
    for (int64_t row = begin; row < end; row += TILE_ROWS) {
        if (np == 3) multiply_tile(a, b, row, panel, 3, first_block, end_block, target);
        else if (np == 2) multiply_tile(a, b, row, panel, 2, first_block, end_block, target);
        else multiply_tile(a, b, row, panel, 1, first_block, end_block, target);
    }
}

/* How many of the panels left to take at once: 3, but never 3 + 1. */
INLINE int choose_panels(int64_t left) {
    return left >= 5 || left == 3 ? 3 : left >= 2 ? 2 : 1;
}

/* Rows begin .. end - 1, columns of the first num_panels panels. */
static void multiply_rows(const struct packed *a, const struct packed *b, int64_t begin,
                          int64_t end, int64_t num_panels, int64_t first_block, int64_t end_block,
                          const struct target *target) {
    for (int64_t panel = 0; panel < num_panels;) {
        int np = choose_panels(num_panels - panel);
        multiply_panels(a, b, begin, end, panel, np, first_block, end_block, target);
        panel += np;
    }
}

struct product_task {
    const struct packed *a, *b;
    const struct target *target;
    int64_t num_row_chunks;
};

static void multiply_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct product_task *task = argument;
    const struct packed *a = task->a, *b = task->b;
    (void)worker;
    int64_t panel = 0, group = 0;
    for (int64_t i = begin; i < end; i++) {
        int64_t wanted = i / task->num_row_chunks;
        while (group < wanted) {
            panel += choose_panels(b->num_panels - panel);
            group++;
        }
        int64_t row = i % task->num_row_chunks * ROWS_AT_ONCE;
        int64_t last = row + ROWS_AT_ONCE < a->rows ? row + ROWS_AT_ONCE : a->rows;
        multiply_panels(a, b, row, last, panel, choose_panels(b->num_panels - panel), 0,
                        a->num_blocks, task->target);
    }
}

static void multiply_shared(struct context *context, const struct packed *a,
                            const struct packed *b, const struct target *target) {
    struct product_task task = {a, b, target, divide_up(a->rows, ROWS_AT_ONCE)};
    int64_t num_groups = 0;
    for (int64_t panel = 0; panel < b->num_panels; num_groups++)
        panel += choose_panels(b->num_panels - panel);
    pool_run(context, multiply_range, &task, num_groups * task.num_row_chunks, 1);
}

/* dims: batch, M, N, K, a_max, b_max, block_size; args: a, b, c[, extra of c's shape]. */
struct batch_task {
    struct context *context;
    const struct op *op;
    void **args;
    struct format a_format, b_format;
};

INLINE struct source get_source(const struct op *op, void **args, int side, int64_t batch) {
    int64_t rows = op->dims[1 + side], length = op->dims[3];
    int k_first = (op->flags & (side ? B_K_FIRST : A_K_FIRST)) != 0;
    struct source source = {.data = (const float *)args[side] + batch * rows * length};
    source.stride = k_first ? rows : length;
    source.k_first = k_first;
    source.relu_square = (op->flags & (side ? B_RELU_SQUARE : A_RELU_SQUARE)) != 0;
    return source;
}

INLINE struct target get_target(const struct op *op, void **args, int64_t batch) {
    int64_t rows = op->dims[1], columns = op->dims[2];
    struct target target = {(float *)args[2] + batch * rows * columns, columns, 0, WRITE, 0};
    if (op->flags & (PLUS_ADDEND | TIMES_RELU_GRAD)) {
        target.extra = (const float *)args[3] + batch * rows * columns;
        target.finish = op->flags & PLUS_ADDEND ? ADD_EXTRA : RELU_GRAD_EXTRA;
    }
    return target;
}

static void multiply_batches(void *argument, int64_t begin, int64_t end, int worker) {
    const struct batch_task *task = argument;
    const struct op *op = task->op;
    struct packed a = describe_packed(op->dims[1], op->dims[3], &task->a_format);
    struct packed b = describe_packed(op->dims[2], op->dims[3], &task->b_format);
    int64_t size = count_packed_bytes(&a) + count_packed_bytes(&b);
    char *memory = reserve(task->context, &task->context->own[worker], size);
    if (!memory) return;
    place_packed(&b, place_packed(&a, memory));
    for (int64_t batch = begin; batch < end; batch++) {
        struct source source_a = get_source(op, task->args, 0, batch);
        struct source source_b = get_source(op, task->args, 1, batch);
        struct target target = get_target(op, task->args, batch);
        pack_alone(task->context, &source_a, &a, &task->a_format);
        pack_alone(task->context, &source_b, &b, &task->b_format);
        multiply_rows(&a, &b, 0, a.rows, b.num_panels, 0, a.num_blocks, &target);
    }
}

/* The formats of both operands of a product. */
INLINE struct format get_format(int64_t operand_max, int64_t other_max, int64_t block_size,
                                int is_right) {
    struct format format = {(int32_t)operand_max, 0, (int32_t)block_size, INT16};
    while (operand_max >> format.bits) format.bits++;
    if (HAS_INT8 && operand_max <= 127 && other_max <= 127)
        format.kind = is_right ? INT8_RIGHT : INT8_LEFT;
    return format;
}

static void run_matmul(struct context *context, const struct op *op, void **args) {
    struct batch_task task = {context, op, args,
                              get_format(op->dims[4], op->dims[5], op->dims[6], 0),
                              get_format(op->dims[5], op->dims[4], op->dims[6], 1)};
    if (op->dims[0] > 1) {
        pool_run(context, multiply_batches, &task, op->dims[0], 1);
        return;
    }
    struct packed a = describe_packed(op->dims[1], op->dims[3], &task.a_format);
    struct packed b = describe_packed(op->dims[2], op->dims[3], &task.b_format);
    char *memory_a = reserve(context, &context->shared[0], count_packed_bytes(&a));
    char *memory_b = reserve(context, &context->shared[1], count_packed_bytes(&b));
    if (!memory_a || !memory_b) return;
    place_packed(&a, memory_a);
    place_packed(&b, memory_b);
    struct source source_a = get_source(op, args, 0, 0), source_b = get_source(op, args, 1, 0);
    struct target target = get_target(op, args, 0);
    pack_shared(context, &source_a, &a, &task.a_format);
    pack_shared(context, &source_b, &b, &task.b_format);
    multiply_shared(context, &a, &b, &target);
}

#endif
