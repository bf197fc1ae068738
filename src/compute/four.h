/* compute/four.h - the portable kernels' vectors: four floats, in the compiler's own type. */
#ifndef CLSP_COMPUTE_FOUR_H
#define CLSP_COMPUTE_FOUR_H

#include <string.h>

#include "compute/isa.h"

#if CLSP_ARM64
#include <arm_neon.h>
#endif

typedef float clsp_four __attribute__((vector_size(16), may_alias));

/* Four values of bf16, from anywhere. GCC 12 takes the general way to pieces on Arm. */
static inline clsp_four clsp_four_of_bf16(const uint16_t *from)
{
#if CLSP_ARM64
    return (clsp_four)vshll_n_u16(vld1_u16(from), 16);
#else
    typedef uint16_t halves __attribute__((vector_size(8)));
    typedef int32_t words __attribute__((vector_size(16)));
    halves half;
    memcpy(&half, from, sizeof half);
    return (clsp_four)(__builtin_convertvector(half, words) << 16);
#endif
}

/* a b + c. Rounded once on 64-bit Arm, where every processor can; elsewhere twice, since contraction is off
 * (cmake/warnings.cmake), so that there every compiler gives the same bits. */
#if CLSP_ARM64
#define CLSP_FOUR_FMA(a, b, c) vfmaq_f32(c, a, b)
#else
#define CLSP_FOUR_FMA(a, b, c) ((a) * (b) + (c))
#endif

#endif
