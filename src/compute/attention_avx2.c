/* One head's attention on AVX2 with FMA. */
#include "compute/attention_head.h"

#define KERNEL clsp_head_avx2
#if CLSP_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))
#define PAIRS 0
#define BLOCK 2
enum { LANES = 8 };
typedef __m256 vec;

TARGET static inline float sum_of(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

TARGET static inline float largest_of(__m256 v)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

#define SPLAT(x) _mm256_set1_ps(x)
#define BROADCAST(p) _mm256_broadcast_ss(p)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define DOT(sum, a, b) _mm256_fmadd_ps(a, b, sum)
#define MAX(a, b) _mm256_max_ps(a, b)
#define SUM(v) sum_of(v)
#define LARGEST(v) largest_of(v)
#define TRANSPOSE(to, from, stride)                                                                                    \
    for (size_t i_ = 0; i_ < LANES * LANES; i_++) (to)[i_] = (from)[i_ % LANES * (stride) + i_ / LANES]

#include "compute/attention_kernel.h"
#else
const clsp_head_kernel KERNEL = {NULL, NULL};
#endif
