/* One head's attention in plain C, for processors without a kernel of their own: vectors of four, as the compiler sees
 * fit. It also says which kernel an instruction set has. */
#include "compute/attention_head.h"
#include "compute/four.h"

#include <math.h>
#include <string.h>

#define KERNEL clsp_head_portable
#define TARGET
#define PAIRS 0
#if CLSP_ARM64 /* 32 registers */
#define BLOCK 4
#else
#define BLOCK 2
#endif
enum { LANES = 4 };
typedef clsp_four vec;
typedef int32_t choice __attribute__((vector_size(LANES * 4)));

static inline vec larger(vec a, vec b)
{
    choice first = a > b;
    return (vec)((first & (choice)a) | (~first & (choice)b));
}

static inline float greater(float a, float b) { return a > b ? a : b; }

#define SPLAT(x) ((vec){(x), (x), (x), (x)})
#define BROADCAST(p) SPLAT(*(p))
#define FMA(a, b, c) CLSP_FOUR_FMA(a, b, c)
#define DOT(sum, a, b) FMA(a, b, sum)
#define MAX(a, b) larger(a, b)
#define SUM(v) (((v)[0] + (v)[2]) + ((v)[1] + (v)[3]))
#define LARGEST(v) greater(greater((v)[0], (v)[2]), greater((v)[1], (v)[3]))
#define TRANSPOSE(to, from, stride)                                                                                    \
    for (size_t i_ = 0; i_ < LANES * LANES; i_++) (to)[i_] = (from)[i_ % LANES * (stride) + i_ / LANES]

#include "compute/attention_kernel.h"

const clsp_head_kernel *clsp_head_kernel_for(clsp_isa_level isa, clsp_type type)
{
    if (isa >= CLSP_ISA_AVX512_BF16 && type == CLSP_TYPE_BF16) return &clsp_head_avx512_bf16;
    if (isa >= CLSP_ISA_AVX512) return &clsp_head_avx512;
    return isa == CLSP_ISA_AVX2 ? &clsp_head_avx2 : &clsp_head_portable;
}
