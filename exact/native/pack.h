/* Quantise an operand and lay it out for the micro-kernels.
 *
 * A packed operand is [panel of 16 rows][block of the contraction][word][row] of 32-bit words, each
 * two consecutive int16 along the contraction; scales are [panel][block][row]. Rows and elements
 * that do not exist are zeros. Both operands of a product look the same, so every transposition is
 * a case of packing, and there is one micro-kernel.
 *
 * Where both operands fit 8 bits and the path has an 8-bit dot product, a word is four int8. The
 * product of x86 takes the left operand unsigned: it is stored as q + 128, and the right one has,
 * for each block and row, the correction -128 * sum(q) that the sum starts from. ARM's products
 * are of signed bytes: offset and corrections are 0.
 */
#ifndef DESCENT_PACK_H
#define DESCENT_PACK_H

#include "native.h"
#include "vec.h"

#define PANEL 16
#define PANEL_VECTORS (PANEL / VW)
#define CHUNK 64 /* elements along the contraction that are transposed at once */
#define MIN_BLOCK_EXPONENT (-55)
#define MAX_BLOCK_EXPONENT 58

enum kind { INT16, INT8_LEFT, INT8_RIGHT };

#if defined(PATH_AVX512) && defined(PATH_VNNI)
#define HAS_INT8 1
#define LEFT_OFFSET 128
#elif defined(PATH_SDOT)
#define HAS_INT8 1
#define LEFT_OFFSET 0
#else
#define HAS_INT8 0
#define LEFT_OFFSET 0
#endif

struct format {
    int32_t operand_max;
    int32_t bits;
    int32_t block_size;
    enum kind kind;
};

struct packed {
    int32_t *words;
    float *scales;
    int64_t rows, length;        /* of the operand */
    int64_t num_panels, num_blocks;
    int32_t num_words, last_words; /* of a row in a block, and in the last one */
    int32_t stride;                /* words of a row that a block has room for */
    enum kind kind;
    int32_t *corrections; /* of INT8_RIGHT, like the scales */
};

/* Where an operand's elements are: row r, element k at data[r * row_stride + k] or, when the
 * contraction comes first, data[k * row_stride + r]. */
struct source {
    const float *data;
    int64_t stride;
    int32_t k_first;
    int32_t relu_square;
    int64_t first_row, first_k; /* of what `data` points at */
};

INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

INLINE struct packed describe_packed(int64_t rows, int64_t length, const struct format *format) {
    struct packed packed = {.rows = rows, .length = length, .kind = format->kind};
    int per_word = format->kind == INT16 ? 2 : 4;
    packed.num_panels = divide_up(rows, PANEL);
    packed.num_blocks = divide_up(length, format->block_size);
    int64_t last = length - (packed.num_blocks - 1) * format->block_size;
    packed.last_words = (int32_t)divide_up(last, per_word);
    packed.num_words =
        (int32_t)divide_up(packed.num_blocks > 1 ? format->block_size : last, per_word);
    packed.stride = (packed.num_words + 15) / 16 * 16;
    return packed;
}

INLINE int64_t count_words(const struct packed *packed) {
    return packed->num_panels * packed->num_blocks * packed->stride * PANEL;
}

INLINE int64_t count_scales(const struct packed *packed) {
    return packed->num_panels * packed->num_blocks * PANEL;
}

INLINE int64_t count_packed_bytes(const struct packed *packed) {
    return (count_words(packed) + 2 * count_scales(packed)) * 4;
}

/* Place a packed operand in memory and return where the next one may start. */
INLINE char *place_packed(struct packed *packed, char *memory) {
    packed->words = (int32_t *)memory;
    packed->scales = (float *)(memory + count_words(packed) * 4);
    packed->corrections = (int32_t *)(packed->scales + count_scales(packed));
    return memory + count_packed_bytes(packed);
}

/* From the rows' largest |x| as bits, compute the factors to integers and the scales. */
INLINE void compute_scales(const int32_t *largest, const struct format *format, float *factors,
                           float *scales, volatile int32_t *invalid) {
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vi exponent = (vload_int(largest + v * VW) >> 23) - 127;
        if (vmax_across_int(exponent) > MAX_BLOCK_EXPONENT) *invalid = 1;
        exponent = vmax_int(exponent, vset_int(MIN_BLOCK_EXPONENT)) - (format->bits - 1);
        vstore(factors + v * VW, vpower(-exponent));
        vstore(scales + v * VW, vpower(exponent));
    }
}

