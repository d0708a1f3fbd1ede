/* The C interface: which paths this processor has, contexts, and running a list of operations. */
#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define MAX_ARGS 4096
#define EXPORT __attribute__((visibility("default")))

/* Results of descent_run. */
enum status { DONE, INVALID_STEP, OUT_OF_MEMORY, UNKNOWN_OPERATION };

#if defined(__x86_64__)
#include <cpuid.h>
void run_avx512_vnni(struct context *, const struct op *, void **);
void run_avx512(struct context *, const struct op *, void **);
void run_avx2_vnni(struct context *, const struct op *, void **);
void run_avx2(struct context *, const struct op *, void **);
/* By CPUID and XGETBV themselves: not every compiler's runtime fills in what
 * __builtin_cpu_supports reads. */
struct features {
    unsigned basic_c, ebx, ecx, extended_a; /* leaf 1's ecx; leaf 7's ebx and ecx; 7.1's eax */
    unsigned kept;                          /* registers that the operating system keeps */
};
static struct features get_features(void) {
    struct features f = {0};
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &f.basic_c, &edx) || !((f.basic_c >> 27) & 1)) return f;
    __asm__("xgetbv" : "=a"(f.kept), "=d"(edx) : "c"(0));
    if (!__get_cpuid_count(7, 0, &eax, &f.ebx, &f.ecx, &edx)) return f;
    if (eax >= 1) __get_cpuid_count(7, 1, &f.extended_a, &ebx, &ecx, &edx);
    return f;
}
#define BITS(word, mask) (((word) & (mask)) == (mask))
#define YMM 0x6u  /* SSE and AVX state */
#define ZMM 0xe6u /* and AVX-512's three */
#define FMA (1u << 12)
#define AVX2 (1u << 5)
#define AVX512_F_DQ_BW_VL (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)
#define AVX512_VNNI (1u << 11)
#define AVX_VNNI (1u << 4)
static int has_avx512(void) {
    struct features f = get_features();
    return BITS(f.kept, ZMM) && BITS(f.ebx, AVX512_F_DQ_BW_VL) && BITS(f.basic_c, FMA);
}
static int has_avx512_vnni(void) { return has_avx512() && BITS(get_features().ecx, AVX512_VNNI); }
static int has_avx2(void) {
    struct features f = get_features();
    return BITS(f.kept, YMM) && BITS(f.ebx, AVX2);
}
static int has_avx2_vnni(void) { return has_avx2() && BITS(get_features().extended_a, AVX_VNNI); }
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_ARM_PATHS
/* As the kernel's interface numbers them; older headers lack the names. */
#define HAS_ASIMDDP (1ul << 20) /* of AT_HWCAP: SDOT */
#define HAS_I8MM (1ul << 13)    /* of AT_HWCAP2: SMMLA */
void run_arm_i8mm(struct context *, const struct op *, void **);
void run_arm_sdot(struct context *, const struct op *, void **);
void run_neon(struct context *, const struct op *, void **);
static int has_arm_sdot(void) { return (getauxval(AT_HWCAP) & HAS_ASIMDDP) != 0; }
static int has_arm_i8mm(void) {
    return has_arm_sdot() && (getauxval(AT_HWCAP2) & HAS_I8MM) != 0;
}
static int has_neon(void) { return 1; }
#endif
void run_portable(struct context *, const struct op *, void **);
static int has_portable(void) { return 1; }

/* Fastest first. */
static const struct path {
    const char *name;
    int (*is_there)(void);
    path_fn run;
} PATHS[] = {
#if defined(__x86_64__)
    {"avx512-vnni", has_avx512_vnni, run_avx512_vnni},
    {"avx512", has_avx512, run_avx512},
    {"avx-vnni", has_avx2_vnni, run_avx2_vnni},
    {"avx2", has_avx2, run_avx2},
#elif defined(HAS_ARM_PATHS)
    {"arm-i8mm", has_arm_i8mm, run_arm_i8mm},
    {"arm-sdot", has_arm_sdot, run_arm_sdot},
    {"neon", has_neon, run_neon},
#endif
    {"portable", has_portable, run_portable},
};
#define NUM_PATHS ((int)(sizeof PATHS / sizeof PATHS[0]))

EXPORT int descent_count_paths(void) { return NUM_PATHS; }

EXPORT const char *descent_get_path_name(int path) { return PATHS[path].name; }

/* Whether this processor can execute a path. */
EXPORT int descent_has_path(int path) { return PATHS[path].is_there(); }

EXPORT struct context *descent_create(int path, int num_threads) {
    struct context *context = calloc(1, sizeof *context);
    if (!context) return NULL;
    context->path = path;
    context->num_threads = 1;
    if (num_threads > MAX_THREADS) num_threads = MAX_THREADS;
    if (num_threads > 1) {
        context->pool = pool_create(num_threads);
        if (context->pool) context->num_threads = num_threads;
    }
    return context;
}

EXPORT void descent_destroy(struct context *context) {
    if (context->pool) pool_destroy(context->pool);
    for (int i = 0; i < 2; i++) free(context->shared[i].data);
    for (int i = 0; i < MAX_THREADS; i++) free(context->own[i].data);
    free(context);
}

/* Execute a list. Arguments of an operation are indices into `buffers`; -1 passes NULL.
 *
 * The floating-point environment is set to round to nearest with subnormals for the call, whatever
 * the caller has set, and put back. */
EXPORT int descent_run(struct context *context, const struct op *ops, int64_t num_ops,
                const int32_t *args, void **buffers) {
    fenv_t environment;
    void *pointers[MAX_ARGS];
    fegetenv(&environment);
    fesetenv(FE_DFL_ENV);
    context->invalid = context->out_of_memory = 0;
    for (int64_t i = 0; i < num_ops && !context->invalid && !context->out_of_memory; i++) {
        const struct op *op = ops + i;
        if (op->num_args > MAX_ARGS) {
            context->invalid = 2;
            break;
        }
        for (int j = 0; j < op->num_args; j++) {
            int32_t index = args[op->first_arg + j];
            pointers[j] = index < 0 ? NULL : buffers[index];
        }
        PATHS[context->path].run(context, op, pointers);
    }
    fesetenv(&environment);
    if (context->out_of_memory) return OUT_OF_MEMORY;
    if (context->invalid == 2) return UNKNOWN_OPERATION;
    return context->invalid ? INVALID_STEP : DONE;
}
