/* exp2, softmax and its gradient, cross-entropy. */
#ifndef DESCENT_SOFTMAX_H
#define DESCENT_SOFTMAX_H

#include "elementwise.h"

#define EXP2_MIN (-30.0f)
#define SIGMOID_EXP2_MIN (-100.0f)
#define LOG2_E 0x1.715476p+0f
#define LN_2 0.6931471805599453
#define SQRT_2 1.4142135623730951
#define UNIT 0x1p-23 /* numerators are multiples of this */

/* 2^max(y, lowest) for y <= 0. */
INLINE vf compute_exp2(vf y, float lowest) {
    y = vmax(y, vset(lowest));
    vf shifted = y + vset(ROUND_MAGIC);
    vf part = y - (shifted - vset(ROUND_MAGIC));
    vf poly = part * vset(0x1.5bba14p-10f);
    poly = (poly + vset(0x1.3cea88p-7f)) * part;
    poly = (poly + vset(0x1.c6b752p-5f)) * part;
    poly = (poly + vset(0x1.ebf9bcp-3f)) * part;
    poly = (poly + vset(0x1.62e42ap-1f)) * part;
    poly = poly + vset(1.0f);
    return poly * vpower((vi)shifted - ROUND_MAGIC_BITS);
}

/* 2^y for y <= 0 on the grid of 2^-23; *units is the same as an integer. -inf gives 0. */
INLINE vf exp2_on_grid(vf y, vi *units) {
    vf above = compute_exp2(y, EXP2_MIN) + vset(1.0f); /* rounds to the grid */
    *units = (vi)above - 0x3f800000;
    return above - vset(1.0f);
}

/* 1 / (1 + e^-x) */
INLINE vf compute_sigmoid(vf x) {
    vf size = (vf)vabs_bits(x);
    vf power = compute_exp2(-(size * vset(LOG2_E)), SIGMOID_EXP2_MIN);
    vi is_up = (vi)(x >= vset(0.0f));
    vf numerator = (vf)((is_up & (vi)vset(1.0f)) | (~is_up & (vi)power));
    return numerator / (power + vset(1.0f));
}

/* args: gate, up, a */
static void silu_gate_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *gate = task->args[0], *up = task->args[1];
    float *a = task->args[2];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) {
        vf g = vload_some(gate + i, n);
        vstore_some(a + i, (g * compute_sigmoid(g)) * vload_some(up + i, n), n);
    }
}

/* args: da, gate, up, dgate, dup */
static void silu_gate_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const float *da = task->args[0], *gate = task->args[1], *up = task->args[2];
    float *dgate = task->args[3], *dup = task->args[4];
    (void)worker;
    FOR_VECTORS(begin, end, i, n) {
        vf d = vload_some(da + i, n), g = vload_some(gate + i, n), s = compute_sigmoid(g);
        vf slope = s * (g * (vset(1.0f) - s) + vset(1.0f));
        vf to_gate = (d * vload_some(up + i, n)) * slope;
        vstore_some(dup + i, d * (g * s), n);
        vstore_some(dgate + i, to_gate, n);
    }
}

/* The largest x[i] * factor; *invalid if it is infinite or any is a NaN. */
INLINE float find_largest(const float *x, int64_t n, float factor, volatile int32_t *invalid) {
    vf largest = vset(-INFINITY), scale = vset(factor);
    vi is_nan = {0};
    int64_t i = 0;
    for (; i + VW <= n; i += VW) {
        vf y = vload(x + i) * scale;
        is_nan |= (vi)(y != y);
        largest = vmax(largest, y);
    }
    float most = vmax_across(largest);
    for (; i < n; i++) {
        float y = x[i] * factor;
        if (y != y) *invalid = 1;
        most = y > most ? y : most;
    }
    if (vmax_across_int(is_nan & 1) || !isfinite(most)) *invalid = 1;
    return most;
}

/* w[i] = 2^(x[i] * factor - largest) on the grid; returns the sum in units. x may be w. */
INLINE int64_t compute_weights(const float *x, int64_t n, float factor, float largest, float *w) {
    vf scale = vset(factor), most = vset(largest);
    int64_t total = 0, i = 0;
    vi units;
    while (i + VW <= n) {
        vi sum = {0};
        int64_t end = i + LANE_TERMS / 2 * VW < n ? i + LANE_TERMS / 2 * VW : n;
        for (; i + VW <= end; i += VW) {
            vstore(w + i, exp2_on_grid(vload(x + i) * scale - most, &units));
            sum += units;
        }
        total += vsum_across(sum);
    }
    if (i < n) {
        int left = (int)(n - i);
        vf weights = exp2_on_grid(vload_n(x + i, left) * scale - most, &units);
        vstore_n(w + i, weights, left);
        for (int lane = 0; lane < left; lane++) total += units[lane];
    }
    return total;
}

