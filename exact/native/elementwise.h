/* Elementwise operations, norms, embedding and the optimiser. */
#ifndef DESCENT_ELEMENTWISE_H
#define DESCENT_ELEMENTWISE_H

#include <stdatomic.h>

#include "native.h"
#include "vec.h"

#define SUM_BITS 21
#define MIN_SUM_EXPONENT (-100)
#define MAX_SUM_EXPONENT 125
#define LANE_TERMS 256 /* terms of at most 2^22 that fit an int32 lane */
#define GRAIN 16384    /* elements a piece of elementwise work has */

/* ------------------------------------------------------------------------ fixed-point sums */
/* From the largest |x| as bits: the factor to integers; *grid is what an integer counts. */
INLINE float get_grid(int32_t largest, float *grid, volatile int32_t *invalid) {
    int exponent = (largest >> 23) - 127;
    if (exponent > MAX_SUM_EXPONENT) {
        *invalid = 1;
        exponent = 0;
    }
    if (exponent < MIN_SUM_EXPONENT) exponent = MIN_SUM_EXPONENT;
    *grid = power_of_two(exponent - SUM_BITS);
    return power_of_two(SUM_BITS - exponent);
}

INLINE int32_t find_largest_product(const float *a, const float *b, int64_t n) {
    vi most = {0};
    int64_t i = 0;
    for (; i + VW <= n; i += VW) most = vmax_int(most, vabs_bits(vload(a + i) * vload(b + i)));
    if (i < n) {
        int left = (int)(n - i);
        most = vmax_int(most, vabs_bits(vload_n(a + i, left) * vload_n(b + i, left)));
    }
    return vmax_across_int(most);
}

/* Sum the integers nearest to a[i] * b[i] * factor. */
INLINE int64_t sum_products(const float *a, const float *b, int64_t n, float factor) {
    vf scale = vset(factor);
    int64_t total = 0, i = 0;
    while (i + VW <= n) {
        vi sum = {0};
        int64_t end = i + LANE_TERMS * VW < n ? i + LANE_TERMS * VW : n;
        for (; i + VW <= end; i += VW)
            sum += vround_int((vload(a + i) * vload(b + i)) * scale);
        total += vsum_across(sum);
    }
    if (i < n) {
        int left = (int)(n - i);
        total += vsum_across(vround_int((vload_n(a + i, left) * vload_n(b + i, left)) * scale));
    }
    return total;
}

INLINE float fixed_sum_products(const float *a, const float *b, int64_t n,
                                volatile int32_t *invalid) {
    float grid, factor = get_grid(find_largest_product(a, b, n), &grid, invalid);
    return (float)sum_products(a, b, n, factor) * grid;
}

/* --------------------------------------------------------------------------- elementwise */
struct task {
    struct context *context;
    const struct op *op;
    void **args;
    atomic_int largest;  /* of a whole tensor, as bits */
    atomic_llong sum;
    float factor, grid;
};

INLINE void raise_largest(atomic_int *largest, int32_t value) {
    int32_t seen = atomic_load(largest);
    while (value > seen && !atomic_compare_exchange_weak(largest, &seen, value)) {
    }
}

#define FOR_VECTORS(begin, end, i, left)                                         \
    for (int64_t i = (begin); i < (end); i += VW)                                \
        for (int left = (int)((end) - i < VW ? (end) - i : VW), once_ = 1; once_; once_ = 0)

INLINE vf vload_some(const float *p, int n) { return n == VW ? vload(p) : vload_n(p, n); }
INLINE void vstore_some(float *p, vf x, int n) {
    if (n == VW) vstore(p, x);
    else vstore_n(p, x, n);
}

static void add_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *a = task->args[0], *b = task->args[1];
    float *c = task->args[2];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) vstore_some(c + i, vload_some(a + i, n) + vload_some(b + i, n), n);
}

