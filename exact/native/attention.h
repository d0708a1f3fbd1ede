/* Heads: splitting, rotation, and causal attention as one operation.
 *
 * Attention works through each head by blocks of rows as long as the quantisation block, so that
 * blocks whose probabilities are all masked are never made: they would add +0. The backward pass
 * computes the probabilities again from the row maxima and sums of the forward pass.
 */
#ifndef DESCENT_ATTENTION_H
#define DESCENT_ATTENTION_H

#include "gemm.h"
#include "softmax.h"

/* ----------------------------------------------------------------------- moving, rotating */
/* dims: batch, length, heads, head_dim; the whole is [batch, length, parts, heads, head_dim] and
 * each part [batch, heads, length, head_dim]. Splitting: whole, parts ...; merging: parts ..., whole
 */
static void move_heads_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    const int64_t *dims = task->op->dims;
    int64_t length = dims[1], heads = dims[2], width = dims[3];
    int is_split = task->op->code == OP_SPLIT_HEADS, num_parts = task->op->num_args - 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t batch = i / length, t = i % length;
        float *whole = (float *)task->args[is_split ? 0 : num_parts] + i * num_parts * heads * width;
        for (int part = 0; part < num_parts; part++)
            for (int64_t h = 0; h < heads; h++) {
                float *one = whole + (part * heads + h) * width;
                float *head = (float *)task->args[is_split + part];
                head += ((batch * heads + h) * length + t) * width;
                memcpy(is_split ? head : one, is_split ? one : head, (size_t)width * 4);
            }
    }
}

INLINE void rotate_row(const float *x, const float *cos, const float *sin, int64_t half,
                       int is_grad, float *y) {
    FOR_VECTORS(0, half, i, n) {
        vf first = vload_some(x + i, n), second = vload_some(x + half + i, n);
        vf c = vload_some(cos + i, n), s = vload_some(sin + i, n);
        vf a = is_grad ? first * c + second * s : first * c - second * s;
        vf b = is_grad ? second * c - first * s : second * c + first * s;
        vstore_some(y + i, a, n);
        vstore_some(y + half + i, b, n);
    }
}

/* dims: rows, length, head_dim, is_grad; args: x, cos, sin, y */
static void rotate_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct task *task = argument;
    int64_t length = task->op->dims[1], width = task->op->dims[2], half = width / 2;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        int64_t at = row % length * half;
        rotate_row((const float *)task->args[0] + row * width, (const float *)task->args[1] + at,
                   (const float *)task->args[2] + at, half, (int)task->op->dims[3],
                   (float *)task->args[3] + row * width);
    }
}

/* ------------------------------------------------------------------------------ attention */
/* dims: batch, length, heads, heads of keys and values, head_dim, activation_max, softmax_max,
 * gradient_max, block_size; reals: scale * log2(e), scale
 * forward  args: q, k, v, cos, sin, merged_B,T,C, row maxima and sums_B,H,T,2 or NULL
 * backward args: q, k, v, cos, sin, dmerged, row maxima and sums, dq, dk, dv
 * q, k and v are [B, T, heads * head_dim] each, or with PACKED_QKV one [B, T, 3C].
 * A piece of work is a head of keys and values with its group of query heads. */
struct attention {
    struct context *context;
    const struct op *op;
    void **args;
    /* left and right operand of: scores q * k, values p * v, dp = dy * v, dv = p * dy,
     * dq = dscores * k, dk = dscores * q */
    struct format scores[2], values[2], to_dp[2], to_dv[2], to_dq[2];
    int64_t length, heads, kv_heads, width, block;
};

enum { ARG_Q, ARG_K, ARG_V, ARG_COS, ARG_SIN, ARG_OUT, ARG_STATS, ARG_DQ, ARG_DK, ARG_DV };

struct head {
    int64_t q_at, k_at, v_at; /* offsets of a sequence and head in q, k, v and their gradients */
    int64_t q_stride, kv_stride;
    int64_t out_at, out_stride;
    float *stats;
    int is_first; /* of its group */
    int is_last;
};

INLINE void set_formats(struct format *formats, int64_t left, int64_t right, int64_t block_size) {
    formats[0] = get_format(left, right, block_size, 0);
    formats[1] = get_format(right, left, block_size, 1);
}

