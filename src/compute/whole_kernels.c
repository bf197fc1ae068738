/* Sums of products of whole numbers, in registers: see whole.h. Whole sums have no order, so every kernel gives the same. */
#include <string.h>

#include "compute/whole.h"

#define UNROLLED _Pragma("GCC unroll 16")
#define CASE_ROWS(name, n)                                                                                             \
    case n: name##_rows(tile, x, x_stride, panel, next, steps, n); break;

/* One copy of the loop for each number of rows. VEC: sums side by side, LANES of them, NV of those a row of a tile; LOAD(p)
 * reads a vector of steps, STORE(p, v) writes sums, SPREAD(p) one step into all of it, DOT(sum, x, w) adds their products. */
#define KERNEL(name, TARGET, VEC, LANES, NV, MR, LOAD, STORE, SPREAD, DOT, CASES)                                      \
    TARGET __attribute__((always_inline)) static inline void name##_rows(                                              \
        int32_t *tile, const char *x, size_t x_stride, const char *panel, const char *next, size_t steps,              \
        const size_t rows)                                                                                             \
    {                                                                                                                  \
        VEC sums[MR][NV];                                                                                              \
        UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            UNROLLED for (size_t v = 0; v < (NV); v++) sums[r][v] = (VEC){0};                                          \
        for (size_t s = 0; s < steps; s++, x += 4, panel += 4 * (NV) * (LANES)) {                                      \
            VEC w[NV];                                                                                                 \
            __builtin_prefetch(next + 16 * s, 0, 2);                                                                   \
            UNROLLED for (size_t v = 0; v < (NV); v++) w[v] = LOAD(panel + 4 * v * (LANES));                           \
            UNROLLED for (size_t r = 0; r < rows; r++) {                                                               \
                VEC one = SPREAD(x + r * x_stride);                                                                    \
                UNROLLED for (size_t v = 0; v < (NV); v++) sums[r][v] = DOT(sums[r][v], one, w[v]);                    \
            }                                                                                                          \
        }                                                                                                              \
        UNROLLED for (size_t r = 0; r < rows; r++)                                                                     \
            UNROLLED for (size_t v = 0; v < (NV); v++)                                                                 \
                STORE(tile + (r * (NV) + v) * (LANES), sums[r][v]);                                                    \
    }                                                                                                                  \
    TARGET static void name(int32_t *tile, const char *x, size_t x_stride, const char *panel, const char *next,        \
                            size_t steps, size_t rows)                                                                 \
    {                                                                                                                  \
        switch (rows) {                                                                                                \
            CASES(name)                                                                                                \
        default: break;                                                                                                \
        }                                                                                                              \
    }
#define CASES_4(name) CASE_ROWS(name, 1) CASE_ROWS(name, 2) CASE_ROWS(name, 3) CASE_ROWS(name, 4)
#define CASES_6(name) CASES_4(name) CASE_ROWS(name, 5) CASE_ROWS(name, 6)
#define CASES_14(name)                                                                                                 \
    CASES_6(name) CASE_ROWS(name, 7) CASE_ROWS(name, 8) CASE_ROWS(name, 9) CASE_ROWS(name, 10) CASE_ROWS(name, 11)     \
    CASE_ROWS(name, 12) CASE_ROWS(name, 13) CASE_ROWS(name, 14)

static inline int32_t step_at(const char *from)
{
    int32_t step;
    memcpy(&step, from, sizeof step);
    return step;
}

#if CLSP_X86
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