static void scale_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *a = task->args[0];
    vf scalar = vset(*(const float *)task->args[1]);
    float *c = task->args[2];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) vstore_some(c + i, vload_some(a + i, n) * scalar, n);
}

static void relu_square_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *x = task->args[0];
    float *y = task->args[1];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) {
        vf positive = vrelu(vload_some(x + i, n));
        vstore_some(y + i, positive * positive, n);
    }
}

static void relu_square_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *dy = task->args[0], *x = task->args[1];
    float *dx = task->args[2];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) {
        vf slope = vrelu(vload_some(x + i, n)) * vset(2.0f);
        vstore_some(dx + i, slope * vload_some(dy + i, n), n);
    }
}

/* reals of AdamW's constants, as compute_adamw_constants names them */
enum { BETA1, ONE_MINUS_BETA1, BETA2, ONE_MINUS_BETA2, EPSILON, ROOT_SCALE, RATE, KEEP };

/* args: param, gradient, m, v, constants, param', m', v'[, scalar that the gradient is times] */
static void adamw_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *param = task->args[0], *gradient = task->args[1], *m = task->args[2];
    const float *v = task->args[3], *c = task->args[4];
    float *next_param = task->args[5], *next_m = task->args[6], *next_v = task->args[7];
    int is_scaled = task->op->num_args > 8;
    vf scalar = vset(is_scaled ? *(const float *)task->args[8] : 1.0f);
    vf beta1 = vset(c[BETA1]), rest1 = vset(c[ONE_MINUS_BETA1]), beta2 = vset(c[BETA2]);
    vf rest2 = vset(c[ONE_MINUS_BETA2]), epsilon = vset(c[EPSILON]), keep = vset(c[KEEP]);
    vf root_scale = vset(c[ROOT_SCALE]), rate = vset(c[RATE]);
    (void)worker;
    FOR_VECTORS(begin, end, i, n) {
        vf g = vload_some(gradient + i, n) * scalar;
        vf new_m = vload_some(m + i, n) * beta1 + g * rest1;
        vf new_v = vload_some(v + i, n) * beta2 + (g * g) * rest2;
        vf root = vsqrt(new_v) * root_scale + epsilon;
        vstore_some(next_m + i, new_m, n);
        vstore_some(next_v + i, new_v, n);
        vstore_some(next_param + i, vload_some(param + i, n) * keep - (new_m * rate) / root, n);
    }
}

/* ----------------------------------------------------------------------------- the clip */
/* dims: total elements are in dims[0]; args: gradients ..., result; element counts follow as
 * arguments that point at int64. */
static void clip_range(void *argument, int64_t begin, int64_t end, int worker) {
    struct task *task = argument;
    const float *x = task->args[0];
    (void)worker;
    if (task->factor == 0.0f) {
        raise_largest(&task->largest, find_largest_product(x + begin, x + begin, end - begin));
        return;
    }
    atomic_fetch_add(&task->sum, sum_products(x + begin, x + begin, end - begin, task->factor));
}

/* args: (gradient, count) ..., scale; reals: clip */
static void run_clip_scale(struct context *context, const struct op *op, void **args) {
    struct task task = {.context = context, .op = op};
    int num_gradients = (op->num_args - 1) / 2;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < num_gradients; i++) {
            task.args = args + 2 * i;
            pool_run(context, clip_range, &task, *(const int64_t *)args[2 * i + 1], GRAIN);
        }
        if (!pass) task.factor = get_grid(atomic_load(&task.largest), &task.grid, &context->invalid);
    }
    float norm = sqrtf((float)atomic_load(&task.sum) * task.grid);
    float scale = op->reals[0] / norm;
    *(float *)args[op->num_args - 1] = scale < 1.0f ? scale : 1.0f;
}