INLINE struct attention get_attention(struct context *context, const struct op *op, void **args) {
    const int64_t *dims = op->dims;
    struct attention attention = {.context = context, .op = op, .args = args};
    attention.length = dims[1];
    attention.heads = dims[2];
    attention.kv_heads = dims[3];
    attention.width = dims[4];
    attention.block = dims[8];
    set_formats(attention.scores, dims[5], dims[5], dims[8]);
    set_formats(attention.values, dims[6], dims[5], dims[8]);
    set_formats(attention.to_dp, dims[7], dims[5], dims[8]);
    set_formats(attention.to_dv, dims[6], dims[7], dims[8]);
    set_formats(attention.to_dq, dims[7], dims[5], dims[8]);
    return attention;
}

/* The query head `member` of the group of a head of keys and values, counted over sequences. */
INLINE struct head get_head(const struct attention *attention, int64_t group, int64_t member) {
    int64_t batch = group / attention->kv_heads, kv = group % attention->kv_heads;
    int64_t repeats = attention->heads / attention->kv_heads, h = kv * repeats + member;
    int64_t q_width = attention->heads * attention->width;
    int64_t kv_width = attention->kv_heads * attention->width;
    int is_packed = (attention->op->flags & PACKED_QKV) != 0;
    struct head head = {.q_stride = q_width, .kv_stride = kv_width, .out_stride = q_width};
    if (is_packed) head.q_stride = head.kv_stride = 3 * q_width;
    int64_t row = batch * attention->length;
    head.out_at = row * q_width + h * attention->width;
    head.q_at = row * head.q_stride + h * attention->width;
    head.k_at = row * head.kv_stride + kv * attention->width + (is_packed ? q_width : 0);
    head.v_at = head.k_at + (is_packed ? q_width : 0);
    float *stats = attention->args[ARG_STATS];
    head.stats = stats ? stats + (batch * attention->heads + h) * attention->length * 2 : 0;
    head.is_first = member == 0;
    head.is_last = member == repeats - 1;
    return head;
}

INLINE const float *get_rows(const struct attention *attention, int arg, int64_t at) {
    return (const float *)attention->args[arg] + at;
}

static void rotate_all(const struct attention *attention, const float *x, int64_t stride,
                       float *y) {
    int64_t half = attention->width / 2;
    for (int64_t t = 0; t < attention->length; t++)
        rotate_row(x + t * stride, get_rows(attention, ARG_COS, t * half),
                   get_rows(attention, ARG_SIN, t * half), half, 0,
                   y + t * attention->width);
}

static void unrotate_rows(const struct attention *attention, const float *dy, int64_t begin,
                          int64_t end, float *dx, int64_t stride) {
    int64_t half = attention->width / 2;
    for (int64_t t = begin; t < end; t++)
        rotate_row(dy + (t - begin) * attention->width,
                   get_rows(attention, ARG_COS, t * half),
                   get_rows(attention, ARG_SIN, t * half), half, 1, dx + t * stride);
}

