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
/* dims: batch, length, heads, head_dim, operand_max, block_size; reals: scale * log2(e), scale
 * forward  args: qkv_B,T,3C, cos, sin, merged_B,T,C, row maxima and sums_B,H,T,2 or NULL
 * backward args: qkv, cos, sin, dmerged, row maxima and sums, dqkv */
struct attention {
    struct context *context;
    const struct op *op;
    void **args;
    struct format format;
    int64_t length, heads, width;
};

struct head {
    const float *q, *k, *v; /* of one sequence and head, in qkv */
    int64_t in_stride, out_offset, out_stride;
    float *stats;
};

INLINE struct attention get_attention(struct context *context, const struct op *op, void **args) {
    struct attention attention = {.context = context, .op = op, .args = args};
    attention.format = get_format(op->dims[4], op->dims[5]);
    attention.length = op->dims[1];
    attention.heads = op->dims[2];
    attention.width = op->dims[3];
    return attention;
}

INLINE struct head get_head(const struct attention *attention, int64_t index) {
    int64_t batch = index / attention->heads, h = index % attention->heads;
    int64_t width = attention->heads * attention->width;
    const float *qkv = (const float *)attention->args[0] + batch * attention->length * 3 * width;
    struct head head = {.in_stride = 3 * width, .out_stride = width};
    head.q = qkv + h * attention->width;
    head.k = head.q + width;
    head.v = head.k + width;
    head.out_offset = batch * attention->length * width + h * attention->width;
    float *stats = attention->args[4];
    head.stats = stats ? stats + index * attention->length * 2 : 0;
    return head;
}

static void rotate_all(const struct attention *attention, const float *x, int64_t stride,
                       float *y) {
    int64_t half = attention->width / 2;
    for (int64_t t = 0; t < attention->length; t++)
        rotate_row(x + t * stride, (const float *)attention->args[1] + t * half,
                   (const float *)attention->args[2] + t * half, half, 0,
                   y + t * attention->width);
}

static void unrotate_rows(const struct attention *attention, const float *dy, int64_t begin,
                          int64_t end, float *dx, int64_t stride) {
    int64_t half = attention->width / 2;
    for (int64_t t = begin; t < end; t++)
        rotate_row(dy + (t - begin) * attention->width,
                   (const float *)attention->args[1] + t * half,
                   (const float *)attention->args[2] + t * half, half, 1, dx + t * stride);
}