/* ------------------------------------------------------------------------------- norms */
/* dims: rows, width; reals: 1 / width, epsilon; args: x, y, inverse */
static void rms_norm_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t width = task->op->dims[1];
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)task->args[0] + row * width;
        float *y = (float *)task->args[1] + row * width;
        float mean = fixed_sum_products(x, x, width, &task->context->invalid) * task->op->reals[0];
        float inverse = 1.0f / sqrtf(mean + task->op->reals[1]);
        ((float *)task->args[2])[row] = inverse;
        FOR_VECTORS(0, width, i, n) vstore_some(y + i, vload_some(x + i, n) * vset(inverse), n);
    }
}

/* args: dy, y, inverse, dx[, addend of dx's shape] */
static void rms_norm_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t width = task->op->dims[1];
    int is_added = (task->op->flags & PLUS_ADDEND) != 0;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *dy = (const float *)task->args[0] + row * width;
        const float *y = (const float *)task->args[1] + row * width;
        float *dx = (float *)task->args[3] + row * width;
        const float *addend = is_added ? (const float *)task->args[4] + row * width : dy;
        float mean = fixed_sum_products(dy, y, width, &task->context->invalid) * task->op->reals[0];
        vf inverse = vset(((const float *)task->args[2])[row]);
        FOR_VECTORS(0, width, i, n) {
            vf value = vload_some(y + i, n) * vset(mean);
            value = (vload_some(dy + i, n) - value) * inverse;
            if (is_added) value = vload_some(addend + i, n) + value;
            vstore_some(dx + i, value, n);
        }
    }
}

/* --------------------------------------------------------------------------------- gain */
/* dims: rows, width; args: y, weight, z */
static void gain_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t width = task->op->dims[1];
    const float *weight = task->args[1];
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *y = (const float *)task->args[0] + row * width;
        float *z = (float *)task->args[2] + row * width;
        FOR_VECTORS(0, width, i, n)
            vstore_some(z + i, vload_some(y + i, n) * vload_some(weight + i, n), n);
    }
}

/* One vector of columns: dims: rows, width; args: dz, y, dweight */
static void gain_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t num_rows = task->op->dims[0], width = task->op->dims[1];
    (void)worker;
    for (int64_t index = begin; index < end; index++) {
        int64_t column = index * VW, row = 0, sums[VW] = {0};
        int n = (int)(width - column < VW ? width - column : VW);
        const float *dz = (const float *)task->args[0] + column;
        const float *y = (const float *)task->args[1] + column;
        float *out = (float *)task->args[2] + column;
        vi most = {0};
        for (; row < num_rows; row++)
            most = vmax_int(most, vabs_bits(vload_some(dz + row * width, n) *
                                            vload_some(y + row * width, n)));
        float grids[VW];
        vf factor = {0};
        for (int lane = 0; lane < n; lane++)
            factor[lane] = get_grid(most[lane], grids + lane, &task->context->invalid);
        for (row = 0; row < num_rows;) {
            vi sum = {0};
            int64_t last = row + LANE_TERMS < num_rows ? row + LANE_TERMS : num_rows;
            for (; row < last; row++)
                sum += vround_int((vload_some(dz + row * width, n) *
                                   vload_some(y + row * width, n)) * factor);
            for (int lane = 0; lane < n; lane++) sums[lane] += sum[lane];
        }
        for (int lane = 0; lane < n; lane++) out[lane] = (float)sums[lane] * grids[lane];
    }
}

/* ------------------------------------------------------------------------------ copying */
/* dims: bytes, offset in the source; args: from, to */
static void run_copy(const struct op *op, void **args) {
    memcpy(args[1], (const char *)args[0] + op->dims[1], (size_t)op->dims[0]);
}

/* args: (part, bytes) ..., whole */
static void run_join(const struct op *op, void **args) {
    char *to = args[op->num_args - 1];
    for (int i = 0; i + 1 < op->num_args; i += 2) {
        int64_t size = *(const int64_t *)args[i + 1];
        memcpy(to, args[i], (size_t)size);
        to += size;
    }
}

