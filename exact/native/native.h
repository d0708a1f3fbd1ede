/* What the parts of the library share: operations, the context, the pool, the workspace. */
#ifndef DESCENT_NATIVE_H
#define DESCENT_NATIVE_H

#include <stdint.h>

#define MAX_THREADS 64
#define NUM_DIMS 12
#define NUM_REALS 4

/* Operations of a flat list; the same numbers stand in exact/native/library.py. */
enum op_code {
    OP_EMBED = 1,
    OP_EMBED_GRAD,
    OP_ADD,
    OP_SCALE,
    OP_RELU_SQUARE,
    OP_RELU_SQUARE_GRAD,
    OP_RMS_NORM,
    OP_RMS_NORM_GRAD,
    OP_MATMUL,
    OP_SPLIT_HEADS,
    OP_MERGE_HEADS,
    OP_ROTATE,
    OP_CAUSAL_SOFTMAX,
    OP_CAUSAL_SOFTMAX_GRAD,
    OP_CROSS_ENTROPY,
    OP_CROSS_ENTROPY_GRAD,
    OP_ADVANCE,
    OP_CLIP_SCALE,
    OP_ADAMW,
    OP_ATTENTION,
    OP_ATTENTION_GRAD,
    OP_SILU_GATE,
    OP_SILU_GATE_GRAD,
    OP_GAIN,
    OP_GAIN_GRAD,
    OP_REPEAT_HEADS,
    OP_REPEAT_HEADS_GRAD,
    OP_COPY,
    OP_JOIN,
};

enum op_flag {
    A_K_FIRST = 1,
    B_K_FIRST = 2,
    A_RELU_SQUARE = 4,   /* operand A is relu_square of the tensor given */
    B_RELU_SQUARE = 8,
    PLUS_ADDEND = 16,    /* the result is added to the last argument */
    TIMES_RELU_GRAD = 32, /* the result goes through relu_square_grad at the last argument */
    PACKED_QKV = 64       /* q, k and v are parts of each row of one tensor */
};

struct op {
    int32_t code;
    int32_t flags;
    int32_t first_arg; /* into the list of arguments, which are indices of buffers, -1 = none */
    int32_t num_args;
    int64_t dims[NUM_DIMS];
    float reals[NUM_REALS];
};

struct workspace {
    char *data;
    int64_t size;
};

struct pool;

struct context {
    struct pool *pool;
    int32_t num_threads;
    int32_t path;
    volatile int32_t invalid;           /* set where the definition raises InvalidStep */
    volatile int32_t out_of_memory;
    struct workspace shared[2];         /* packed operands of one product */
    struct workspace own[MAX_THREADS];  /* scratch of each worker */
};

typedef void (*range_fn)(void *task, int64_t begin, int64_t end, int worker);

/* Split 0 .. count - 1 in pieces of `grain` over the workers; returns when all are done. */
void pool_run(struct context *context, range_fn fn, void *task, int64_t count, int64_t grain);
struct pool *pool_create(int num_threads);
void pool_destroy(struct pool *pool);

/* Return at least `size` bytes aligned to 64; contents are lost when it grows. NULL: no memory. */
char *reserve(struct context *context, struct workspace *workspace, int64_t size);

/* A path executes one operation of a list. */
typedef void (*path_fn)(struct context *context, const struct op *op, void **args);

#endif