INLINE char *align(char *p) { return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

static void pack_blocks(const struct attention *attention, const struct source *source,
                        const struct packed *packed, int64_t num_panels, int64_t first_block,
                        int64_t end_block) {
    for (int64_t panel = 0; panel < num_panels; panel++)
        for (int64_t block = first_block; block < end_block; block++)
            pack_one(source, packed, &attention->format, panel, block,
                     &attention->context->invalid);
}

static void pack_operand(const struct attention *attention, const float *data, int64_t stride,
                         int k_first, const struct packed *packed) {
    struct source source = {.data = data, .stride = stride, .k_first = k_first};
    pack_alone(attention->context, &source, packed, &attention->format);
}

static void attend_head(const struct attention *attention, const struct head *head,
                        char *memory) {
    int64_t length = attention->length, width = attention->width;
    int64_t block = attention->format.block_size, padded = (length + 15) / 16 * 16;
    struct packed q = describe_packed(length, width, &attention->format), k = q;
    struct packed v = describe_packed(width, length, &attention->format);
    struct packed p = describe_packed(block < length ? block : length, length, &attention->format);
    memory = place_packed(&v, place_packed(&k, place_packed(&q, memory)));
    memory = place_packed(&p, memory);
    float *turned = (float *)memory, *scores = (float *)align(memory + length * width * 4);
    rotate_all(attention, head->q, head->in_stride, turned);
    pack_operand(attention, turned, width, 0, &q);
    rotate_all(attention, head->k, head->in_stride, turned);
    pack_operand(attention, turned, width, 0, &k);
    pack_operand(attention, head->v, head->in_stride, 1, &v);
    for (int64_t begin = 0, index = 0; begin < length; begin += block, index++) {
        int64_t end = begin + block < length ? begin + block : length;
        struct target to_scores = {.data = scores, .stride = padded, .first_row = begin};
        multiply_rows(&q, &k, begin, end, divide_up(end, PANEL), 0, q.num_blocks, &to_scores);
        for (int64_t t = begin; t < end; t++) {
            float *row = scores + (t - begin) * padded, factor = attention->op->reals[0];
            float largest = find_largest(row, t + 1, factor, &attention->context->invalid);
            float total = (float)compute_weights(row, t + 1, factor, largest, row) * (float)UNIT;
            divide_row(row, t + 1, total);
            memset(row + t + 1, 0, (size_t)(end - t - 1) * 4);
            if (!head->stats) continue;
            head->stats[2 * t] = largest;
            head->stats[2 * t + 1] = total;
        }
        struct source source = {.data = scores, .stride = padded};
        p.rows = end - begin;
        pack_blocks(attention, &source, &p, divide_up(p.rows, PANEL), 0, index + 1);
        struct target target = {
            .data = (float *)attention->args[3] + head->out_offset + begin * head->out_stride,
            .stride = head->out_stride};
        multiply_rows(&p, &v, 0, p.rows, v.num_panels, 0, index + 1, &target);
    }
}

static int64_t count_attention_bytes(const struct attention *attention, int is_grad) {
    int64_t length = attention->length, width = attention->width;
    int64_t block = attention->format.block_size, rows = block < length ? block : length;
    struct packed narrow = describe_packed(length, width, &attention->format);
    struct packed tall = describe_packed(width, length, &attention->format);
    struct packed square = describe_packed(length, length, &attention->format);
    struct packed part = describe_packed(rows, length, &attention->format);
    int64_t scores = rows * (length + 16) * 4, turned = 2 * length * width * 4;
    int64_t small = 4 * count_packed_bytes(&narrow) + 4 * count_packed_bytes(&tall);
    int64_t large = is_grad ? 2 * count_packed_bytes(&square) : 0;
    return small + large + count_packed_bytes(&part) + 2 * scores + turned + 1024;
}

static void attention_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct attention *attention = argument;
    char *memory = reserve(attention->context, &attention->context->own[worker],
                           count_attention_bytes(attention, 0));
    if (!memory) return;
    for (int64_t i = begin; i < end; i++) {
        struct head head = get_head(attention, i);
        attend_head(attention, &head, memory);
    }
}

/* ------------------------------------------------------------------------------- backward */
struct head_grad {
    struct packed q, k, v, dy;          /* rows of the sequence, contraction over the head */
    struct packed q_t, k_t, dy_t;       /* columns of the head, contraction over the sequence */
    struct packed p_t, dscores_t;       /* keys, contraction over queries */
    struct packed dscores;              /* queries of one block, contraction over keys */
    float *turned, *p, *dp;
    int64_t padded;
};

static void place_head_grad(const struct attention *attention, struct head_grad *g,
                            char *memory) {
    int64_t length = attention->length, width = attention->width;
    int64_t block = attention->format.block_size, rows = block < length ? block : length;
    g->q = g->k = g->v = g->dy = describe_packed(length, width, &attention->format);
    g->q_t = g->k_t = g->dy_t = describe_packed(width, length, &attention->format);
    g->p_t = g->dscores_t = describe_packed(length, length, &attention->format);
    g->dscores = describe_packed(rows, length, &attention->format);
    struct packed *all[] = {&g->q,   &g->k,    &g->v,   &g->dy,        &g->q_t,
                            &g->k_t, &g->dy_t, &g->p_t, &g->dscores_t, &g->dscores};
    for (int i = 0; i < 10; i++) memory = place_packed(all[i], memory);
    g->padded = (length + 15) / 16 * 16;
    g->turned = (float *)memory;
    g->p = (float *)align(memory + length * width * 4);
    g->dp = g->p + rows * g->padded;
}

