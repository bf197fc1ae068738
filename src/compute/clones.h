/* compute/clones.h - what loops under CLSP_CLONES (base.h) sum with.
 *
 * Sums over a row are 16 running sums, in the compiler's vector type, that are added at the end in a fixed order, so
 * that every clone gives the same bits: contraction into fused multiply-add is off (cmake/warnings.cmake). Written as
 * a loop over an array of 16 the compiler unrolled them into scalars.
 */
#ifndef CLSP_COMPUTE_CLONES_H
#define CLSP_COMPUTE_CLONES_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/clones.h is private to src/compute"
#endif

#include <string.h>

#include "compute/compute.h"

enum { CLSP_LANES = 16 };
typedef float clsp_lanes __attribute__((vector_size(CLSP_LANES * sizeof(float))));
typedef int32_t clsp_lane_mask __attribute__((vector_size(CLSP_LANES * sizeof(int32_t))));

/* lanes = 16 floats from anywhere; and the last `count` < 16 of a row, zeros behind them */
#define CLSP_LOAD(lanes, from) memcpy(&(lanes), (from), sizeof(lanes))
#define CLSP_LOAD_TAIL(lanes, from, count)                                                                             \
    do {                                                                                                               \
        (lanes) = (clsp_lanes){0};                                                                                     \
        memcpy(&(lanes), (from), (count) * sizeof(float));                                                             \
    } while (0)

/* The same as clsp_bf16_to_f32, in a form that becomes vector code. */
static inline float clsp_widen_bf16(uint16_t value)
{
    return clsp_float_of((uint32_t)value << 16);
}

/* Nearest even; NaN stays NaN. The same as clsp_f32_to_bf16, in a form that becomes vector code. */
static inline uint16_t clsp_round_bf16(float value)
{
    uint32_t bits = clsp_bits_of(value), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float clsp_lanes_sum(const clsp_lanes *lanes)
{
    float half[CLSP_LANES / 2];
    for (size_t j = 0; j < CLSP_LANES / 2; j++) half[j] = (*lanes)[j] + (*lanes)[j + CLSP_LANES / 2];
    return ((half[0] + half[4]) + (half[1] + half[5])) + ((half[2] + half[6]) + (half[3] + half[7]));
}

/* s [n] becomes exp(scale (s - max s)) / sum; p (bf16, may be NULL) receives the same, rounded. The entries
 * [n, padded) of both become 0. */
void clsp_softmax_row(float *s, uint16_t *p, float scale, size_t n, size_t padded);

#endif