INLINE void divide_row(float *w, int64_t n, float total) {
    FOR_VECTORS(0, n, i, left) vstore_some(w + i, vload_some(w + i, left) / vset(total), left);
}

/* dims: rows, length; reals: scale * log2(e); args: scores, p */
static void causal_softmax_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t length = task->op->dims[1];
    float factor = task->op->reals[0];
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)task->args[0] + row * length;
        float *p = (float *)task->args[1] + row * length;
        int64_t n = row % length + 1;
        float largest = find_largest(x, n, factor, &task->context->invalid);
        int64_t units = compute_weights(x, n, factor, largest, p);
        divide_row(p, n, (float)units * (float)UNIT);
        memset(p + n, 0, (size_t)(length - n) * 4);
    }
}

INLINE void softmax_grad_row(const float *dp, const float *p, int64_t n, float scale, float *out,
                             volatile int32_t *invalid) {
    float total = fixed_sum_products(dp, p, n, invalid);
    FOR_VECTORS(0, n, i, left) {
        vf value = (vload_some(dp + i, left) - vset(total)) * vload_some(p + i, left);
        vstore_some(out + i, value * vset(scale), left);
    }
}

/* dims: rows, length; reals: scale; args: dp, p, dscores */
static void causal_softmax_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t length = task->op->dims[1];
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *dp = (const float *)task->args[0] + row * length;
        const float *p = (const float *)task->args[1] + row * length;
        float *out = (float *)task->args[2] + row * length;
        softmax_grad_row(dp, p, length, task->op->reals[0], out, &task->context->invalid);
    }
}

/* log2 of a normal x >= 1 by single float64 operations. */
INLINE double compute_log2(double x) {
    int64_t bits;
    double mantissa, series = 0.0;
    memcpy(&bits, &x, 8);
    int64_t exponent = (bits >> 52) - 1023;
    bits = (bits & (((int64_t)1 << 52) - 1)) | ((int64_t)1023 << 52);
    memcpy(&mantissa, &bits, 8);
    if (mantissa > SQRT_2) {
        mantissa *= 0.5;
        exponent++;
    }
    double t = (mantissa - 1.0) / (mantissa + 1.0), square = t * t;
    for (int i = 10; i >= 0; i--) {
        double coefficient = 2.8853900817779268 / (2 * i + 1);
        series = i == 10 ? coefficient : series * square + coefficient;
    }
    return series * t + (double)exponent;
}

/* dims: tokens, vocabulary; reals[0]: 1 / tokens; args: logits, targets, nanonats or NULL,
 * p or NULL, dlogits or NULL: one of the two, or neither for the loss alone. */
static void cross_entropy_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t width = task->op->dims[1];
    float *all_p = task->args[3], *all_gradients = task->args[4];
    float *scratch = 0;
    if (!all_p && !all_gradients) {
        scratch = (float *)reserve(task->context, &task->context->own[worker], width * 4);
        if (!scratch) return;
    }
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)task->args[0] + row * width;
        float *gradient = all_gradients ? all_gradients + row * width : 0;
        float *p = all_p ? all_p + row * width : gradient ? gradient : scratch;
        int64_t target = ((const int64_t *)task->args[1])[row];
        double at_target = (double)(x[target] * LOG2_E);
        float largest = find_largest(x, width, LOG2_E, &task->context->invalid);
        int64_t units = compute_weights(x, width, LOG2_E, largest, p);
        double gap = (double)largest - at_target;
        double bits = compute_log2((double)units * UNIT) + gap;
        ((int64_t *)task->args[2])[row] = (int64_t)rint(bits * LN_2 * 1e9);
        float total = (float)((double)units * UNIT);
        if (all_p) divide_row(p, width, total);
        if (all_p || !gradient) continue;
        vf factor = vset(task->op->reals[0]), divisor = vset(total);
        float at = (p[target] / total - 1.0f) * task->op->reals[0];
        FOR_VECTORS(0, width, i, n)
            vstore_some(gradient + i, vload_some(p + i, n) / divisor * factor, n);
        gradient[target] = at;
    }
}

/* dims: tokens, vocabulary; reals[0]: 1 / tokens; args: p, targets, dlogits */
static void cross_entropy_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t width = task->op->dims[1];
    vf factor = vset(task->op->reals[0]);
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *p = (const float *)task->args[0] + row * width;
        float *gradient = (float *)task->args[2] + row * width;
        int64_t target = ((const int64_t *)task->args[1])[row];
        float at = (p[target] - 1.0f) * task->op->reals[0];
        FOR_VECTORS(0, width, i, n)
            vstore_some(gradient + i, vload_some(p + i, n) * factor, n);
        gradient[target] = at;
    }
}

#endif
