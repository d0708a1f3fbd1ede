/* ARM's micro-kernels: SMLAL on int16, SDOT or SMMLA on int8. Included by gemm.h only. */
#ifndef DESCENT_NEON_H
#define DESCENT_NEON_H

#define HALF_ROWS 4
#define PANEL_QUADS (PANEL / 4)

/* As instructions, because gcc has the intrinsics only for later architectures than have the
 * instructions; its assembler too must be told one. */
#if defined(__clang__)
#define ARCH(name)
#else
#define ARCH(name) ".arch " name "\n\t"
#endif
#define SDOT(c, a, b)                                                          \
    __asm__(ARCH("armv8.2-a+dotprod") "sdot %0.4s, %1.16b, %2.16b"             \
            : "+w"(c)                                                          \
            : "w"(a), "w"(b))
#define SMMLA(c, a, b)                                                         \
    __asm__(ARCH("armv8.2-a+dotprod+i8mm") "smmla %0.4s, %1.16b, %2.16b"       \
            : "+w"(c)                                                          \
            : "w"(a), "w"(b))

INLINE void add_terms(int32x4_t dot, float scale_a, const float *scale_b, int is_fused,
                      float *sums) {
    float32x4_t scale = vmulq_n_f32(vld1q_f32(scale_b), scale_a);
    float32x4_t term = vcvtq_f32_s32(dot), before = vld1q_f32(sums);
    vst1q_f32(sums, is_fused ? vfmaq_f32(before, term, scale)
                             : vaddq_f32(before, vmulq_f32(term, scale)));
}

/* One word of four rows by a panel: two int16 ... */
INLINE void multiply_int16(const int32_t *a, const int32_t *b, int32x4_t c[][PANEL_QUADS]) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        int16x8x2_t pair = vld2q_s16((const int16_t *)(b + half * 8));
#pragma GCC unroll 4
        for (int i = 0; i < HALF_ROWS; i++) {
            int16x4_t va = (int16x4_t)vdup_n_s32(a[i]);
            int32x4_t *sums = c[i] + half * 2;
            sums[0] = vmlal_lane_s16(sums[0], vget_low_s16(pair.val[0]), va, 0);
            sums[1] = vmlal_high_lane_s16(sums[1], pair.val[0], va, 0);
            sums[0] = vmlal_lane_s16(sums[0], vget_low_s16(pair.val[1]), va, 1);
            sums[1] = vmlal_high_lane_s16(sums[1], pair.val[1], va, 1);
        }
    }
}

#if defined(PATH_SDOT)
/* ... or four int8. */
INLINE void multiply_int8(const int32_t *a, const int32_t *b, int32x4_t c[][PANEL_QUADS]) {
    int32x4_t vb[PANEL_QUADS];
#pragma GCC unroll 4
    for (int j = 0; j < PANEL_QUADS; j++) vb[j] = vld1q_s32(b + 4 * j);
#pragma GCC unroll 4
    for (int i = 0; i < HALF_ROWS; i++) {
        int32x4_t va = vdupq_n_s32(a[i]);
#pragma GCC unroll 4
        for (int j = 0; j < PANEL_QUADS; j++) SDOT(c[i][j], va, vb[j]);
    }
}
#endif

INLINE void add_half(const int32_t *a, const float *scale_a, const int32_t *b,
                     const float *scale_b, int num_words, const int is_int8, int is_fused,
                     float *sums) {
    int32x4_t c[HALF_ROWS][PANEL_QUADS];
#pragma GCC unroll 4
    for (int i = 0; i < HALF_ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < PANEL_QUADS; j++) c[i][j] = vdupq_n_s32(0);
#pragma GCC unroll 1
    for (int p = 0; p < num_words; p++) {
#if defined(PATH_SDOT)
        if (is_int8) {
            multiply_int8(a + p * PANEL, b + p * PANEL, c);
            continue;
        }
#endif
        multiply_int16(a + p * PANEL, b + p * PANEL, c);
    }
    (void)is_int8;
#pragma GCC unroll 4
    for (int i = 0; i < HALF_ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < PANEL_QUADS; j++)
            add_terms(c[i][j], scale_a[i], scale_b + 4 * j, is_fused,
                      sums + i * TILE_COLUMNS + 4 * j);
}

#if defined(PATH_I8MM)
/* SMMLA multiplies two rows by two columns, eight int8 long: two words of a row side by side.
 * pairs[i] holds rows 2i and 2i + 1 of eight. */
INLINE void load_pairs(const int32_t *words, int is_last, int32x4_t pairs[4]) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        int32x4_t first = vld1q_s32(words + 4 * half), second = vdupq_n_s32(0);
        if (!is_last) second = vld1q_s32(words + PANEL + 4 * half);
        pairs[2 * half] = vzip1q_s32(first, second);
        pairs[2 * half + 1] = vzip2q_s32(first, second);
    }
}

INLINE void multiply_pairs(const int32_t *a, const int32_t *b, int is_last, int32x4_t c[4][4]) {
    int32x4_t va[4], vb[4];
    load_pairs(a, is_last, va);
    load_pairs(b, is_last, vb);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) SMMLA(c[i][j], va[i], vb[j]);
}

/* Eight rows by a panel of int8, half a panel at a time. */
INLINE void add_pairs(const int32_t *a, const float *scale_a, const int32_t *b,
                      const float *scale_b, int num_words, int is_fused, float *sums) {
    for (int column = 0; column < PANEL; column += 8) {
        int32x4_t c[4][4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) c[i][j] = vdupq_n_s32(0);
        int p = 0;
#pragma GCC unroll 1
        for (; p + 1 < num_words; p += 2)
            multiply_pairs(a + p * PANEL, b + p * PANEL + column, 0, c);
        if (p < num_words) multiply_pairs(a + p * PANEL, b + p * PANEL + column, 1, c);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                int64x2_t left = (int64x2_t)c[i][2 * j], right = (int64x2_t)c[i][2 * j + 1];
                float *to = sums + 2 * i * TILE_COLUMNS + column + 4 * j;
                const float *scale = scale_b + column + 4 * j;
                add_terms((int32x4_t)vzip1q_s64(left, right), scale_a[2 * i], scale, is_fused, to);
                add_terms((int32x4_t)vzip2q_s64(left, right), scale_a[2 * i + 1], scale, is_fused,
                          to + TILE_COLUMNS);
            }
    }
}
#endif

#endif