INLINE char *align(char *p) { return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

static void pack_blocks(const struct attention *attention, const struct source *source,
                        const struct packed *packed, const struct format *format,
                        int64_t num_panels, int64_t first_block, int64_t end_block) {
    for (int64_t panel = 0; panel < num_panels; panel++)
        for (int64_t block = first_block; block < end_block; block++)
            pack_one(source, packed, format, panel, block, &attention->context->invalid);
}

static void pack_operand(const struct attention *attention, const float *data, int64_t stride,
                         int k_first, const struct format *format, const struct packed *packed) {
    struct source source = {.data = data, .stride = stride, .k_first = k_first};
    pack_alone(attention->context, &source, packed, format);
}

/* What the forward pass packs of keys and values, once a group, and of each query head. */
struct head_parts {
    struct packed q, k, v, p;
    float *turned, *scores;
    int64_t padded;
};

static void place_parts(const struct attention *attention, struct head_parts *parts,
                        char *memory) {
    int64_t length = attention->length, width = attention->width;
    int64_t rows = attention->block < length ? attention->block : length;
    parts->q = describe_packed(length, width, &attention->scores[0]);
    parts->k = describe_packed(length, width, &attention->scores[1]);
    parts->v = describe_packed(width, length, &attention->values[1]);
    parts->p = describe_packed(rows, length, &attention->values[0]);
    struct packed *all[] = {&parts->q, &parts->k, &parts->v, &parts->p};
    for (int i = 0; i < 4; i++) memory = place_packed(all[i], memory);
    parts->padded = (length + 15) / 16 * 16;
    parts->turned = (float *)memory;
    parts->scores = (float *)align(memory + length * width * 4);
}

static void pack_keys(const struct attention *attention, const struct head *head,
                      struct head_parts *parts) {
    rotate_all(attention, get_rows(attention, ARG_K, head->k_at), head->kv_stride, parts->turned);
    pack_operand(attention, parts->turned, attention->width, 0, &attention->scores[1], &parts->k);
    pack_operand(attention, get_rows(attention, ARG_V, head->v_at), head->kv_stride, 1,
                 &attention->values[1], &parts->v);
}

static void soften_row(const struct attention *attention, const struct head *head, float *row,
                       int64_t t) {
    float factor = attention->op->reals[0];
    float largest = find_largest(row, t + 1, factor, &attention->context->invalid);
    float total = (float)compute_weights(row, t + 1, factor, largest, row) * (float)UNIT;
    divide_row(row, t + 1, total);
    if (!head->stats) return;
    head->stats[2 * t] = largest;
    head->stats[2 * t + 1] = total;
}

static void attend_head(const struct attention *attention, const struct head *head,
                        struct head_parts *parts) {
    int64_t length = attention->length, block = attention->block;
    rotate_all(attention, get_rows(attention, ARG_Q, head->q_at), head->q_stride, parts->turned);
    pack_operand(attention, parts->turned, attention->width, 0, &attention->scores[0], &parts->q);
    for (int64_t begin = 0, index = 0; begin < length; begin += block, index++) {
        int64_t end = begin + block < length ? begin + block : length;
        struct target to_scores = {
            .data = parts->scores, .stride = parts->padded, .first_row = begin};
        multiply_rows(&parts->q, &parts->k, begin, end, divide_up(end, PANEL), 0,
                      parts->q.num_blocks, &to_scores);
        for (int64_t t = begin; t < end; t++) {
            float *row = parts->scores + (t - begin) * parts->padded;
            soften_row(attention, head, row, t);
            memset(row + t + 1, 0, (size_t)(end - t - 1) * 4);
        }
        struct source source = {.data = parts->scores, .stride = parts->padded};
        parts->p.rows = end - begin;
        pack_blocks(attention, &source, &parts->p, &attention->values[0],
                    divide_up(parts->p.rows, PANEL), 0, index + 1);
        float *out = (float *)attention->args[ARG_OUT] + head->out_at + begin * head->out_stride;
        struct target target = {.data = out, .stride = head->out_stride};
        multiply_rows(&parts->p, &parts->v, 0, parts->p.rows, parts->v.num_panels, 0, index + 1,
                      &target);
    }
}

static int64_t count_attention_bytes(const struct attention *attention, int is_grad) {
    int64_t length = attention->length, width = attention->width;
    int64_t rows = attention->block < length ? attention->block : length;
    struct format widest = attention->scores[0]; /* no format takes more than int16 */
    widest.kind = INT16;
    struct packed narrow = describe_packed(length, width, &widest);
    struct packed tall = describe_packed(width, length, &widest);
    struct packed square = describe_packed(length, length, &widest);
    struct packed part = describe_packed(rows, length, &widest);
    int64_t scores = rows * (length + 16) * 4, turned = 3 * length * width * 4;
    int64_t small = 4 * count_packed_bytes(&narrow) + 4 * count_packed_bytes(&tall);
    int64_t large = is_grad ? 2 * count_packed_bytes(&square) : 0;
    return small + large + count_packed_bytes(&part) + 2 * scores + turned + 1024;
}

static void attention_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct attention *attention = argument;
    int64_t repeats = attention->heads / attention->kv_heads;
    struct head_parts parts;
    char *memory = reserve(attention->context, &attention->context->own[worker],
                           count_attention_bytes(attention, 0));
    if (!memory) return;
    place_parts(attention, &parts, memory);
    for (int64_t group = begin; group < end; group++)
        for (int64_t member = 0; member < repeats; member++) {
            struct head head = get_head(attention, group, member);
            if (head.is_first) pack_keys(attention, &head, &parts);
            attend_head(attention, &head, &parts);
        }
}

