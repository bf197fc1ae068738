/* Kernels for AVX-512, with bf16 dot products where there are any: tiles of 14 x 32. */
#include "compute/gemm_kernels.h"

#if CLSP_X86
#include "compute/transpose_x86.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define INLINE TARGET __attribute__((always_inline)) static inline
#define TARGET_DOT __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
typedef __m512 vec;
typedef int32_t ivec __attribute__((vector_size(64)));
enum { LANES = 16, MR = 14, NV = 2 };

#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SET(f) _mm512_set1_ps(f)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LESSER(a, b) _mm512_min_ps(a, b)
#define GREATER(a, b) _mm512_max_ps(a, b)
#define ABSOLUTE(a) _mm512_abs_ps(a)
#define STORE_HIGH(p, bits) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)(bits), 16)))

#define MORE_ROWS(name)                                                                                                \
    CASE_ROWS(name, 7) CASE_ROWS(name, 8) CASE_ROWS(name, 9) CASE_ROWS(name, 10) CASE_ROWS(name, 11)                   \
    CASE_ROWS(name, 12) CASE_ROWS(name, 13) CASE_ROWS(name, 14)

#include "compute/gemm_tables.h"

/* max(x, 0) - t T(t) with t = |x|, at most the limit, where T is zero; what is no number stays so. The piece's number stands
 * in the last bits of `shifted`, of which the look-up reads five. */
INLINE vec less_tail(vec x, const tail_table *table)
{
    vec t = _mm512_min_ps(_mm512_abs_ps(x), SET(table->limit));
    vec shifted = FMA(t, SET(table->pieces_per_unit), SET(12582912.0f));
    vec u = _mm512_fmsub_ps(t, SET(table->pieces_per_unit), shifted - SET(12582912.0f));
    vec tail = SET(0.0f);
    CLSP_UNROLLED for (int power = 5; power >= 0; power--)
        tail = FMA(tail, u, _mm512_permutex2var_ps(LOAD(table->powers[power]), (__m512i)shifted, LOAD(table->powers[power] + 16)));
    return _mm512_fnmadd_ps(t, tail, _mm512_max_ps(SET(0.0f), x));
}

INLINE vec activate(vec x, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return less_tail(x, &tail_gelu);
    case CLSP_EPILOGUE_QUICK_GELU: return less_tail(x, &tail_quick_gelu);
    case CLSP_EPILOGUE_GELU_TANH: return less_tail(x, &tail_gelu_tanh);
    case CLSP_EPILOGUE_ADD:
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}

#include "compute/gemm_template.h"

/* Whole blocks of 16 x 16 in registers. */
TARGET static void transpose(float *to, size_t to_stride, const float *from, size_t from_stride, size_t rows, size_t columns)
{
    size_t high = rows / LANES * LANES, wide = columns / LANES * LANES;
    __m512i block[LANES], turned[LANES];
    for (size_t i = 0; i < high; i += LANES)
        for (size_t j = 0; j < wide; j += LANES) {
            CLSP_UNROLLED for (size_t r = 0; r < LANES; r++) block[r] = _mm512_loadu_si512(from + (j + r) * from_stride + i);
            clsp_transpose(turned, block);
            CLSP_UNROLLED for (size_t r = 0; r < LANES; r++) _mm512_storeu_si512(to + (i + r) * to_stride + j, turned[r]);
        }
    transpose_small(to + wide, to_stride, from + wide * from_stride, from_stride, high, columns - wide);
    transpose_small(to + high * to_stride, to_stride, from + high, from_stride, rows - high, columns);
}

/* Columns of `count` steps, of which the last one is taken again for those beyond it. */
INLINE void turn(__m512i turned[LANES], const float *weights, size_t stride, size_t count, size_t columns)
{
    __m512i block[LANES];
    __mmask16 mask = (__mmask16)((1u << count) - 1);
    if (columns >= LANES) {
        CLSP_UNROLLED for (size_t c = 0; c < LANES; c++) block[c] = _mm512_maskz_loadu_epi32(mask, weights + c * stride);
    } else {
        CLSP_UNROLLED for (size_t c = 0; c < LANES; c++)
            block[c] = _mm512_maskz_loadu_epi32(mask, weights + clsp_min(c, columns - 1) * stride);
    }
    clsp_transpose(turned, block);
}

/* Blocks of 16 columns and 16 steps are turned in registers; two blocks of columns, whose sums do not wait for each other. */
TARGET static void multiply_turned(float *tiles, const float *strip, const float *weights, size_t stride, size_t steps,
                                   size_t rows, size_t columns)
{
    __m512i turned[LANES];
    for (size_t panel = 0; panel < columns; panel += NV * LANES, tiles += rows * NV * LANES)
        for (size_t s = 0; s < steps; s += LANES)
            for (size_t j = panel; j < clsp_min(panel + NV * LANES, columns); j += LANES) {
                size_t count = clsp_min(steps - s, LANES);
                float *tile = tiles + (j - panel);
                turn(turned, weights + j * stride + s, stride, count, columns - j);
                for (size_t r = 0; r < rows; r++, tile += NV * LANES) {
                    const float *x = strip + r * CLSP_GEMM_STRIDE + s;
                    vec sum = LOAD(tile);
                    if (count == LANES) {
                        CLSP_UNROLLED for (size_t i = 0; i < LANES; i++) sum = FMA(SET(x[i]), (vec)turned[i], sum);
                    } else {
                        CLSP_UNROLLED for (size_t i = 0; i < LANES; i++)
                            if (i < count) sum = FMA(SET(x[i]), (vec)turned[i], sum);
                    }
                    STORE(tile, sum);
                }
            }
}

#define WIDENED(p) (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16)
#define PAIRS(p) (__m512bh)_mm512_loadu_si512(p)
#define PAIR(p) (__m512bh)_mm512_set1_ps(*(p))
#define FIRST(p) _mm512_set1_ps(*(p))
#define MULTIPLY_ADD(sum, x, w) _mm512_fmadd_ps(x, w, sum)

MULTIPLY(multiply_f32, TARGET, float, LOAD, vec, FIRST, MULTIPLY_ADD)
MULTIPLY(multiply_widened, TARGET, uint16_t, WIDENED, vec, FIRST, MULTIPLY_ADD)
MULTIPLY(multiply_pairs, TARGET_DOT, uint32_t, PAIRS, __m512bh, PAIR, _mm512_dpbf16_ps)

static const clsp_gemm_kernel kernel_f32 = {"avx512", CLSP_GEMM_F32, MR, NV * LANES, multiply_f32,
    multiply_plain, multiply_turned, transpose, copy, finish};
static const clsp_gemm_kernel kernel_widened = {"avx512_widened", CLSP_GEMM_WIDEN, MR, NV * LANES, multiply_widened,
    multiply_plain, multiply_turned, transpose, copy, finish};
static const clsp_gemm_kernel kernel_pairs = {"avx512_bf16", CLSP_GEMM_PAIR, MR, NV * LANES, multiply_pairs,
    multiply_plain, multiply_turned, transpose, copy, finish};

const clsp_gemm_kernel *clsp_gemm_avx512(clsp_type type, bool dot)
{
    return type == CLSP_TYPE_F32 ? &kernel_f32 : dot ? &kernel_pairs : &kernel_widened;
}

#else
const clsp_gemm_kernel *clsp_gemm_avx512(clsp_type type, bool dot)
{
    (void)type;
    (void)dot;
    return NULL;
}
#endif
