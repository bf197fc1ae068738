/* Kernels for AVX2 with fused multiply-add: tiles of 6 x 16. */
#include "compute/gemm_kernels.h"

#if CLSP_X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE TARGET __attribute__((always_inline)) static inline
typedef __m256 vec;
typedef int32_t ivec __attribute__((vector_size(32)));
enum { LANES = 8, MR = 6, NV = 2 };

#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SET(f) _mm256_set1_ps(f)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define LESSER(a, b) _mm256_min_ps(a, b)
#define GREATER(a, b) _mm256_max_ps(a, b)
#define ABSOLUTE(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define STORE_HIGH(p, bits)                                                                                            \
    for (size_t i_ = 0; i_ < LANES; i_++) (p)[i_] = (uint16_t)((uint32_t)(bits)[i_] >> 16)
#define MORE_ROWS(name)
#include "compute/gemm_activations.h"
#include "compute/gemm_template.h"

#define WIDENED(p) (__m256)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16)
#define FIRST(p) _mm256_broadcast_ss(p)
#define MULTIPLY_ADD(sum, x, w) _mm256_fmadd_ps(x, w, sum)

MULTIPLY(multiply_f32, TARGET, float, LOAD, vec, FIRST, MULTIPLY_ADD)
MULTIPLY(multiply_widened, TARGET, uint16_t, WIDENED, vec, FIRST, MULTIPLY_ADD)

static const clsp_gemm_kernel kernel_f32 = {"avx2", CLSP_GEMM_F32, MR, NV * LANES, multiply_f32,
    multiply_plain, NULL, transpose_small, copy, finish};
static const clsp_gemm_kernel kernel_widened = {"avx2_widened", CLSP_GEMM_WIDEN, MR, NV * LANES, multiply_widened,
    multiply_plain, NULL, transpose_small, copy, finish};

const clsp_gemm_kernel *clsp_gemm_avx2(clsp_type type) { return type == CLSP_TYPE_F32 ? &kernel_f32 : &kernel_widened; }

#else
const clsp_gemm_kernel *clsp_gemm_avx2(clsp_type type)
{
    (void)type;
    return NULL;
}
#endif