INLINE vf load_source(const float *p, int n, int relu_square) {
    vf x = n >= VW ? vload(p) : vload_n(p, n);
    if (relu_square) {
        x = vrelu(x);
        x = x * x;
    }
    return x;
}

INLINE vi quantise(vf x, vf factor, vf limit) {
    return vround_int(vmax(vmin(x * factor, limit), -limit));
}

/* NaN passes through vmax and vmin in an unspecified way, but its block was found invalid. */

INLINE void store_int16(int16_t *p, vi q) {
#if defined(PATH_AVX512)
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)q));
#elif defined(PATH_AVX2)
    __m128i low = _mm256_castsi256_si128((__m256i)q);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i)q, 1)));
#elif defined(PATH_NEON)
    vst1_s16(p, vmovn_s32((int32x4_t)q));
#else
    for (int i = 0; i < VW; i++) p[i] = (int16_t)q[i];
#endif
}

INLINE void store_int8(int8_t *p, vi q) {
#if defined(PATH_AVX512)
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)q));
#elif defined(PATH_NEON)
    int16x4_t narrow = vmovn_s32((int32x4_t)q);
    int32_t four = vget_lane_s32((int32x2_t)vmovn_s16(vcombine_s16(narrow, narrow)), 0);
    memcpy(p, &four, 4);
#else
    for (int i = 0; i < VW; i++) p[i] = (int8_t)q[i];
#endif
}