#define LOAD_512(p) _mm512_loadu_si512(p)
#define STORE_512(p, v) _mm512_storeu_si512(p, v)
#define SPREAD_512(p) _mm512_set1_epi32(step_at(p))
#define ADD_512(sum, x, w) _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
#define ADD_EIGHT(sum, x, w) _mm512_dpbusd_epi32(sum, w, x)
#define LOAD_256(p) _mm256_loadu_si256((const __m256i_u *)(const void *)(p))
#define STORE_256(p, v) _mm256_storeu_si256((__m256i_u *)(void *)(p), v)
#define SPREAD_256(p) _mm256_set1_epi32(step_at(p))
#define LOAD_128(p) _mm_loadu_si128((const __m128i_u *)(const void *)(p))
#define STORE_128(p, v) _mm_storeu_si128((__m128i_u *)(void *)(p), v)
#define SPREAD_128(p) _mm_set1_epi32(step_at(p))
#define ADD_128(sum, x, w) _mm_add_epi32(sum, _mm_madd_epi16(x, w))
#define ADD_256(sum, x, w) _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))

KERNEL(vnni_16, VNNI, __m512i, 16, 2, 14, LOAD_512, STORE_512, SPREAD_512, _mm512_dpwssd_epi32, CASES_14)
KERNEL(vnni_8, VNNI, __m512i, 16, 2, 14, LOAD_512, STORE_512, SPREAD_512, ADD_EIGHT, CASES_14)
KERNEL(avx512_16, AVX512, __m512i, 16, 2, 14, LOAD_512, STORE_512, SPREAD_512, ADD_512, CASES_14)
KERNEL(avx2_16, AVX2, __m256i, 8, 2, 6, LOAD_256, STORE_256, SPREAD_256, ADD_256, CASES_6)
KERNEL(sse2_16, , __m128i, 4, 2, 4, LOAD_128, STORE_128, SPREAD_128, ADD_128, CASES_4)

static bool has_vnni(void) { return clsp_isa() >= CLSP_ISA_AVX512 && __builtin_cpu_supports("avx512vnni"); }
static bool has_avx512(void) { return clsp_isa() >= CLSP_ISA_AVX512; }
static bool has_avx2(void) { return clsp_isa() >= CLSP_ISA_AVX2; }
static bool has_sse2(void) { return true; }
#endif

typedef int32_t lanes __attribute__((vector_size(16)));

static inline lanes load(const char *from)
{
    lanes v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void store(int32_t *to, lanes v) { memcpy(to, &v, sizeof v); }

static inline lanes spread(const char *from)
{
    int32_t step = step_at(from);
    return (lanes){step, step, step, step};
}

/* Of each step the number `low` bits above its lower end, `bits` wide. */
static inline lanes part(lanes v, int low, int bits) { return v << (32 - low - bits) >> (32 - bits); }

static inline lanes dot_16(lanes sum, lanes x, lanes w)
{
    return sum + part(x, 0, 16) * part(w, 0, 16) + part(x, 16, 16) * part(w, 16, 16);
}

/* w has no sign. */
static inline lanes dot_8(lanes sum, lanes x, lanes w)
{
    for (int low = 0; low < 32; low += 8) sum += part(x, low, 8) * (w >> low & 255);
    return sum;
}

KERNEL(portable_16, , lanes, 4, 4, 4, load, store, spread, dot_16, CASES_4)
KERNEL(portable_8, , lanes, 4, 4, 4, load, store, spread, dot_8, CASES_4)

static bool always(void) { return true; }

const clsp_whole_kernel clsp_whole_kernels[] = {
#if CLSP_X86
    {"vnni", CLSP_WHOLE_16, 14, 32, vnni_16, has_vnni},
    {"vnni", CLSP_WHOLE_8, 14, 32, vnni_8, has_vnni},
    {"avx512", CLSP_WHOLE_16, 14, 32, avx512_16, has_avx512},
    {"avx2", CLSP_WHOLE_16, 6, 16, avx2_16, has_avx2},
    {"sse2", CLSP_WHOLE_16, 4, 8, sse2_16, has_sse2},
#endif
    {"portable", CLSP_WHOLE_16, 4, 16, portable_16, always},
    {"portable", CLSP_WHOLE_8, 4, 16, portable_8, always},
};
const size_t clsp_whole_kernel_count = sizeof clsp_whole_kernels / sizeof *clsp_whole_kernels;
