/* One vector against many rows where they lie, in f16 or f32: what a scan over stored images is made of.
 *
 * Each sum is 16 running sums that are added at the end in a fixed order, without fused multiply-adds, so all ways
 * of widening f16 give the same bits. The way is picked at the call: the intrinsics for f16 need their own target, and a
 * sanitizer's build can run it too. */
#include "compute/clones.h"
#include "compute/isa.h"

#if CLSP_X86
#include <immintrin.h>
#elif CLSP_ARM64
#include <arm_neon.h>
#endif

typedef void (*half_dot_fn)(float *out, const unsigned char *rows, size_t n, size_t d, const float *g);

static inline float half_at(const unsigned char *from, size_t i)
{
    uint16_t half;
    memcpy(&half, from + i * sizeof half, sizeof half);
    return clsp_f16_to_f32(half);
}

/* out[i] += rows[i] . g, rows: [n, d] f16, g: padded to 16. */
static void dot_plain(float *out, const unsigned char *rows, size_t n, size_t d, const float *g)
{
    for (size_t i = 0; i < n; i++, rows += d * sizeof(uint16_t)) {
        clsp_lanes sums = {0}, x, y;
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            size_t here = clsp_min(CLSP_LANES, d - c);
            x = (clsp_lanes){0};
            for (size_t lane = 0; lane < here; lane++) x[lane] = half_at(rows, c + lane);
            CLSP_LOAD(y, g + c);
            sums += x * y;
        }
        out[i] += clsp_lanes_sum(&sums);
    }
}

#if CLSP_X86
/* The two that matter are written by hand: of clsp_lanes_sum and of halves of a vector of 16 the compiler makes single
 * numbers and trips through memory. Same sums, same order. */
__attribute__((target("avx2"))) static inline float sum_halves(__m256 low, __m256 high)
{
    __m256 half = _mm256_add_ps(low, high);
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    return (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);
}

__attribute__((target("avx2,f16c"))) static void dot_avx2(float *out, const unsigned char *rows, size_t n, size_t d,
                                                          const float *g)
{
    size_t whole = d / CLSP_LANES * CLSP_LANES, rest = (d - whole) * sizeof(uint16_t);
    for (size_t i = 0; i < n; i++, rows += d * sizeof(uint16_t)) {
        __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
        unsigned char last[CLSP_LANES * sizeof(uint16_t)] = {0};
        if (rest > 0) memcpy(last, rows + whole * sizeof(uint16_t), rest);
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            const unsigned char *from = c < whole ? rows + c * sizeof(uint16_t) : last;
            __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)from));
            __m256 y = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)(from + 16)));
            low = _mm256_add_ps(low, _mm256_mul_ps(x, _mm256_loadu_ps(g + c)));
            high = _mm256_add_ps(high, _mm256_mul_ps(y, _mm256_loadu_ps(g + c + 8)));
        }
        out[i] += sum_halves(low, high);
    }
}

#define AVX512 __attribute__((target("avx512f,f16c")))

AVX512 static inline __m512 widened(const unsigned char *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)from));
}

/* Row by row: what is left of a block, and widths that are no multiple of 16. */
AVX512 static void dot_rows_avx512(float *out, const unsigned char *rows, size_t n, size_t d, const float *g)
{
    size_t whole = d / CLSP_LANES * CLSP_LANES, rest = (d - whole) * sizeof(uint16_t);
    for (size_t i = 0; i < n; i++, rows += d * sizeof(uint16_t)) {
        __m512 sums = _mm512_setzero_ps();
        unsigned char last[CLSP_LANES * sizeof(uint16_t)] = {0};
        if (rest > 0) memcpy(last, rows + whole * sizeof(uint16_t), rest);
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            const unsigned char *from = c < whole ? rows + c * sizeof(uint16_t) : last;
            sums = _mm512_add_ps(sums, _mm512_mul_ps(widened(from), _mm512_loadu_ps(g + c)));
        }
        __m256d high = _mm512_extractf64x4_pd(_mm512_castps_pd(sums), 1);
        out[i] += sum_halves(_mm512_castps512_ps256(sums), _mm256_castpd_ps(high));
    }
}

/* Lanes of a and b added across their halves, then what was a's in the lower half of the result, b's in the upper. */
AVX512 static inline __m512 fold_halves(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

/* Of two such pairs, across quarters: [a, b, c, d], four numbers each. */
AVX512 static inline __m512 fold_quarters(__m512 ab, __m512 cd)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Within every four numbers: (first + second), (third + fourth); and those two added. */
AVX512 static inline __m512 fold_pairs(__m512 x, __m512 y)
{
    return _mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xdd));
}