#if defined(PATH_AVX2)
INLINE void transpose_eight(const int32_t *rows, int64_t stride, int32_t *words) {
    __m256i t[8], u[8];
    for (int i = 0; i < 8; i++) t[i] = _mm256_loadu_si256((const __m256i *)(rows + i * stride));
    for (int i = 0; i < 8; i += 2) {
        u[i] = _mm256_unpacklo_epi32(t[i], t[i + 1]);
        u[i + 1] = _mm256_unpackhi_epi32(t[i], t[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        t[i] = _mm256_unpacklo_epi64(u[i], u[i + 2]);
        t[i + 1] = _mm256_unpackhi_epi64(u[i], u[i + 2]);
        t[i + 2] = _mm256_unpacklo_epi64(u[i + 1], u[i + 3]);
        t[i + 3] = _mm256_unpackhi_epi64(u[i + 1], u[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m256i low = _mm256_permute2x128_si256(t[i], t[i + 4], 0x20);
        __m256i high = _mm256_permute2x128_si256(t[i], t[i + 4], 0x31);
        _mm256_storeu_si256((__m256i *)(words + i * PANEL), low);
        _mm256_storeu_si256((__m256i *)(words + (i + 4) * PANEL), high);
    }
}
#endif

#if defined(PATH_NEON)
INLINE void transpose_four(const int32_t *rows, int64_t stride, int32_t *words) {
    int32x4x2_t upper = vtrnq_s32(vld1q_s32(rows), vld1q_s32(rows + stride));
    int32x4x2_t lower = vtrnq_s32(vld1q_s32(rows + 2 * stride), vld1q_s32(rows + 3 * stride));
    for (int i = 0; i < 2; i++) {
        int64x2_t a = (int64x2_t)upper.val[i], b = (int64x2_t)lower.val[i];
        vst1q_s32(words + i * PANEL, (int32x4_t)vzip1q_s64(a, b));
        vst1q_s32(words + (i + 2) * PANEL, (int32x4_t)vzip2q_s64(a, b));
    }
}
#endif

/* Write words[p][r] = rows[r][p] for 16 rows and 16 words. */
INLINE void transpose_words(const int32_t *rows, int64_t stride, int32_t *words) {
#if defined(PATH_AVX512)
    __m512i t[16], u[16];
    for (int i = 0; i < 16; i++) t[i] = _mm512_loadu_si512(rows + i * stride);
    for (int i = 0; i < 16; i += 2) {
        u[i] = _mm512_unpacklo_epi32(t[i], t[i + 1]);
        u[i + 1] = _mm512_unpackhi_epi32(t[i], t[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        t[i] = _mm512_unpacklo_epi64(u[i], u[i + 2]);
        t[i + 1] = _mm512_unpackhi_epi64(u[i], u[i + 2]);
        t[i + 2] = _mm512_unpacklo_epi64(u[i + 1], u[i + 3]);
        t[i + 3] = _mm512_unpackhi_epi64(u[i + 1], u[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
        __m512i c = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        _mm512_store_si512(words + i * 16, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_store_si512(words + (i + 8) * 16, _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_store_si512(words + (i + 4) * 16, _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_store_si512(words + (i + 12) * 16, _mm512_shuffle_i32x4(c, d, 0xdd));
    }
#elif defined(PATH_AVX2)
    for (int p = 0; p < 16; p += 8)
        for (int r = 0; r < 16; r += 8)
            transpose_eight(rows + r * stride + p, stride, words + p * PANEL + r);
#elif defined(PATH_NEON)
    for (int p = 0; p < 16; p += 4)
        for (int r = 0; r < 16; r += 4)
            transpose_four(rows + r * stride + p, stride, words + p * PANEL + r);
#else
    for (int p = 0; p < 16; p++)
        for (int r = 0; r < 16; r++) words[p * 16 + r] = rows[r * stride + p];
#endif
}

/* Where one panel and block goes. */
struct place {
    int32_t *words;
    float *scales;
    int32_t *corrections;
    int32_t stride;
    volatile int32_t *invalid;
};

/* One panel and block of an operand whose contraction is contiguous. */
INLINE void pack_rows_with(const float *x, int64_t stride, int num_rows, int length,
                           const struct format *format, const enum kind kind, int relu_square,
                           const struct place *place) {
    int32_t largest[PANEL] __attribute__((aligned(64))) = {0};
    int32_t sums[PANEL] = {0};
    float factors[PANEL] __attribute__((aligned(64)));
    char rows[PANEL][CHUNK * 2] __attribute__((aligned(64)));
    const int per_word = kind == INT16 ? 2 : 4, width = 4 / per_word;
    vf limit = vset((float)format->operand_max);
    for (int r = 0; r < num_rows; r++) {
        vi most = {0};
        for (int k = 0; k < length; k += VW)
            most = vmax_int(most, vabs_bits(load_source(x + r * stride + k, length - k, relu_square)));
        largest[r] = vmax_across_int(most);
    }
    compute_scales(largest, format, factors, place->scales, place->invalid);
    if (num_rows < PANEL) memset(rows[num_rows], 0, (size_t)(PANEL - num_rows) * sizeof rows[0]);
    for (int start = 0; start < per_word * place->stride; start += CHUNK) {
        int left = place->stride - start / per_word;
        int num_words = left < CHUNK / per_word ? left : CHUNK / per_word;
        for (int r = 0; r < num_rows; r++) {
            vf factor = vset(factors[r]);
            vi sum = {0};
            for (int k = 0; k < per_word * num_words; k += VW) {
                int rest = length - start - k;
                vf value = {0};
                if (rest > 0) value = load_source(x + r * stride + start + k, rest, relu_square);
                vi q = quantise(value, factor, limit);
                if (kind == INT8_LEFT) q += LEFT_OFFSET;
                if (kind == INT8_RIGHT) sum += q;
                if (kind == INT16) store_int16((int16_t *)(rows[r] + k * width), q);
                else store_int8((int8_t *)(rows[r] + k * width), q);
            }
            if (kind == INT8_RIGHT) sums[r] += (int32_t)vsum_across(sum);
        }
        for (int p = 0; p < num_words; p += 16)
            transpose_words((const int32_t *)rows[0] + p, CHUNK / 2,
                            place->words + (start / per_word + p) * 16);
    }
    if (kind == INT8_RIGHT)
        for (int r = 0; r < PANEL; r++) place->corrections[r] = -LEFT_OFFSET * sums[r];
}

/* One panel and block of an operand whose rows are contiguous. */
INLINE void pack_columns_with(const float *x, int64_t stride, int num_rows, int length,
                              const struct format *format, const enum kind kind, int relu_square,
                              const struct place *place) {
    int32_t largest[PANEL] __attribute__((aligned(64)));
    float factors[PANEL] __attribute__((aligned(64)));
    const int per_word = kind == INT16 ? 2 : 4, bits = 32 / per_word;
    vf limit = vset((float)format->operand_max);
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vi most = {0};
        int left = num_rows - v * VW;
        if (left > 0)
            for (int k = 0; k < length; k++)
                most = vmax_int(
                    most, vabs_bits(load_source(x + k * stride + v * VW, left, relu_square)));
        vstore_int(largest + v * VW, most);
    }
    compute_scales(largest, format, factors, place->scales, place->invalid);
    for (int v = 0; v < PANEL_VECTORS; v++) {
        int left = num_rows - v * VW;
        vf factor = vload(factors + v * VW);
        vi sum = {0};
        for (int k = 0; k < length; k += per_word) {
            vi word = {0};
            for (int i = 0; i < per_word; i++) {
                vi q = {0};
                if (left > 0 && k + i < length)
                    q = quantise(load_source(x + (k + i) * stride + v * VW, left, relu_square),
                                 factor, limit);
                if (kind == INT8_RIGHT) sum += q;
                if (kind == INT8_LEFT) q += LEFT_OFFSET;
                word |= (q & (int32_t)((1u << bits) - 1)) << (i * bits);
            }
            vstore_int(place->words + k / per_word * 16 + v * VW, word);
        }
        if (kind == INT8_RIGHT) vstore_int(place->corrections + v * VW, sum * -LEFT_OFFSET);
    }
}

INLINE void pack_kind(const struct source *source, const float *x, int num_rows, int length,
                      const struct format *format, const enum kind kind,
                      const struct place *place) {
    int is_plain = !source->relu_square;
    int64_t stride = source->stride;
    if (source->k_first) {
        if (num_rows == PANEL && is_plain)
            pack_columns_with(x, stride, PANEL, length, format, kind, 0, place);
        else
            pack_columns_with(x, stride, num_rows, length, format, kind, source->relu_square,
                              place);
    } else if (length == CHUNK && is_plain) {
        pack_rows_with(x, stride, num_rows, CHUNK, format, kind, 0, place);
    } else {
        pack_rows_with(x, stride, num_rows, length, format, kind, source->relu_square, place);
    }
}

static void pack_one(const struct source *source, const struct packed *packed,
                     const struct format *format, int64_t panel, int64_t block,
                     volatile int32_t *invalid) {
    int64_t row = panel * PANEL, k = block * format->block_size;
    int num_rows = (int)(packed->rows - row < PANEL ? packed->rows - row : PANEL);
    int length =
        (int)(packed->length - k < format->block_size ? packed->length - k : format->block_size);
    int64_t at = panel * packed->num_blocks + block;
    struct place place = {packed->words + at * packed->stride * PANEL, packed->scales + at * PANEL,
                          packed->corrections + at * PANEL, packed->stride, invalid};
    int64_t rows_on = row - source->first_row, k_on = k - source->first_k;
    const float *x = source->data + (source->k_first ? k_on * source->stride + rows_on
                                                     : rows_on * source->stride + k_on);
    if (HAS_INT8 && format->kind == INT8_LEFT)
        pack_kind(source, x, num_rows, length, format, INT8_LEFT, &place);
    else if (HAS_INT8 && format->kind == INT8_RIGHT)
        pack_kind(source, x, num_rows, length, format, INT8_RIGHT, &place);
    else
        pack_kind(source, x, num_rows, length, format, INT16, &place);
}

struct pack_task {
    struct context *context;
    const struct source *source;
    const struct packed *packed;
    const struct format *format;
};

static void pack_range(void *argument, int64_t begin, int64_t end, int worker) {
    const struct pack_task *task = argument;
    (void)worker;
    /* Rows that are contiguous: panels inside blocks, so that neighbours share pages. */
    int64_t inner = task->source->k_first ? task->packed->num_panels : task->packed->num_blocks;
    for (int64_t i = begin; i < end; i++) {
        int64_t panel = task->source->k_first ? i % inner : i / inner;
        int64_t block = task->source->k_first ? i / inner : i % inner;
        pack_one(task->source, task->packed, task->format, panel, block, &task->context->invalid);
    }
}

static void pack_shared(struct context *context, const struct source *source,
                        const struct packed *packed, const struct format *format) {
    struct pack_task task = {context, source, packed, format};
    int64_t count = packed->num_panels * packed->num_blocks;
    pool_run(context, pack_range, &task, count, count / (4 * context->num_threads) + 8);
}

static void pack_alone(struct context *context, const struct source *source,
                       const struct packed *packed, const struct format *format) {
    struct pack_task task = {context, source, packed, format};
    pack_range(&task, 0, packed->num_panels * packed->num_blocks, 0);
}

#endif
