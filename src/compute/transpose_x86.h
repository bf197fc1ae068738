/* compute/transpose_x86.h - 16 x 16 words of 32 bits, rows to columns, in AVX-512 registers. */
#ifndef CLSP_COMPUTE_TRANSPOSE_X86_H
#define CLSP_COMPUTE_TRANSPOSE_X86_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/transpose_x86.h is private to src/compute"
#endif

#include <immintrin.h>

/* to[r] holds word r of every row. Four rounds of exchanging ever larger pieces. */
__attribute__((target("avx512f"))) static inline void clsp_transpose(__m512i to[16], const __m512i from[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(from[i], from[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(from[i], from[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) { /* b[i + 2j + (0, 1)]: column 2j + (0, 1) of four rows, in every 128 bits */
            b[i + 2 * j] = _mm512_unpacklo_epi64(a[i + j], a[i + j + 2]);
            b[i + 2 * j + 1] = _mm512_unpackhi_epi64(a[i + j], a[i + j + 2]);
        }
    for (int j = 0; j < 4; j++) { /* rows 0-3, 4-7, 8-11, 12-15 of columns j, j + 4, j + 8, j + 12 */
        __m512i low = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x44), low_2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x44);
        __m512i high = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xee), high_2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xee);
        to[j] = _mm512_shuffle_i32x4(low, low_2, 0x88);
        to[j + 4] = _mm512_shuffle_i32x4(low, low_2, 0xdd);
        to[j + 8] = _mm512_shuffle_i32x4(high, high_2, 0x88);
        to[j + 12] = _mm512_shuffle_i32x4(high, high_2, 0xdd);
    }
}

#endif
