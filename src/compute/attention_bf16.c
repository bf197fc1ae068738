/* One head's attention on AVX-512 with products of pairs of bf16, summed in fp32. */
#include "compute/attention_avx512.h"

#define KERNEL clsp_head_avx512_bf16
#if CLSP_X86
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define PAIRS 1
#define DOT(sum, a, b) _mm512_dpbf16_ps(sum, (__m512bh)(a), (__m512bh)(b))
#include "compute/attention_kernel.h"
#else
const clsp_head_kernel KERNEL = {NULL, NULL};
#endif