static void pack_head_grad(const struct attention *attention, const struct head *head,
                           const float *dy, struct head_grad *g) {
    int64_t width = attention->width;
    rotate_all(attention, head->q, head->in_stride, g->turned);
    pack_operand(attention, g->turned, width, 0, &g->q);
    pack_operand(attention, g->turned, width, 1, &g->q_t);
    rotate_all(attention, head->k, head->in_stride, g->turned);
    pack_operand(attention, g->turned, width, 0, &g->k);
    pack_operand(attention, g->turned, width, 1, &g->k_t);
    pack_operand(attention, head->v, head->in_stride, 0, &g->v);
    pack_operand(attention, dy, head->out_stride, 0, &g->dy);
    pack_operand(attention, dy, head->out_stride, 1, &g->dy_t);
}

/* p from the scores in g->p and its gradient in g->dp become p and dscores. */
static void differentiate_rows(const struct attention *attention, const struct head *head,
                               struct head_grad *g, int64_t begin, int64_t end) {
    const float *reals = attention->op->reals;
    vi units;
    for (int64_t t = begin; t < end; t++) {
        float *p = g->p + (t - begin) * g->padded, *dp = g->dp + (t - begin) * g->padded;
        vf factor = vset(reals[0]), most = vset(head->stats[2 * t]);
        vf total = vset(head->stats[2 * t + 1]);
        FOR_VECTORS(0, t + 1, i, n)
            vstore_some(p + i, exp2_on_grid(vload_some(p + i, n) * factor - most, &units) / total,
                        n);
        softmax_grad_row(dp, p, t + 1, reals[1], dp, &attention->context->invalid);
        memset(p + t + 1, 0, (size_t)(end - t - 1) * 4);
        memset(dp + t + 1, 0, (size_t)(end - t - 1) * 4);
    }
}

static void differentiate_block(const struct attention *attention, const struct head *head,
                                struct head_grad *g, int64_t index, float *dq) {
    int64_t block = attention->format.block_size, begin = index * block;
    int64_t end = begin + block < attention->length ? begin + block : attention->length;
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
    pack_blocks(attention, &p_t, &p_part, num_panels, index, index + 1);
    pack_blocks(attention, &dscores_t, &dscores_part, num_panels, index, index + 1);
    g->dscores.rows = end - begin;
    pack_blocks(attention, &dscores, &g->dscores, divide_up(end - begin, PANEL), 0, index + 1);
    struct target to_dq = {.data = g->turned, .stride = attention->width};
    multiply_rows(&g->dscores, &g->k_t, 0, end - begin, g->k_t.num_panels, 0, index + 1, &to_dq);
    unrotate_rows(attention, g->turned, begin, end, dq, head->in_stride);
}

static void differentiate_head(const struct attention *attention, const struct head *head,
                               char *memory) {
    struct head_grad g;
    int64_t length = attention->length, block = attention->format.block_size;
    const float *dy = (const float *)attention->args[3] + head->out_offset;
    ptrdiff_t at = head->q - (const float *)attention->args[0];
    float *dq = (float *)attention->args[5] + at;
    float *dk = dq + (head->k - head->q), *dv = dq + (head->v - head->q);
    place_head_grad(attention, &g, memory);
    pack_head_grad(attention, head, dy, &g);
    for (int64_t index = 0; index < g.p_t.num_blocks; index++)
        differentiate_block(attention, head, &g, index, dq);
    for (int64_t begin = 0, index = 0; begin < length; begin += block, index++) {
        int64_t end = begin + block < length ? begin + block : length;
        int64_t num_blocks = g.p_t.num_blocks, num_panels = g.dy_t.num_panels;
        struct target to_dv = {.data = dv, .stride = head->in_stride};
        struct target to_dk = {.data = g.turned, .stride = attention->width, .first_row = begin};
        multiply_rows(&g.p_t, &g.dy_t, begin, end, num_panels, index, num_blocks, &to_dv);
        multiply_rows(&g.dscores_t, &g.q_t, begin, end, num_panels, index, num_blocks, &to_dk);
        unrotate_rows(attention, g.turned, begin, end, dk, head->in_stride);
    }
}

static void attention_grad_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct attention *attention = argument;
    char *memory = reserve(attention->context, &attention->context->own[worker],
                           count_attention_bytes(attention, 1));
    if (!memory) return;
    for (int64_t i = begin; i < end; i++) {
        struct head head = get_head(attention, i);
        differentiate_head(attention, &head, memory);
    }
}

#endif
