/* One instruction-set path: every kernel, compiled for it. The build compiles this file once a
 * path, with PATH_NAME and PATH_* set. */
#include "attention.h"

/* Call a range function on all of an operation. */
static void run_range(struct context *context, const struct op *op, void **args, range_fn fn,
                      int64_t count, int64_t grain) {
    struct task task = {.context = context, .op = op, .args = args};
    pool_run(context, fn, &task, count, grain);
}

/* Rows a piece of work has when a row has `width` elements. */
static int64_t get_row_grain(int64_t width) { return GRAIN / 4 / (width > 0 ? width : 1) + 1; }

static void run_attention(struct context *context, const struct op *op, void **args) {
    struct attention attention = get_attention(context, op, args);
    range_fn fn = op->code == OP_ATTENTION ? attention_range : attention_grad_range;
    pool_run(context, fn, &attention, op->dims[0] * op->dims[3], 1);
}

void PATH_NAME(struct context *context, const struct op *op, void **args) {
    const int64_t *dims = op->dims;
    int64_t rows = get_row_grain(dims[1]);
    switch (op->code) {
    case OP_EMBED: run_range(context, op, args, embed_range, dims[0], rows); break;
    case OP_EMBED_GRAD: run_embed_grad(context, op, args); break;
    case OP_ADD: run_range(context, op, args, add_range, dims[0], GRAIN); break;
    case OP_SCALE: run_range(context, op, args, scale_range, dims[0], GRAIN); break;
    case OP_RELU_SQUARE: run_range(context, op, args, relu_square_range, dims[0], GRAIN); break;
    case OP_RELU_SQUARE_GRAD:
        run_range(context, op, args, relu_square_grad_range, dims[0], GRAIN);
        break;
    case OP_RMS_NORM: run_range(context, op, args, rms_norm_range, dims[0], rows); break;
    case OP_RMS_NORM_GRAD: run_range(context, op, args, rms_norm_grad_range, dims[0], rows); break;
    case OP_MATMUL: run_matmul(context, op, args); break;
    case OP_SPLIT_HEADS:
    case OP_MERGE_HEADS:
        run_range(context, op, args, move_heads_range, dims[0] * dims[1], 16);
        break;
    case OP_ROTATE: run_range(context, op, args, rotate_range, dims[0], 64); break;
    case OP_CAUSAL_SOFTMAX:
        run_range(context, op, args, causal_softmax_range, dims[0], rows);
        break;
    case OP_CAUSAL_SOFTMAX_GRAD:
        run_range(context, op, args, causal_softmax_grad_range, dims[0], rows);
        break;
    case OP_CROSS_ENTROPY: run_range(context, op, args, cross_entropy_range, dims[0], rows); break;
    case OP_CROSS_ENTROPY_GRAD:
        run_range(context, op, args, cross_entropy_grad_range, dims[0], rows);
        break;
    case OP_ADVANCE: *(int64_t *)args[1] = *(const int64_t *)args[0] + 1; break;
    case OP_CLIP_SCALE: run_clip_scale(context, op, args); break;
    case OP_ADAMW: run_range(context, op, args, adamw_range, dims[0], GRAIN); break;
    case OP_SILU_GATE: run_range(context, op, args, silu_gate_range, dims[0], GRAIN); break;
    case OP_SILU_GATE_GRAD:
        run_range(context, op, args, silu_gate_grad_range, dims[0], GRAIN);
        break;
    case OP_GAIN: run_range(context, op, args, gain_range, dims[0], rows); break;
    case OP_GAIN_GRAD:
        run_range(context, op, args, gain_grad_range, (dims[1] + VW - 1) / VW, 1);
        break;
    case OP_REPEAT_HEADS: run_range(context, op, args, repeat_heads_range, dims[0], 4); break;
    case OP_REPEAT_HEADS_GRAD:
        run_range(context, op, args, repeat_heads_grad_range, dims[0], 4);
        break;
    case OP_COPY: run_copy(op, args); break;
    case OP_JOIN: run_join(op, args); break;
    case OP_ATTENTION:
    case OP_ATTENTION_GRAD: run_attention(context, op, args); break;
    default: context->invalid = 2;
    }
}