/* ------------------------------------------------------------------------------- backward */
struct head_grad {
    struct packed q, k, v, dy;          /* rows of the sequence, contraction over the head */
    struct packed q_t, k_t, dy_t;       /* columns of the head, contraction over the sequence */
    struct packed p_t, dscores_t;       /* keys, contraction over queries */
    struct packed dscores;              /* queries of one block, contraction over keys */
    float *turned, *p, *dp, *dk;
    int64_t padded;
};

static void place_head_grad(const struct attention *attention, struct head_grad *g,
                            char *memory) {
    int64_t length = attention->length, width = attention->width;
    int64_t rows = attention->block < length ? attention->block : length;
    g->q = describe_packed(length, width, &attention->scores[0]);
    g->k = describe_packed(length, width, &attention->scores[1]);
    g->dy = describe_packed(length, width, &attention->to_dp[0]);
    g->v = describe_packed(length, width, &attention->to_dp[1]);
    g->q_t = g->k_t = describe_packed(width, length, &attention->to_dq[1]);
    g->dy_t = describe_packed(width, length, &attention->to_dv[1]);
    g->p_t = describe_packed(length, length, &attention->to_dv[0]);
    g->dscores_t = describe_packed(length, length, &attention->to_dq[0]);
    g->dscores = describe_packed(rows, length, &attention->to_dq[0]);
    struct packed *all[] = {&g->q,   &g->k,    &g->v,   &g->dy,        &g->q_t,
                            &g->k_t, &g->dy_t, &g->p_t, &g->dscores_t, &g->dscores};
    for (int i = 0; i < 10; i++) memory = place_packed(all[i], memory);
    g->padded = (length + 15) / 16 * 16;
    g->turned = (float *)memory;
    g->dk = g->turned + length * width;
    g->p = (float *)align((char *)(g->dk + length * width));
    g->dp = g->p + rows * g->padded;
}

static void pack_head_grad(const struct attention *attention, const struct head *head,
                           struct head_grad *g) {
    int64_t width = attention->width, kv_stride = head->kv_stride;
    const float *dy = get_rows(attention, ARG_OUT, head->out_at);
    rotate_all(attention, get_rows(attention, ARG_Q, head->q_at), head->q_stride, g->turned);
    pack_operand(attention, g->turned, width, 0, &attention->scores[0], &g->q);
    pack_operand(attention, g->turned, width, 1, &attention->to_dq[1], &g->q_t);
    pack_operand(attention, dy, head->out_stride, 0, &attention->to_dp[0], &g->dy);
    pack_operand(attention, dy, head->out_stride, 1, &attention->to_dv[1], &g->dy_t);
    if (!head->is_first) return;
    rotate_all(attention, get_rows(attention, ARG_K, head->k_at), kv_stride, g->turned);
    pack_operand(attention, g->turned, width, 0, &attention->scores[1], &g->k);
    pack_operand(attention, g->turned, width, 1, &attention->to_dq[1], &g->k_t);
    pack_operand(attention, get_rows(attention, ARG_V, head->v_at), kv_stride, 0,
                 &attention->to_dp[1], &g->v);
}

/* Scores in g->p and the gradient of p in g->dp become p and dscores. */
static void differentiate_rows(const struct attention *attention, const struct head *head,
                               struct head_grad *g, int64_t begin, int64_t end) {
    const float *reals = attention->op->reals;
    vi units;
    for (int64_t t = begin; t < end; t++) {
        float *p = g->p + (t - begin) * g->padded, *dp = g->dp + (t - begin) * g->padded;
        vf factor = vset(reals[0]), most = vset(head->stats[2 * t]);
        vf total = vset(head->stats[2 * t + 1]);
        FOR_VECTORS(0, t + 1, i, n) {
            vf weight = exp2_on_grid(vload_some(p + i, n) * factor - most, &units);
            vstore_some(p + i, weight / total, n);
        }
        softmax_grad_row(dp, p, t + 1, reals[1], dp, &attention->context->invalid);
        memset(p + t + 1, 0, (size_t)(end - t - 1) * 4);
        memset(dp + t + 1, 0, (size_t)(end - t - 1) * 4);
    }
}

