/* One head's attention on AVX-512, in fp32. */
#include "compute/attention_avx512.h"

#define KERNEL clsp_head_avx512
#if CLSP_X86
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define PAIRS 0
#define DOT(sum, a, b) _mm512_fmadd_ps(a, b, sum)
#include "compute/attention_kernel.h"
#else
const clsp_head_kernel KERNEL = {NULL, NULL};
#endif
