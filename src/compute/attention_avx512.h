/* compute/attention_avx512.h - what both kernels on AVX-512 give attention_kernel.h. */
#ifndef CLSP_COMPUTE_ATTENTION_AVX512_H
#define CLSP_COMPUTE_ATTENTION_AVX512_H

#include "compute/attention_head.h"

#if CLSP_X86
#include <math.h>
#include <string.h>

#include "compute/transpose_x86.h"

#define BLOCK 4
enum { LANES = 16 };
typedef __m512 vec;
#define SPLAT(x) _mm512_set1_ps(x)
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MAX(a, b) _mm512_max_ps(a, b)
#define SUM(v) _mm512_reduce_add_ps(v)
#define LARGEST(v) _mm512_reduce_max_ps(v)
#define TRANSPOSE(to, from, stride)                                                                                    \
    do {                                                                                                               \
        __m512i rows_[LANES], columns_[LANES];                                                                         \
        for (int i_ = 0; i_ < LANES; i_++) rows_[i_] = _mm512_loadu_si512((from) + (size_t)i_ * (stride));             \
        clsp_transpose(columns_, rows_);                                                                               \
        for (int i_ = 0; i_ < LANES; i_++) _mm512_store_si512((to) + i_ * LANES, columns_[i_]);                        \
    } while (0)
#endif

#endif
