/* One vector against many rows where they lie, in f16 or f32: what a scan over stored images is made of.
 *
 * Each sum is 16 running sums that are added at the end in a fixed order, without fused multiply-adds, so the three ways
 * of widening f16 give the same bits. The way is picked at the call: the intrinsics for f16 need their own target, and a
 * sanitizer's build can run it too. */
#include "compute/clones.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_X86 1
#else
#define HAS_X86 0
#endif

typedef void (*half_dot_fn)(float *out, const unsigned char *rows, size_t n, size_t d, const float *g);
typedef void (*half_widen_fn)(float *out, const unsigned char *from, size_t count);

/* LOAD(lanes, from) widens 16 halves from anywhere. */
#define HALF_WIDEN(name, target_of, LOAD)                                                                              \
    target_of static void name(float *out, const unsigned char *from, size_t count)                                    \
    {                                                                                                                  \
        size_t whole = count / CLSP_LANES * CLSP_LANES;                                                                \
        clsp_lanes x;                                                                                                  \
        for (size_t c = 0; c < whole; c += CLSP_LANES) {                                                               \
            LOAD(x, from + c * sizeof(uint16_t));                                                                      \
            memcpy(out + c, &x, sizeof x);                                                                             \
        }                                                                                                              \
        for (size_t c = whole; c < count; c++) out[c] = half_at(from, c);                                              \
    }

static inline float half_at(const unsigned char *from, size_t i)
{
    uint16_t half;
    memcpy(&half, from + i * sizeof half, sizeof half);
    return clsp_f16_to_f32(half);
}

#define LOAD_PLAIN(lanes, from)                                                                                        \
    do {                                                                                                               \
        for (size_t lane = 0; lane < CLSP_LANES; lane++) (lanes)[lane] = half_at((from), lane);                        \
    } while (0)
HALF_WIDEN(widen_plain, , LOAD_PLAIN)

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

#if HAS_X86
#define LOAD_AVX512(lanes, from)                                                                                       \
    do {                                                                                                               \
        __m512 wide = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)(from)));                    \
        memcpy(&(lanes), &wide, sizeof(lanes));                                                                        \
    } while (0)
#define LOAD_AVX2(lanes, from)                                                                                         \
    do {                                                                                                               \
        __m256 low = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)(from)));                        \
        __m256 high = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(const void *)((from) + 16)));                \
        memcpy(&(lanes), &low, sizeof low);                                                                            \
        memcpy((char *)&(lanes) + sizeof low, &high, sizeof high);                                                     \
    } while (0)

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

__attribute__((target("avx512f,f16c"))) static void dot_avx512(float *out, const unsigned char *rows, size_t n, size_t d,
                                                               const float *g)
{
    size_t whole = d / CLSP_LANES * CLSP_LANES, rest = (d - whole) * sizeof(uint16_t);
    for (size_t i = 0; i < n; i++, rows += d * sizeof(uint16_t)) {
        __m512 sums = _mm512_setzero_ps();
        unsigned char last[CLSP_LANES * sizeof(uint16_t)] = {0};
        if (rest > 0) memcpy(last, rows + whole * sizeof(uint16_t), rest);
        for (size_t c = 0; c < d; c += CLSP_LANES) {
            const unsigned char *from = c < whole ? rows + c * sizeof(uint16_t) : last;
            __m512 x = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)(const void *)from));
            sums = _mm512_add_ps(sums, _mm512_mul_ps(x, _mm512_loadu_ps(g + c)));
        }
        __m256d high = _mm512_extractf64x4_pd(_mm512_castps_pd(sums), 1);
        out[i] += sum_halves(_mm512_castps512_ps256(sums), _mm256_castpd_ps(high));
    }
}
HALF_WIDEN(widen_avx512, __attribute__((target("avx512f,f16c"))), LOAD_AVX512)
HALF_WIDEN(widen_avx2, __attribute__((target("avx2,f16c"))), LOAD_AVX2)
#endif

typedef struct half_way {
    half_dot_fn dot;
    half_widen_fn widen;
} half_way;

/* most: the widest way allowed, 0 (plain) to 2. */
static half_way half_way_of(int most)
{
#if HAS_X86
    if (most >= 2 && __builtin_cpu_supports("avx512f")) return (half_way){dot_avx512, widen_avx512};
    if (most >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"))
        return (half_way){dot_avx2, widen_avx2};
#endif
    (void)most;
    return (half_way){dot_plain, widen_plain};
}

static int widest_way = 2;

int clsp_half_way(int most)
{
    int before = widest_way;
    widest_way = most;
    return before;
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
        half_way_of(widest_way).dot(out, rows, n, d, g);
    else
        dot_float(out, rows, n, d, g);
}

void clsp_widen(float *out, const void *values, bool half, size_t count)
{
    if (half)
        half_way_of(widest_way).widen(out, values, count);
    else
        memcpy(out, values, count * sizeof *out);
}
