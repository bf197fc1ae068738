/* compute/tiles_x86.h - what the files on matrix tiles share: vector functions, and whether the compiler has them. */
#ifndef CLSP_COMPUTE_TILES_X86_H
#define CLSP_COMPUTE_TILES_X86_H

#include "compute/tiles.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define CLSP_TILES 1
#else
#define CLSP_TILES 0
#endif

/* A block is 32 x 32 outputs, a step 32 inputs of 32 outputs: each four or two tiles. */
enum { SIDE = 32, BLOCK = SIDE * SIDE, STEP = SIDE * SIDE };

#if CLSP_TILES
#include <immintrin.h>

#define VECTOR __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static inline
#define MATRIX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512bf16"))) static

/* e^x: x = n ln 2 + r with |r| <= ln(2)/2; e^r by its series to r^6, good to 2e-7; enough before a rounding to bf16. */
VECTOR __m512 exponential(__m512 x)
{
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(88.0f));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693147181f), x);
    __m512 p = _mm512_set1_ps(1.38888889e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.33333333e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16666667e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.66666667e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* 1 / x to 24 bits: the processor's 14, and one step of Newton's. */
VECTOR __m512 reciprocal(__m512 x)
{
    __m512 y = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0f)));
}
#endif

#endif