/* dims: heads of the result in all sequences, repeats, elements of a head; args: x, y */
static void repeat_heads_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t repeats = task->op->dims[1], size = task->op->dims[2];
    (void)worker;
    for (int64_t head = begin; head < end; head++)
        memcpy((float *)task->args[1] + head * size,
               (const float *)task->args[0] + head / repeats * size, (size_t)size * 4);
}

static void repeat_heads_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t repeats = task->op->dims[1], size = task->op->dims[2];
    (void)worker;
    for (int64_t head = begin; head < end; head++) {
        const float *dy = (const float *)task->args[0] + head * repeats * size;
        float *dx = (float *)task->args[1] + head * size;
        FOR_VECTORS(0, size, i, n) {
            vf total = vload_some(dy + i, n);
            for (int64_t r = 1; r < repeats; r++) total = total + vload_some(dy + r * size + i, n);
            vstore_some(dx + i, total, n);
        }
    }
}

/* --------------------------------------------------------------------------- embedding */
/* dims: tokens, width; args: tokens, table, x */
static void embed_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const int64_t *tokens = task->args[0];
    int64_t width = task->op->dims[1];
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        memcpy((float *)task->args[2] + i * width,
               (const float *)task->args[1] + tokens[i] * width, (size_t)width * 4);
}

static void embed_largest(void *argument, int64_t begin, int64_t end, int worker) {
    struct task *task = argument;
    const float *dx = task->args[1];
    vi most = {0};
    (void)worker;
    FOR_VECTORS(begin, end, i, n) most = vmax_int(most, vabs_bits(vload_some(dx + i, n)));
    raise_largest(&task->largest, vmax_across_int(most));
}

/* Rows of the table; shared[0] holds row starts and the positions of tokens, sorted by row. */
static void embed_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const int64_t *starts = (const int64_t *)task->context->shared[0].data;
    int64_t width = task->op->dims[1], vocab_size = task->op->dims[2];
    const int64_t *order = starts + vocab_size + 1;
    int64_t *sums = (int64_t *)reserve(task->context, &task->context->own[worker], width * 8);
    vf factor = vset(task->factor);
    if (!sums) return;
    for (int64_t row = begin; row < end; row++) {
        float *out = (float *)task->args[2] + row * width;
        memset(sums, 0, (size_t)width * 8);
        for (int64_t j = starts[row]; j < starts[row + 1]; j++) {
            const float *dx = (const float *)task->args[1] + order[j] * width;
            FOR_VECTORS(0, width, i, n) {
                vi terms = vround_int(vload_some(dx + i, n) * factor);
                for (int lane = 0; lane < n; lane++) sums[i + lane] += terms[lane];
            }
        }
        for (int64_t i = 0; i < width; i++) out[i] = (float)sums[i] * task->grid;
    }
}

/* dims: tokens, width, vocab_size; args: tokens, dx, dtable */
static void run_embed_grad(struct context *context, const struct op *op, void **args) {
    struct task task = {.context = context, .op = op, .args = args};
    const int64_t *tokens = args[0];
    int64_t num_tokens = op->dims[0], vocab_size = op->dims[2];
    int64_t *starts = (int64_t *)reserve(context, &context->shared[0],
                                         (vocab_size + 2 + num_tokens) * 8);
    if (!starts) return;
    int64_t *order = starts + vocab_size + 1;
    pool_run(context, embed_largest, &task, num_tokens * op->dims[1], GRAIN);
    task.factor = get_grid(atomic_load(&task.largest), &task.grid, &context->invalid);
    memset(starts, 0, (size_t)(vocab_size + 1) * 8);
    for (int64_t i = 0; i < num_tokens; i++) starts[tokens[i] + 1]++;
    for (int64_t row = 0; row < vocab_size; row++) starts[row + 1] += starts[row];
    for (int64_t i = 0; i < num_tokens; i++) order[starts[tokens[i]]++] = i;
    for (int64_t row = vocab_size; row > 0; row--) starts[row] = starts[row - 1];
    starts[0] = 0;
    pool_run(context, embed_grad_range, &task, vocab_size, 4);
}

#endif
