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
#define SPLAT(x) _mm256_set1_ps(x)
#define BROADCAST(p) _mm256_broadcast_ss(p)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define DOT(sum, a, b) _mm256_fmadd_ps(a, b, sum)
#define MAX(a, b) _mm256_max_ps(a, b)
#define TRANSPOSE(to, from, stride)                                                                                    \
    for (size_t i_ = 0; i_ < LANES * LANES; i_++) (to)[i_] = (from)[i_ % LANES * (stride) + i_ / LANES]

#include "compute/attention_kernel.h"
#else
const clsp_head_kernel KERNEL = {NULL, NULL};
#endif