static void differentiate_block(const struct attention *attention, const struct head *head,
                                struct head_grad *g, int64_t index) {
    int64_t begin = index * attention->block, end = begin + attention->block;
    if (end > attention->length) end = attention->length;
    int64_t num_panels = divide_up(end, PANEL);
    struct target to_p = {.data = g->p, .stride = g->padded, .first_row = begin};
    struct target to_dp = {.data = g->dp, .stride = g->padded, .first_row = begin};
    multiply_rows(&g->q, &g->k, begin, end, num_panels, 0, g->q.num_blocks, &to_p);
    multiply_rows(&g->dy, &g->v, begin, end, num_panels, 0, g->q.num_blocks, &to_dp);
    differentiate_rows(attention, head, g, begin, end);
    struct source p_t = {.data = g->p, .stride = g->padded, .k_first = 1, .first_k = begin};
    struct source dscores_t = p_t, dscores = {.data = g->dp, .stride = g->padded};
    dscores_t.data = g->dp;
    struct packed p_part = g->p_t, dscores_part = g->dscores_t; /* keys past `end` are not there */
    p_part.rows = dscores_part.rows = end;
    pack_blocks(attention, &p_t, &p_part, &attention->to_dv[0], num_panels, index, index + 1);
    pack_blocks(attention, &dscores_t, &dscores_part, &attention->to_dq[0], num_panels, index,
                index + 1);
    g->dscores.rows = end - begin;
    pack_blocks(attention, &dscores, &g->dscores, &attention->to_dq[0],
                divide_up(end - begin, PANEL), 0, index + 1);
    struct target to_dq = {.data = g->turned, .stride = attention->width};
    multiply_rows(&g->dscores, &g->k_t, 0, end - begin, g->k_t.num_panels, 0, index + 1, &to_dq);
    unrotate_rows(attention, g->turned, begin, end,
                  (float *)attention->args[ARG_DQ] + head->q_at, head->q_stride);
}

/* Gradients of a group's heads are added in ascending order, before the rotation is undone. */
static void differentiate_head(const struct attention *attention, const struct head *head,
                               struct head_grad *g) {
    int64_t length = attention->length, block = attention->block;
    int64_t num_blocks = g->p_t.num_blocks, num_panels = g->dy_t.num_panels;
    float *dv = (float *)attention->args[ARG_DV] + head->v_at;
    float *dk = (float *)attention->args[ARG_DK] + head->k_at;
    struct target to_dv = {.data = dv, .stride = head->kv_stride};
    struct target to_dk = {.data = g->dk, .stride = attention->width};
    if (!head->is_first) {
        to_dv.finish = to_dk.finish = ADD_EXTRA;
        to_dv.extra = dv;
        to_dk.extra = g->dk;
    }
    pack_head_grad(attention, head, g);
    for (int64_t index = 0; index < num_blocks; index++)
        differentiate_block(attention, head, g, index);
    for (int64_t begin = 0, index = 0; begin < length; begin += block, index++) {
        int64_t end = begin + block < length ? begin + block : length;
        multiply_rows(&g->p_t, &g->dy_t, begin, end, num_panels, index, num_blocks, &to_dv);
        multiply_rows(&g->dscores_t, &g->q_t, begin, end, num_panels, index, num_blocks, &to_dk);
    }
    if (head->is_last) unrotate_rows(attention, g->dk, 0, length, dk, head->kv_stride);
}

static void attention_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct attention *attention = argument;
    int64_t repeats = attention->heads / attention->kv_heads;
    struct head_grad g;
    char *memory = reserve(attention->context, &attention->context->own[worker],
                           count_attention_bytes(attention, 1));
    if (!memory) return;
    place_head_grad(attention, &g, memory);
    for (int64_t group = begin; group < end; group++)
        for (int64_t member = 0; member < repeats; member++) {
            struct head head = get_head(attention, group, member);
            differentiate_head(attention, &head, &g);
        }
}

#endif