/* The sums of 16 rows at once, in the order of clsp_lanes_sum: number 4 q + j of the result is of row 4 j + q. */
AVX512 static inline __m512 sum_sixteen(const __m512 s[16])
{
    __m512 four[4];
    for (size_t j = 0; j < 4; j++)
        four[j] = fold_quarters(fold_halves(s[4 * j], s[4 * j + 1]), fold_halves(s[4 * j + 2], s[4 * j + 3]));
    return fold_pairs(fold_pairs(four[0], four[1]), fold_pairs(four[2], four[3]));
}

/* 16 rows at a time, which end in one vector of 16 sums, the rows that come later fetched meanwhile: the processor's own
 * fetching stops at the pages of a mapping. */
AVX512 static void dot_avx512(float *out, const unsigned char *rows, size_t n, size_t d, const float *g)
{
    enum { GROUP = 16, AHEAD = 4096, LINE = 64 };
    size_t row = d * sizeof(uint16_t), i = 0;
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (; d % CLSP_LANES == 0 && i + GROUP <= n; i += GROUP, rows += GROUP * row) {
        __m512 sums[GROUP];
        for (size_t r = 0; r < GROUP; r++) sums[r] = _mm512_setzero_ps();
        for (size_t at = 0; at < GROUP * row; at += LINE) _mm_prefetch((const char *)rows + AHEAD + at, _MM_HINT_T0);
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            __m512 y = _mm512_loadu_ps(g + c);
#pragma GCC unroll 16
            for (size_t r = 0; r < GROUP; r++)
                sums[r] = _mm512_add_ps(sums[r], _mm512_mul_ps(widened(rows + r * row + c * sizeof(uint16_t)), y));
        }
        __m512 all = _mm512_permutexvar_ps(order, sum_sixteen(sums));
        _mm512_storeu_ps(out + i, _mm512_add_ps(_mm512_loadu_ps(out + i), all));
    }
    dot_rows_avx512(out + i, rows, n - i, d, g);
}
#elif CLSP_ARM64
static void dot_neon(float *out, const unsigned char *rows, size_t n, size_t d, const float *g)
{
    size_t whole = d / CLSP_LANES * CLSP_LANES, rest = (d - whole) * sizeof(uint16_t);
    for (size_t i = 0; i < n; i++, rows += d * sizeof(uint16_t)) {
        float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        unsigned char last[CLSP_LANES * sizeof(uint16_t)] = {0};
        if (rest > 0) memcpy(last, rows + whole * sizeof(uint16_t), rest);
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            const unsigned char *from = c < whole ? rows + c * sizeof(uint16_t) : last;
#pragma GCC unroll 4
            for (size_t q = 0; q < 4; q++) {
                float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from + 8 * q)));
                sums[q] = vaddq_f32(sums[q], vmulq_f32(x, vld1q_f32(g + c + 4 * q)));
            }
        }
        float32x4_t quarter = vaddq_f32(vaddq_f32(sums[0], sums[2]), vaddq_f32(sums[1], sums[3]));
        out[i] += (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);
    }
}
#endif

/* The widest way that the processor has and clsp_f16_way allows. */
static half_dot_fn half_dot(void)
{
#if CLSP_X86
    static const half_dot_fn ways[] = {dot_plain, dot_avx2, dot_avx512};
    return ways[clsp_f16_ways()];
#elif CLSP_ARM64
    return clsp_f16_ways() > 0 ? dot_neon : dot_plain;
#else
    return dot_plain;
#endif
}

CLSP_CLONES static void dot_float(float *out, const unsigned char *rows, size_t n, size_t d, const float *g)
{
    size_t whole = d / CLSP_LANES * CLSP_LANES;
    for (size_t i = 0; i < n; i++, rows += d * sizeof(float)) {
        clsp_lanes sums = {0}, x, y;
        for (size_t c = 0; c < whole; c += CLSP_LANES) {
            CLSP_LOAD(x, rows + c * sizeof(float));
            CLSP_LOAD(y, g + c);
            sums += x * y;
        }
        if (whole < d) {
            CLSP_LOAD_TAIL(x, rows + whole * sizeof(float), d - whole);
            CLSP_LOAD(y, g + whole);
            sums += x * y;
        }
        out[i] += clsp_lanes_sum(&sums);
    }
}

void clsp_rows_dot(float *out, const void *rows, bool half, size_t n, size_t d, const float *g)
{
    if (half)
        half_dot()(out, rows, n, d, g);
    else
        dot_float(out, rows, n, d, g);
}

void clsp_widen(float *out, const void *values, bool half, size_t count)
{
    if (half)
        clsp_f16_widen(out, values, count);
    else
        memcpy(out, values, count * sizeof *out);
}
