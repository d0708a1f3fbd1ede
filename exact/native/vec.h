/* Vectors of VW floats: AVX-512, AVX2, NEON, or any machine by GNU vector extensions.
 *
 * Only single IEEE operations: nothing here contracts, reassociates or approximates, so a lane's
 * value does not depend on the width. `+ - * /` on these types are the compiler's own; the build
 * forbids contraction (-ffp-contract=off).
 */
#ifndef DESCENT_VEC_H
#define DESCENT_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(PATH_AVX512)
#include <immintrin.h>
#define VW 16
#elif defined(PATH_AVX2)
#include <immintrin.h>
#define VW 8
#elif defined(PATH_NEON)
#include <arm_neon.h>
#define VW 4
#else
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#define VW 4
#endif

typedef float vf __attribute__((vector_size(4 * VW)));
typedef int32_t vi __attribute__((vector_size(4 * VW)));
typedef float vf_loose __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef int32_t vi_loose __attribute__((vector_size(4 * VW), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

#define ABS_MASK 0x7fffffff
#define INFINITY_BITS 0x7f800000
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: x + this - this rounds |x| <= 2^22 to integers */
#define ROUND_MAGIC_BITS 0x4b400000

INLINE vf vset(float x) { return (vf){0} + x; }
INLINE vi vset_int(int32_t x) { return (vi){0} + x; }
INLINE vf vload(const float *p) { return *(const vf_loose *)p; }
INLINE void vstore(float *p, vf x) { *(vf_loose *)p = x; }
INLINE vi vload_int(const int32_t *p) { return *(const vi_loose *)p; }
INLINE void vstore_int(int32_t *p, vi x) { *(vi_loose *)p = x; }

/* Lanes n and above are 0 and not read. */
INLINE vf vload_n(const float *p, int n) {
#if defined(PATH_AVX512)
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf x = {0};
    if (n > 0) memcpy(&x, p, (size_t)n * 4);
    return x;
#endif
}

INLINE void vstore_n(float *p, vf x, int n) {
#if defined(PATH_AVX512)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#else
    if (n > 0) memcpy(p, &x, (size_t)n * 4);
#endif
}

/* The larger of two numbers; b where one is a NaN. */
INLINE vf vmax(vf a, vf b) {
#if defined(PATH_AVX512)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(PATH_AVX2)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(PATH_NEON) /* its fmax and fmin pass NaN on */
    return (vf)vbslq_f32((uint32x4_t)(a > b), (float32x4_t)a, (float32x4_t)b);
#else
    vi is_a = a > b;
    return (vf)((is_a & (vi)a) | (~is_a & (vi)b));
#endif
}

INLINE vf vrelu(vf x) { return vmax(vset(0.0f), x); } /* a NaN stays one */

INLINE vf vmin(vf a, vf b) {
#if defined(PATH_AVX512)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(PATH_AVX2)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(PATH_NEON)
    return (vf)vbslq_f32((uint32x4_t)(a < b), (float32x4_t)a, (float32x4_t)b);
#else
    vi is_a = a < b;
    return (vf)((is_a & (vi)a) | (~is_a & (vi)b));
#endif
}

INLINE vi vmax_int(vi a, vi b) {
#if defined(PATH_AVX512)
    return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif defined(PATH_AVX2)
    return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b);
#elif defined(PATH_NEON)
    return (vi)vmaxq_s32((int32x4_t)a, (int32x4_t)b);
#else
    vi is_a = a > b;
    return (is_a & a) | (~is_a & b);
#endif
}

INLINE vf vsqrt(vf x) {
#if defined(PATH_AVX512)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(PATH_AVX2)
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(PATH_NEON)
    return (vf)vsqrtq_f32((float32x4_t)x);
#elif defined(__SSE2__)
    return (vf)_mm_sqrt_ps((__m128)x);
#else
    vf y;
    for (int i = 0; i < VW; i++) y[i] = sqrtf(x[i]);
    return y;
#endif
}

/* Round half to even; |x| <= 2^22. */
INLINE vi vround_int(vf x) {
#if defined(PATH_AVX512)
    return (vi)_mm512_cvtps_epi32((__m512)x);
#elif defined(PATH_AVX2)
    return (vi)_mm256_cvtps_epi32((__m256)x);
#elif defined(PATH_NEON)
    return (vi)vcvtnq_s32_f32((float32x4_t)x);
#else
    return (vi)(x + ROUND_MAGIC) - ROUND_MAGIC_BITS;
#endif
}

INLINE vf vfrom_int(vi x) { return __builtin_convertvector(x, vf); }
INLINE vi vabs_bits(vf x) { return (vi)x & ABS_MASK; }
INLINE vf vpower(vi exponent) { return (vf)((exponent + 127) << 23); }

INLINE int32_t vmax_across_int(vi x) {
#if defined(PATH_AVX512)
    return _mm512_reduce_max_epi32((__m512i)x);
#elif defined(PATH_NEON)
    return vmaxvq_s32((int32x4_t)x);
#else
    int32_t largest = x[0];
    for (int i = 1; i < VW; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
#endif
}

INLINE float vmax_across(vf x) {
#if defined(PATH_AVX512)
    return _mm512_reduce_max_ps((__m512)x);
#elif defined(PATH_NEON)
    return vmaxvq_f32((float32x4_t)x);
#else
    float largest = x[0];
    for (int i = 1; i < VW; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
#endif
}

INLINE int64_t vsum_across(vi x) {
#if defined(PATH_AVX512)
    __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256((__m512i)x));
    __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64((__m512i)x, 1));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(low, high));
#elif defined(PATH_NEON)
    return vaddlvq_s32((int32x4_t)x);
#else
    int64_t sum = 0;
    for (int i = 0; i < VW; i++) sum += x[i];
    return sum;
#endif
}

INLINE float power_of_two(int exponent) {
    int32_t bits = (exponent + 127) << 23;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

INLINE int32_t get_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

INLINE float from_bits(int32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

#endif
